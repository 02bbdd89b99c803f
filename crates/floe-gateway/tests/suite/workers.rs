//! What a worker of another process needs: membership, and records without loss.

use bytes::Bytes;
use floe_engine::{Header, NewRecord};
use floe_pipeline::wire::{self, WireAppend};
use serde_json::{Value, json};

use crate::floe::{Answer, Floe};

async fn joined(floe: &Floe, client: &str) -> Value {
    let body = json!({ "client_id": client, "topics": ["t"], "session_ms": 30000 });
    floe.post("/groups/g/members", body).await.ok(201)
}

async fn beat(floe: &Floe, member: &Value, body: Value) -> Answer {
    floe.post(&format!("/groups/g/members/{}/heartbeat", member["member"].as_str().unwrap()), body).await
}

async fn append(floe: &Floe, path: &str, append: &WireAppend, key: Option<&str>) -> Answer {
    let call = floe.call("POST", path).body(wire::MEDIA_TYPE, wire::encode_append(append));
    match key {
        Some(key) => call.header("idempotency-key", key).send().await,
        None => call.send().await,
    }
}

#[tokio::test]
async fn members_share_partitions_and_say_how_they_are() {
    let floe = Floe::start().await;
    floe.topic("t", 2).await;
    let one = joined(&floe, "one").await;
    assert_eq!(one["assignment"].as_array().unwrap().len(), 2);
    let two = joined(&floe, "two").await;
    assert_eq!(two["assignment"], json!([]), "the first has not been told yet");
    let told = beat(&floe, &one, json!({ "status": { "state": "running", "read": 7 } })).await.ok(200);
    assert_eq!(told["assignment"].as_array().unwrap().len(), 1);
    let told = beat(&floe, &two, json!({})).await.ok(200);
    assert_eq!(told["assignment"].as_array().unwrap().len(), 1);
    let group = floe.get("/groups/g").await.ok(200);
    let member = |client: &str| {
        let members = group["members"].as_array().unwrap();
        members.iter().find(|member| member["client_id"] == client).unwrap().clone()
    };
    assert_eq!(member("one")["status"], json!({ "state": "running", "read": 7 }));
    assert_eq!(member("two").get("status"), None);
    let leave = format!("/groups/g/members/{}", one["member"].as_str().unwrap());
    assert_eq!(floe.call("DELETE", &leave).send().await.status, 204);
    floe.call("DELETE", &leave).send().await.problem(404, "NOT_FOUND");
    beat(&floe, &one, json!({})).await.problem(404, "NOT_FOUND");
    let told = beat(&floe, &two, json!({})).await.ok(200);
    assert_eq!(told["assignment"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn only_who_owns_a_partition_commits_for_it() {
    let floe = Floe::start().await;
    floe.topic("t", 1).await;
    floe.post("/topics/t/records", json!({ "value": 1 })).await.ok(201);
    let member = joined(&floe, "one").await;
    let commit = |member: Value, generation: Value, offset: i64| {
        let offsets = json!([{ "topic": "t", "partition": 0, "offset": offset }]);
        floe.post(
            "/groups/g/commit",
            json!({ "member": member, "generation": generation, "offsets": offsets }),
        )
    };
    let (id, generation) = (member["member"].clone(), member["generation"].clone());
    assert_eq!(commit(id.clone(), generation.clone(), 1).await.ok(200), json!({ "status": "committed" }));
    assert_eq!(floe.get("/groups/g").await.ok(200)["partitions"][0]["committed"], 1);
    commit(id.clone(), json!(generation.as_u64().unwrap() + 1), 0).await.problem(409, "CONFLICT");
    commit(json!("nobody"), generation.clone(), 0).await.problem(409, "CONFLICT");
    commit(id, Value::Null, 0).await.problem(400, "BAD_REQUEST");
    commit(Value::Null, Value::Null, 9).await.problem(400, "BAD_REQUEST");
    commit(Value::Null, Value::Null, 0).await.ok(200);
    let unknown = json!({ "member": "m", "generation": 1, "offsets": [] });
    floe.post("/groups/none/commit", unknown).await.problem(409, "CONFLICT");
}

#[tokio::test]
async fn a_bad_member_is_told_what_is_wrong() {
    let floe = Floe::start().await;
    floe.topic("t", 1).await;
    for (body, expected) in [
        (json!({ "client_id": "", "topics": ["t"] }), "client_id: it has 0 bytes"),
        (json!({ "client_id": "c", "topics": vec!["t"; 101] }), "at most 100"),
        (json!({ "client_id": "c", "topics": ["a/b"] }), "topics: "),
        (json!({ "client_id": "c", "topics": ["t"], "session_ms": 10 }), "session_ms: 10"),
    ] {
        let detail = floe.post("/groups/g/members", body.clone()).await.problem(400, "BAD_REQUEST");
        assert!(detail.contains(expected), "{body}: {detail}");
    }
    let none = json!({ "client_id": "c", "topics": ["none"] });
    floe.post("/groups/g/members", none).await.problem(404, "TOPIC_NOT_FOUND");
    let member = joined(&floe, "one").await;
    let long = json!({ "status": "x".repeat(20_000) });
    beat(&floe, &member, long).await.problem(413, "RECORD_TOO_LARGE");
}

#[tokio::test]
async fn records_go_to_a_worker_and_come_back_without_loss() {
    let floe = Floe::start().await;
    floe.topic("t", 2).await;
    let header = |name: &'static str, value: Option<&'static [u8]>| Header {
        name: name.into(),
        value: value.map(Bytes::from_static),
    };
    let record = NewRecord {
        key: Some(Bytes::from_static(b"\xff\0")),
        value: Some(Bytes::from_static(b"{ not json \xfe")),
        headers: vec![header("a", Some(b"1")), header("a", None), header("a", Some(b"\xff"))],
        partition: Some(1),
        timestamp: Some(1_769_853_600_000),
    };
    let tombstone = NewRecord { key: Some(Bytes::new()), partition: Some(1), ..NewRecord::default() };
    let sent = WireAppend { fingerprint: Some(7), records: vec![record.clone(), tombstone] };
    let answer = append(&floe, "/topics/t/batch?acks=all", &sent, Some("k")).await;
    let places = answer.ok(201)["offsets"].clone();
    assert_eq!((&places[0]["partition"], &places[1]["offset"]), (&json!(1), &json!(1)));
    assert_eq!(places[0]["timestamp"], "2026-01-31T10:00:00.000Z");
    let again = append(&floe, "/topics/t/batch?acks=all", &sent, Some("k")).await;
    assert_eq!((again.header("idempotency-replayed"), &again.ok(201)["offsets"]), (Some("true"), &places));
    let other = WireAppend { fingerprint: Some(8), ..sent };
    append(&floe, "/topics/t/batch", &other, Some("k")).await.problem(409, "CONFLICT");

    let read = floe.get("/topics/t/partitions/1/batch?offset=0&max_records=10&wait_ms=0").await;
    assert_eq!((read.status, read.header("content-type")), (200, Some(wire::MEDIA_TYPE)));
    let page = wire::decode_page(read.body).unwrap();
    assert_eq!((page.next_offset, page.log_start, page.high_watermark), (2, 0, 2));
    let got = &page.records[0];
    assert_eq!(
        (&got.key, &got.value, &got.headers, got.timestamp),
        (&record.key, &record.value, &record.headers, 1_769_853_600_000)
    );
    assert_eq!((&page.records[1].key, &page.records[1].value), (&Some(Bytes::new()), &None));
}

#[tokio::test]
async fn a_worker_is_told_where_a_partition_begins_and_ends() {
    let floe = Floe::start().await;
    floe.topic("t", 1).await;
    floe.post("/topics/t/records", json!({ "value": 1 })).await.ok(201);
    let answer = floe.get("/topics/t/partitions/0/batch?offset=9").await;
    answer.problem(416, "OFFSET_OUT_OF_RANGE");
    assert_eq!((&answer.json()["start"], &answer.json()["end"]), (&json!(0), &json!(1)));
    floe.get("/topics/t/partitions/3/batch").await.problem(400, "BAD_REQUEST");
    floe.get("/topics/t/partitions/x/batch").await.problem(400, "BAD_REQUEST");
    floe.get("/topics/none/partitions/0/batch").await.problem(404, "TOPIC_NOT_FOUND");
    floe.get("/topics/t/partitions/0/batch?limit=1").await.problem(400, "BAD_REQUEST");
    let waiting = floe.get("/topics/t/partitions/0/batch?offset=1&wait_ms=30000");
    let (page, _) = tokio::join!(waiting, floe.post("/topics/t/records", json!({ "value": 2 })));
    assert_eq!(wire::decode_page(page.body).unwrap().next_offset, 2);
}

#[tokio::test]
async fn what_is_no_batch_is_refused() {
    let floe = Floe::start().await;
    floe.topic("t", 1).await;
    let send = |kind: &'static str, body: &'static [u8]| {
        floe.call("POST", "/topics/t/batch").body(kind, body).send()
    };
    send("application/json", b"{}").await.problem(415, "UNSUPPORTED_MEDIA_TYPE");
    let detail = send(wire::MEDIA_TYPE, b"\x09\x02").await.problem(400, "BAD_REQUEST");
    assert!(detail.contains("version 9"), "{detail}");
    append(&floe, "/topics/t/batch", &WireAppend::default(), None).await.problem(400, "BAD_REQUEST");
    let one = WireAppend { fingerprint: None, records: vec![NewRecord::default()] };
    append(&floe, "/topics/none/batch", &one, None).await.problem(404, "TOPIC_NOT_FOUND");
    append(&floe, "/topics/__pipelines/batch", &one, None).await.problem(403, "FORBIDDEN");
    append(&floe, "/topics/t/batch", &one, None).await.ok(201);
}

#[tokio::test]
async fn a_topic_and_the_log_have_ids() {
    let floe = Floe::start().await;
    floe.topic("t", 1).await;
    let first = floe.get("/topics/t").await.ok(200)["id"].as_u64().unwrap();
    floe.call("DELETE", "/topics/t").send().await.ok(200);
    floe.topic("t", 1).await;
    assert_ne!(floe.get("/topics/t").await.ok(200)["id"].as_u64().unwrap(), first);
    assert!(!floe.get("/health").await.ok(200)["log_id"].as_str().unwrap().is_empty());
}
