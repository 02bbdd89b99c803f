//! How subscriptions and rings end.

use floe_engine::{EngineError, TopicStart};
use floe_live::{End, Signal, Taken};

use crate::stage::{Stage, WIDE, collect, next, offsets};

#[tokio::test]
async fn a_deleted_topic_ends_its_subscriptions_after_their_last_record() {
    let stage = Stage::new();
    stage.topic("t", 1, &[]).await;
    let mut subscription = stage.subscribe("t", TopicStart::Latest).await;
    let mut idle = stage.subscribe("t", TopicStart::Latest).await;
    stage.publish_many("t", 3).await;
    assert_eq!(collect(&mut idle, 3).await.len(), 3);
    stage.engine.delete_topic("t").await.unwrap();
    let ended = Taken::Ended(End::Deleted);
    assert_eq!(next(&mut idle, WIDE, &mut Vec::new()).await, ended);
    assert_eq!(offsets(&collect(&mut subscription, 3).await), [0, 1, 2]);
    assert_eq!(next(&mut subscription, WIDE, &mut Vec::new()).await, ended);
    assert_eq!(next(&mut subscription, WIDE, &mut Vec::new()).await, ended);
    assert_eq!(stage.live.subscribers("t"), 0, "of a topic that is gone");
    assert!(matches!(
        stage.live.subscribe("t", TopicStart::Latest, &Signal::new()).await,
        Err(EngineError::TopicNotFound { .. })
    ));
}

#[tokio::test]
async fn a_topic_made_again_is_another_one() {
    let stage = Stage::new();
    stage.topic("t", 1, &[]).await;
    let mut old = stage.subscribe("t", TopicStart::Latest).await;
    let mut reader = stage.subscribe("t", TopicStart::Earliest).await;
    stage.publish_many("t", 3).await;
    let cursor = stage.log("t").await[2].cursor.clone();
    stage.engine.delete_topic("t").await.unwrap();
    stage.topic("t", 1, &[]).await;
    let mut new = stage.subscribe("t", TopicStart::Latest).await;
    assert_ne!(new.topic_id(), old.topic_id());
    stage.publish_many("t", 2).await;
    assert_eq!(offsets(&collect(&mut new, 2).await), [0, 1]);
    assert_eq!(collect(&mut old, 3).await.len(), 3, "of the old topic, still in its ring");
    assert_eq!(next(&mut old, WIDE, &mut Vec::new()).await, Taken::Ended(End::Deleted));
    // It was to read the log of a topic that is gone; the new one's records are not its records.
    let mut records = Vec::new();
    while next(&mut reader, WIDE, &mut records).await == Taken::Records {}
    assert!(records.iter().all(|record| record.cursor.topic_id() == reader.topic_id()));
    assert!(matches!(
        stage.live.subscribe("t", TopicStart::After(cursor), &Signal::new()).await,
        Err(EngineError::ForeignCursor { .. })
    ));
    assert_eq!(stage.live.subscribers("t"), 1, "a refused subscription leaves nothing behind");
}

#[tokio::test]
async fn a_ring_goes_with_its_last_subscriber() {
    let stage = Stage::new();
    stage.topic("t", 1, &[]).await;
    stage.topic("u", 1, &[]).await;
    let first = stage.subscribe("t", TopicStart::Latest).await;
    let second = stage.subscribe("t", TopicStart::Latest).await;
    let other = stage.subscribe("u", TopicStart::Latest).await;
    assert_eq!((stage.live.watched_topics(), stage.live.total_subscribers()), (2, 3));
    drop(first);
    assert_eq!((stage.live.watched_topics(), stage.live.subscribers("t")), (2, 1));
    drop(second);
    assert_eq!((stage.live.watched_topics(), stage.live.subscribers("t")), (1, 0));
    drop(other);
    assert_eq!((stage.live.watched_topics(), stage.live.total_subscribers()), (0, 0));
    // And comes back with the next.
    stage.publish_many("t", 2).await;
    let mut again = stage.subscribe("t", TopicStart::Newest(1)).await;
    assert_eq!(offsets(&collect(&mut again, 1).await), [1]);
}

#[tokio::test]
async fn a_stopping_engine_ends_subscriptions() {
    let stage = Stage::new();
    stage.topic("t", 1, &[]).await;
    let mut subscription = stage.subscribe("t", TopicStart::Latest).await;
    let engine = stage.engine.clone();
    tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
    assert_eq!(next(&mut subscription, WIDE, &mut Vec::new()).await, Taken::Ended(End::Stopped));
    assert_eq!(stage.live.watched_topics(), 0);
}
