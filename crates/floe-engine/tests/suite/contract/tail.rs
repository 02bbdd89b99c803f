//! Following a topic's end.

use std::collections::BTreeSet;

use floe_engine::{Cursor, Engine, StoredRecord, Tail, TailEnd, TopicStart};

use crate::stage::{Stage, make, not_behind, put, put_counted, read_all, read_on, record, record_in, texts};

async fn take(tail: &mut Tail, count: usize) -> Vec<StoredRecord> {
    let mut records = Vec::new();
    while records.len() < count {
        let next = tail.next().await.unwrap();
        assert!(!next.is_empty());
        records.extend(next);
    }
    records
}

pub(crate) async fn a_tail_gets_exactly_what_comes_after(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 3).await;
    for turn in 0..5 {
        let before = read_all(&engine, "t").await;
        let mut tail = engine.tail("t").await.unwrap();
        assert!(before.iter().all(|record| tail.after().covers(record)));
        put(&engine, "t", vec![record("a", "1"), record("b", "2"), record("c", "3")]).await;
        put(&engine, "t", vec![record("a", "4")]).await;
        let got = take(&mut tail, 4).await;
        let all = read_all(&engine, "t").await;
        stage.assert_same(&got, &not_behind(&all, &tail.after()));
        assert_eq!(all.len(), (turn + 1) * 4);
        stage.assert_same(&read_on(&engine, "t", TopicStart::After(tail.after()), 10).await.0, &got);
    }
}

pub(crate) async fn many_writers_and_nothing_is_missed(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 3).await;
    let mut tails: Vec<Tail> = Vec::new();
    for _ in 0..3 {
        tails.push(engine.tail("t").await.unwrap());
    }
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let engine = engine.clone();
            tokio::spawn(async move {
                for number in 0..50 {
                    put(&engine, "t", vec![record_in((writer + number) % 3, format!("{writer}.{number}"))])
                        .await;
                }
            })
        })
        .collect();
    let mut got = Vec::new();
    for tail in &mut tails {
        got.push(take(tail, 400).await);
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let all = read_all(&engine, "t").await;
    got.iter().for_each(|got| stage.assert_same(got, &all));
}

/// What is up to `after` can be read the moment the tail is open; what is behind it comes through the tail.
pub(crate) async fn history_and_tail_meet_without_gap(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 2).await;
    let writer = {
        let engine = engine.clone();
        tokio::spawn(async move {
            for number in 0..400 {
                put(&engine, "t", vec![record_in(number % 2, number.to_string())]).await;
            }
        })
    };
    let mut joined: Vec<(Vec<StoredRecord>, Tail)> = Vec::new();
    while !writer.is_finished() {
        joined.push(join(&engine).await);
    }
    writer.await.unwrap();
    joined.push(join(&engine).await);
    let all = read_all(&engine, "t").await;
    for (mut records, mut tail) in joined {
        while records.len() < all.len() {
            records.extend(tail.next().await.unwrap());
        }
        stage.assert_same(&records, &all);
    }
}

async fn join(engine: &Engine) -> (Vec<StoredRecord>, Tail) {
    let tail = engine.tail("t").await.unwrap();
    let records = read_all(engine, "t").await;
    let after: Cursor = tail.after();
    (records.into_iter().filter(|record| after.covers(record)).collect(), tail)
}

pub(crate) async fn a_tail_far_behind_misses_nothing(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 2).await;
    let mut idle = engine.tail("t").await.unwrap();
    let mut slow = engine.tail("t").await.unwrap();
    let mut read = Vec::new();
    // three times what a tap holds
    for number in 0..60u32 {
        let value = |part: u8| record_in(number % 2, vec![part; 130_000]);
        put(&engine, "t", vec![value(1), value(2), value(3)]).await;
        if number % 25 == 24 {
            read.extend(slow.next().await.unwrap());
        }
    }
    let all = read_all(&engine, "t").await;
    assert_eq!(all.len(), 180);
    while read.len() < 180 {
        read.extend(slow.next().await.unwrap());
    }
    stage.assert_same(&read, &all);
    let late = take(&mut idle, 180).await;
    stage.assert_same(&late, &all);
    // and it follows on
    put(&engine, "t", vec![record("", "new")]).await;
    assert_eq!(texts(&take(&mut idle, 1).await), ["new"]);
    let once: BTreeSet<(u32, i64)> = late.iter().map(|record| (record.partition, record.offset)).collect();
    assert_eq!(once.len(), 180);
}

pub(crate) async fn a_deleted_topics_tail_ends(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 1).await;
    let mut tail = engine.tail("t").await.unwrap();
    let mut waiting = engine.tail("t").await.unwrap();
    let waiting = tokio::spawn(async move { waiting.next().await });
    put_counted(&engine, "t", 1).await;
    assert_eq!(waiting.await.unwrap().unwrap().len(), 1);
    engine.delete_topic("t").await.unwrap();
    assert_eq!(take(&mut tail, 1).await.len(), 1, "what came before the end comes first");
    assert_eq!(tail.next().await.unwrap_err(), TailEnd::Deleted);
    assert_eq!(tail.next().await.unwrap_err(), TailEnd::Deleted);
}

pub(crate) async fn a_stopped_engines_tail_ends(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 1).await;
    let mut tail = engine.tail("t").await.unwrap();
    let waiting = tokio::spawn(async move { tail.next().await });
    tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap_err(), TailEnd::Stopped);
}
