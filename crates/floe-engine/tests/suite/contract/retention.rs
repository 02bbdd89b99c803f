//! Retention: what is too old or too much goes, and nothing else.

use std::time::Duration;

use floe_engine::{Engine, EngineError, OffsetSpec, TopicStart};

use crate::stage::{
    Stage, make, make_with, partition_read, put, put_counted, read_all, read_on, record_in, texts,
    topic_read, until,
};

async fn start(engine: &Engine, topic: &str) -> i64 {
    engine.describe_topic(topic).await.unwrap().partitions[0].start
}

/// Whenever it is that an engine takes old records away: what is gone is told as gone, and readers go on behind it.
pub(crate) async fn what_retention_took_is_passed_over(stage: &Stage) {
    let engine = stage.engine();
    make_with(&engine, "t", 2, &[("retention.ms", "1000")]).await;
    let cursor = engine.read_topic(topic_read("t", TopicStart::Earliest)).await.unwrap().next;
    engine.subscribe_group("g", "t", OffsetSpec::Earliest).await.unwrap();
    put_counted(&engine, "t", 3).await;
    stage.clocks.pass(Duration::from_secs(2));
    until("the old records are gone", async || start(&engine, "t").await == 3).await;
    for engine in [engine, stage.reopen()] {
        let gone = engine.read(partition_read("t", 0, OffsetSpec::Offset(2))).await.unwrap_err();
        assert!(matches!(gone, EngineError::OffsetOutOfRange { start: 3, end: 3, .. }), "{gone}");
        assert_eq!(engine.offset_for("t", 0, OffsetSpec::Earliest).await.unwrap(), 3);
        assert!(read_on(&engine, "t", TopicStart::After(cursor.clone()), 9).await.0.is_empty());
        assert_eq!(engine.topic_summary("t").await.unwrap().messages, 3, "all that was ever accepted");
        let lag: u64 = engine.describe_group("g").await.unwrap().partitions.iter().map(|at| at.lag).sum();
        assert_eq!(lag, 0, "what is gone is not waited for");
    }
}

pub(crate) async fn old_records_go(stage: &Stage) {
    let engine = stage.engine();
    make_with(&engine, "t", 1, &[("retention.ms", "1000")]).await;
    put_counted(&engine, "t", 3).await;
    let cursor =
        engine.read_topic(topic_read("t", TopicStart::Earliest)).await.unwrap().records[0].cursor.clone();
    stage.clocks.pass(Duration::from_millis(900));
    put(&engine, "t", vec![record_in(0, "young")]).await;
    stage.clocks.pass(Duration::from_millis(200));
    until("the old records are gone", async || start(&engine, "t").await == 3).await;
    for engine in [engine, stage.reopen()] {
        assert_eq!(texts(&read_all(&engine, "t").await), ["young"]);
        let gone = engine.read(partition_read("t", 0, OffsetSpec::Offset(2))).await.unwrap_err();
        assert!(matches!(gone, EngineError::OffsetOutOfRange { start: 3, end: 4, .. }), "{gone}");
        assert_eq!(engine.offset_for("t", 0, OffsetSpec::Earliest).await.unwrap(), 3);
        let (rest, _) = read_on(&engine, "t", TopicStart::After(cursor.clone()), 9).await;
        assert_eq!(texts(&rest), ["young"], "a cursor before the start reads on at the start");
        let summary = engine.topic_summary("t").await.unwrap();
        assert_eq!(summary.messages, 4, "all that was ever accepted");
    }
}

pub(crate) async fn a_partition_keeps_its_bytes(stage: &Stage) {
    let engine = stage.engine();
    make_with(&engine, "t", 1, &[("retention.bytes", "100000")]).await;
    make(&engine, "all", 1).await;
    for number in 0..100u8 {
        put(&engine, "t", vec![record_in(0, vec![number; 10_000])]).await;
        put(&engine, "all", vec![record_in(0, vec![number; 10_000])]).await;
    }
    until("it is within its bytes", async || engine.topic_summary("t").await.unwrap().bytes < 112_000).await;
    let kept = read_all(&engine, "t").await;
    assert!(kept.len() >= 9, "{} are kept", kept.len());
    assert_eq!(kept.last().unwrap().offset, 99);
    assert_eq!(read_all(&engine, "all").await.len(), 100);
}

pub(crate) async fn a_clock_that_jumps_deletes_nothing(stage: &Stage) {
    let engine = stage.engine();
    make_with(&engine, "t", 1, &[("retention.ms", "60000")]).await;
    make_with(&engine, "probe", 1, &[("retention.bytes", "1")]).await;
    put_counted(&engine, "t", 3).await;
    stage.clocks.set_ahead(Duration::from_secs(10 * 365 * 86_400));
    for turn in 1..4 {
        // what is kept by size goes: so the janitor had its turn
        put(&engine, "probe", vec![record_in(0, "v"), record_in(0, "v")]).await;
        put(&engine, "probe", vec![record_in(0, "v")]).await;
        until("a turn of retention", async || start(&engine, "probe").await >= turn * 3 - 1).await;
    }
    assert_eq!(read_all(&engine, "t").await.len(), 3);
    // back within the hour, time passes again
    stage.clocks.set_ahead(Duration::ZERO);
    assert_eq!(texts(&read_all(&engine, "t").await), ["0", "1", "2"]);
}

pub(crate) async fn what_is_retained_away_gives_its_space_back(stage: &Stage) {
    let engine = stage.engine();
    make_with(&engine, "t", 1, &[("retention.bytes", "1000000")]).await;
    make(&engine, "kept", 1).await;
    put_counted(&engine, "kept", 5).await;
    // 40 MB through segments of 4 MiB
    for number in 0..80u8 {
        put(&engine, "t", vec![record_in(0, vec![number; 500_000])]).await;
    }
    until("segments are given back", async || {
        // a little traffic, so that there is a moment for a snapshot now and then
        put(&engine, "t", vec![record_in(0, vec![0; 500_000])]).await;
        engine.health().stored_bytes <= 6 * (4 << 20)
    })
    .await;
    for engine in [engine, stage.reopen()] {
        assert_eq!(texts(&read_all(&engine, "kept").await), ["0", "1", "2", "3", "4"]);
        assert!(engine.health().damage.is_empty(), "{:?}", engine.health().damage);
    }
}

/// Readers of what is moved out of mostly dead segments don't notice.
pub(crate) async fn reading_goes_on_while_segments_are_cleaned(stage: &Stage) {
    let engine = stage.engine();
    make_with(&engine, "churn", 1, &[("retention.bytes", "500000")]).await;
    make(&engine, "kept", 2).await;
    for number in 0..120u32 {
        put(&engine, "churn", vec![record_in(0, vec![1; 300_000])]).await;
        put(&engine, "kept", vec![record_in(number % 2, number.to_string())]).await;
        let expected: Vec<String> = (0..=number).map(|number| number.to_string()).collect();
        assert_eq!(texts(&read_all(&engine, "kept").await), expected);
        assert_eq!(texts(&read_on(&engine, "kept", TopicStart::Earliest, 10).await.0), expected);
    }
    until("segments were emptied", async || {
        put(&engine, "churn", vec![record_in(0, vec![1; 300_000])]).await;
        engine.health().stored_bytes <= 6 * (4 << 20)
    })
    .await;
    let expected: Vec<String> = (0..120).map(|number| number.to_string()).collect();
    for engine in [engine, stage.reopen()] {
        assert_eq!(texts(&read_all(&engine, "kept").await), expected);
        for count in [1, 50, 119] {
            let (newest, _) = read_on(&engine, "kept", TopicStart::Newest(count), 100).await;
            assert_eq!(texts(&newest), expected[120 - count..]);
        }
    }
}
