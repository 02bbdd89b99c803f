//! No room: records are refused, what makes room and what readers need goes on, and writing resumes by itself.

use floe_engine::{Engine, EngineError, StorageState};
use floe_testkit::faulty::FaultyStorage;

use super::workload::open;
use crate::stage::{append_of, make, make_with, read_partition, record_in, texts, until};

async fn fill(engine: &Engine, topic: &str, acked: &mut Vec<String>) -> EngineError {
    loop {
        let value = format!("{:0400}", acked.len());
        match engine.append(append_of(topic, vec![record_in(0, value.clone())])).await {
            Ok(_) => acked.push(value),
            Err(error) => return error,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_records_and_nothing_else() {
    let storage = FaultyStorage::new(1);
    let engine = open(&storage);
    make(&engine, "t", 1).await;
    make(&engine, "other", 1).await;
    let mut acked = Vec::new();
    for round in 0..5 {
        storage.limit_bytes(Some(storage.used_bytes() + 200_000));
        assert_eq!(fill(&engine, "t", &mut acked).await, EngineError::StorageFull, "round {round}");
        assert_eq!(engine.health().storage, StorageState::Full);
        // positions and reads go on
        let end = i64::try_from(acked.len()).unwrap();
        engine.commit("g", None, vec![("t".into(), 0, end)]).await.unwrap();
        assert_eq!(engine.describe_group("g").await.unwrap().partitions[0].committed, end);
        assert_eq!(texts(&read_partition(&engine, "t", 0).await), acked);
        storage.limit_bytes(None);
        until("writing resumes", async || {
            let value = format!("{:0400}", acked.len());
            let resumed = engine.append(append_of("t", vec![record_in(0, value.clone())])).await.is_ok();
            acked.extend(resumed.then_some(value));
            resumed
        })
        .await;
        assert_eq!(engine.health().storage, StorageState::Writable);
    }
    storage.limit_bytes(Some(storage.used_bytes()));
    assert_eq!(fill(&engine, "t", &mut acked).await, EngineError::StorageFull);
    engine.delete_topic("other").await.unwrap();
    tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
    for left in [storage.clone_durable(), storage.crash(7), storage] {
        left.limit_bytes(None);
        let engine = open(&left);
        assert_eq!(texts(&read_partition(&engine, "t", 0).await), acked);
        assert!(engine.describe_topic("other").await.is_err());
        assert!(engine.health().damage.is_empty(), "{:?}", engine.health().damage);
        tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
    }
}

/// Deleting is what an operator does when the disk is full: it must help.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deleted_makes_room() {
    let storage = FaultyStorage::new(2);
    let engine = open(&storage);
    make(&engine, "large", 1).await;
    make_with(&engine, "t", 1, &[]).await;
    let mut acked = Vec::new();
    storage.limit_bytes(Some(2_000_000));
    assert_eq!(fill(&engine, "large", &mut acked).await, EngineError::StorageFull);
    engine.delete_topic("large").await.unwrap();
    let mut written = 0;
    until("there is room again", async || {
        written += usize::from(engine.append(append_of("t", vec![record_in(0, "v")])).await.is_ok());
        written >= 20
    })
    .await;
    assert_eq!(read_partition(&engine, "t", 0).await.len(), written);
    tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
}
