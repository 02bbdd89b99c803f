//! Seed 003: `/v1/event` and `/v1/events`.

use serde_json::{Value, json};

use crate::{
    floe::{Answer, Floe},
    socket::PATIENCE,
    storing::{Plan, Storing, note},
};

fn pointers(answer: &Answer) -> Vec<String> {
    answer.problem(422, "UNPROCESSABLE");
    let problem = answer.json();
    let errors = problem["errors"].as_array().unwrap();
    errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
}

fn ids(list: &Value) -> Vec<&str> {
    list["events"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn an_event_is_accepted_and_then_stored_as_it_was_sent() {
    let floe = Storing::start().await;
    let text = r#"{"type":"login","user_id":"u1","data":{ "a": 1.50, "b":[] },"timestamp":"2026-01-31T11:00:00+01:00"}"#;
    let call = floe.call("POST", "/v1/event?wait=stored&wait_ms=20000").body("application/json", text);
    let stored = call.send().await.ok(201);
    assert_eq!(stored["status"], "stored");
    assert!(stored["stored_at"].is_string() && stored["cursor"].is_i64(), "{stored}");
    let path = format!("/v1/events/{}", stored["id"].as_str().unwrap());
    let found = floe.get(&path).await;
    let event = found.ok(200);
    assert_eq!((&event["event_type"], &event["user_id"]), (&json!("login"), &json!("u1")));
    assert_eq!(event["timestamp"], "2026-01-31T10:00:00.000Z");
    assert_eq!((&event["cursor"], &event["stored_at"]), (&stored["cursor"], &stored["stored_at"]));
    assert!(found.text().contains(r#""data":{ "a": 1.50, "b":[] }"#), "{}", found.text());
    let record = floe.get("/topics/events/records").await.ok(200)["records"][0].clone();
    assert_eq!(record["key"], "u1");
    assert_eq!(record["value"]["id"], stored["id"]);
    assert_eq!(record["headers"]["event-id"], stored["id"]);
    floe.stop().await;
}

#[tokio::test]
async fn the_same_id_twice_is_one_row() {
    let floe = Storing::start().await;
    let first = floe.stored(note("e-1", "u")).await;
    let again = floe.stored(note("e-1", "other")).await;
    assert_eq!((&first["id"], &again["cursor"]), (&json!("e-1"), &first["cursor"]));
    floe.rest().await;
    let list = floe.get("/v1/events").await.ok(200);
    assert_eq!(ids(&list), ["e-1"]);
    assert_eq!(list["events"][0]["user_id"], "u");
    floe.stop().await;
}

#[tokio::test]
async fn what_an_event_lacks_is_pointed_at() {
    let floe = Storing::start().await;
    let send = |event: Value| floe.post("/v1/event", event);
    assert_eq!(pointers(&send(json!({})).await), ["/event_type", "/user_id"]);
    assert_eq!(pointers(&send(json!([])).await), [""]);
    let wrong = json!({ "type": "", "user_id": 7, "data": [], "timestamp": "now", "id": "" });
    assert_eq!(pointers(&send(wrong).await), ["/type", "/user_id", "/id", "/timestamp", "/data"]);
    let schema = json!({ "event_type": "purchase", "user_id": "u", "data": { "amount": "a lot" } });
    assert_eq!(pointers(&send(schema).await), ["/data/amount"]);
    send(json!({ "event_type": "anything", "user_id": "u" })).await.ok(202);
    for bad in ["", "{", "{} {}", "{\"event_type\":\"a\",\"event_type\":\"b\"}", "\u{feff}{}"] {
        let call = floe.call("POST", "/v1/event").body("application/json", bad.to_owned());
        call.send().await.problem(400, "BAD_REQUEST");
    }
    let form = floe.call("POST", "/v1/event").body("application/x-www-form-urlencoded", "a=b");
    form.send().await.problem(415, "UNSUPPORTED_MEDIA_TYPE");
    for query in ["?wait=seen", "?wait_ms=5", "?wait=stored&wait_ms=60001", "?acks=1"] {
        floe.post(&format!("/v1/event{query}"), note("n", "u")).await.problem(400, "BAD_REQUEST");
    }
    floe.stop().await;
}

#[tokio::test]
async fn strictly_a_type_without_schema_is_refused() {
    let floe = Storing::with(Plan { strict: true, ..Plan::default() }).await;
    let answer = floe.post("/v1/event", note("n", "u")).await;
    assert_eq!(pointers(&answer).len(), 1);
    let login = json!({ "event_type": "login", "user_id": "u" });
    floe.post("/v1/event", login).await.ok(202);
    floe.stop().await;
}

#[tokio::test]
async fn a_batch_is_accepted_whole_or_not_at_all() {
    let floe = Storing::start().await;
    let array = json!([note("a", "u1"), note("b", "u2")]);
    let answer = floe.post("/v1/events", array).await.ok(202);
    assert_eq!((&answer["status"], &answer["accepted"]), (&json!("accepted"), &json!(2)));
    assert_eq!(answer["events"][1]["id"], "b");
    let wrapped = json!({ "events": [note("c", "u1")] });
    floe.post("/v1/events", wrapped).await.ok(202);
    let lines = format!("{}\r\n\n{}\n", note("d", "u1"), note("e", "u1"));
    let call = floe.call("POST", "/v1/events").body("application/x-ndjson", lines);
    assert_eq!(call.send().await.ok(202)["accepted"], 2);
    let bad = json!([note("f", "u"), { "event_type": "x" }, { "event_type": "purchase", "user_id": "u", "data": {} }]);
    let found = pointers(&floe.post("/v1/events", bad).await);
    assert_eq!(found[0], "/1/user_id");
    assert!(found[1].starts_with("/2/data"), "{found:?}");
    let bad = json!({ "events": [1] });
    assert_eq!(pointers(&floe.post("/v1/events", bad).await), ["/events/0"]);
    for empty in [json!([]), json!({}), json!({ "events": [] })] {
        floe.post("/v1/events", empty).await.problem(400, "BAD_REQUEST");
    }
    floe.rest().await;
    let list = floe.get("/v1/events?order=oldest").await.ok(200);
    let mut found = ids(&list);
    found.sort_unstable();
    assert_eq!(found, ["a", "b", "c", "d", "e"]);
    floe.stop().await;
}

#[tokio::test]
async fn a_key_makes_a_repeat_harmless() {
    let floe = Storing::start().await;
    let event = json!({ "event_type": "note", "user_id": "u" });
    let send = |key: &str, event: &Value| {
        floe.call("POST", "/v1/event").header("idempotency-key", key).json(event).send()
    };
    let first = send("k", &event).await.ok(202);
    let again = send("k", &event).await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.ok(202), first);
    send("k", &note("other", "u")).await.problem(409, "CONFLICT");
    let waited = floe.call("POST", "/v1/event?wait=stored&wait_ms=20000").header("idempotency-key", "k");
    assert_eq!(waited.json(&event).send().await.ok(201)["id"], first["id"]);
    floe.stop().await;
}

#[tokio::test]
async fn stored_events_are_listed_by_type_user_time_and_cursor() {
    let floe = Storing::start().await;
    for (id, kind, user, day) in
        [("a", "x", "u1", 1), ("b", "y", "u1", 2), ("c", "x", "u2", 3), ("d", "x", "u1", 4)]
    {
        let time = format!("2026-01-0{day}T00:00:00Z");
        floe.stored(json!({ "id": id, "event_type": kind, "user_id": user, "timestamp": time })).await;
    }
    for (query, expected) in [
        ("", &["d", "c", "b", "a"][..]),
        ("?order=oldest", &["a", "b", "c", "d"]),
        ("?event_type=x&order=oldest", &["a", "c", "d"]),
        ("?event_type=x&user_id=u1&order=oldest", &["a", "d"]),
        ("?since=2026-01-02T00:00:00Z&until=2026-01-04T00:00:00Z&order=oldest", &["b", "c"]),
        ("?user_id=nobody", &[]),
    ] {
        assert_eq!(ids(&floe.get(&format!("/v1/events{query}")).await.ok(200)), expected, "{query}");
    }
    let first = floe.get("/v1/events?limit=3").await.ok(200);
    assert_eq!(ids(&first), ["d", "c", "b"]);
    let second = floe.get(&format!("/v1/events?limit=3&cursor={}", first["next"])).await.ok(200);
    assert_eq!((ids(&second), &second["next"]), (vec!["a"], &Value::Null));
    let all = floe.get("/v1/events?order=oldest").await.ok(200);
    let after = format!("/v1/events?order=oldest&cursor={}", all["next"]);
    let none = floe.get(&after).await.ok(200);
    assert_eq!((&none["events"], &none["next"]), (&json!([]), &all["next"]));
    floe.stored(note("e", "u1")).await;
    assert_eq!(ids(&floe.get(&after).await.ok(200)), ["e"]);
    for bad in ["limit=0", "limit=1001", "cursor=x", "cursor=-1", "since=yesterday", "order=up", "type=x"] {
        floe.get(&format!("/v1/events?{bad}")).await.problem(400, "BAD_REQUEST");
    }
    floe.stop().await;
}

#[tokio::test]
async fn stored_events_are_counted() {
    let floe = Storing::start().await;
    for (user, second) in [("u1", 1), ("u1", 30), ("u2", 61)] {
        let time = format!("2026-01-01T00:0{}:{:02}Z", second / 60, second % 60);
        floe.stored(json!({ "event_type": "x", "user_id": user, "timestamp": time })).await;
    }
    let counts = |query: &'static str| async { floe.get(query).await.ok(200) };
    let by_type = counts("/v1/events/counts").await;
    assert_eq!(by_type, json!({ "by": "event_type", "counts": [{ "name": "x", "count": 3 }] }));
    let by_user = counts("/v1/events/counts?by=user_id").await["counts"].clone();
    let by_user = by_user.as_array().unwrap();
    assert!(by_user.contains(&json!({ "name": "u1", "count": 2 })), "{by_user:?}");
    let per_minute = counts("/v1/events/counts?every=1m").await["counts"].clone();
    assert_eq!(
        per_minute,
        json!([
            { "name": "x", "from": "2026-01-01T00:00:00.000Z", "count": 2 },
            { "name": "x", "from": "2026-01-01T00:01:00.000Z", "count": 1 }
        ])
    );
    let some = counts("/v1/events/counts?by=user_id&user_id=u2").await["counts"].clone();
    assert_eq!(some, json!([{ "name": "u2", "count": 1 }]));
    for bad in ["by=id", "every=1", "every=0s", "every=5ms", "limit=1"] {
        floe.get(&format!("/v1/events/counts?{bad}")).await.problem(400, "BAD_REQUEST");
    }
    floe.stop().await;
}

#[tokio::test]
async fn an_erased_event_is_gone_and_stays_gone() {
    let floe = Storing::start().await;
    floe.stored(note("e 1/ü", "u")).await;
    let path = "/v1/events/e%201%2F%C3%BC";
    floe.get(path).await.ok(200);
    let gone = floe.call("DELETE", path).send().await;
    assert_eq!((gone.status, gone.text()), (204, String::new()));
    floe.get(path).await.problem(404, "NOT_FOUND");
    floe.call("DELETE", path).send().await.problem(404, "NOT_FOUND");
    floe.stored(note("another", "u")).await;
    floe.rest().await;
    assert_eq!(ids(&floe.get("/v1/events").await.ok(200)), ["another"]);
    assert_eq!(floe.get("/get_status?event_id=e%201/%C3%BC").await.ok(200)["status"], "erased");
    floe.stop().await;
}

#[tokio::test]
async fn without_a_store_events_are_only_accepted() {
    let floe = Floe::start().await;
    floe.post("/v1/event", note("a", "u")).await.ok(202);
    floe.post("/v1/events", json!([note("b", "u")])).await.ok(202);
    for (method, path) in [
        ("GET", "/v1/events"),
        ("GET", "/v1/events/a"),
        ("DELETE", "/v1/events/a"),
        ("GET", "/v1/events/counts"),
        ("GET", "/v1/ws/events"),
    ] {
        floe.call(method, path).send().await.problem(503, "UNAVAILABLE");
    }
    floe.post("/v1/event?wait=stored", note("c", "u")).await.problem(503, "UNAVAILABLE");
    assert_eq!(floe.get("/get_status").await.ok(200)["accepted"], 2);
}

#[tokio::test]
async fn a_store_that_is_away_takes_nothing_but_its_reads_along() {
    let directory = tempfile::tempdir().unwrap();
    let plan = Plan { store: Some(directory.path().to_owned()), ..Plan::default() };
    let floe = Storing::with(plan).await;
    floe.post("/v1/event", note("a", "u")).await.ok(202);
    let waited = floe.post("/v1/event?wait=stored&wait_ms=50", note("b", "u")).await.ok(202);
    assert_eq!(waited["status"], "accepted");
    for path in ["/v1/events", "/v1/events/a", "/v1/events/counts"] {
        let detail = floe.get(path).await.problem(503, "UNAVAILABLE");
        assert!(!detail.contains(directory.path().to_str().unwrap()), "{detail}");
    }
    let ready = floe.until("/health/ready", |ready| ready["status"] == "degraded").await;
    let parts: Vec<_> = ready["reasons"].as_array().unwrap().iter().map(|why| why["part"].clone()).collect();
    assert!(parts.contains(&json!("store")), "{ready}");
    let health = floe.get("/health").await.ok(200);
    assert_eq!((&health["status"], &health["storage"]), (&json!("degraded"), &json!("writable")));
    assert_eq!(floe.get("/get_status?event_id=a").await.ok(200)["status"], "accepted");
    assert!(floe.get("/metrics").await.text().contains("floe_store_connected 0"));
    let stopped = tokio::time::timeout(PATIENCE / 2, floe.stop()).await;
    assert!(stopped.is_ok(), "the stop waits for a store that is away");
}
