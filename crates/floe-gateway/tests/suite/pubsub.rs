//! Seed 000, example by example.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::floe::Floe;

async fn news() -> Floe {
    let floe = Floe::start().await;
    let made = floe.call("POST", "/create_topic/news/3").send().await.ok(201);
    assert_eq!(made, json!({ "status": "created", "topic": "news", "partitions": 3 }));
    floe
}

async fn write(floe: &Floe, key: &str, value: Value) -> Value {
    floe.post("/write/news", json!({ "key": key, "value": value })).await.ok(201)
}

#[tokio::test]
async fn the_examples_of_the_document_work() {
    let floe = news().await;
    let written = write(&floe, "user123", json!("Breaking news update")).await;
    assert_eq!(written["status"], "written");
    assert_eq!((&written["topic"], &written["key"]), (&json!("news"), &json!("user123")));
    assert_eq!(written["offset"], 0);
    let subscribed = floe.call("POST", "/subscribe/john@example.com/news").send().await.ok(200);
    assert_eq!(
        subscribed,
        json!({ "status": "subscribed", "email": "john@example.com", "topic": "news", "positions": { "0": 0, "1": 0, "2": 0 } })
    );
    let read = floe.get("/read/john@example.com/news/user123").await.ok(200);
    assert_eq!(read["topic"], "news");
    assert_eq!(read["partition"], written["partition"]);
    assert_eq!(read["messages"][0]["key"], "user123");
    assert_eq!(read["messages"][0]["value"], "Breaking news update");
    assert_eq!(read["messages"][0]["offset"], 0);
    assert!(read["messages"][0]["timestamp"].is_string());
    assert_eq!((&read["next_offset"], &read["lag"]), (&json!(1), &json!(0)));
    let again = floe.get("/read/john@example.com/news/user123").await.ok(200);
    assert_eq!(
        (&again["messages"], &again["next_offset"], &again["lag"]),
        (&json!([]), &json!(1), &json!(0))
    );
    let gone = floe.call("POST", "/unsubscribe/john@example.com/news").send().await.ok(200);
    assert_eq!(gone, json!({ "status": "unsubscribed", "email": "john@example.com", "topic": "news" }));
    let gone = floe.call("DELETE", "/delete_topic/news").send().await.ok(200);
    assert_eq!(gone, json!({ "status": "deleted", "topic": "news" }));
}

#[tokio::test]
async fn topics_are_refused_as_documented() {
    let floe = news().await;
    floe.call("POST", "/create_topic/news/3").send().await.problem(409, "TOPIC_EXISTS");
    for bad in ["0", "10001", "-1", "x", "1.5"] {
        let detail =
            floe.call("POST", &format!("/create_topic/other/{bad}")).send().await.problem(400, "BAD_REQUEST");
        assert!(detail.contains("1 to 10000"), "{detail}");
    }
    floe.call("POST", "/create_topic/a%2fb/1").send().await.problem(400, "BAD_REQUEST");
    floe.call("DELETE", "/delete_topic/none").send().await.problem(404, "TOPIC_NOT_FOUND");
}

#[tokio::test]
async fn a_message_has_a_key_and_a_value() {
    let floe = news().await;
    for (body, field) in [
        (json!({ "value": 1 }), "'key'"),
        (json!({ "key": "k" }), "'value'"),
        (json!({ "key": "", "value": 1 }), "'key'"),
        (json!({ "key": null, "value": 1 }), "'key'"),
        (json!([]), "a JSON object"),
    ] {
        let detail = floe.post("/write/news", body).await.problem(400, "BAD_REQUEST");
        assert!(detail.contains(field), "{detail}");
    }
    floe.post("/write/none", json!({ "key": "k", "value": 1 })).await.problem(404, "TOPIC_NOT_FOUND");
    let text = floe.call("POST", "/write/news").body("text/plain", r#"{"key":"k","value":1}"#);
    text.send().await.problem(415, "UNSUPPORTED_MEDIA_TYPE");
}

#[tokio::test]
async fn subscriptions_start_where_asked_and_keep_their_place() {
    let floe = news().await;
    write(&floe, "k", json!(1)).await;
    let partition = write(&floe, "k", json!(2)).await["partition"].to_string();
    let subscribe = |path: &str| floe.call("POST", path).send();
    let late = subscribe("/subscribe/late@example.com/news?from=latest").await.ok(200);
    assert_eq!(late["positions"][&partition], 2);
    subscribe("/subscribe/john@example.com/news").await.ok(200);
    floe.get("/read/john@example.com/news/k?limit=1").await.ok(200);
    let again = subscribe("/subscribe/john@example.com/news").await.ok(200);
    assert_eq!(again["positions"][&partition], 1);
    let read = floe.get("/read/john@example.com/news/k").await.ok(200);
    assert_eq!(read["messages"][0]["value"], 2);
    assert_eq!(floe.get("/read/late@example.com/news/k").await.ok(200)["messages"], json!([]));
    subscribe("/subscribe/john@example.com/none").await.problem(404, "TOPIC_NOT_FOUND");
    subscribe("/subscribe/john@example.com/news?from=5").await.problem(400, "BAD_REQUEST");
    for bad in ["john", "john@", "@example.com", "a%20b@example.com"] {
        subscribe(&format!("/subscribe/{bad}/news")).await.problem(400, "BAD_REQUEST");
    }
}

#[tokio::test]
async fn who_is_not_subscribed_reads_nothing() {
    let floe = news().await;
    floe.get("/read/john@example.com/news/k").await.problem(403, "NOT_SUBSCRIBED");
    floe.call("POST", "/unsubscribe/john@example.com/news").send().await.problem(404, "NOT_FOUND");
    floe.call("POST", "/subscribe/john@example.com/news").send().await.ok(200);
    floe.get("/read/john@example.com/none/k").await.problem(404, "TOPIC_NOT_FOUND");
    floe.get("/read/john@example.com/news/k?limit=0").await.problem(400, "BAD_REQUEST");
    floe.call("POST", "/unsubscribe/john@example.com/news").send().await.ok(200);
    floe.get("/read/john@example.com/news/k").await.problem(403, "NOT_SUBSCRIBED");
    floe.call("POST", "/unsubscribe/john@example.com/none").send().await.problem(404, "TOPIC_NOT_FOUND");
}

#[tokio::test]
async fn a_user_is_a_consumer_group_and_goes_with_the_topic() {
    let floe = news().await;
    floe.call("POST", "/subscribe/john@example.com/news").send().await.ok(200);
    write(&floe, "k", json!(1)).await;
    let group = floe.get("/groups/user:john@example.com").await.ok(200);
    assert_eq!(group["lag"], 1);
    floe.call("DELETE", "/delete_topic/news").send().await.ok(200);
    floe.call("POST", "/create_topic/news/1").send().await.ok(201);
    floe.get("/read/john@example.com/news/k").await.problem(403, "NOT_SUBSCRIBED");
}

#[tokio::test]
async fn two_reads_at_once_never_return_the_same_message() {
    let floe = news().await;
    floe.call("POST", "/subscribe/john@example.com/news").send().await.ok(200);
    for n in 0..40 {
        write(&floe, "k", json!(n)).await;
    }
    let reads = (0..20).map(|_| floe.get("/read/john@example.com/news/k?limit=2"));
    let answers = futures_util::future::join_all(reads).await;
    let seen: Vec<i64> = answers
        .iter()
        .flat_map(|answer| answer.ok(200)["messages"].as_array().unwrap().clone())
        .map(|message| message["offset"].as_i64().unwrap())
        .collect();
    assert_eq!(seen.len(), seen.iter().collect::<HashSet<_>>().len(), "{seen:?}");
    let mut rest = Vec::new();
    loop {
        let more =
            floe.get("/read/john@example.com/news/k").await.ok(200)["messages"].as_array().unwrap().clone();
        if more.is_empty() {
            break;
        }
        rest.extend(more);
    }
    assert_eq!(seen.len() + rest.len(), 40);
}

#[tokio::test]
async fn a_page_elsewhere_may_not_move_a_users_position() {
    let floe = news().await;
    floe.call("POST", "/subscribe/john@example.com/news").send().await.ok(200);
    let call = floe.call("GET", "/read/john@example.com/news/k").header("sec-fetch-site", "cross-site");
    call.send().await.problem(403, "FORBIDDEN");
    write(&floe, "k", json!(1)).await;
    assert_eq!(floe.call("HEAD", "/read/john@example.com/news/k").send().await.status, 400);
    let read = floe.get("/read/john@example.com/news/k").await.ok(200);
    assert_eq!(read["messages"].as_array().unwrap().len(), 1);
}
