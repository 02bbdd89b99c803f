//! Idempotency keys: the same key, the same answer, one record.

use std::{collections::BTreeMap, time::Duration};

use floe_engine::EngineError;

use crate::stage::{Stage, append_of, keyed, make, put, read_all, record, texts};

pub(crate) async fn a_repeat_gets_the_first_answer(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 3).await;
    make(&engine, "other", 1).await;
    let append = || keyed(append_of("t", vec![record("", "v")]), "key", 1);
    let first = engine.append(append()).await.unwrap();
    stage.clocks.pass(Duration::from_secs(5));
    put(&engine, "t", vec![record("", "between")]).await;
    let again = engine.append(append()).await.unwrap();
    assert!(!first.replayed && again.replayed);
    assert_eq!(again.placements, first.placements);
    let elsewhere = keyed(append_of("other", vec![record("", "v")]), "key", 1);
    assert!(!engine.append(elsewhere).await.unwrap().replayed, "a key counts per topic");
    assert_eq!(read_all(&engine, "t").await.len(), 2);
}

/// Whatever was begun when the caller went: one record, and no long wait for the answer.
pub(crate) async fn who_gives_up_can_repeat_at_once(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 3).await;
    for after in [0, 1, 2, 4, 8, 16] {
        let append =
            || keyed(append_of("t", vec![record("", after.to_string())]), &format!("key-{after}"), 1);
        let given_up = tokio::time::timeout(Duration::from_millis(after), engine.append(append())).await;
        assert!(given_up.is_err() || given_up.is_ok_and(|answer| answer.is_ok()), "{after}");
        let repeat = tokio::time::timeout(Duration::from_secs(10), engine.append(append())).await;
        repeat.expect("the repeat is answered soon").unwrap();
    }
    let mut stored = texts(&read_all(&engine, "t").await);
    stored.sort();
    assert_eq!(stored, ["0", "1", "16", "2", "4", "8"]);
}

pub(crate) async fn another_content_is_a_conflict(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 1).await;
    engine.append(keyed(append_of("t", vec![record("", "v")]), "key", 1)).await.unwrap();
    let refused = engine.append(keyed(append_of("t", vec![record("", "w")]), "key", 2)).await.unwrap_err();
    assert_eq!(refused, EngineError::IdempotencyConflict { topic: "t".into(), key: "key".into() });
    assert_eq!(read_all(&engine, "t").await.len(), 1);
}

pub(crate) async fn two_hundred_at_once_store_one_record(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 5).await;
    let senders: Vec<_> = (0..200)
        .map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move {
                engine.append(keyed(append_of("t", vec![record("", "v")]), "key", 1)).await.unwrap()
            })
        })
        .collect();
    let mut answers = Vec::new();
    for sender in senders {
        answers.push(sender.await.unwrap());
    }
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    assert!(answers.iter().all(|answer| answer.placements == answers[0].placements));
    assert_eq!(read_all(&engine, "t").await.len(), 1);
}

/// Also when more partitions were added between, and the keys would go elsewhere today.
pub(crate) async fn a_repeat_across_partitions_gets_every_place(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 3).await;
    let records: Vec<_> = ["a", "b", "c", "a", "d", "e", "a"].map(|key| record(key, key.to_owned())).to_vec();
    let append = || keyed(append_of("t", records.clone()), "key", 1);
    let first = engine.append(append()).await.unwrap();
    assert!(first.placements.iter().any(|place| place.partition != first.placements[0].partition));
    assert_eq!(engine.append(append()).await.unwrap().placements, first.placements);
    engine.alter_topic("t", Some(11), BTreeMap::new()).await.unwrap();
    for _ in 0..2 {
        let again = stage.engine().append(append()).await.unwrap();
        assert!(again.replayed);
        assert_eq!(again.placements, first.placements);
        assert_eq!(read_all(&stage.engine(), "t").await.len(), 7);
        stage.reopen();
    }
}

pub(crate) async fn a_key_too_long_is_refused(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 1).await;
    let append = |length| keyed(append_of("t", vec![record("", "v")]), &"k".repeat(length), 1);
    let refused = engine.append(append(256)).await.unwrap_err();
    assert!(matches!(refused, EngineError::LimitReached { limit: 255, .. }), "{refused}");
    engine.append(append(255)).await.unwrap();
}

pub(crate) async fn keys_outlive_a_restart(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 1).await;
    let append = || keyed(append_of("t", vec![record("", "v")]), "key", 1);
    let first = engine.append(append()).await.unwrap();
    for _ in 0..2 {
        let again = stage.reopen().append(append()).await.unwrap();
        assert!(again.replayed);
        assert_eq!(again.placements, first.placements);
    }
}

pub(crate) async fn keys_are_forgotten_after_their_window(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 1).await;
    let append = || keyed(append_of("t", vec![record("", "v")]), "key", 1);
    engine.append(append()).await.unwrap();
    stage.clocks.pass(Duration::from_secs(24 * 3_600 - 1));
    assert!(engine.append(append()).await.unwrap().replayed);
    stage.clocks.pass(Duration::from_secs(1));
    assert!(!engine.append(append()).await.unwrap().replayed);
    assert_eq!(read_all(&engine, "t").await.len(), 2);
}
