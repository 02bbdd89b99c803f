//! Pausing, resuming, and the fuse.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use floe_pipeline::{Directory, FuseSpec, PipelineSpec, Start};

use crate::stage::{Arrived, Receiver, Stage, pipeline, texts, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_over_a_restart_until_somebody_resumes() {
    let stage = Stage::new();
    stage.make("t", 1).await;
    stage.put("t", 0, &texts(0, 10)).await;
    let receiver = Receiver::start(|_| 200).await;
    let specs = || vec![pipeline("p", "t", vec![receiver.sink()])];
    let running = stage.start(specs());
    stage.until_committed("p", "t", 0, 10).await;
    let directory = Directory::new(stage.engine(), &specs());
    directory.pause("p", "lunch", false).await.unwrap();
    let view = directory.get("p").await.unwrap().unwrap();
    assert_eq!((view.state, view.reason.as_deref()), ("paused", Some("lunch")));
    until("the worker says so", async || {
        let workers = directory.get("p").await.unwrap().unwrap().workers;
        workers.iter().all(|worker| worker.status.state == floe_pipeline::WorkerState::Paused)
    })
    .await;
    stage.put("t", 0, &texts(10, 20)).await;
    running.drain(Duration::from_secs(10)).await;
    drop(directory);

    stage.restart();
    let directory = Directory::new(stage.engine(), &specs());
    let running = stage.start(specs());
    until("it is there", async || {
        let view = directory.get("p").await.unwrap().unwrap();
        view.state == "paused" && view.workers.len() == 1 && view.workers[0].status.reason.is_some()
    })
    .await;
    assert_eq!(receiver.taken(), texts(0, 10), "nothing moves while it is paused");
    directory.resume("p").await.unwrap();
    stage.until_committed("p", "t", 0, 20).await;
    until("it runs", async || directory.get("p").await.unwrap().unwrap().state == "running").await;
    assert_eq!(receiver.taken(), texts(0, 20));
    running.drain(Duration::from_secs(10)).await;
    assert_eq!(directory.get("p").await.unwrap().unwrap().state, "stopped");
    assert!(directory.get("other").await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fuse_stops_a_pipeline_that_dead_letters_too_much() {
    let stage = Stage::new();
    stage.make("t", 1).await;
    stage.put("t", 0, &texts(0, 200)).await;
    let broken = Arc::new(AtomicBool::new(true));
    let answer = Arc::clone(&broken);
    let receiver =
        Receiver::start(
            move |arrived: &Arrived| {
                if arrived.offset >= 50 && answer.load(Ordering::SeqCst) { 400 } else { 200 }
            },
        )
        .await;
    let mut spec = pipeline("p", "t", vec![receiver.sink()]);
    spec.batch.max_records = 10;
    spec.fuse = Some(FuseSpec { share: 0.5, window: 20 });
    let directory = Directory::new(stage.engine(), std::slice::from_ref(&spec));
    let running = stage.start(vec![spec.clone()]);
    until("it has blown", async || directory.get("p").await.unwrap().unwrap().state == "fuse_blown").await;
    let view = directory.get("p").await.unwrap().unwrap();
    assert!(view.reason.unwrap().contains("of the newest 20"));
    // the batch in which it blew is the last one
    let letters = stage.read("dlq.p", 0).await.len();
    assert!((11..=20).contains(&letters), "{letters} dead letters");
    // it stays so for workers that come later
    running.drain(Duration::from_secs(10)).await;
    let running = stage.start(vec![spec]);
    until("another one is there", async || directory.get("p").await.unwrap().unwrap().workers.len() == 1)
        .await;
    assert_eq!(directory.get("p").await.unwrap().unwrap().state, "fuse_blown");
    broken.store(false, Ordering::SeqCst);
    directory.resume("p").await.unwrap();
    stage.until_committed("p", "t", 0, 200).await;
    assert_eq!(stage.read("dlq.p", 0).await.len(), letters, "none is there twice");
    assert_eq!(receiver.taken().len() + letters, 200);
    until("it runs", async || directory.get("p").await.unwrap().unwrap().state == "running").await;
    running.drain(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fuse_cuts_a_batch_that_nobody_can_process() {
    let stage = Stage::new();
    stage.make("t", 1).await;
    stage.put("t", 0, &vec!["not json".to_owned(); 200]).await;
    let receiver = Receiver::start(|_| 200).await;
    let mut spec = pipeline("p", "t", vec![receiver.sink()]);
    spec.steps = vec![floe_transform::Step::Filter("true".into())];
    spec.fuse = Some(FuseSpec { share: 0.5, window: 20 });
    let directory = Directory::new(stage.engine(), std::slice::from_ref(&spec));
    let running = stage.start(vec![spec]);
    for round in 1..4 {
        until("it has blown", async || {
            let view = directory.get("p").await.unwrap().unwrap();
            view.state == "fuse_blown" && view.dead_lettered == 20 * round
        })
        .await;
        stage.until_committed("p", "t", 0, (20 * round).try_into().unwrap()).await;
        directory.resume("p").await.unwrap();
    }
    running.drain(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_in_its_back_off_is_held_by_a_pause_and_tried_at_once_after_it() {
    let stage = Stage::new();
    stage.make("t", 1).await;
    stage.put("t", 0, &texts(0, 3)).await;
    let broken = Arc::new(AtomicBool::new(true));
    let answer = Arc::clone(&broken);
    let receiver = Receiver::start(move |_| if answer.load(Ordering::SeqCst) { 503 } else { 200 }).await;
    let mut spec = pipeline("p", "t", vec![receiver.sink()]);
    (spec.retry.initial, spec.retry.max) = (Duration::from_secs(3_000), Duration::from_secs(3_000));
    spec.retry.elapsed = Duration::from_secs(30_000);
    let directory = Directory::new(stage.engine(), std::slice::from_ref(&spec));
    let running = stage.start(vec![spec]);
    until("it waits", async || directory.get("p").await.unwrap().unwrap().state == "retrying").await;
    directory.pause("p", "repairs", false).await.unwrap();
    broken.store(false, Ordering::SeqCst);
    until("it stands", async || {
        directory.get("p").await.unwrap().unwrap().workers[0].status.state
            == floe_pipeline::WorkerState::Paused
    })
    .await;
    assert_eq!(receiver.arrived().len(), 1);
    directory.resume("p").await.unwrap();
    stage.until_committed("p", "t", 0, 3).await;
    assert_eq!(receiver.taken(), texts(0, 3));
    running.drain(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_pipeline_does_can_be_seen() {
    let stage = Stage::new();
    stage.make("t", 2).await;
    let receiver = Receiver::start(|arrived: &Arrived| if arrived.offset == 3 { 400 } else { 200 }).await;
    let spec = pipeline("p", "t", vec![receiver.sink()]);
    let directory = Directory::new(stage.engine(), std::slice::from_ref(&spec));
    let view = directory.list().await.unwrap().remove(0);
    assert_eq!((view.name.as_str(), view.state, view.sinks), ("p", "stopped", vec!["webhook".to_owned()]));
    let running = stage.start(vec![spec]);
    stage.put("t", 0, &texts(0, 10)).await;
    stage.put("t", 1, &texts(0, 3)).await;
    until("all is told", async || {
        let view = directory.list().await.unwrap().remove(0);
        let status = view.workers.first().map(|worker| worker.status.clone()).unwrap_or_default();
        let counted =
            (status.read, status.delivered, status.dead_lettered, status.in_flight) == (13, 12, 1, 0);
        let letters = (view.dead_lettered, view.dead_letters_open) == (1, 1);
        counted && letters && view.state == "running" && view.lag == 0
    })
    .await;
    let view = directory.list().await.unwrap().remove(0);
    assert_eq!(view.partitions, [("t".to_owned(), 0, 10, 10), ("t".to_owned(), 1, 3, 3)]);
    assert_eq!(view.workers[0].partitions.len(), 2);
    assert!(view.sinks[0].starts_with("webhook http://127.0.0.1"), "{:?}", view.sinks);
    let error = &view.workers[0].status.errors[0];
    assert_eq!((error.topic.as_str(), error.partition, error.offset), ("t", 0, 3));
    until("it has a rate", async || {
        stage.put("t", 1, &texts(0, 1)).await;
        directory.get("p").await.unwrap().unwrap().committed_per_sec > 0.0
    })
    .await;
    running.drain(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_read_is_lag_too() {
    let stage = Stage::new();
    stage.make("t", 2).await;
    stage.put("t", 0, &texts(0, 10)).await;
    stage.put("t", 1, &texts(10, 15)).await;
    let receiver = Receiver::start(|_| 200).await;
    let spec = pipeline("p", "t", vec![receiver.sink()]);
    let latest = PipelineSpec { name: "new".into(), start: Start::Latest, ..spec.clone() };
    let directory = Directory::new(stage.engine(), &[spec.clone(), latest]);
    let view = directory.get("p").await.unwrap().unwrap();
    assert_eq!((view.state, view.lag, view.partitions.len()), ("stopped", 15, 2));
    assert_eq!(directory.get("new").await.unwrap().unwrap().lag, 0);
    let running = stage.start(vec![spec]);
    until("all is read", async || directory.get("p").await.unwrap().unwrap().lag == 0).await;
    assert_eq!(receiver.taken().len(), 15);
    running.drain(Duration::from_secs(10)).await;
}
