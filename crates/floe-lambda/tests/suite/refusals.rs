//! What is refused, and how.

use crate::{
    cluster::shared,
    event::{BOTH, Event},
    function::Function,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_json_is_refused_with_its_place() {
    let kafka = shared();
    let function = Function::start(&kafka.bootstrap()).await;
    for api in BOTH {
        let answer = function.call(api, &Event::post("/register_event", r#"{"a": }"#)).await;
        answer.assert_problem(400, "BAD_REQUEST");
        assert!(answer.body["detail"].as_str().unwrap().contains("column 7"), "{answer:?}");
        let answer = function.call(api, &Event::post("/register_event", "")).await;
        answer.assert_problem(400, "BAD_REQUEST");
        let text = Event::post("/register_event", "{}").header("Content-Type", "text/plain");
        function.call(api, &text).await.assert_problem(415, "UNSUPPORTED_MEDIA_TYPE");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_ways_in_are_there() {
    let kafka = shared();
    let function = Function::start(&kafka.bootstrap()).await;
    for api in BOTH {
        for event in [
            Event::get("/"),
            Event::get("/nowhere"),
            Event::get("/prod/health"),
            Event::get("/topics"),
            Event::post("/topics", r#"{"name": "t"}"#),
            Event::post("/topics/events/records", r#"{"value": 1}"#),
            Event::get("/topics/events/records"),
            Event::get("/pipelines"),
            Event::get("/v1/events/some-id"),
        ] {
            let answer = function.call(api, &event).await;
            answer.assert_problem(404, "NOT_FOUND");
        }
        for event in [Event::get("/v1/events"), Event::get("/register_event")] {
            let answer = function.call(api, &event).await;
            answer.assert_problem(405, "BAD_REQUEST");
            assert_eq!(answer.headers["allow"], "POST");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_a_database_is_refused_by_name() {
    let kafka = shared();
    let function = Function::start(&kafka.bootstrap()).await;
    let event = r#"{"event_type": "login", "user_id": "u1"}"#;
    for api in BOTH {
        for (event, named) in [
            (Event::post("/v1/event", event).query("wait", "stored"), "wait=stored"),
            (Event::get("/get_status").query("event_id", "e1"), "event_id"),
        ] {
            let answer = function.call(api, &event).await;
            answer.assert_problem(503, "UNAVAILABLE");
            assert!(answer.body["detail"].as_str().unwrap().contains(named), "{answer:?}");
            assert!(!answer.headers.contains_key("retry-after"), "a repeat would be refused too");
        }
    }
}
