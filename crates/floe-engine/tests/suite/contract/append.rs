//! Appending: where records go, and what an answer means.

use bytes::Bytes;
use floe_engine::{Acks, Append, EngineError, Header, NewRecord, OffsetSpec, StoredRecord};

use crate::stage::{
    Stage, append_of, make, make_with, offsets, partition_read, put, read_all, read_partition, record,
    record_in, texts, until,
};

/// Printed by Apache Kafka 3.9.0: key and partition of 12.
const KAFKAS: [(&str, u32); 12] = [
    ("a", 4),
    ("ab", 2),
    ("abc", 3),
    ("abcd", 8),
    ("21", 0),
    ("foobar", 6),
    ("a-little-bit-long-string", 8),
    ("größe", 8),
    ("键", 0),
    ("🦀", 7),
    ("LHR", 3),
    ("ZZZ", 10),
];

pub(crate) async fn keys_go_where_kafkas_clients_send_them(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 12).await;
    for (key, partition) in KAFKAS {
        assert_eq!(engine.partition_of("t", key.as_bytes()).await.unwrap(), partition, "{key}");
        assert_eq!(
            put(&engine, "t", vec![record(key, "v")]).await.placements[0].partition,
            partition,
            "{key}"
        );
    }
    let all = KAFKAS.map(|(key, _)| record(key, "v")).to_vec();
    let placed = put(&engine, "t", all).await.placements;
    assert!(placed.iter().zip(KAFKAS).all(|(placed, (_, partition))| placed.partition == partition));
}

pub(crate) async fn the_partition_asked_for_wins(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 3).await;
    let asked = NewRecord { key: Some("a".into()), ..record_in(2, "v") };
    assert_eq!(put(&engine, "t", vec![asked]).await.placements[0].partition, 2);
    let refused = engine.append(append_of("t", vec![record_in(3, "v")])).await.unwrap_err();
    assert_eq!(refused, EngineError::PartitionNotFound { topic: "t".into(), partition: 3, count: 3 });
}

pub(crate) async fn keyless_records_of_one_append_stay_together(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 4).await;
    let mut used = std::collections::BTreeSet::new();
    // over Kafka those of the same few milliseconds go together, too
    until("the appends are spread", async || {
        let placed =
            put(&engine, "t", vec![record("", "1"), record("", "2"), record("", "3")]).await.placements;
        assert!(placed.iter().all(|place| place.partition == placed[0].partition));
        assert_eq!(placed[2].offset, placed[0].offset + 2);
        used.insert(placed[0].partition);
        used.len() == 4
    })
    .await;
}

fn same(given: &NewRecord, stored: &StoredRecord) -> bool {
    (&given.key, &given.value, &given.headers) == (&stored.key, &stored.value, &stored.headers)
}

pub(crate) async fn what_is_read_is_what_was_appended(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 1).await;
    let header = |name: &'static str, value: Option<&'static str>| Header {
        name: name.into(),
        value: value.map(Bytes::from),
    };
    let records = vec![
        NewRecord { value: None, ..record("tombstone", "") },
        NewRecord { key: None, value: Some(Bytes::new()), ..NewRecord::default() },
        NewRecord { key: Some(Bytes::new()), ..record("", vec![0, 255, 10]) },
        NewRecord {
            headers: vec![header("a", Some("1")), header("a", None), header("ü", Some(""))],
            timestamp: Some(1),
            ..record("k", "v")
        },
        NewRecord { timestamp: Some(1_000_000_000_000), ..record("k", "2001") },
        NewRecord { timestamp: Some(stage.start_ms() + 60_000), ..record("k", "a minute ahead") },
    ];
    let mut placed = Vec::new();
    for record in &records {
        placed.extend(put(&engine, "t", vec![record.clone()]).await.placements);
    }
    placed.extend(put(&engine, "t", records.clone()).await.placements);
    for engine in [engine, stage.reopen()] {
        let stored = read_partition(&engine, "t", 0).await;
        assert_eq!(stored.len(), 12);
        let given = records.iter().chain(&records);
        for ((stored, given), (placed, offset)) in stored.iter().zip(given).zip(placed.iter().zip(0..)) {
            assert!(same(given, stored), "{given:?} became {stored:?}");
            assert_eq!((placed.partition, placed.offset, placed.timestamp), (0, offset, stored.timestamp));
            assert_eq!(
                (stored.offset, stored.timestamp),
                (offset, given.timestamp.unwrap_or(stage.start_ms()))
            );
        }
    }
}

/// A journal keeps any time that a record says; a cluster may refuse those it finds out of bounds.
pub(crate) async fn times_far_away_are_kept(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 1).await;
    let times = [-1, 0, 1, 253_402_300_799_999];
    for timestamp in times {
        put(&engine, "t", vec![NewRecord { timestamp: Some(timestamp), ..record("", "v") }]).await;
    }
    let stored = read_all(&engine, "t").await;
    assert_eq!(stored.iter().map(|record| record.timestamp).collect::<Vec<_>>(), times);
}

pub(crate) async fn many_records_are_stored_whole_or_not_at_all(stage: &Stage) {
    let engine = stage.engine();
    make_with(&engine, "t", 2, &[("max.message.bytes", "1000")]).await;
    let good = || record_in(0, "good");
    for bad in [record_in(1, vec![0; 2000]), record_in(7, "nowhere")] {
        for records in [vec![good(), bad.clone()], vec![bad.clone(), good()], vec![bad.clone()]] {
            engine.append(append_of("t", records)).await.unwrap_err();
        }
    }
    assert!(read_all(&engine, "t").await.is_empty());
    assert_eq!(put(&engine, "t", vec![good()]).await.placements[0].offset, 0);
}

pub(crate) async fn a_record_over_the_topics_limit_is_refused(stage: &Stage) {
    let engine = stage.engine();
    make_with(&engine, "t", 1, &[("max.message.bytes", "1000")]).await;
    let refused = engine.append(append_of("t", vec![record("", vec![7; 1000])])).await.unwrap_err();
    let EngineError::RecordTooLarge { topic, size, limit } = refused else { panic!("{refused}") };
    assert_eq!((topic.as_str(), limit), ("t", 1000));
    assert!(size > 1000);
    put(&engine, "t", vec![record("", vec![7; 900])]).await;
}

/// Larger than any frame of this journal, whatever the topic allows.
pub(crate) async fn a_record_larger_than_a_frame_is_refused(stage: &Stage) {
    let engine = stage.engine();
    make_with(&engine, "large", 1, &[("max.message.bytes", "8388608")]).await;
    let refused = engine.append(append_of("large", vec![record("", vec![7; 3 << 20])])).await.unwrap_err();
    assert!(matches!(&refused, EngineError::RecordTooLarge { topic, .. } if topic == "large"), "{refused}");
    put(&engine, "large", vec![record("", vec![7; 1 << 20])]).await;
}

pub(crate) async fn much_in_one_append_keeps_its_order(stage: &Stage) {
    let engine = stage.engine();
    make_with(&engine, "t", 3, &[("max.message.bytes", "500")]).await;
    let records: Vec<_> =
        (0..2_000).map(|number| record(&(number % 7).to_string(), number.to_string())).collect();
    let placed = put(&engine, "t", records.clone()).await.placements;
    for partition in 0..3 {
        let stored = read_partition(&engine, "t", partition).await;
        let expected: Vec<String> = placed
            .iter()
            .zip(0..)
            .filter(|(place, _)| place.partition == partition)
            .map(|(_, number): (_, i32)| number.to_string())
            .collect();
        assert_eq!(texts(&stored), expected);
        assert_eq!(offsets(&stored), (0..expected.len() as i64).collect::<Vec<_>>());
    }
}

pub(crate) async fn the_promise_decides_what_is_answered(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 1).await;
    make_with(&engine, "loose", 1, &[("floe.acks", "0")]).await;
    let with = |acks| Append { acks, ..append_of("t", vec![record("", "v")]) };
    assert_eq!(engine.append(with(Some(Acks::Written))).await.unwrap().placements[0].offset, 0);
    assert_eq!(engine.append(with(Some(Acks::None))).await.unwrap().placements[0].offset, -1);
    assert_eq!(engine.append(with(Some(Acks::Durable))).await.unwrap().placements[0].offset, 2);
    assert_eq!(engine.append(with(None)).await.unwrap().placements[0].offset, 3);
    // durable is durable: all before it is on disk as well
    assert_eq!(read_partition(&engine, "t", 0).await.len(), 4);
    let unpromised = engine.append(append_of("loose", vec![record("", "v")])).await.unwrap();
    assert_eq!(unpromised.placements[0].offset, -1);
    let mut read = partition_read("loose", 0, OffsetSpec::Earliest);
    read.wait = crate::stage::PATIENCE;
    assert_eq!(engine.read(read).await.unwrap().records.len(), 1);
}

pub(crate) async fn log_append_time_replaces_the_senders(stage: &Stage) {
    let engine = stage.engine();
    make_with(&engine, "t", 1, &[("message.timestamp.type", "LogAppendTime")]).await;
    let dated = |value: &str| NewRecord { timestamp: Some(5), ..record("", value.to_owned()) };
    let mut placed = put(&engine, "t", vec![dated("a")]).await.placements;
    placed.extend(put(&engine, "t", vec![dated("b"), dated("c")]).await.placements);
    assert!(placed.iter().all(|place| stage.is_append_time(place.timestamp)), "{placed:?}");
    let stored = read_all(&engine, "t").await;
    assert!(stored.iter().zip(&placed).all(|(record, place)| record.timestamp == place.timestamp));
}

/// Single records that wait together share a batch, and built batches come between them: offsets stay dense, and each
/// writer's records stay in its order.
pub(crate) async fn singles_and_batches_keep_their_order(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 2).await;
    let writers: Vec<_> = (0..16)
        .map(|writer| {
            let engine = engine.clone();
            tokio::spawn(async move {
                let mut number = 0;
                for turn in 0..40 {
                    let count = if (turn + writer) % 3 == 0 { 3 } else { 1 };
                    let value = |at: usize| record_in(at as u32 % 2, format!("{writer} {at}"));
                    let records = (number..number + count).map(value).collect();
                    number += count;
                    let placed = put(&engine, "t", records).await.placements;
                    assert_eq!(placed.len(), count);
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    for engine in [engine, stage.reopen()] {
        for partition in 0..2 {
            let stored = read_partition(&engine, "t", partition).await;
            assert_eq!(offsets(&stored), (0..stored.len() as i64).collect::<Vec<_>>());
            let mut last = [-1; 16];
            for text in texts(&stored) {
                let (writer, number) = text.split_once(' ').unwrap();
                let last: &mut i64 = &mut last[writer.parse::<usize>().unwrap()];
                let number = number.parse().unwrap();
                assert!(*last < number, "{text} behind {last}");
                *last = number;
            }
        }
    }
}

/// Retention counts from the append when that is later than what a record says.
pub(crate) async fn dates_of_the_past_are_kept(stage: &Stage) {
    let engine = stage.engine();
    make_with(&engine, "t", 1, &[("retention.ms", "60000")]).await;
    make_with(&engine, "probe", 1, &[("retention.ms", "1")]).await;
    for timestamp in [0, 5, stage.start_ms() - 3_600_000] {
        put(&engine, "t", vec![NewRecord { timestamp: Some(timestamp), ..record("", "old") }]).await;
    }
    put(&engine, "probe", vec![record("", "v")]).await;
    stage.clocks.pass(std::time::Duration::from_millis(50));
    // both topics are looked at in the same turn
    until("a turn of retention", async || {
        engine.describe_topic("probe").await.unwrap().partitions[0].start == 1
    })
    .await;
    assert_eq!(read_all(&engine, "t").await.len(), 3);
    let found = engine.offset_for("t", 0, OffsetSpec::Time(6)).await.unwrap();
    assert_eq!(found, 2);
    assert_eq!(engine.offset_for("t", 0, OffsetSpec::Time(stage.start_ms())).await.unwrap(), 3);
}
