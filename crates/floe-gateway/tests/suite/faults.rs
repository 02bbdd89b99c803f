//! What clients are told when the disk is full or fails.

use floe_testkit::faulty::{FaultError, FaultyStorage, Operation};
use serde_json::json;

use crate::floe::Floe;

#[tokio::test]
async fn a_failed_sync_ends_writing_and_nothing_else() {
    let storage = FaultyStorage::new(1);
    let floe = Floe::on(&storage).await;
    floe.topic("t", 1).await;
    floe.post("/topics/t/records", json!({ "value": 1 })).await.ok(201);
    storage.fail(Operation::Sync, 1, FaultError::Io);
    floe.post("/topics/t/records", json!({ "value": 2 })).await.problem(503, "STORAGE_FAILED");
    floe.post("/topics/t/records", json!({ "value": 3 })).await.problem(503, "STORAGE_FAILED");
    floe.post("/register_event?topic=t", json!({})).await.problem(503, "STORAGE_FAILED");
    floe.post("/topics", json!({ "name": "other" })).await.problem(503, "STORAGE_FAILED");
    let read = floe.get("/topics/t/records").await.ok(200);
    assert_eq!(read["records"][0]["value"], 1);
    let health = floe.get("/health").await.ok(200);
    assert_eq!((&health["status"], &health["storage"]), (&json!("degraded"), &json!("failed")));
    floe.get("/health/live").await.ok(200);
    assert!(floe.get("/health/ready").await.problem(503, "STORAGE_FAILED").contains("restart"));
    assert!(floe.get("/metrics").await.text().contains("\nfloe_storage_writable 0\n"));
}

#[tokio::test]
async fn a_full_disk_refuses_records_until_there_is_room() {
    let storage = FaultyStorage::new(1);
    let floe = Floe::on(&storage).await;
    floe.topic("t", 1).await;
    storage.limit_bytes(Some(storage.used_bytes()));
    let large = json!({ "value": "x".repeat(1_000_000) });
    let mut accepted = 0;
    let refused = loop {
        let answer = floe.post("/topics/t/records", large.clone()).await;
        if answer.status != 201 {
            break answer;
        }
        accepted += 1;
        assert!(accepted < 1_000, "the disk never gets full");
    };
    refused.problem(507, "STORAGE_FULL");
    floe.get("/health/ready").await.problem(503, "STORAGE_FULL");
    assert_eq!(floe.get("/health").await.ok(200)["storage"], "full");
    let read = floe.get("/topics/t/records?limit=1").await.ok(200);
    assert_eq!(read["records"].as_array().unwrap().len(), 1);
    storage.limit_bytes(None);
    while floe.post("/topics/t/records", json!({ "value": 1 })).await.status != 201 {
        tokio::task::yield_now().await;
    }
    floe.get("/health/ready").await.ok(200);
}
