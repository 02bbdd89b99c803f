//! A write or a sync that fails: no answer afterwards is a promise, what was promised is there, and a restart helps.

use floe_engine::{Engine, EngineError, OffsetSpec, StorageState};
use floe_testkit::faulty::{FaultError, FaultyStorage, Operation};

use super::workload::open;
use crate::stage::{append_of, make, read_partition, record_in, texts};

const FAILURES: u64 = 24;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failed_write_or_sync_nothing_is_promised() {
    let mut failed = 0;
    for operation in [Operation::Write, Operation::Sync] {
        for nth in 1..=FAILURES {
            failed += usize::from(run(operation, nth).await);
        }
    }
    println!("{failed} of {} planned failures were met", 2 * FAILURES);
    assert!(failed as u64 > FAILURES);
}

/// Answers whether the failure was met by what clients wait for.
async fn run(operation: Operation, nth: u64) -> bool {
    let storage = FaultyStorage::new(nth);
    let engine = open(&storage);
    make(&engine, "t", 1).await;
    storage.fail(operation, nth, FaultError::Io);
    let mut acked = Vec::new();
    let mut refused = None;
    for number in 0..60 {
        match engine.append(append_of("t", vec![record_in(0, number.to_string())])).await {
            Ok(_) => acked.push(number.to_string()),
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    let context = format!("{operation:?} {nth}");
    if let Some(error) = &refused {
        assert_eq!(*error, EngineError::StorageFailed, "{context}");
        is_stopped(&engine, &context).await;
    }
    // reads go on, of what was promised
    assert_eq!(texts(&read_partition(&engine, "t", 0).await), acked, "{context}");
    tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
    // and after a restart: what the page cache shows, or what a power cut leaves
    for left in [storage.clone(), storage.crash(nth), storage.clone_durable()] {
        left.heal();
        let engine = open(&left);
        let stored = texts(&read_partition(&engine, "t", 0).await);
        assert!(stored.starts_with(&acked), "{context}: {} of {} are left", stored.len(), acked.len());
        assert!(stored.len() <= acked.len() + 1, "{context}: {stored:?}");
        let placed = engine.append(append_of("t", vec![record_in(0, "again")])).await.unwrap().placements;
        assert_eq!(placed[0].offset, stored.len() as i64, "{context}");
        tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
    }
    refused.is_some()
}

async fn is_stopped(engine: &Engine, context: &str) {
    assert_eq!(engine.health().storage, StorageState::Failed, "{context}");
    let failed = EngineError::StorageFailed;
    for _ in 0..3 {
        let again = engine.append(append_of("t", vec![record_in(0, "late")])).await.unwrap_err();
        assert_eq!(again, failed, "{context}");
    }
    assert_eq!(engine.commit("g", None, vec![("t".into(), 0, 0)]).await.unwrap_err(), failed, "{context}");
    assert_eq!(engine.subscribe_group("g", "t", OffsetSpec::Latest).await.unwrap_err(), failed, "{context}");
    assert_eq!(engine.delete_topic("t").await.unwrap_err(), failed, "{context}");
}
