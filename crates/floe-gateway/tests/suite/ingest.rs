//! Seed 001: `/register_event` and `/get_status`.

use serde_json::{Value, json};

use crate::floe::Floe;

#[tokio::test]
async fn any_object_is_an_event() {
    let floe = Floe::start().await;
    let event = json!({ "event_type": "purchase", "user_id": "u1", "data": { "amount": 12.5 } });
    let answer = floe.post("/register_event", event.clone()).await.ok(202);
    assert_eq!((&answer["status"], &answer["topic"]), (&json!("accepted"), &json!("events")));
    assert_eq!(answer["event_id"].as_str().unwrap().len(), 36);
    assert_eq!(answer["event_id"].as_str().unwrap().as_bytes()[14], b'7');
    assert_eq!(floe.get("/topics/events").await.ok(200)["partitions"].as_array().unwrap().len(), 12);
    let record = floe.get("/topics/events/records").await.ok(200)["records"][0].clone();
    assert_eq!(record["value"], event);
    assert_eq!(record["key"], "u1");
    assert_eq!(record["headers"]["event-id"], answer["event_id"]);
    let own = floe.post("/register_event", json!({ "id": "e-1", "key": "k", "user_id": "u" })).await.ok(202);
    assert_eq!(own["event_id"], "e-1");
    let records = floe.get("/topics/events/records").await.ok(200)["records"].clone();
    assert_eq!(records[1]["key"], "k");
    assert_eq!(records[1]["headers"], json!({ "content-type": "application/json" }));
}

#[tokio::test]
async fn events_come_in_batches_too() {
    let floe = Floe::start().await;
    floe.topic("mine", 1).await;
    let answer =
        floe.post("/register_event?topic=mine", json!([{ "id": "a" }, { "event_id": 2 }])).await.ok(202);
    assert_eq!(answer["accepted"], 2);
    assert_eq!(
        answer["events"],
        json!([{ "event_id": "a", "partition": 0, "offset": 0 }, { "event_id": "2", "partition": 0, "offset": 1 }])
    );
    let call = floe
        .call("POST", "/register_event?topic=mine")
        .body("application/x-ndjson", "{\"id\":\"b\"}\r\n{}\n");
    assert_eq!(call.send().await.ok(202)["events"][0]["event_id"], "b");
    let broken = floe.call("POST", "/register_event?topic=mine").body("application/x-ndjson", "{}\n1\n");
    assert!(broken.send().await.problem(400, "BAD_REQUEST").starts_with("line 2: "));
    assert_eq!(floe.get("/topics").await.ok(200)["topics"][0]["messages"], 4);
}

#[tokio::test]
async fn what_is_no_event_is_refused() {
    let floe = Floe::start().await;
    for bad in ["", "null", "[]", "\"\"", "1", "{\"a\":", "{} {}", "{}x"] {
        let call = floe.call("POST", "/register_event").body("application/json", bad);
        call.send().await.problem(400, "BAD_REQUEST");
    }
    for kind in ["text/plain", "application/x-www-form-urlencoded"] {
        let call = floe.call("POST", "/register_event").body(kind, "{}");
        call.send().await.problem(415, "UNSUPPORTED_MEDIA_TYPE");
    }
    floe.post("/register_event?topic=none", json!({})).await.problem(404, "TOPIC_NOT_FOUND");
    floe.post("/register_event?topic=a/b", json!({})).await.problem(400, "BAD_REQUEST");
    floe.post("/register_event?unknown=1", json!({})).await.problem(400, "BAD_REQUEST");
}

#[tokio::test]
async fn the_status_counts_what_is_accepted_and_processed() {
    let floe = Floe::start().await;
    let before = floe.get("/get_status").await.ok(200);
    assert_eq!((&before["topic"], &before["accepted"]), (&json!("events"), &json!(0)));
    floe.get("/get_status?topic=none").await.problem(404, "TOPIC_NOT_FOUND");
    for n in 0..5 {
        floe.post("/register_event", json!({ "id": n.to_string(), "user_id": n })).await.ok(202);
    }
    let status = floe.get("/get_status").await.ok(200);
    assert_eq!(status["partitions"].as_array().unwrap().len(), 12);
    let count = |status: &Value| {
        ["accepted", "processed", "retried", "dead_lettered", "in_flight", "lag"]
            .map(|name| status[name].as_u64().unwrap())
    };
    assert_eq!(count(&status), [5, 0, 0, 0, 5, 5]);
    assert!(
        status["rates"]["accepted_per_sec"].is_number() && status["rates"]["processed_per_sec"].is_number()
    );
    assert_eq!(status["consumers"], json!([]));
    let poll = json!({ "topics": ["events"], "auto_commit": true });
    floe.post("/groups/pipeline:events-store/poll", poll).await.ok(200);
    assert_eq!(count(&floe.get("/get_status").await.ok(200)), [5, 5, 0, 0, 0, 0]);
}

#[tokio::test]
async fn an_events_own_status_is_known_by_its_id() {
    let floe = Floe::start().await;
    let answer = floe.post("/register_event", json!({ "id": "e 1/ü" })).await.ok(202);
    let status = floe.get("/get_status?event_id=e%201/%C3%BC").await.ok(200);
    assert_eq!((&status["event_id"], &status["status"]), (&json!("e 1/ü"), &json!("accepted")));
    assert_eq!((&status["partition"], &status["offset"]), (&answer["partition"], &answer["offset"]));
    assert!(status["accepted_at"].is_string());
    floe.post("/groups/pipeline:events-store/poll", json!({ "topics": ["events"], "auto_commit": true }))
        .await
        .ok(200);
    assert_eq!(floe.get("/get_status?event_id=e%201/%C3%BC").await.ok(200)["status"], "stored");
    floe.get("/get_status?event_id=other").await.problem(404, "NOT_FOUND");
}

/// As at another gateway of a cluster: this one has not accepted it.
#[tokio::test]
async fn an_event_that_came_another_way_is_known_too() {
    let floe = Floe::start().await;
    floe.post("/register_event", json!({ "id": "own" })).await.ok(202);
    for id in ["one", "two"] {
        let status = format!("/get_status?event_id={id}");
        floe.get(&status).await.problem(404, "NOT_FOUND");
        floe.post("/topics/events/records", json!({ "value": { "id": id } })).await.ok(201);
        assert_eq!(floe.get(&status).await.ok(200)["status"], "accepted");
    }
}
