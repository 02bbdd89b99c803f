//! `/groups`.

use serde_json::{Value, json};

use crate::floe::Floe;

async fn filled(records: i64) -> Floe {
    let floe = Floe::start().await;
    floe.topic("t", 1).await;
    for n in 0..records {
        floe.post("/topics/t/records", json!({ "value": n })).await.ok(201);
    }
    floe
}

fn values(answer: &Value) -> Vec<i64> {
    answer["records"].as_array().unwrap().iter().map(|record| record["value"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn a_delivery_is_acknowledged_once() {
    let floe = filled(5).await;
    let poll = |body| floe.post("/groups/g/poll", body);
    let first = poll(json!({ "topics": ["t"], "max": 3 })).await.ok(200);
    assert_eq!(values(&first), [0, 1, 2]);
    assert_eq!(first["records"][0]["topic"], "t");
    assert_eq!(first["next"], json!([{ "topic": "t", "partition": 0, "offset": 3 }]));
    let delivery = first["delivery"].as_str().unwrap();
    let done = floe.post("/groups/g/ack", json!({ "delivery": delivery })).await.ok(200);
    assert_eq!(done, json!({ "status": "acknowledged", "group": "g" }));
    floe.post("/groups/g/ack", json!({ "delivery": delivery })).await.problem(409, "CONFLICT");
    let view = floe.get("/groups/g").await.ok(200);
    assert_eq!(
        view["partitions"][0],
        json!({ "topic": "t", "partition": 0, "committed": 3, "end": 5, "lag": 2 })
    );
    assert_eq!(view["lag"], 2);
    let second = poll(json!({ "topics": ["t"], "auto_commit": true })).await.ok(200);
    assert_eq!(values(&second), [3, 4]);
    assert_eq!(second["delivery"], Value::Null);
    let empty = poll(json!({ "topics": ["t"], "auto_commit": true, "wait_ms": 20 })).await.ok(200);
    assert_eq!(empty["records"], json!([]));
}

#[tokio::test]
async fn what_is_not_acknowledged_comes_again() {
    let floe = filled(1).await;
    let body = json!({ "topics": ["t"], "lease_ms": 50, "wait_ms": 10000 });
    assert_eq!(values(&floe.post("/groups/g/poll", body.clone()).await.ok(200)), [0]);
    assert_eq!(values(&floe.post("/groups/g/poll", body).await.ok(200)), [0]);
}

#[tokio::test]
async fn a_poll_waits_for_records() {
    let floe = filled(0).await;
    let waiting =
        floe.post("/groups/g/poll", json!({ "topics": ["t"], "wait_ms": 30000, "auto_commit": true }));
    let writing = floe.post("/topics/t/records", json!({ "value": 9 }));
    let (answer, _) = tokio::join!(waiting, writing);
    assert_eq!(values(&answer.ok(200)), [9]);
}

#[tokio::test]
async fn positions_move_and_groups_go() {
    let floe = filled(4).await;
    let poll = json!({ "topics": ["t"], "auto_commit": true });
    floe.post("/groups/g/poll", poll.clone()).await.ok(200);
    let reset = |to: Value| floe.post("/groups/g/offsets", json!({ "topic": "t", "to": to }));
    let moved = reset(json!("earliest")).await.ok(200);
    assert_eq!(moved, json!({ "group": "g", "topic": "t", "partitions": [{ "partition": 0, "offset": 0 }] }));
    assert_eq!(reset(json!(2)).await.ok(200)["partitions"][0]["offset"], 2);
    assert_eq!(reset(json!("latest")).await.ok(200)["partitions"][0]["offset"], 4);
    assert_eq!(reset(json!("2000-01-01T00:00:00Z")).await.ok(200)["partitions"][0]["offset"], 0);
    for bad in [json!("yesterday"), json!(-1), json!(1.5), json!(null)] {
        reset(bad).await.problem(400, "BAD_REQUEST");
    }
    let list = floe.get("/groups").await.ok(200);
    assert_eq!(list["groups"][0]["group"], "g");
    assert_eq!(floe.get("/topics/t").await.ok(200)["groups"], json!([{ "group": "g", "lag": 4 }]));
    let gone = floe.call("DELETE", "/groups/g").send().await;
    assert_eq!((gone.status, gone.text()), (204, String::new()));
    floe.get("/groups/g").await.problem(404, "NOT_FOUND");
    floe.call("DELETE", "/groups/g").send().await.problem(404, "NOT_FOUND");
}

#[tokio::test]
async fn an_active_group_keeps_its_positions() {
    let floe = filled(1).await;
    let open = floe.post("/groups/g/poll", json!({ "topics": ["t"] })).await.ok(200);
    floe.post("/groups/g/offsets", json!({ "topic": "t", "to": "earliest" })).await.problem(409, "CONFLICT");
    floe.call("DELETE", "/groups/g").send().await.problem(409, "CONFLICT");
    floe.post("/groups/g/ack", json!({ "delivery": open["delivery"] })).await.ok(200);
    assert_eq!(floe.call("DELETE", "/groups/g").send().await.status, 204);
}

#[tokio::test]
async fn polls_name_what_is_wrong() {
    let floe = filled(0).await;
    for (body, expected) in [
        (json!({}), "topics"),
        (json!({ "topics": [] }), "1 to 100"),
        (json!({ "topics": ["a/b"] }), "topics: "),
        (json!({ "topics": ["t"], "max": 0 }), "max: 0 is not a whole number from 1 to 10000"),
        (json!({ "topics": ["t"], "wait_ms": 60001 }), "wait_ms: 60001"),
        (json!({ "topics": ["t"], "lease_ms": 0 }), "lease_ms: 0"),
        (json!({ "topics": "t" }), "topics: "),
    ] {
        let detail = floe.post("/groups/g/poll", body.clone()).await.problem(400, "BAD_REQUEST");
        assert!(detail.contains(expected), "{body}: {detail}");
    }
    floe.post("/groups/g/poll", json!({ "topics": ["none"] })).await.problem(404, "TOPIC_NOT_FOUND");
    floe.post("/groups/none/ack", json!({ "delivery": "nonsense" })).await.problem(404, "NOT_FOUND");
    floe.post("/groups/g/poll", json!({ "topics": ["t"] })).await.ok(200);
    floe.post("/groups/g/ack", json!({ "delivery": "nonsense" })).await.problem(409, "CONFLICT");
}
