//! Another topic: what arrives there, and what a repeat does.

use std::time::Duration;

use floe_engine::{OffsetSpec, PartitionRead, StoredRecord};
use floe_pipeline::sinks::DeliveryError;
use serde_json::json;

use super::{Stage, batch, fatal, header, key, record, unavailable};

async fn stored(stage: &Stage, topic: &str) -> Vec<StoredRecord> {
    let read = PartitionRead {
        topic: topic.into(),
        partition: 0,
        from: OffsetSpec::Earliest,
        max_records: 10_000,
        max_bytes: 64 << 20,
        wait: Duration::ZERO,
    };
    stage.engine.read(read).await.unwrap().records
}

#[tokio::test]
async fn key_value_and_headers_go_along() {
    let stage = Stage::new();
    stage.topic("out", 1).await;
    let sink = stage.open(json!({"type": "topic", "topic": "out"})).unwrap();
    assert_eq!(sink.label(), "topic out");
    let mut hold = sink.claim(&key(0), "w1").await.unwrap();
    let mut sent = record(3, "{}");
    sent.headers = vec![header("a", "1"), header("a", "2")];
    let mut tombstone = record(4, "");
    (tombstone.value, tombstone.key) = (None, None);
    hold.deliver(&batch(vec![sent.clone(), tombstone])).await.unwrap();
    let found = stored(&stage, "out").await;
    assert_eq!((&found[0].key, &found[0].value, &found[0].headers), (&sent.key, &sent.value, &sent.headers));
    assert_eq!((&found[1].key, &found[1].value, found.len()), (&None, &None, 2));
}

#[tokio::test]
async fn the_same_batch_again_is_not_stored_again() {
    let stage = Stage::new();
    stage.topic("out", 1).await;
    let records: Vec<_> =
        (0..30).map(|offset| record(offset, &format!("\"{}\"", "x".repeat(50_000)))).collect();
    for _ in 0..3 {
        // A new hold each time, as after a crash.
        let mut hold = stage.hold(json!({"type": "topic", "topic": "out"})).await;
        hold.deliver(&batch(records.clone())).await.unwrap();
    }
    assert_eq!(stored(&stage, "out").await.len(), 30);
    // With other steps the same offsets are other values.
    let mut hold = stage.hold(json!({"type": "topic", "topic": "out"})).await;
    hold.deliver(&batch(vec![record(0, "changed")])).await.unwrap();
    assert_eq!(stored(&stage, "out").await.len(), 31);
}

#[tokio::test]
async fn a_record_too_large_for_the_topic_is_poison_and_the_others_arrive() {
    let stage = Stage::new();
    stage.topic("out", 1).await;
    let mut hold = stage.hold(json!({"type": "topic", "topic": "out"})).await;
    let mut records: Vec<_> = (0..6).map(|offset| record(offset, "1")).collect();
    records[3] = record(3, &"x".repeat(3 << 20));
    let error = hold.deliver(&batch(records.clone())).await.unwrap_err();
    let DeliveryError::Poison { delivered: 3, records: poison } = error else { panic!("{error:?}") };
    assert_eq!(poison.len(), 1);
    assert!(poison[0].0 == 3 && poison[0].1.contains("max.message.bytes"), "{poison:?}");
    hold.deliver(&batch(records.split_off(4))).await.unwrap();
    assert_eq!(stored(&stage, "out").await.len(), 5);
}

#[tokio::test]
async fn a_topic_that_is_not_there_is_waited_for_or_made() {
    let stage = Stage::new();
    let mut hold = stage.hold(json!({"type": "topic", "topic": "out"})).await;
    let error = hold.deliver(&batch(vec![record(0, "1")])).await.unwrap_err();
    assert!(unavailable(&error).contains("topic 'out' does not exist"), "{error:?}");
    stage.topic("out", 1).await;
    hold.deliver(&batch(vec![record(0, "1")])).await.unwrap();

    let mut hold = stage.hold(json!({"type": "topic", "topic": "made", "partitions": 4})).await;
    hold.deliver(&batch(vec![record(0, "1")])).await.unwrap();
    assert_eq!(stage.engine.describe_topic("made").await.unwrap().partitions.len(), 4);
}

#[tokio::test]
async fn a_pipeline_does_not_write_to_what_it_reads() {
    let stage = Stage::new();
    stage.topic("in", 1).await;
    let sink = stage.open(json!({"type": "topic", "topic": "in"})).unwrap();
    let error = sink.claim(&key(0), "w1").await.unwrap_err();
    assert!(fatal(&error).contains("without end"), "{error:?}");
}

#[test]
fn names_that_clients_may_not_write_to_are_refused() {
    let stage = Stage::new();
    for (topic, told) in [("__pipelines", "internal"), ("a b", "not a topic name"), ("", "not a topic name")]
    {
        let why = stage.open(json!({"type": "topic", "topic": topic})).unwrap_err();
        assert!(why.contains(told), "{why}");
    }
}
