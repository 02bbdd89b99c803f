//! No gap and no repeat, whatever a subscriber starts with and however it comes and goes while others publish.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use floe_engine::{Cursor, JournalCursor, StoredRecord, TopicStart};
use floe_live::{Blocked, Room, Signal, Taken};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::stage::{Stage, WIDE, collect, next, offsets, record};

/// How many records have been handed to the engine, how many of these are durable, and how many followers have come.
#[derive(Default)]
struct Published {
    sent: AtomicUsize,
    stored: AtomicUsize,
    followers: AtomicUsize,
}

/// What a subscriber started with, between which counts of records its start lay, and what it got.
struct Seen {
    start: TopicStart,
    stored_before: usize,
    sent_after: usize,
    records: Vec<StoredRecord>,
}

/// Publishes in uneven batches.
async fn publish(stage: Arc<Stage>, published: Arc<Published>, seed: u64, total: usize) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut left = total;
    while left > 0 {
        let size = if random.random_ratio(1, 40) { 3_000 } else { random.random_range(1..60) }.min(left);
        let large = random.random_range(1..400);
        let records = (0..size).map(|n| record(vec![b'x'; 1 + n % large])).collect();
        published.sent.fetch_add(size, Ordering::SeqCst);
        stage.publish("t", records).await;
        published.stored.fetch_add(size, Ordering::SeqCst);
        left -= size;
    }
}

/// Subscribes, reads for a while at an uneven pace, and if it has enough comes back with a cursor.
async fn follow(stage: Arc<Stage>, published: Arc<Published>, seed: u64, total: usize) -> Vec<Seen> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut seen: Vec<Seen> = Vec::new();
    let begin = random.random_range(0..total);
    while published.stored.load(Ordering::SeqCst) < begin {
        tokio::task::yield_now().await;
    }
    loop {
        let start = match (seen.last().and_then(|seen| seen.records.last()), random.random_range(0..5)) {
            (Some(last), _) => TopicStart::After(last.cursor.clone()),
            (None, 0) => TopicStart::Earliest,
            (None, 1) => TopicStart::Newest(random.random_range(1..100)),
            (None, 2) => TopicStart::Newest(100),
            (None, _) => TopicStart::Latest,
        };
        let stored_before = published.stored.load(Ordering::SeqCst);
        let mut subscription = stage.subscribe("t", start.clone()).await;
        let sent_after = published.sent.load(Ordering::SeqCst);
        if seen.is_empty() {
            published.followers.fetch_add(1, Ordering::SeqCst);
        }
        let mut records = Vec::new();
        let leaves_after = if random.random_ratio(1, 2) { random.random_range(1..total) } else { usize::MAX };
        let slow = random.random_ratio(1, 3);
        while records.last().is_none_or(|last: &StoredRecord| !is_last(last)) && records.len() < leaves_after
        {
            if slow && random.random_ratio(1, 4) {
                // Away for long enough that the ring goes on without it.
                let until = (published.stored.load(Ordering::SeqCst) + 6_000).min(total);
                while published.stored.load(Ordering::SeqCst) < until {
                    tokio::task::yield_now().await;
                }
            }
            let room = Room { records: random.random_range(1..300), bytes: random.random_range(1..40_000) };
            let taken = next(&mut subscription, room, &mut records).await;
            assert_eq!(taken, Taken::Records);
        }
        let done = records.last().is_some_and(is_last);
        seen.push(Seen { start, stored_before, sent_after, records });
        if done {
            return seen;
        }
    }
}

/// The record that is published after all others.
fn is_last(record: &StoredRecord) -> bool {
    record.key.as_deref() == Some(b"last")
}

fn check(seen: &Seen, log: &[StoredRecord], index: &HashMap<Cursor, usize>) {
    let first = index[&seen.records[0].cursor];
    let cursors =
        |records: &[StoredRecord]| records.iter().map(|record| record.cursor.clone()).collect::<Vec<_>>();
    let expected = &log[first..first + seen.records.len()];
    let (found, expected_cursors) = (cursors(&seen.records), cursors(expected));
    if let Some(at) = found.iter().zip(&expected_cursors).position(|(found, expected)| found != expected) {
        let around = |cursors: &[Cursor]| cursors[at.saturating_sub(2)..(at + 3).min(cursors.len())].to_vec();
        let (found, expected) = (around(&found), around(&expected_cursors));
        panic!("{:?}: a gap or a repeat at {at}: {found:?} for {expected:?}", seen.start);
    }
    assert!(seen.records == expected, "{:?}: other records than stored", seen.start);
    let range = match &seen.start {
        TopicStart::Earliest => 0..=0,
        TopicStart::After(cursor) => index[cursor] + 1..=index[cursor] + 1,
        TopicStart::Latest => seen.stored_before..=seen.sent_after,
        TopicStart::Newest(count) => {
            seen.stored_before.saturating_sub(*count)..=seen.sent_after.saturating_sub(*count)
        }
        TopicStart::Time(_) | TopicStart::NewestBefore { .. } => unreachable!("not asked for"),
    };
    assert!(range.contains(&first), "{:?} began at {first}, not in {range:?}", seen.start);
}

async fn run(seed: u64, partitions: u32) {
    let total = 15_000;
    let stage = Arc::new(Stage::new());
    stage.topic("t", partitions, &[]).await;
    let published = Arc::new(Published::default());
    let publisher = tokio::spawn(publish(Arc::clone(&stage), Arc::clone(&published), seed, total));
    let followers: Vec<_> = (1..=12)
        .map(|n| tokio::spawn(follow(Arc::clone(&stage), Arc::clone(&published), seed * 1_000 + n, total)))
        .collect();
    publisher.await.unwrap();
    while published.followers.load(Ordering::SeqCst) < followers.len() {
        tokio::task::yield_now().await;
    }
    let mut last = record("last");
    last.key = Some("last".into());
    stage.publish("t", vec![last]).await;
    let mut all = Vec::new();
    for follower in followers {
        all.extend(follower.await.unwrap());
    }
    let log = stage.log("t").await;
    assert_eq!(log.len(), total + 1);
    let index: HashMap<Cursor, usize> =
        log.iter().enumerate().map(|(at, record)| (record.cursor.clone(), at)).collect();
    assert_eq!(index.len(), log.len(), "cursors are unique");
    all.iter().for_each(|seen| check(seen, &log, &index));
    assert_eq!((stage.live.total_subscribers(), stage.live.watched_topics()), (0, 0));
    assert_eq!(stage.live.skipped_records(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_that_come_and_go_see_every_record_once() {
    for seed in 1..=6 {
        eprintln!("seed {seed}");
        run(seed, if seed % 2 == 0 { 1 } else { 3 }).await;
    }
}

#[tokio::test]
async fn a_live_subscriber_gets_what_comes_after_it_and_nothing_before() {
    let stage = Stage::new();
    stage.topic("t", 1, &[]).await;
    stage.publish_many("t", 5).await;
    let mut first = stage.subscribe("t", TopicStart::Latest).await;
    stage.publish_many("t", 3).await;
    let mut second = stage.subscribe("t", TopicStart::Latest).await;
    stage.publish_many("t", 2).await;
    assert_eq!(offsets(&collect(&mut first, 5).await), [5, 6, 7, 8, 9]);
    assert_eq!(offsets(&collect(&mut second, 2).await), [8, 9]);
    assert_eq!((stage.live.subscribers("t"), stage.live.total_subscribers()), (2, 2));
}

#[tokio::test]
async fn the_newest_n_are_bounded_by_the_history_and_then_it_is_live() {
    let stage = Stage::new();
    stage.topic("t", 1, &[("floe.live.history.size", "4")]).await;
    stage.publish_many("t", 10).await;
    let mut all = stage.subscribe("t", TopicStart::Newest(usize::MAX)).await;
    let mut two = stage.subscribe("t", TopicStart::Newest(2)).await;
    let mut none = stage.subscribe("t", TopicStart::Newest(0)).await;
    assert_eq!(offsets(&collect(&mut all, 4).await), [6, 7, 8, 9]);
    assert_eq!(offsets(&collect(&mut two, 2).await), [8, 9]);
    stage.publish_many("t", 3).await;
    assert_eq!(offsets(&collect(&mut all, 3).await), [10, 11, 12]);
    assert_eq!(offsets(&collect(&mut none, 3).await), [10, 11, 12]);
    // Now the ring has them.
    let mut from_ring = stage.subscribe("t", TopicStart::Newest(2)).await;
    assert_eq!(offsets(&collect(&mut from_ring, 2).await), [11, 12]);
}

#[tokio::test]
async fn a_subscriber_overrun_by_a_burst_reads_it_from_the_log() {
    let stage = Stage::new();
    stage.topic("t", 1, &[("floe.live.queue.size", "10")]).await;
    let mut slow = stage.subscribe("t", TopicStart::Latest).await;
    let mut fast = stage.subscribe("t", TopicStart::Latest).await;
    stage.publish_many("t", 1).await;
    assert_eq!(collect(&mut slow, 1).await.len(), 1);
    for _ in 0..4 {
        stage.publish_many("t", 3_000).await;
    }
    assert_eq!(collect(&mut fast, 12_001).await.len(), 12_001);
    let records = collect(&mut slow, 12_000).await;
    assert_eq!(offsets(&records), (1..=12_000).collect::<Vec<_>>());
    assert_eq!(stage.live.skipped_records(), 0);
}

#[tokio::test]
async fn a_cursor_past_the_end_waits_there_and_says_so() {
    let stage = Stage::new();
    stage.topic("t", 1, &[]).await;
    stage.publish_many("t", 2).await;
    let end = stage.log("t").await[1].cursor.clone();
    let Cursor::Journal(place) = end else { panic!("{end:?}") };
    let far = Cursor::Journal(JournalCursor { position: place.position + (1 << 40), ..place });
    let mut subscription = stage.subscribe("t", TopicStart::After(far)).await;
    assert!(subscription.started_beyond_end());
    assert!(!stage.subscribe("t", TopicStart::After(end)).await.started_beyond_end());
    stage.publish_many("t", 1).await;
    assert_eq!(offsets(&collect(&mut subscription, 1).await), [2]);
}

#[tokio::test]
async fn what_a_ring_holds_is_bounded_in_bytes() {
    let stage = Stage::new();
    stage.topic("t", 1, &[]).await;
    let mut subscription = stage.subscribe("t", TopicStart::Latest).await;
    for _ in 0..64 {
        stage.publish("t", vec![record(vec![b'x'; 512 << 10])]).await;
    }
    let records = collect(&mut subscription, 64).await;
    assert_eq!(records.len(), 64);
    assert!(stage.live.held_bytes() <= floe_live::RING_MAX_BYTES, "{}", stage.live.held_bytes());
    drop(subscription);
    let mut other = stage.subscribe("t", TopicStart::Earliest).await;
    assert_eq!(next(&mut other, WIDE, &mut Vec::new()).await, Taken::Records);
}

/// Takes `count` records from the ring alone; being sent to the log is a failure.
async fn take_live(stage: Arc<Stage>, ready: Arc<AtomicUsize>, count: usize) {
    let signal = Signal::new();
    let mut subscription = stage.live.subscribe("t", TopicStart::Latest, &signal).await.unwrap();
    let (mut taken, mut total) = (Vec::new(), 0);
    let room = Room { records: 64, bytes: 64 << 10 };
    assert_eq!(subscription.take(Blocked::default(), room, &mut taken), Taken::Nothing);
    ready.fetch_add(1, Ordering::SeqCst);
    while total < count {
        match subscription.take(Blocked::default(), room, &mut taken) {
            Taken::Records => {
                total += taken.drain(..).len();
                tokio::task::yield_now().await;
            }
            Taken::Nothing => signal.raised().await,
            told => panic!("{told:?} after {total} records"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_waits_for_subscribers_that_can_take_it() {
    let stage = Arc::new(Stage::new());
    stage.topic("t", 1, &[]).await;
    let stalled = stage.subscribe("t", TopicStart::Latest).await;
    stalled.release();
    let ready = Arc::new(AtomicUsize::new(0));
    let follower = || tokio::spawn(take_live(Arc::clone(&stage), Arc::clone(&ready), 18_000));
    let followers: Vec<_> = (0..200).map(|_| follower()).collect();
    while ready.load(Ordering::SeqCst) < 200 {
        tokio::task::yield_now().await;
    }
    for _ in 0..2 {
        stage.publish_many("t", 9_000).await;
    }
    for follower in followers {
        follower.await.unwrap();
    }
}
