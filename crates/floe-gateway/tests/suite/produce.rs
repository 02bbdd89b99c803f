//! `POST /topics/{topic}/records`.

use serde_json::{Value, json};

use crate::floe::{Answer, Floe};

async fn one_topic(partitions: u32) -> Floe {
    let floe = Floe::start().await;
    floe.topic("t", partitions).await;
    floe
}

async fn stored(floe: &Floe) -> Vec<Value> {
    floe.get("/topics/t/records?limit=10000").await.ok(200)["records"].as_array().unwrap().clone()
}

async fn send(floe: &Floe, content_type: &str, body: impl Into<bytes::Bytes>) -> Answer {
    floe.call("POST", "/topics/t/records").body(content_type, body).send().await
}

#[tokio::test]
async fn one_record_comes_back_as_it_was_sent() {
    let floe = one_topic(1).await;
    let text = r#"{"key":"user1","value":{ "n": 1.50, "b": 1e3, "a": [1, 2] },"headers":{"trace":"x","tags":["a","b"]}}"#;
    let answer = send(&floe, "application/json", text).await.ok(201);
    assert_eq!(answer["topic"], "t");
    assert_eq!(answer["partition"], 0);
    assert_eq!(answer["offset"], 0);
    let at = answer["timestamp"].as_str().unwrap();
    assert!(at.len() == 24 && at.ends_with('Z'), "{at}");
    let read = floe.get("/topics/t/records?partition=0").await.text();
    assert!(read.contains(r#""value":{ "n": 1.50, "b": 1e3, "a": [1, 2] }"#), "{read}");
    let record = &stored(&floe).await[0];
    assert_eq!(record["key"], "user1");
    assert_eq!(record["timestamp"], at);
    assert_eq!(
        record["headers"],
        json!({ "trace": "x", "tags": ["a", "b"], "content-type": "application/json" })
    );
}

#[tokio::test]
async fn keys_of_any_json_are_their_text() {
    let floe = one_topic(1).await;
    for (key, expected) in [
        (json!("a\"b"), json!("a\"b")),
        (json!(42), json!("42")),
        (json!({ "a": [1, 2] }), json!(r#"{"a":[1,2]}"#)),
        (Value::Null, Value::Null),
        (json!({ "$base64": "/w==" }), json!({ "$base64": "/w==" })),
    ] {
        floe.post("/topics/t/records", json!({ "key": key, "value": 1 })).await.ok(201);
        assert_eq!(stored(&floe).await.pop().unwrap()["key"], expected);
    }
    send(&floe, "application/json", r#"{"key": [1, "a b"], "value": 1}"#).await.ok(201);
    assert_eq!(stored(&floe).await.pop().unwrap()["key"], r#"[1,"a b"]"#);
}

#[tokio::test]
async fn a_key_chooses_the_partition_that_kafkas_clients_choose() {
    let floe = one_topic(12).await;
    // murmur2 as Kafka's DefaultPartitioner computes it: "21" hashes to -973932308.
    let answer = floe.post("/topics/t/records", json!({ "key": "21", "value": 1 })).await.ok(201);
    assert_eq!(answer["partition"], (-973_932_308_i32 & 0x7fff_ffff) % 12);
    let answer =
        floe.post("/topics/t/records", json!({ "key": "21", "value": 1, "partition": 3 })).await.ok(201);
    assert_eq!(answer["partition"], 3);
    let detail = floe
        .post("/topics/t/records", json!({ "value": 1, "partition": 12 }))
        .await
        .problem(400, "BAD_REQUEST");
    assert!(detail.contains("0 to 11"), "{detail}");
}

#[tokio::test]
async fn timestamps_are_kept() {
    let floe = one_topic(1).await;
    for timestamp in [json!("2026-01-31T11:00:00.5+01:00"), json!(1_769_853_600_500_i64)] {
        let answer =
            floe.post("/topics/t/records", json!({ "value": 1, "timestamp": timestamp })).await.ok(201);
        assert_eq!(answer["timestamp"], "2026-01-31T10:00:00.500Z");
    }
}

#[tokio::test]
async fn null_is_a_tombstone_and_base64_stands_for_bytes() {
    let floe = one_topic(1).await;
    floe.post("/topics/t/records", json!({ "key": "k", "value": null })).await.ok(201);
    floe.post("/topics/t/records", json!({ "value": { "$base64": "AAEC" } })).await.ok(201);
    let records = stored(&floe).await;
    assert_eq!(records[0]["value"], Value::Null);
    assert_eq!(records[0]["headers"], json!({}));
    assert_eq!(records[1]["value"], json!({ "$base64": "AAEC" }));
}

#[tokio::test]
async fn several_records_are_stored_in_order_or_not_at_all() {
    let floe = one_topic(1).await;
    let batch = json!({ "records": [{ "value": 1 }, { "value": "two", "key": "k" }, { "value": null }] });
    let answer = floe.post("/topics/t/records", batch).await.ok(201);
    let at = |offset| json!({ "partition": 0, "offset": offset });
    assert_eq!(answer["offsets"], json!([at(0), at(1), at(2)]));
    let batch = json!({ "records": [{ "value": 1 }, { "key": "no value" }] });
    let detail = floe.post("/topics/t/records", batch).await.problem(400, "BAD_REQUEST");
    assert!(detail.starts_with("records[1]: the field 'value' is missing"), "{detail}");
    floe.post("/topics/t/records", json!({ "records": [] })).await.problem(400, "BAD_REQUEST");
    floe.post("/topics/t/records", json!({ "records": [{ "value": 1 }], "key": "k" }))
        .await
        .problem(400, "BAD_REQUEST");
    let batch = json!({ "records": [{ "value": 1 }, { "value": 1, "partition": 7 }] });
    floe.post("/topics/t/records", batch).await.problem(400, "BAD_REQUEST");
    assert_eq!(stored(&floe).await.len(), 3);
}

#[tokio::test]
async fn a_record_per_line() {
    let floe = one_topic(1).await;
    let body = "{\"value\":1}\r\n\r\n{\"value\":{\"a\": 2},\"key\":\"k\"}\n{\"value\":3}";
    let answer = send(&floe, "application/x-ndjson", body).await.ok(201);
    assert_eq!(answer["offsets"].as_array().unwrap().len(), 3);
    let mut lines = "{\"value\":1}\n".repeat(1_000);
    lines.insert_str(12 * 499, "{\"value\":\n");
    let detail = send(&floe, "application/x-ndjson", lines).await.problem(400, "BAD_REQUEST");
    assert!(detail.starts_with("line 500: "), "{detail}");
    assert_eq!(stored(&floe).await.len(), 3);
}

#[tokio::test]
async fn a_large_batch_keeps_its_order() {
    let floe = one_topic(1).await;
    let body: String = (0..9_000)
        .map(|n| format!("{{\"key\":\"k\",\"value\":{{\"n\":{n},\"pad\":\"{:0>60}\"}}}}\n", n))
        .collect();
    assert!(body.len() > 512 * 1024);
    let answer = send(&floe, "application/x-ndjson", body).await.ok(201);
    assert_eq!(answer["offsets"].as_array().unwrap().len(), 9_000);
    let values: Vec<_> =
        stored(&floe).await.iter().map(|record| record["value"]["n"].as_i64().unwrap()).collect();
    assert_eq!(values, (0..9_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn any_other_body_is_the_value() {
    let floe = one_topic(1).await;
    let call =
        floe.call("POST", "/topics/t/records?key=a%20b&acks=1").body("text/plain; charset=utf-8", "hello");
    let answer = call.send().await.ok(201);
    assert_eq!(answer["offset"], 0);
    send(&floe, "application/octet-stream", &b"\x00\xff"[..]).await.ok(201);
    send(&floe, "text/csv", "1").await.ok(201);
    let records = stored(&floe).await;
    assert_eq!(records[0]["key"], "a b");
    assert_eq!(records[0]["value"], json!({ "$base64": "aGVsbG8=" }));
    assert_eq!(records[0]["headers"]["content-type"], "text/plain; charset=utf-8");
    assert_eq!(records[1]["value"], json!({ "$base64": "AP8=" }));
    assert_eq!(records[2]["value"], 1);
}

#[tokio::test]
async fn forms_and_bodies_without_a_type_are_refused() {
    let floe = one_topic(1).await;
    for form in ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        send(&floe, form, "a=b").await.problem(415, "UNSUPPORTED_MEDIA_TYPE");
    }
    let bare = floe.call("POST", "/topics/t/records").bare_body("{}").send().await;
    bare.problem(415, "UNSUPPORTED_MEDIA_TYPE");
}

#[tokio::test]
async fn a_promise_is_all_one_or_none() {
    let floe = one_topic(1).await;
    for acks in ["all", "1"] {
        let answer =
            floe.post(&format!("/topics/t/records?acks={acks}"), json!({ "value": 1 })).await.ok(201);
        assert!(answer["offset"].as_i64().unwrap() >= 0);
    }
    let answer = floe.post("/topics/t/records?acks=0", json!({ "value": 1 })).await.ok(201);
    assert_eq!(answer["offset"], -1);
    let detail =
        floe.post("/topics/t/records?acks=2", json!({ "value": 1 })).await.problem(400, "BAD_REQUEST");
    assert!(detail.contains("all, 1, 0"), "{detail}");
}

#[tokio::test]
async fn what_cannot_be_stored_says_why() {
    let floe = one_topic(1).await;
    floe.post("/topics/none/records", json!({ "value": 1 })).await.problem(404, "TOPIC_NOT_FOUND");
    floe.post("/topics", json!({ "name": "small", "max_message_bytes": 1000 })).await.ok(201);
    let large = json!({ "value": "x".repeat(2_000) });
    floe.post("/topics/small/records", large).await.problem(413, "RECORD_TOO_LARGE");
    let detail =
        floe.post("/topics/t/records?key=a", json!({ "value": 1 })).await.problem(400, "BAD_REQUEST");
    assert!(detail.contains("unknown query parameter 'key'"), "{detail}");
}

#[tokio::test]
async fn compressed_bodies_are_taken() {
    use std::io::Write;
    let floe = one_topic(1).await;
    let plain = json!({ "value": "x".repeat(500) }).to_string();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(plain.as_bytes()).unwrap();
    for (coding, body) in [
        ("gzip", gzip.finish().unwrap()),
        ("zstd", zstd::encode_all(plain.as_bytes(), 1).unwrap()),
        ("identity", plain.clone().into_bytes()),
    ] {
        let call = floe.call("POST", "/topics/t/records").header("content-encoding", coding);
        call.body("application/json", body).send().await.ok(201);
    }
    assert_eq!(stored(&floe).await.len(), 3);
}
