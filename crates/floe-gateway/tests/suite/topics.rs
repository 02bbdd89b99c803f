//! `/topics`.

use serde_json::json;

use crate::floe::Floe;

#[tokio::test]
async fn a_topic_is_made_listed_described_and_deleted() {
    let floe = Floe::start().await;
    let made =
        floe.post("/topics", json!({ "name": "orders", "partitions": 3, "later": "ignored" })).await.ok(201);
    assert_eq!(made, json!({ "status": "created", "topic": "orders", "partitions": 3 }));
    let made = floe.post("/topics", json!({ "name": "plain" })).await.ok(201);
    assert_eq!(made["partitions"], 1);
    let list = floe.get("/topics").await.ok(200);
    assert_eq!(
        list["topics"][0],
        json!({ "name": "orders", "subscribers": 0, "partitions": 3, "messages": 0 })
    );
    let view = floe.get("/topics/orders").await.ok(200);
    assert_eq!(view["topic"], "orders");
    assert_eq!(view["partitions"].as_array().unwrap().len(), 3);
    assert_eq!(view["partitions"][2]["partition"], 2);
    for field in ["start", "end", "size", "leader"] {
        assert!(view["partitions"][0][field].is_number(), "{field}: {view}");
    }
    assert_eq!(view["subscribers"], 0);
    assert_eq!(view["groups"], json!([]));
    assert!(view["config"]["retention.ms"].is_string());
    let gone = floe.call("DELETE", "/topics/orders").send().await.ok(200);
    assert_eq!(gone, json!({ "status": "deleted", "topic": "orders" }));
    floe.call("DELETE", "/topics/orders").send().await.problem(404, "TOPIC_NOT_FOUND");
    floe.get("/topics/orders").await.problem(404, "TOPIC_NOT_FOUND");
}

#[tokio::test]
async fn a_name_is_taken_once() {
    let floe = Floe::start().await;
    floe.topic("news", 1).await;
    floe.post("/topics", json!({ "name": "news" })).await.problem(409, "TOPIC_EXISTS");
}

#[tokio::test]
async fn settings_come_by_field_or_by_kafkas_name() {
    let floe = Floe::start().await;
    let body = json!({
        "name": "logs", "retention_ms": 60000, "cleanup_policy": "delete", "max_message_bytes": 2000,
        "config": { "retention.bytes": 1048576 },
    });
    floe.post("/topics", body).await.ok(201);
    let config = floe.get("/topics/logs").await.ok(200)["config"].clone();
    assert_eq!(config["retention.ms"], "60000");
    assert_eq!(config["max.message.bytes"], "2000");
    assert_eq!(config["retention.bytes"], "1048576");
    let twice = json!({ "name": "x", "retention_ms": 1, "config": { "retention.ms": "2" } });
    assert!(
        floe.post("/topics", twice).await.problem(400, "BAD_REQUEST").contains("retention.ms is given twice")
    );
    let unknown = json!({ "name": "x", "config": { "no.such.setting": "1" } });
    assert!(floe.post("/topics", unknown).await.problem(400, "BAD_REQUEST").contains("no.such.setting"));
}

#[tokio::test]
async fn partitions_grow_and_settings_go_back_to_their_default() {
    let floe = Floe::start().await;
    floe.topic("t", 2).await;
    let alter = |body| floe.call("PATCH", "/topics/t").json(&body);
    let before = floe.get("/topics/t").await.ok(200)["config"]["retention.ms"].clone();
    let view = alter(json!({ "partitions": 4, "config": { "retention.ms": 5000 } })).send().await.ok(200);
    assert_eq!(view["partitions"].as_array().unwrap().len(), 4);
    assert_eq!(view["config"]["retention.ms"], "5000");
    let view = alter(json!({ "config": { "retention.ms": null } })).send().await.ok(200);
    assert_eq!(view["config"]["retention.ms"], before);
    alter(json!({ "partitions": 3 })).send().await.problem(400, "BAD_REQUEST");
    floe.call("PATCH", "/topics/none").json(&json!({})).send().await.problem(404, "TOPIC_NOT_FOUND");
}

#[tokio::test]
async fn names_follow_kafkas_rule_wherever_they_are() {
    let floe = Floe::start().await;
    let long = "x".repeat(250);
    for bad in ["", ".", "..", "../../etc/passwd", "a/b", "a\0b", "A\nB", "аbc", long.as_str()] {
        floe.post("/topics", json!({ "name": bad })).await.problem(400, "BAD_REQUEST");
    }
    floe.post("/topics", json!({ "name": "__consumer_offsets" })).await.problem(403, "FORBIDDEN");
    for bad in ["a%2fb", "a%00b", "A%0aB", "%D0%B0bc", "%ff", long.as_str(), "a%20b"] {
        for path in
            [format!("/topics/{bad}"), format!("/topics/{bad}/records"), format!("/topics/{bad}/stream")]
        {
            floe.get(&path).await.problem(400, "BAD_REQUEST");
        }
        let body = json!({ "value": 1 });
        floe.post(&format!("/topics/{bad}/records"), body).await.problem(400, "BAD_REQUEST");
    }
    floe.post("/topics/__system/records", json!({ "value": 1 })).await.problem(403, "FORBIDDEN");
    floe.post("/write/__system", json!({ "key": "k", "value": 1 })).await.problem(403, "FORBIDDEN");
    floe.post("/register_event?topic=__system", json!({})).await.problem(403, "FORBIDDEN");
    floe.call("DELETE", "/topics/__system").send().await.problem(403, "FORBIDDEN");
    floe.call("PATCH", "/topics/__system").json(&json!({})).send().await.problem(403, "FORBIDDEN");
}

#[tokio::test]
async fn a_field_of_the_wrong_type_is_named() {
    let floe = Floe::start().await;
    for (body, expected) in [
        (json!({ "name": "x", "partitions": "3" }), "partitions: "),
        (json!({ "name": "x", "partitions": 0 }), "partitions"),
        (json!({ "name": "x", "partitions": 10001 }), "partitions"),
        (json!({ "name": "x", "partitions": -1 }), "partitions: "),
        (json!({ "name": "x", "config": { "retention.ms": [] } }), "config"),
        (json!({ "partitions": 1 }), "name"),
    ] {
        let detail = floe.post("/topics", body.clone()).await.problem(400, "BAD_REQUEST");
        assert!(detail.contains(expected), "{body}: {detail}");
    }
}
