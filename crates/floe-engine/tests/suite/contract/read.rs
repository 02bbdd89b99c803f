//! Reading: pages of a partition, cursors across a topic.

use std::time::Duration;

use floe_engine::{Engine, EngineError, NewRecord, OffsetSpec, PartitionRead, TopicRead, TopicStart};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::stage::{
    PATIENCE, Stage, make, not_behind, offsets, partition_read, put, put_counted, read_all, read_on,
    record_in, texts, topic_read,
};

pub(crate) async fn limits_bound_a_page(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 1).await;
    put_counted(&engine, "t", 10).await;
    put(&engine, "t", (10..30).map(|number: i32| record_in(0, number.to_string())).collect()).await;
    let at = |offset, max_records| PartitionRead {
        max_records,
        ..partition_read("t", 0, OffsetSpec::Offset(offset))
    };
    for (offset, most, expected) in
        [(0, 3, 0..3), (8, 5, 8..13), (15, 4, 15..19), (29, 9, 29..30), (30, 9, 30..30)]
    {
        let page = engine.read(at(offset, most)).await.unwrap();
        assert_eq!(offsets(&page.records), expected.clone().collect::<Vec<_>>());
        assert_eq!((page.next_offset, page.log_start, page.high_watermark), (expected.end, 0, 30));
    }
    assert!(engine.read(at(0, 0)).await.unwrap().records.is_empty());
    let little = PartitionRead { max_bytes: 200, ..partition_read("t", 0, OffsetSpec::Earliest) };
    let page = engine.read(little).await.unwrap();
    assert!((1..10).contains(&page.records.len()), "{}", page.records.len());
}

pub(crate) async fn the_first_record_comes_whatever_its_size(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 2).await;
    for _ in 0..3 {
        put(&engine, "t", vec![record_in(0, vec![1; 100_000])]).await;
    }
    let read = PartitionRead { max_bytes: 1, ..partition_read("t", 0, OffsetSpec::Earliest) };
    assert_eq!(engine.read(read).await.unwrap().records.len(), 1);
    let read = TopicRead { max_bytes: 1, ..topic_read("t", TopicStart::Earliest) };
    assert_eq!(engine.read_topic(read).await.unwrap().records.len(), 1);
}

pub(crate) async fn a_reader_that_waits_is_woken(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 2).await;
    let by_offset = {
        let engine = engine.clone();
        let read = PartitionRead { wait: PATIENCE, ..partition_read("t", 1, OffsetSpec::Latest) };
        tokio::spawn(async move { engine.read(read).await.unwrap().records })
    };
    let by_cursor = {
        let engine = engine.clone();
        let read = TopicRead { wait: PATIENCE, ..topic_read("t", TopicStart::Earliest) };
        tokio::spawn(async move { engine.read_topic(read).await.unwrap().records })
    };
    // what comes to another partition doesn't satisfy the first
    put(&engine, "t", vec![record_in(0, "a")]).await;
    assert_eq!(texts(&by_cursor.await.unwrap()), ["a"]);
    put(&engine, "t", vec![record_in(1, "b")]).await;
    assert_eq!(texts(&by_offset.await.unwrap()), ["b"]);
    // who waits for a topic that is deleted is told
    let waiting = {
        let engine = engine.clone();
        let read = TopicRead { wait: PATIENCE, ..topic_read("t", TopicStart::Latest) };
        tokio::spawn(async move { engine.read_topic(read).await })
    };
    engine.delete_topic("t").await.unwrap();
    assert!(matches!(waiting.await.unwrap(), Err(EngineError::TopicNotFound { .. })));
}

pub(crate) async fn a_wait_without_records_ends(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 1).await;
    let wait = Duration::from_millis(30);
    let page =
        engine.read(PartitionRead { wait, ..partition_read("t", 0, OffsetSpec::Latest) }).await.unwrap();
    assert!(page.records.is_empty());
    let page = engine.read_topic(TopicRead { wait, ..topic_read("t", TopicStart::Latest) }).await.unwrap();
    assert!(page.records.is_empty());
}

pub(crate) async fn an_offset_outside_is_refused(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 1).await;
    put_counted(&engine, "t", 3).await;
    for offset in [-1, 4, i64::MAX, i64::MIN] {
        let refused = engine.read(partition_read("t", 0, OffsetSpec::Offset(offset))).await.unwrap_err();
        let expected =
            EngineError::OffsetOutOfRange { topic: "t".into(), partition: 0, offset, start: 0, end: 3 };
        assert_eq!(refused, expected);
        assert_eq!(engine.offset_for("t", 0, OffsetSpec::Offset(offset)).await.unwrap_err(), expected);
    }
    let refused = engine.read(partition_read("t", 1, OffsetSpec::Earliest)).await.unwrap_err();
    assert!(matches!(refused, EngineError::PartitionNotFound { .. }), "{refused}");
}

pub(crate) async fn a_time_finds_its_record(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 2).await;
    for number in 0..20 {
        put(&engine, "t", vec![record_in(number % 2, number.to_string())]).await;
        stage.clocks.pass(Duration::from_millis(10));
    }
    let at = |number: i64| stage.start_ms() + number * 10;
    for engine in [engine, stage.reopen()] {
        for (time, offset) in
            [(0, 0), (at(0), 0), (at(0) + 1, 1), (at(4), 2), (at(5), 3), (at(18), 9), (at(19), 10)]
        {
            assert_eq!(engine.offset_for("t", 0, OffsetSpec::Time(time)).await.unwrap(), offset, "{time}");
        }
        let (records, _) = read_on(&engine, "t", TopicStart::Time(at(7)), 100).await;
        assert_eq!(texts(&records), (7..20).map(|number| number.to_string()).collect::<Vec<_>>());
        assert!(read_on(&engine, "t", TopicStart::Time(at(20)), 100).await.0.is_empty());
        assert_eq!(engine.offset_for("t", 0, OffsetSpec::Earliest).await.unwrap(), 0);
        assert_eq!(engine.offset_for("t", 0, OffsetSpec::Latest).await.unwrap(), 10);
        assert_eq!(engine.offset_for("t", 0, OffsetSpec::Offset(10)).await.unwrap(), 10);
    }
    let engine = stage.engine();
    put(&engine, "t", vec![record_in(1, "more")]).await;
    for (partition, end) in [(0, 10), (1, 11)] {
        let found = engine.offset_for("t", partition, OffsetSpec::Time(at(1_000))).await.unwrap();
        assert_eq!(found, end, "a time to come is the end of its own partition");
    }
}

/// Random appends to random partitions, read in pages of random sizes while they come: every record once, those of a
/// partition in order, and the same again from every cursor.
pub(crate) async fn a_cursor_resumes_exactly(stage: &Stage) {
    for seed in 0..stage.rounds(12) {
        let engine = stage.engine();
        let topic = format!("t{seed}");
        make(&engine, &topic, 4).await;
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let (engine, topic) = (engine.clone(), topic.clone());
                tokio::spawn(async move {
                    let mut random = StdRng::seed_from_u64(seed * 10 + writer);
                    for _ in 0..30 {
                        put(&engine, &topic, random_records(&mut random)).await;
                    }
                })
            })
            .collect();
        let mut random = StdRng::seed_from_u64(seed);
        let mut cursor = TopicStart::Earliest;
        let mut read = Vec::new();
        while writers.iter().any(|writer| !writer.is_finished()) {
            let most = random.random_range(1..20);
            let page = engine
                .read_topic(TopicRead { max_records: most, ..topic_read(&topic, cursor) })
                .await
                .unwrap();
            cursor = TopicStart::After(page.next);
            read.extend(page.records);
        }
        for writer in writers {
            writer.await.unwrap();
        }
        read.extend(read_on(&engine, &topic, cursor, 7).await.0);
        let all = read_all(&engine, &topic).await;
        assert_eq!(read.len() as u64, engine.topic_summary(&topic).await.unwrap().messages, "seed {seed}");
        stage.assert_same(&read, &all);
        for partition in 0..4 {
            let here: Vec<_> = all.iter().filter(|record| record.partition == partition).cloned().collect();
            assert_eq!(offsets(&here), (0..here.len() as i64).collect::<Vec<_>>(), "seed {seed}");
        }
        for at in (0..all.len()).step_by(17) {
            let after = all[at].cursor.clone();
            let (rest, _) = read_on(&engine, &topic, TopicStart::After(after.clone()), 11).await;
            assert_eq!(rest.len(), all.len() - at - 1, "seed {seed}: behind record {at}");
            stage.assert_same(&rest, &not_behind(&all, &after));
        }
    }
}

fn random_records(random: &mut StdRng) -> Vec<NewRecord> {
    let count = if random.random_bool(0.5) { 1 } else { random.random_range(2..9) };
    let length = random.random_range(0..3_000);
    (0..count).map(|_| record_in(random.random_range(0..4), vec![7; length])).collect()
}

/// Batches so large that one look-up finds one of them.
pub(crate) async fn large_batches_of_many_partitions_are_all_read(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 3).await;
    for number in 0..60u8 {
        put(&engine, "t", vec![record_in(u32::from(number) % 3, vec![number; 120_000])]).await;
    }
    for (at_once, engine) in [(1, engine), (7, stage.reopen())] {
        let (records, _) = read_on(&engine, "t", TopicStart::Earliest, at_once).await;
        let mut numbers: Vec<u8> = records.iter().map(|record| record.value.as_ref().unwrap()[0]).collect();
        if !stage.is_embedded() {
            numbers.sort_unstable();
        }
        assert_eq!(numbers, (0..60).collect::<Vec<_>>());
    }
}

pub(crate) async fn the_newest_records_are_found(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 3).await;
    assert!(read_on(&engine, "t", TopicStart::Newest(5), 10).await.0.is_empty());
    for number in 0..20 {
        let values = (0..3).map(|part| record_in((number + part / 2) % 3, format!("{number}.{part}")));
        put(&engine, "t", values.collect()).await;
    }
    let all = read_all(&engine, "t").await;
    assert_eq!(all.len(), 60);
    for engine in [engine, stage.reopen()] {
        for count in [0, 1, 2, 3, 10, 31, 59, 60, 61, 1_000] {
            let (newest, _) = read_on(&engine, "t", TopicStart::Newest(count), 100).await;
            assert_eq!(newest.len(), count.min(60));
            stage.assert_newest(&newest, &all);
        }
        // counted back from a place, whatever came behind it
        for end in [1, 2, 3, 17, 30, 59, 60] {
            for records in [0, 1, 3, 10, 100] {
                let from = TopicStart::NewestBefore { records, end: all[end - 1].cursor.clone() };
                let (found, _) = read_on(&engine, "t", from, 100).await;
                assert_eq!(found.len(), 60 - end + records.min(end), "the {records} before {end}");
                stage.assert_newest(&found, &all);
            }
        }
    }
}

pub(crate) async fn a_cursor_of_another_topic_is_refused(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 1).await;
    make(&engine, "other", 1).await;
    let cursor = engine.read_topic(topic_read("t", TopicStart::Latest)).await.unwrap().next;
    let refused =
        engine.read_topic(topic_read("other", TopicStart::After(cursor.clone()))).await.unwrap_err();
    assert_eq!(refused, EngineError::ForeignCursor { topic: "other".into() });
    assert!(engine.read_topic(topic_read("t", TopicStart::After(cursor))).await.is_ok());
}

pub(crate) async fn reading_while_writing_skips_nothing(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 1).await;
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move { put_counted(&engine, "t", 100).await })
        })
        .collect();
    let by_offset = tokio::spawn(follow(engine.clone()));
    for writer in writers {
        writer.await.unwrap();
    }
    by_offset.await.unwrap();
}

async fn follow(engine: Engine) {
    let mut next = 0;
    while next < 400 {
        let read = PartitionRead { wait: PATIENCE, ..partition_read("t", 0, OffsetSpec::Offset(next)) };
        let page = engine.read(read).await.unwrap();
        let expected: Vec<i64> = (next..page.next_offset).collect();
        assert_eq!(offsets(&page.records), expected);
        assert!(page.next_offset <= engine.describe_topic("t").await.unwrap().partitions[0].end);
        next = page.next_offset;
    }
}
