//! CloudEvents 1.0 on the records door.

use serde_json::{Value, json};

use crate::floe::Floe;

async fn one_topic() -> Floe {
    let floe = Floe::start().await;
    floe.topic("t", 1).await;
    floe
}

fn event(id: &str) -> Value {
    json!({ "specversion": "1.0", "id": id, "source": "/shop", "type": "sale", "partitionkey": "u1", "data": { "n": 1 } })
}

#[tokio::test]
async fn a_binary_event_becomes_headers() {
    let floe = one_topic().await;
    let call = floe.call("POST", "/topics/t/records").header("ce-specversion", "1.0").header("ce-id", "1");
    let call = call.header("ce-source", "/shop").header("ce-type", "sale").json(&json!({ "n": 1 }));
    let answer = call.send().await.ok(201);
    assert_eq!(answer["offsets"], json!([{ "partition": 0, "offset": 0 }]));
    let record = floe.get("/topics/t/records").await.ok(200)["records"][0].clone();
    assert_eq!(record["value"], json!({ "n": 1 }));
    assert_eq!(record["headers"]["ce_type"], "sale");
    assert_eq!(record["headers"]["content-type"], "application/json");
    let call = floe.call("POST", "/topics/t/records").header("ce-specversion", "1.0").json(&json!({}));
    assert!(call.send().await.problem(400, "BAD_REQUEST").contains("ce-id"));
}

#[tokio::test]
async fn structured_and_batched_events_stay_as_they_were_sent() {
    let floe = one_topic().await;
    let post =
        |kind: &str, body: Value| floe.call("POST", "/topics/t/records").body(kind, body.to_string()).send();
    post("application/cloudevents+json; charset=utf-8", event("1")).await.ok(201);
    let answer = post("application/cloudevents-batch+json", json!([event("2"), event("3")])).await.ok(201);
    assert_eq!(answer["offsets"].as_array().unwrap().len(), 2);
    let records = floe.get("/topics/t/records").await.ok(200)["records"].clone();
    assert_eq!(records[0]["value"], event("1"));
    assert_eq!(records[2]["value"], event("3"));
    assert_eq!(records[2]["key"], "u1");
    let broken = post("application/cloudevents-batch+json", json!([event("4"), { "id": "5" }])).await;
    assert!(broken.problem(400, "BAD_REQUEST").starts_with("event 1: "));
    assert_eq!(floe.get("/topics").await.ok(200)["topics"][0]["messages"], 3);
}
