//! Topics: made, changed, deleted, listed.

use std::{collections::BTreeMap, time::Duration};

use floe_engine::{EngineError, OffsetSpec, TailEnd, TopicSpec, TopicStart};

use crate::stage::{
    Stage, append_of, make, make_with, not_found, partition_read, put, put_counted, read_all, record,
    topic_read,
};

fn spec(name: &str, partitions: u32) -> TopicSpec {
    TopicSpec { name: name.into(), partitions, config: BTreeMap::new() }
}

pub(crate) async fn a_topic_is_described_as_it_was_made(stage: &Stage) {
    let engine = stage.engine();
    make_with(&engine, "b.topic", 3, &[("retention.ms", "1234000000")]).await;
    make(&engine, "a-topic", 1).await;
    put(&engine, "b.topic", vec![record("x", "1"), record("y", "2")]).await;
    for engine in [engine, stage.reopen()] {
        let described = engine.describe_topic("b.topic").await.unwrap();
        assert_eq!(described.name, "b.topic");
        assert_eq!(described.partitions.len(), 3);
        assert_eq!(described.partitions.iter().map(|partition| partition.end).sum::<i64>(), 2);
        assert!(described.partitions.iter().all(|partition| partition.start == 0 && partition.leader == 1));
        assert_eq!(described.config["retention.ms"], "1234000000");
        assert_eq!(engine.topic_config("b.topic").await.unwrap(), described.config);
        let summary = engine.topic_summary("b.topic").await.unwrap();
        assert_eq!((summary.partitions, summary.messages, summary.id), (3, 2, described.id));
        assert_eq!(summary.bytes > 0, stage.knows_bytes());
        let names: Vec<_> = engine.topics().await.unwrap().into_iter().map(|topic| topic.name).collect();
        assert_eq!(names, ["a-topic", "b.topic"]);
    }
}

pub(crate) async fn a_name_is_taken_once(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 1).await;
    let exists = EngineError::TopicExists { topic: "t".into() };
    assert_eq!(engine.create_topic(spec("t", 2)).await.unwrap_err(), exists);
    assert_eq!(stage.reopen().create_topic(spec("t", 2)).await.unwrap_err(), exists);
}

pub(crate) async fn bad_names_are_refused(stage: &Stage) {
    let engine = stage.engine();
    let long = "n".repeat(250);
    for name in ["", ".", "..", "a b", "größe", "a/b", "a\n", "a:b", &long] {
        let refused = engine.create_topic(spec(name, 1)).await.unwrap_err();
        assert!(matches!(refused, EngineError::InvalidTopicName { .. }), "{name:?}: {refused}");
    }
    let refused = engine.create_topic(spec("__mine", 1)).await.unwrap_err();
    assert_eq!(refused, EngineError::InternalTopic { topic: "__mine".into() });
    for name in ["a", "_a", "...", "A-Z.0_9", &"n".repeat(249)] {
        make(&engine, name, 1).await;
    }
    assert_eq!(engine.topics().await.unwrap().len(), 5);
}

pub(crate) async fn a_topic_has_1_to_10000_partitions(stage: &Stage) {
    let engine = stage.engine();
    for partitions in [0, 10_001, u32::MAX] {
        let refused = engine.create_topic(spec("t", partitions)).await.unwrap_err();
        assert!(matches!(refused, EngineError::InvalidPartitions { .. }), "{refused}");
    }
    make(&engine, "t", stage.many_partitions()).await;
    let placed = put(&engine, "t", vec![record("key", "value")]).await.placements[0];
    assert_eq!(placed.partition, engine.partition_of("t", b"key").await.unwrap());
    assert_eq!(read_all(&engine, "t").await.len(), 1);
}

pub(crate) async fn an_unknown_setting_is_answered_with_the_nearest(stage: &Stage) {
    let engine = stage.engine();
    let mut wrong = spec("t", 1);
    wrong.config.insert("retenton.ms".into(), "5".into());
    let Err(EngineError::InvalidConfig { key, expected, .. }) = engine.create_topic(wrong).await else {
        panic!("it was taken");
    };
    assert_eq!(key, "retenton.ms");
    assert!(expected.contains("'retention.ms'"), "{expected}");
    make(&engine, "t", 1).await;
    let change = BTreeMap::from([("retention.ms".to_owned(), Some("soon".to_owned()))]);
    let refused = engine.alter_topic("t", Some(2), change).await.unwrap_err();
    assert!(matches!(refused, EngineError::InvalidConfig { .. }), "{refused}");
    assert_eq!(engine.describe_topic("t").await.unwrap().partitions.len(), 1, "all of a change or none");
}

pub(crate) async fn altering_only_adds_partitions(stage: &Stage) {
    let engine = stage.engine();
    make_with(&engine, "t", 2, &[("retention.ms", "5000000000")]).await;
    let refused = engine.alter_topic("t", Some(1), BTreeMap::new()).await.unwrap_err();
    assert!(matches!(refused, EngineError::InvalidPartitions { asked: 1, .. }), "{refused}");
    let change =
        |value: Option<&str>| BTreeMap::from([("retention.ms".to_owned(), value.map(str::to_owned))]);
    let altered = engine.alter_topic("t", Some(5), change(Some("7000000000"))).await.unwrap();
    assert_eq!((altered.partitions.len(), altered.config["retention.ms"].as_str()), (5, "7000000000"));
    put(&engine, "t", vec![crate::stage::record_in(4, "in the new one")]).await;
    let engine = stage.reopen();
    let kept = engine.describe_topic("t").await.unwrap();
    assert_eq!((kept.partitions.len(), kept.config["retention.ms"].as_str()), (5, "7000000000"));
    assert_eq!(read_all(&engine, "t").await.len(), 1);
    let back = engine.alter_topic("t", None, change(None)).await.unwrap();
    assert_eq!((back.partitions.len(), back.config["retention.ms"].as_str()), (5, "604800000"));
}

pub(crate) async fn a_topic_made_again_is_another_one(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 2).await;
    put_counted(&engine, "t", 5).await;
    engine.subscribe_group("g", "t", OffsetSpec::Latest).await.unwrap();
    let first = engine.topic_summary("t").await.unwrap().id;
    let cursor = engine.read_topic(topic_read("t", TopicStart::Earliest)).await.unwrap().next;
    let mut tail = engine.tail("t").await.unwrap();
    engine.delete_topic("t").await.unwrap();
    assert_eq!(tail.next().await.unwrap_err(), TailEnd::Deleted);
    assert_eq!(engine.describe_topic("t").await.unwrap_err(), not_found("t"));
    make(&engine, "t", 1).await;
    for engine in [engine, stage.reopen()] {
        assert_ne!(engine.topic_summary("t").await.unwrap().id, first);
        assert!(read_all(&engine, "t").await.is_empty());
        let foreign =
            engine.read_topic(topic_read("t", TopicStart::After(cursor.clone()))).await.unwrap_err();
        assert_eq!(foreign, EngineError::ForeignCursor { topic: "t".into() });
        // a group of which nothing is left may be gone as a whole
        let group = engine.describe_group("g").await;
        assert!(group.is_ok_and(|group| group.partitions.is_empty()) || !stage.is_embedded());
    }
}

pub(crate) async fn a_topic_that_is_not_there_is_not_found(stage: &Stage) {
    let engine = stage.engine();
    let none = not_found("none");
    assert_eq!(engine.describe_topic("none").await.unwrap_err(), none);
    assert_eq!(engine.topic_summary("none").await.unwrap_err(), none);
    assert_eq!(engine.topic_config("none").await.unwrap_err(), none);
    assert_eq!(engine.partition_of("none", b"k").await.unwrap_err(), none);
    assert_eq!(engine.alter_topic("none", None, BTreeMap::new()).await.unwrap_err(), none);
    assert_eq!(engine.delete_topic("none").await.unwrap_err(), none);
    assert_eq!(engine.append(append_of("none", vec![record("", "v")])).await.unwrap_err(), none);
    assert_eq!(engine.read(partition_read("none", 0, OffsetSpec::Earliest)).await.unwrap_err(), none);
    assert_eq!(engine.read_topic(topic_read("none", TopicStart::Latest)).await.unwrap_err(), none);
    assert_eq!(engine.offset_for("none", 0, OffsetSpec::Latest).await.unwrap_err(), none);
    assert_eq!(engine.tail("none").await.unwrap_err(), none);
    assert_eq!(engine.subscribe_group("g", "none", OffsetSpec::Latest).await.unwrap_err(), none);
    assert_eq!(engine.unsubscribe_group("g", "none").await.unwrap_err(), none);
    let session = Duration::from_secs(10);
    assert_eq!(engine.join_group("g", "c", vec!["none".into()], session).await.unwrap_err(), none);
    assert_eq!(engine.commit("g", None, vec![("none".into(), 0, 0)]).await.unwrap_err(), none);
}

pub(crate) async fn many_make_the_same_topic_and_one_succeeds(stage: &Stage) {
    let engine = stage.engine();
    let makers: Vec<_> = (0..50)
        .map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move {
                let made = engine.create_topic(spec("t", 1)).await.is_ok();
                // whoever made it: from the answer on it is there
                engine.append(append_of("t", vec![record("", "x")])).await.unwrap();
                made
            })
        })
        .collect();
    let mut made = 0;
    for maker in makers {
        made += usize::from(maker.await.unwrap());
    }
    assert_eq!(made, 1);
}

/// Deletes and makes the topic again while others write, read, follow and poll: each is answered, by records or by
/// `TopicNotFound`, and records of the old topic are never in the new one.
pub(crate) async fn deletion_meets_everything_else(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 2).await;
    let workers: Vec<_> = (0..4)
        .map(|worker| {
            let engine = engine.clone();
            tokio::spawn(async move {
                for number in 0..100 {
                    one_of_all(&engine, worker, number).await;
                }
            })
        })
        .collect();
    for _ in 0..20 {
        engine.delete_topic("t").await.unwrap();
        make(&engine, "t", 2).await;
        assert!(engine.topic_summary("t").await.unwrap().messages <= 400);
    }
    for worker in workers {
        worker.await.unwrap();
    }
    let before: usize = engine.topic_summary("t").await.unwrap().messages.try_into().unwrap();
    assert_eq!(read_all(&engine, "t").await.len(), before);
    let engine = stage.reopen();
    assert_eq!(read_all(&engine, "t").await.len(), before);
}

async fn one_of_all(engine: &floe_engine::Engine, worker: usize, number: usize) {
    let gone = |error: &EngineError| {
        matches!(error, EngineError::TopicNotFound { .. } | EngineError::DeliveryNotOpen { .. })
    };
    let appended = engine.append(append_of("t", vec![record("k", format!("{worker}/{number}"))])).await;
    assert!(appended.as_ref().err().is_none_or(gone), "{appended:?}");
    let read = engine.read_topic(topic_read("t", TopicStart::Earliest)).await;
    assert!(read.as_ref().err().is_none_or(gone), "{read:?}");
    if let Ok(page) = read {
        assert!(page.gaps.is_empty(), "{:?}", page.gaps);
    }
    let poll = super::poll::lease("g", "t", 10, Duration::from_secs(30));
    match engine.poll(poll).await {
        Ok(delivery) => {
            if let Some(id) = delivery.id {
                let acked = engine.ack("g", &id).await;
                assert!(acked.as_ref().err().is_none_or(gone), "{acked:?}");
            }
        }
        Err(error) => assert!(gone(&error), "{error}"),
    }
    drop(engine.tail("t").await);
}

pub(crate) async fn internal_topics_are_written_by_floe_only(stage: &Stage) {
    let engine = stage.engine();
    let internal = EngineError::InternalTopic { topic: "__own".into() };
    let append = |value: &'static str| append_of("__own", vec![record("k", value)]);
    assert_eq!(engine.append(append("x")).await.unwrap_err(), internal);
    engine.create_own_topic(spec("__own", 1)).await.unwrap();
    engine.append_own(append("mine")).await.unwrap();
    assert_eq!(engine.append(append("x")).await.unwrap_err(), internal);
    let engine = stage.reopen();
    let described = engine.describe_topic("__own").await.unwrap();
    assert_eq!(described.partitions[0].end, 1);
    assert!(engine.topics().await.unwrap().is_empty(), "internal topics are not listed");
}
