//! Subscribers whose sockets are full.

use std::{sync::Arc, time::Duration};

use floe_engine::TopicStart;
use floe_live::{Blocked, End, LAG_PATIENCE, LiveRecord, Skipped, Subscription, Taken};

use crate::stage::{Stage, WIDE, collect, offsets, record};

const FULL: Blocked = Blocked(LAG_PATIENCE);

/// A topic with a queue of 10, a subscriber that follows it well, and one that has caught up.
async fn stage(policy: &str) -> (Stage, Subscription, Subscription) {
    let stage = Stage::new();
    stage.topic("t", 1, &[("floe.live.queue.size", "10"), ("floe.live.policy", policy)]).await;
    let fast = stage.subscribe("t", TopicStart::Latest).await;
    let mut slow = stage.subscribe("t", TopicStart::Latest).await;
    assert_eq!(take(&mut slow, Blocked::default()), (Taken::Nothing, vec![]));
    (stage, fast, slow)
}

fn take(subscription: &mut Subscription, blocked: Blocked) -> (Taken, Vec<i64>) {
    let mut taken: Vec<Arc<LiveRecord>> = Vec::new();
    let told = subscription.take(blocked, WIDE, &mut taken);
    (told, taken.iter().map(|record| record.record().offset).collect())
}

/// Publishes, and waits until the ring has it.
async fn publish(stage: &Stage, fast: &mut Subscription, count: usize) {
    stage.publish_many("t", count).await;
    assert_eq!(collect(fast, count).await.len(), count);
}

#[tokio::test]
async fn a_slow_subscriber_is_moved_forward_and_told_where_and_how_much() {
    let (stage, mut fast, mut slow) = stage("drop_oldest").await;
    publish(&stage, &mut fast, 50).await;
    let after = stage.subscribe("t", TopicStart::Earliest).await;
    drop(after);
    let (told, records) = take(&mut slow, FULL);
    let Taken::Lagged(lagged) = told else { panic!("{told:?}") };
    assert_eq!((lagged.dropped, records), (40, vec![]));
    assert_eq!(lagged.skipped, [Skipped { partition: 0, from: 0, to: 39 }]);
    assert_eq!(take(&mut slow, FULL), (Taken::Records, (40..50).collect()));
    assert_eq!(take(&mut slow, FULL), (Taken::Nothing, vec![]));
    assert_eq!(stage.live.skipped_records(), 40);
    // What was skipped can be had: reading on from the notice's cursor gives it.
    let mut again = stage.subscribe("t", TopicStart::After(lagged.after)).await;
    assert_eq!(offsets(&collect(&mut again, 50).await), (0..50).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_episode_is_told_at_its_start_and_once_more_at_its_end() {
    let (stage, mut fast, mut slow) = stage("drop_oldest").await;
    let mut blocked = FULL;
    publish(&stage, &mut fast, 20).await;
    assert!(matches!(take(&mut slow, blocked).0, Taken::Lagged(lagged) if lagged.dropped == 10));
    for _ in 0..3 {
        publish(&stage, &mut fast, 20).await;
        blocked.0 += LAG_PATIENCE;
        let (told, records) = take(&mut slow, blocked);
        assert_eq!((told, records.len()), (Taken::Records, 10), "no notice in the middle");
        publish(&stage, &mut fast, 5).await;
    }
    assert_eq!(take(&mut slow, blocked), (Taken::Records, (90..95).collect()));
    let (told, _) = take(&mut slow, blocked);
    let Taken::Lagged(lagged) = told else { panic!("{told:?}") };
    assert_eq!(lagged.dropped, 20 + 15 + 15);
    assert_eq!(lagged.skipped, [Skipped { partition: 0, from: 10, to: 79 }]);
    assert_eq!(take(&mut slow, blocked), (Taken::Nothing, vec![]));
    // The next lag is another episode.
    publish(&stage, &mut fast, 20).await;
    blocked.0 += LAG_PATIENCE;
    assert!(matches!(take(&mut slow, blocked).0, Taken::Lagged(lagged) if lagged.dropped == 10));
    assert_eq!(stage.live.skipped_records(), 10 + 50 + 10);
}

#[tokio::test]
async fn others_are_not_affected() {
    let (stage, mut fast, mut slow) = stage("drop_oldest").await;
    let mut third = stage.subscribe("t", TopicStart::Latest).await;
    publish(&stage, &mut fast, 30).await;
    assert!(matches!(take(&mut slow, FULL).0, Taken::Lagged(_)));
    assert_eq!(offsets(&collect(&mut third, 30).await), (0..30).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_socket_that_was_full_for_a_moment_costs_nothing() {
    let (stage, mut fast, mut slow) = stage("drop_oldest").await;
    publish(&stage, &mut fast, 50).await;
    let moment = Blocked(LAG_PATIENCE - Duration::from_millis(1));
    assert_eq!(take(&mut slow, moment), (Taken::Records, (0..50).collect()));
    // It has kept up since: the next moment is counted anew.
    assert_eq!(take(&mut slow, moment), (Taken::Nothing, vec![]));
    publish(&stage, &mut fast, 50).await;
    assert_eq!(take(&mut slow, Blocked(moment.0 * 2)), (Taken::Records, (50..100).collect()));
}

#[tokio::test]
async fn a_full_socket_that_is_not_far_behind_loses_nothing() {
    let (stage, mut fast, mut slow) = stage("drop_oldest").await;
    publish(&stage, &mut fast, 10).await;
    assert_eq!(take(&mut slow, FULL), (Taken::Records, (0..10).collect()));
}

#[tokio::test]
async fn history_that_was_asked_for_is_never_skipped() {
    let (stage, mut fast, slow) = stage("drop_oldest").await;
    drop(slow);
    publish(&stage, &mut fast, 100).await;
    let mut resuming = stage.subscribe("t", TopicStart::Earliest).await;
    let mut blocked = Blocked::default();
    let mut all = Vec::new();
    while all.len() < 200 {
        if all.len() == 100 {
            publish(&stage, &mut fast, 100).await;
        }
        blocked.0 += LAG_PATIENCE;
        match take(&mut resuming, blocked) {
            (Taken::Records, records) => all.extend(records),
            (Taken::ReadLog, _) => {
                let room = floe_live::Room { records: 7, bytes: 1 << 20 };
                resuming.read_log(room).await.unwrap();
            }
            (told, _) => panic!("{told:?} after {}", all.len()),
        }
    }
    assert_eq!(all, (0..200).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_live_subscriber_overrun_while_its_socket_is_full_is_moved_forward_too() {
    let (stage, mut fast, mut slow) = stage("drop_oldest").await;
    for _ in 0..3 {
        publish(&stage, &mut fast, 3_000).await;
    }
    // Not blocked so far: sent to the log, where it reads a page.
    assert_eq!(take(&mut slow, Blocked::default()), (Taken::ReadLog, vec![]));
    slow.read_log(floe_live::Room { records: 100, bytes: 1 << 20 }).await.unwrap();
    assert_eq!(take(&mut slow, Blocked::default()), (Taken::Records, (0..100).collect()));
    // Blocked from here on.
    assert!(matches!(take(&mut slow, FULL), (Taken::Lagged(lagged), _)
        if lagged.dropped == 8_890 && lagged.skipped == [Skipped { partition: 0, from: 100, to: 8_989 }]));
    assert_eq!(take(&mut slow, FULL), (Taken::Records, (8_990..9_000).collect()));
}

#[tokio::test]
async fn the_policy_disconnect_ends_the_subscription() {
    let (stage, mut fast, mut slow) = stage("disconnect").await;
    publish(&stage, &mut fast, 50).await;
    let (told, _) = take(&mut slow, FULL);
    assert!(matches!(&told, Taken::Ended(End::TooSlow(lagged)) if lagged.dropped == 40));
    assert_eq!(take(&mut slow, FULL).0, told);
}

#[tokio::test]
async fn skipped_offsets_are_told_for_each_partition() {
    let stage = Stage::new();
    stage.topic("t", 3, &[("floe.live.queue.size", "10")]).await;
    let mut fast = stage.subscribe("t", TopicStart::Latest).await;
    let mut slow = stage.subscribe("t", TopicStart::Latest).await;
    assert_eq!(take(&mut slow, Blocked::default()).0, Taken::Nothing);
    for _ in 0..20 {
        for partition in 0..2 {
            let mut one = record("x");
            one.partition = Some(partition);
            stage.publish("t", vec![one]).await;
        }
    }
    assert_eq!(collect(&mut fast, 40).await.len(), 40);
    let Taken::Lagged(lagged) = take(&mut slow, FULL).0 else { panic!() };
    assert_eq!(lagged.dropped, 30);
    assert_eq!(
        lagged.skipped,
        [Skipped { partition: 0, from: 0, to: 14 }, Skipped { partition: 1, from: 0, to: 14 }]
    );
}
