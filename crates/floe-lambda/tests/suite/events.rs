//! Events that come in.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use serde_json::json;

use crate::{
    cluster::{Log, shared},
    event::{Api, BOTH, Event},
    function::{Function, place_in},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_in_kafka_when_it_is_answered() {
    let kafka = shared();
    let (log, function) = (Log::of(&kafka).await, Function::start(&kafka.bootstrap()).await);
    for api in BOTH {
        let sent = format!(r#"{{"event_type": "login",  "user_id": "u1", "by": "{api:?}"}}"#);
        let answer = function.call(api, &Event::post("/register_event", &sent)).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        assert_eq!((&answer.body["status"], &answer.body["topic"]), (&json!("accepted"), &json!("events")));
        assert_eq!(answer.body["event_id"].as_str().unwrap().len(), 36);
        assert_eq!(answer.headers["content-type"], "application/json");
        assert_eq!(log.at("events", answer.place()).await, sent);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_is_asked_for_in_the_query() {
    let kafka = shared();
    let (log, function) = (Log::of(&kafka).await, Function::start(&kafka.bootstrap()).await);
    log.topic("orders", &[]).await;
    for (offset, api) in (0..).zip(BOTH) {
        let event = Event::post("/register_event", r#"{"id": "o-1"}"#).query("topic", "orders");
        let answer = function.call(api, &event).await;
        assert_eq!((answer.status, answer.place()), (202, (0, offset)), "{answer:?}");
        assert_eq!((&answer.body["topic"], &answer.body["event_id"]), (&json!("orders"), &json!("o-1")));
    }
    let answer =
        function.call(Api::Http, &Event::post("/register_event", "{}").query("topic", "misspelt")).await;
    answer.assert_problem(404, "TOPIC_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_in_base64_is_undone() {
    let kafka = shared();
    let (log, function) = (Log::of(&kafka).await, Function::start(&kafka.bootstrap()).await);
    let sent = r#"{"city": "Zürich", "n": 1}"#;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(sent.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    for api in BOTH {
        let plain = Event::post("/register_event", "").bytes(sent.as_bytes());
        let zipped = Event::post("/register_event", "").header("Content-Encoding", "gzip").bytes(&gzip);
        for event in [plain, zipped] {
            let answer = function.call(api, &event).await;
            assert_eq!(answer.status, 202, "{answer:?}");
            assert_eq!(log.at("events", answer.place()).await, sent);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_stored_whole_or_not_at_all() {
    let kafka = shared();
    let (log, function) = (Log::of(&kafka).await, Function::start(&kafka.bootstrap()).await);
    log.topic("batches", &[]).await;
    let lines: Vec<_> = (0..50).map(|n| format!(r#"{{"id":"e{n}"}}"#)).collect();
    let batch = |lines: &[String]| {
        Event::post("/register_event", &lines.join("\n"))
            .query("topic", "batches")
            .header("Content-Type", "application/x-ndjson")
    };
    let mut broken = lines.clone();
    broken[30] = "[]".to_owned();
    for api in BOTH {
        function.call(api, &batch(&broken)).await.assert_problem(400, "BAD_REQUEST");
    }
    let answer = function.call(Api::Rest, &batch(&lines)).await;
    assert_eq!((answer.status, &answer.body["accepted"]), (202, &json!(50)), "{answer:?}");
    for (line, event) in lines.iter().zip(answer.body["events"].as_array().unwrap()) {
        assert_eq!(log.at("batches", place_in(event)).await, *line);
    }
    assert_eq!(log.all("batches").await, lines);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn activity_events_are_checked_and_accepted() {
    let kafka = shared();
    let (log, function) = (Log::of(&kafka).await, Function::start(&kafka.bootstrap()).await);
    let login = r#"{"event_type": "login", "user_id": "u7"}"#;
    for api in BOTH {
        let answer = function.call(api, &Event::post("/v1/event", login)).await;
        assert_eq!((answer.status, &answer.body["status"]), (202, &json!("accepted")), "{answer:?}");
        assert!(log.at("events", answer.place()).await.contains("u7"));
        let answer = function.call(api, &Event::post("/v1/events", &format!("[{login},{login}]"))).await;
        assert_eq!((answer.status, &answer.body["accepted"]), (202, &json!(2)), "{answer:?}");
        let answer = function.call(api, &Event::post("/v1/event", r#"{"event_type": "login"}"#)).await;
        answer.assert_problem(422, "UNPROCESSABLE");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_under_a_key_gets_the_first_answer() {
    let kafka = shared();
    let log = Log::of(&kafka).await;
    log.topic("once", &[]).await;
    // another process of the function knows the key too
    let functions = [Function::start(&kafka.bootstrap()).await, Function::start(&kafka.bootstrap()).await];
    let event = Event::post("/register_event", r#"{"n": 1}"#)
        .query("topic", "once")
        .header("Idempotency-Key", "retry-1");
    let first = functions[0].call(Api::Rest, &event).await;
    assert_eq!(first.status, 202, "{first:?}");
    assert!(!first.headers.contains_key("idempotency-replayed"));
    for function in &functions {
        for api in BOTH {
            let repeat = function.call(api, &event).await;
            assert_eq!((repeat.status, &repeat.body), (202, &first.body), "{repeat:?}");
            assert_eq!(repeat.headers["idempotency-replayed"], "true");
        }
    }
    assert_eq!(log.all("once").await, [r#"{"n": 1}"#]);
    let other = Event::post("/register_event", r#"{"n": 2}"#)
        .query("topic", "once")
        .header("Idempotency-Key", "retry-1");
    functions[1].call(Api::Http, &other).await.assert_problem(409, "CONFLICT");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn less_than_kafkas_acknowledgement_is_not_promised() {
    let kafka = shared();
    let (log, function) = (Log::of(&kafka).await, Function::start(&kafka.bootstrap()).await);
    // a frozen process would keep what it has not sent
    log.topic("careless", &[("floe.acks", "0")]).await;
    for (n, acks) in [None, Some("0"), Some("1"), Some("all")].into_iter().enumerate() {
        let sent = format!(r#"{{"n": {n}}}"#);
        let event = Event::post("/register_event", &sent).query("topic", "careless");
        let event = acks.into_iter().fold(event, |event, acks| event.query("acks", acks));
        let answer = function.call(Api::Http, &event).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        assert_eq!(log.at("careless", answer.place()).await, sent);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_function_tells_how_it_is_and_how_far_events_have_come() {
    let kafka = shared();
    let (log, function) = (Log::of(&kafka).await, Function::start(&kafka.bootstrap()).await);
    log.topic("counted", &[]).await;
    for api in BOTH {
        let event = Event::post("/register_event", "{}").query("topic", "counted");
        assert_eq!(function.call(api, &event).await.status, 202);
        let health = function.call(api, &Event::get("/health")).await;
        assert_eq!((health.status, &health.body["engine"]), (200, &json!("kafka")), "{health:?}");
    }
    let status = function.call(Api::Http, &Event::get("/get_status").query("topic", "counted")).await;
    assert_eq!((status.status, &status.body["accepted"]), (200, &json!(2)), "{status:?}");
}
