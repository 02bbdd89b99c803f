//! The header `Idempotency-Key`.

use std::collections::HashSet;

use serde_json::json;

use crate::floe::Floe;

#[tokio::test]
async fn a_repeat_returns_the_first_answer() {
    let floe = Floe::start().await;
    floe.topic("t", 3).await;
    let send = |key: &str, body| {
        floe.call("POST", "/topics/t/records").header("idempotency-key", key).json(&body).send()
    };
    let first = send("order-1", json!({ "value": 1 })).await;
    assert_eq!(first.header("idempotency-replayed"), None);
    let again = send("order-1", json!({ "value": 1 })).await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.ok(201), first.ok(201));
    send("order-1", json!({ "value": 2 })).await.problem(409, "CONFLICT");
    send("order-2", json!({ "value": 2 })).await.ok(201);
    assert_eq!(floe.get("/topics/t/records").await.ok(200)["records"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_hundred_at_once_are_one_record() {
    let floe = Floe::start().await;
    floe.topic("t", 3).await;
    let calls = (0..100).map(|_| {
        let call = floe.call("POST", "/topics/t/records").header("idempotency-key", "same");
        call.json(&json!({ "key": "k", "value": 1 })).send()
    });
    let answers = futures_util::future::join_all(calls).await;
    let distinct: HashSet<String> = answers.iter().map(|answer| answer.ok(201).to_string()).collect();
    assert_eq!(distinct.len(), 1, "{distinct:?}");
    assert_eq!(floe.get("/topics").await.ok(200)["topics"][0]["messages"], 1);
}

#[tokio::test]
async fn keys_are_visible_ascii() {
    let floe = Floe::start().await;
    floe.topic("t", 1).await;
    for bad in ["", &"x".repeat(256), "a b", "é"] {
        let call = floe.call("POST", "/topics/t/records").header("idempotency-key", bad);
        call.json(&json!({ "value": 1 })).send().await.problem(400, "BAD_REQUEST");
    }
    let call = floe.call("POST", "/topics/t/records").header("idempotency-key", &"x".repeat(255));
    call.json(&json!({ "value": 1 })).send().await.ok(201);
}

#[tokio::test]
async fn it_holds_on_every_write() {
    let floe = Floe::start().await;
    floe.topic("t", 1).await;
    for (path, body) in [
        ("/write/t", json!({ "key": "k", "value": 1 })),
        ("/register_event?topic=t", json!({ "event_type": "x" })),
    ] {
        let send = || floe.call("POST", path).header("idempotency-key", &path[1..5]).json(&body).send();
        let (first, again) = (send().await, send().await);
        assert_eq!(again.header("idempotency-replayed"), Some("true"), "{path}");
        assert_eq!(first.json(), again.json(), "{path}");
    }
    assert_eq!(floe.get("/topics").await.ok(200)["topics"][0]["messages"], 2);
}
