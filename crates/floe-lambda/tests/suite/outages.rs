//! A Kafka that is away, a network that stands, and a process that Lambda has frozen.

use std::time::{Duration, Instant};

use floe_testkit::services::Traffic;

use crate::{
    cluster::{Log, Turn},
    event::{Api, BOTH, Event},
    function::{Answer, FUNCTION_TIMEOUT, Function, until},
};

#[track_caller]
fn assert_away(answer: &Answer) {
    assert!(matches!(answer.status, 503 | 504), "{answer:?}");
    let code = if answer.status == 503 { "UNAVAILABLE" } else { "OUTCOME_UNKNOWN" };
    answer.assert_problem(answer.status, code);
}

/// Repeats an event under a key until Kafka has it.
async fn deliver(function: &Function, api: Api, event: &Event) -> Answer {
    let mut delivered = None;
    until("Kafka has the event", async || {
        let answer = function.call(api, event).await;
        match answer.status {
            202 => delivered = Some(answer),
            _ => assert_away(&answer),
        }
        delivered.is_some()
    })
    .await;
    delivered.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_kafka_is_killed_nothing_is_accepted_and_then_the_same_process_goes_on() {
    let turn = Turn::take().await;
    let (log, function) = (Log::of(turn.kafka()).await, Function::start(&turn.kafka().bootstrap()).await);
    log.topic("killed", &[]).await;
    let event =
        |n: usize| Event::post("/register_event", &format!(r#"{{"n": {n}}}"#)).query("topic", "killed");
    assert_eq!(function.call(Api::Http, &event(0)).await.status, 202);
    turn.kill();
    for (n, api) in (1..).zip(BOTH) {
        let began = Instant::now();
        assert_away(&function.call(api, &event(n).header("Idempotency-Key", &format!("key-{n}"))).await);
        assert!(began.elapsed() < FUNCTION_TIMEOUT, "Lambda would have ended the process");
    }
    turn.restart();
    for (n, api) in (1..).zip(BOTH) {
        deliver(&function, api, &event(n).header("Idempotency-Key", &format!("key-{n}"))).await;
    }
    let answer = function.call(Api::Rest, &event(3)).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let mut all = log.all("killed").await;
    all.sort();
    assert_eq!(all, [0, 1, 2, 3].map(|n| format!(r#"{{"n": {n}}}"#)), "each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_that_starts_before_kafka_works_when_it_comes() {
    let turn = Turn::take().await;
    let log = Log::of(turn.kafka()).await;
    log.topic("late", &[]).await;
    turn.proxy().set(Traffic::Refused);
    let began = Instant::now();
    let function = Function::start(&turn.behind_proxy()).await;
    let event = Event::post("/register_event", "{}").query("topic", "late");
    let health = function.call(Api::Http, &Event::get("/health")).await;
    assert_eq!((health.status, &health.body["status"]), (200, &"degraded".into()), "{health:?}");
    assert!(began.elapsed() < Duration::from_secs(10), "Lambda gives a cold start no more");
    assert_away(&function.call(Api::Http, &event).await);
    turn.proxy().set(Traffic::Flows);
    deliver(&function, Api::Http, &event).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_comes_before_the_functions_time_is_over() {
    let turn = Turn::take().await;
    let log = Log::of(turn.kafka()).await;
    log.topic("slow", &[]).await;
    let function = Function::start(&turn.behind_proxy()).await;
    let event = |n: usize| {
        Event::post("/register_event", &format!(r#"{{"n": {n}}}"#))
            .query("topic", "slow")
            .header("Idempotency-Key", &format!("slow-{n}"))
    };
    assert_eq!(function.call(Api::Http, &event(0)).await.status, 202);
    turn.proxy().set(Traffic::Stands);
    let (began, within) = (Instant::now(), Duration::from_secs(3));
    let late = function.call_within(within, Api::Http, &event(1)).await;
    assert!(began.elapsed() < within, "Lambda would have ended the process");
    late.assert_problem(504, "OUTCOME_UNKNOWN");
    turn.proxy().set(Traffic::Flows);
    deliver(&function, Api::Http, &event(1)).await;
    assert_eq!(log.all("slow").await.len(), 2, "each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_process_goes_on_where_it_was() {
    let turn = Turn::take().await;
    let log = Log::of(turn.kafka()).await;
    log.topic("frozen", &[]).await;
    let function = Function::start(&turn.behind_proxy()).await;
    let process = function.process();
    let event =
        |n: usize| Event::post("/register_event", &format!(r#"{{"n": {n}}}"#)).query("topic", "frozen");
    assert_eq!(function.call(Api::Http, &event(0)).await.status, 202);

    // the first times, it may still be making some
    let mut sent = 1;
    until("a frozen process has kept all its connections", async || {
        function.freeze().await;
        let connections = turn.proxy().seen();
        let begun = function.begin(Api::Http, &event(sent)).await;
        assert_eq!(log.all("frozen").await.len(), sent, "nothing runs");
        function.thaw();
        let answer = function.answer(begun).await;
        sent += 1;
        assert_eq!(answer.status, 202, "{answer:?}");
        turn.proxy().seen() == connections
    })
    .await;

    // a long time: the brokers have closed the connections
    function.freeze().await;
    let connections = turn.proxy().seen();
    turn.proxy().cut();
    let begun = function.begin(Api::Rest, &event(sent)).await;
    function.thaw();
    let answer = function.answer(begun).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert!(turn.proxy().seen() > connections, "it has connected again");
    assert_eq!(function.process(), process);
    let all: Vec<_> = (0..=sent).map(|n| format!(r#"{{"n": {n}}}"#)).collect();
    assert_eq!(log.all("frozen").await, all, "each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_has_forgotten_its_connections_is_given_up() {
    let turn = Turn::take().await;
    let log = Log::of(turn.kafka()).await;
    log.topic("forgotten", &[]).await;
    let function = Function::start(&turn.behind_proxy()).await;
    let event = |n: usize| {
        let event = Event::post("/register_event", &format!(r#"{{"n": {n}}}"#)).query("topic", "forgotten");
        event.header("Idempotency-Key", &format!("forgotten-{n}"))
    };
    assert_eq!(function.call(Api::Http, &event(0)).await.status, 202);

    function.freeze().await;
    turn.proxy().forget();
    function.thaw();
    deliver(&function, Api::Http, &event(1)).await;
    assert_eq!(log.all("forgotten").await.len(), 2, "each once");
}
