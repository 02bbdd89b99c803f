//! What happens when a sink doesn't take what it is given.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicUsize, Ordering},
    },
    time::Duration,
};

use floe_pipeline::{DeadLetters, Directory};
use floe_transform::Step;

use crate::stage::{Arrived, Receiver, Stage, named, pipeline, texts, until};

#[tokio::test(flavor = "multi_thread")]
async fn order_is_kept_while_a_record_is_tried_again() {
    let stage = Stage::new();
    stage.make("t", 2).await;
    stage.put("t", 0, &texts(0, 100)).await;
    // every third attempt fails
    let attempts = AtomicUsize::new(0);
    let receiver = Receiver::start(
        move |_: &Arrived| {
            if attempts.fetch_add(1, Ordering::SeqCst) % 3 == 2 { 503 } else { 200 }
        },
    )
    .await;
    let running = stage.start(vec![pipeline("p", "t", vec![receiver.sink()])]);
    stage.until_committed("p", "t", 0, 100).await;
    assert_eq!(receiver.taken(), texts(0, 100));
    assert!(stage.read("dlq.p", 0).await.is_empty());
    running.drain(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_is_dead_lettered_and_everything_else_goes_on() {
    let stage = Stage::new();
    stage.make("t", 1).await;
    stage.put("t", 0, &texts(0, 100)).await;
    let bad = |arrived: &Arrived| arrived.offset % 10 == 7;
    let first = Receiver::start(move |arrived| if bad(arrived) { 422 } else { 200 }).await;
    let second = Receiver::start(|_| 200).await;
    let running = stage.start(vec![pipeline("p", "t", vec![first.sink(), second.sink()])]);
    stage.until_committed("p", "t", 0, 100).await;
    let good: Vec<_> = texts(0, 100).into_iter().filter(|text| !text.ends_with('7')).collect();
    assert_eq!(first.taken(), good);
    assert_eq!(second.taken(), texts(0, 100), "what one sink refuses the other one gets");
    let letters = stage.read("dlq.p", 0).await;
    let offsets: Vec<_> =
        letters.iter().map(|letter| named(&letter.headers, "__dlq.errors.offset").unwrap()).collect();
    assert_eq!(offsets, ["7", "17", "27", "37", "47", "57", "67", "77", "87", "97"]);
    running.drain(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_record_costs_its_budget_and_no_more() {
    let stage = Stage::new();
    stage.make("t", 1).await;
    stage.put("t", 0, &texts(0, 30)).await;
    let receiver = Receiver::start(|arrived: &Arrived| if arrived.offset == 11 { 500 } else { 200 }).await;
    let running = stage.start(vec![pipeline("p", "t", vec![receiver.sink()])]);
    stage.until_committed("p", "t", 0, 30).await;
    let tried = receiver.arrived().iter().filter(|(arrived, _)| arrived.offset == 11).count();
    assert_eq!(tried, 3, "as often as configured");
    let letter = &DeadLetters::new(stage.engine()).list("p", None, 10, false).await.unwrap().letters[0];
    assert_eq!((letter.attempts, letter.id.as_str()), (3, "0-0"));
    assert!(letter.first_failure.unwrap() <= letter.last_failure);
    assert!(letter.error.contains("500"), "{}", letter.error);
    running.drain(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_waited_for_and_holds_nobody_else_up() {
    let stage = Stage::new();
    stage.make("t", 1).await;
    stage.put("t", 0, &texts(0, 20)).await;
    // an address at which nobody listens
    let away = Receiver::start(|_| 200).await;
    let (address, gone) = (away.address, away.sink());
    drop(away);
    until("nobody listens", async || tokio::net::TcpStream::connect(address).await.is_err()).await;
    let fine = Receiver::start(|_| 200).await;
    let directory = Directory::new(stage.engine(), &[]);
    let running =
        stage.start(vec![pipeline("away", "t", vec![gone]), pipeline("fine", "t", vec![fine.sink()])]);
    stage.until_committed("fine", "t", 0, 20).await;
    until("it says that it tries again", async || {
        let view = directory.get("away").await.unwrap().unwrap();
        view.state == "retrying" && view.reason.is_some_and(|reason| reason.contains("webhook"))
    })
    .await;
    assert_eq!(stage.committed("away", "t", 0).await, Some(0));
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&taken);
    let handler = axum::routing::post(move || {
        let counted = Arc::clone(&counted);
        async move {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let router = axum::Router::new().route("/", handler);
    let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    stage.until_committed("away", "t", 0, 20).await;
    assert_eq!(taken.load(Ordering::SeqCst), 20);
    assert!(stage.read("dlq.away", 0).await.is_empty(), "an outage is nobody's fault");
    until("it runs", async || directory.get("away").await.unwrap().unwrap().state == "running").await;
    running.drain(Duration::from_secs(10)).await;
    server.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_refuses_for_good_stops_the_pipeline_until_it_is_resumed() {
    let stage = Stage::new();
    stage.make("t", 1).await;
    stage.put("t", 0, &texts(0, 10)).await;
    let status = Arc::new(AtomicU16::new(410));
    let answer = Arc::clone(&status);
    let receiver = Receiver::start(
        move |arrived: &Arrived| {
            if arrived.offset < 4 { 200 } else { answer.load(Ordering::SeqCst) }
        },
    )
    .await;
    let directory = Directory::new(stage.engine(), &[]);
    let running = stage.start(vec![pipeline("p", "t", vec![receiver.sink()])]);
    until("it has failed", async || {
        directory.get("p").await.unwrap().is_some_and(|view| view.state == "failed")
    })
    .await;
    assert!(directory.get("p").await.unwrap().unwrap().reason.unwrap().contains("410"));
    let tried = receiver.arrived().len();
    status.store(200, Ordering::SeqCst);
    directory.resume("p").await.unwrap();
    stage.until_committed("p", "t", 0, 10).await;
    assert_eq!(tried, 5, "it doesn't ask again before somebody says so");
    until("it runs", async || directory.get("p").await.unwrap().unwrap().state == "running").await;
    running.drain(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_steps_cannot_process_is_dead_lettered() {
    let stage = Stage::new();
    stage.make("t", 1).await;
    let values = ["{\"n\":1}", "{\"n\":2}", "not json", "{\"n\":3}"].map(str::to_owned);
    stage.put("t", 0, &values).await;
    let receiver = Receiver::start(|_| 200).await;
    let mut spec = pipeline("p", "t", vec![receiver.sink()]);
    spec.steps = vec![Step::Filter(".n != 2".into()), Step::Map(".n, .n * 10".into())];
    let running = stage.start(vec![spec]);
    stage.until_committed("p", "t", 0, 4).await;
    assert_eq!(receiver.taken(), ["1", "10", "3", "30"]);
    let letters = stage.read("dlq.p", 0).await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].value.as_deref(), Some(&b"not json"[..]));
    running.drain(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_does_not_wait_for_a_sink_that_is_away() {
    let stage = Stage::new();
    stage.make("t", 1).await;
    stage.put("t", 0, &texts(0, 10)).await;
    let receiver = Receiver::start(|arrived: &Arrived| if arrived.offset < 6 { 200 } else { 503 }).await;
    let mut spec = pipeline("p", "t", vec![receiver.sink()]);
    spec.retry.initial = Duration::from_secs(600);
    spec.retry.max = Duration::from_secs(600);
    let running = stage.start(vec![spec]);
    until("it waits", async || receiver.arrived().len() == 7).await;
    let draining = tokio::time::timeout(Duration::from_secs(5), running.drain(Duration::from_secs(20)));
    draining.await.expect("the wait is cut short");
    assert_eq!(stage.committed("p", "t", 0).await, Some(6), "what was delivered is committed");
}
