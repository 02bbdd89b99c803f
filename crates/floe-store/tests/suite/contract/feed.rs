//! Those who follow what is stored.

use std::time::Duration;

use floe_store::{EventFilter, EventStore, Followed, WriteError};
use tokio::task::JoinSet;

use crate::stage::{Stage, claimed, event, events, key};

/// How long events that are stored may take to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// The next so many events' numbers.
async fn take(followed: &mut Followed, count: usize) -> Vec<i64> {
    let mut seqs = Vec::new();
    while seqs.len() < count {
        let next = tokio::time::timeout(PATIENCE, followed.next()).await;
        let next = next.unwrap_or_else(|_| panic!("{} of {count} came", seqs.len()));
        seqs.extend(next.iter().map(|event| event.event.seq));
    }
    seqs
}

fn all() -> EventFilter {
    EventFilter::default()
}

async fn write(store: &EventStore, partition: u32, batches: i64, each: i64) {
    let claim = claimed(store, partition).await;
    let start = claim.next_offset.unwrap_or_default();
    for batch in 0..batches {
        let (from, to) = (start + batch * each, start + batch * each + each);
        // Two processes on one SQLite file may be in each other's way: what is unavailable is tried again.
        loop {
            match store.write(&key(partition), &claim, events(partition, from..to), to).await {
                Err(WriteError::Unavailable(_)) => tokio::task::yield_now().await,
                written => {
                    written.unwrap();
                    break;
                }
            }
        }
    }
}

pub(crate) async fn a_follower_gets_each_event_once_in_order(stage: &Stage) {
    let store = stage.store();
    let mut followers: Vec<_> = (0..3).map(|_| store.follow(None, all())).collect();
    let mut writers = JoinSet::new();
    for partition in 0..4 {
        let store = store.clone();
        writers.spawn(async move { write(&store, partition, 20, 10).await });
    }
    for follower in &mut followers {
        assert_eq!(take(follower, 800).await, (1..=800).collect::<Vec<_>>());
    }
    writers.join_all().await;
    write(&store, 9, 1, 1).await;
    let event = followers[0].next().await.remove(0);
    let frame: serde_json::Value = serde_json::from_slice(&event.frame).unwrap();
    assert_eq!(frame["cursor"], 801);
    assert_eq!(frame["id"], "9-0");
    assert_eq!(frame["timestamp"], "2026-01-31T10:00:00.000Z");
    assert_eq!(frame["data"], serde_json::json!({"x": 1}));
    let members: Vec<_> = frame.as_object().unwrap().keys().cloned().collect();
    assert_eq!(members, ["cursor", "data", "event_type", "id", "stored_at", "timestamp", "user_id"]);
}

pub(crate) async fn nobody_misses_what_is_stored_after_they_began(stage: &Stage) {
    for round in 0..10 {
        // The feed is idle at first each time: it has to find out where it is while the event is being stored.
        let store = stage.store();
        let claim = claimed(&store, round).await;
        let mut follower = store.follow(None, all());
        store.write(&key(round), &claim, events(round, 0..1), 1).await.unwrap();
        let seqs = take(&mut follower, 1).await;
        assert_eq!(seqs, [i64::from(round) + 1]);
    }
}

pub(crate) async fn following_begins_now_and_not_with_what_was_stored_before(stage: &Stage) {
    let store = stage.store();
    write(&store, 0, 3, 5).await;
    for round in 0..3 {
        let mut follower = store.follow(None, all());
        write(&store, 1, 1, 1).await;
        assert_eq!(follower.next().await[0].event.seq, 16 + round);
    }
}

pub(crate) async fn a_resumed_follower_has_no_gap_and_no_repeat(stage: &Stage) {
    const MANY: i64 = 10_000;
    let store = stage.store();
    let mut early = store.follow(Some(0), all());
    assert!(tokio::time::timeout(Duration::from_millis(1), early.next()).await.is_err());
    // More than is kept in memory.
    write(&store, 0, 4, MANY / 4).await;
    assert_eq!(take(&mut early, 10_000).await, (1..=MANY).collect::<Vec<_>>());
    for after in [0, 1, MANY / 2, MANY - 1] {
        let mut resumed = store.follow(Some(after), all());
        let left = usize::try_from(MANY - after).unwrap();
        assert_eq!(take(&mut resumed, left).await, (after + 1..=MANY).collect::<Vec<_>>());
    }
    assert!(store.delete("0-9000").await.unwrap());
    write(&stage.store(), 1, 1, 5).await;
    // From memory here, from the table there; the erased one is in neither.
    for store in [&store, &stage.store()] {
        let rest = take(&mut store.follow(Some(8_998), all()), 1_006).await;
        assert_eq!((rest[0], rest[1], rest[2], rest[1_005]), (8_999, 9_000, 9_002, 10_005));
    }
}

pub(crate) async fn another_process_finds_what_was_stored(stage: &Stage) {
    let (here, there) = (stage.store(), stage.store());
    let mut follower = there.follow(Some(0), all());
    let mut writers = JoinSet::new();
    for (partition, store) in [(0, here), (1, there.clone())] {
        writers.spawn(async move { write(&store, partition, 20, 5).await });
    }
    writers.join_all().await;
    assert_eq!(take(&mut follower, 200).await, (1..=200).collect::<Vec<_>>());
}

pub(crate) async fn filters_are_followers_own(stage: &Stage) {
    let store = stage.store();
    let wanted = |user: &str| EventFilter { user_id: Some(user.into()), ..all() };
    let (mut ann, mut bob) = (store.follow(Some(0), wanted("ann")), store.follow(Some(0), wanted("bob")));
    let claim = claimed(&store, 0).await;
    let batch = (0..100).map(|offset| {
        let mut event = event(offset, &offset.to_string());
        event.user_id = Some(if offset == 77 { "bob" } else { "ann" }.into());
        event
    });
    store.write(&key(0), &claim, batch.collect(), 100).await.unwrap();
    assert_eq!(take(&mut bob, 1).await, [78]);
    assert_eq!(take(&mut ann, 99).await.len(), 99);
    // From the table, the other store's memory being empty.
    let there = stage.store();
    assert_eq!(take(&mut there.follow(Some(3), wanted("bob")), 1).await, [78]);
}

pub(crate) async fn one_who_waits_is_told(stage: &Stage) {
    let (here, there) = (stage.store(), stage.store());
    let claim = claimed(&here, 0).await;
    let mut waiting = JoinSet::new();
    for store in [&here, &there, &here] {
        let store = store.clone();
        waiting.spawn(async move { store.stored("0-3").await.seq });
    }
    let given_up = tokio::time::timeout(Duration::from_millis(50), here.stored("never")).await;
    assert!(given_up.is_err());
    here.write(&key(0), &claim, events(0, 0..5), 5).await.unwrap();
    assert_eq!(waiting.join_all().await, [4, 4, 4]);
    assert_eq!(there.stored("0-0").await.seq, 1, "stored long ago");
}
