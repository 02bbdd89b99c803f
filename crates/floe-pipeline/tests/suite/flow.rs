//! The way of records through a pipeline where nothing goes wrong.

use std::time::Duration;

use floe_pipeline::{Directory, Start};
use serde_json::json;

use crate::stage::{Receiver, Stage, lines, pipeline, sink, text, texts, until};

#[tokio::test(flavor = "multi_thread")]
async fn every_record_goes_to_every_sink_in_order_and_is_committed() {
    let stage = Stage::new();
    stage.make("t", 2).await;
    let receiver = Receiver::start(|_| 200).await;
    let file = stage.path("out.ndjson");
    let to_file = sink(json!({ "type": "file", "path": file, "format": "value" }));
    stage.put("t", 0, &texts(0, 120)).await;
    let running = stage.start(vec![pipeline("p", "t", vec![receiver.sink(), to_file])]);
    stage.put("t", 0, &texts(120, 130)).await;
    stage.put("t", 1, &["1000".to_owned()]).await;
    stage.until_committed("p", "t", 0, 130).await;
    stage.until_committed("p", "t", 1, 1).await;
    let of_first = |values: Vec<String>| values.into_iter().filter(|v| v != "1000").collect::<Vec<_>>();
    assert_eq!(of_first(receiver.taken()), texts(0, 130));
    assert_eq!(of_first(lines(&file)), texts(0, 130));
    running.drain(Duration::from_secs(10)).await;
    assert!(stage.engine().describe_group("pipeline:p").await.unwrap().members.is_empty(), "it has left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_goes_on_where_the_last_one_stopped() {
    let stage = Stage::new();
    stage.make("t", 1).await;
    let receiver = Receiver::start(|_| 200).await;
    let specs = || vec![pipeline("p", "t", vec![receiver.sink()])];
    stage.put("t", 0, &texts(0, 75)).await;
    let running = stage.start(specs());
    stage.until_committed("p", "t", 0, 75).await;
    running.drain(Duration::from_secs(10)).await;
    stage.restart();
    stage.put("t", 0, &texts(75, 100)).await;
    let running = stage.start(specs());
    stage.until_committed("p", "t", 0, 100).await;
    assert_eq!(receiver.taken(), texts(0, 100), "nothing twice after an orderly end");
    running.drain(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_there_before_is_left_out_on_request() {
    let stage = Stage::new();
    stage.make("t", 1).await;
    stage.put("t", 0, &texts(0, 10)).await;
    let receiver = Receiver::start(|_| 200).await;
    let mut spec = pipeline("p", "t", vec![receiver.sink()]);
    spec.start = Start::Latest;
    let running = stage.start(vec![spec.clone()]);
    // its place is kept at once, so that nothing is left out between here and the first record
    stage.until_committed("p", "t", 0, 10).await;
    drop(running);
    stage.put("t", 0, &texts(10, 20)).await;
    let running = stage.start(vec![spec]);
    stage.pass(Duration::from_secs(60));
    stage.until_committed("p", "t", 0, 20).await;
    assert_eq!(receiver.taken(), texts(10, 20));
    running.drain(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_comes_later_is_read_from_its_beginning() {
    let stage = Stage::new();
    let receiver = Receiver::start(|_| 200).await;
    let mut spec = pipeline("p", "late", vec![receiver.sink()]);
    spec.start = Start::Latest;
    spec.from.push("later".into());
    let directory = Directory::new(stage.engine(), std::slice::from_ref(&spec));
    let running = stage.start(vec![spec]);
    until("it says what it waits for", async || {
        let view = directory.get("p").await.unwrap().unwrap();
        view.state == "starting" && view.reason.is_some_and(|reason| reason.contains("'late'"))
    })
    .await;
    stage.make("late", 1).await;
    stage.put("late", 0, &texts(0, 5)).await;
    stage.until_committed("p", "late", 0, 5).await;
    stage.make("later", 1).await;
    stage.put("later", 0, &texts(5, 9)).await;
    stage.until_committed("p", "later", 0, 4).await;
    assert_eq!(receiver.taken(), texts(0, 9));
    // and once more when it is another one of the same name
    stage.engine().delete_topic("later").await.unwrap();
    stage.make("later", 2).await;
    stage.put("later", 1, &texts(9, 12)).await;
    stage.until_committed("p", "later", 1, 3).await;
    // partitions that are added are read, too
    stage.engine().alter_topic("later", Some(3), std::collections::BTreeMap::new()).await.unwrap();
    stage.put("later", 2, &texts(12, 14)).await;
    stage.until_committed("p", "later", 2, 2).await;
    assert_eq!(receiver.taken(), texts(0, 14));
    running.drain(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_pipeline_finishes_its_batch() {
    let stage = Stage::new();
    stage.make("t", 1).await;
    stage.put("t", 0, &texts(0, 200)).await;
    let receiver = Receiver::start(|_| 200).await;
    let running = stage.start(vec![pipeline("p", "t", vec![receiver.sink()])]);
    until("something arrived", async || receiver.taken().len() > 10).await;
    running.drain(Duration::from_secs(20)).await;
    let committed = stage.committed("p", "t", 0).await.unwrap();
    let taken = receiver.taken();
    assert_eq!(taken.len(), usize::try_from(committed).unwrap(), "what was delivered is committed");
    assert_eq!(taken, texts(0, taken.len()));
}

#[tokio::test(flavor = "multi_thread")]
async fn records_can_go_to_another_topic() {
    let stage = Stage::new();
    stage.make("from", 1).await;
    stage.make("to", 1).await;
    stage.put("from", 0, &texts(0, 60)).await;
    let running =
        stage.start(vec![pipeline("p", "from", vec![sink(json!({ "type": "topic", "topic": "to" }))])]);
    stage.until_committed("p", "from", 0, 60).await;
    let to: Vec<_> = stage.read("to", 0).await.iter().map(|record| text(record.value.as_ref())).collect();
    assert_eq!(to, texts(0, 60));
    running.drain(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_took_away_is_told_and_passed_over() {
    let stage = Stage::new();
    stage.make("t", 1).await;
    let receiver = Receiver::start(|_| 200).await;
    let specs = || vec![pipeline("p", "t", vec![receiver.sink()])];
    stage.put("t", 0, &texts(0, 5)).await;
    let running = stage.start(specs());
    stage.until_committed("p", "t", 0, 5).await;
    running.drain(Duration::from_secs(10)).await;
    let config = [("retention.bytes", "1000"), ("segment.bytes", "1048576")];
    let config = config.map(|(name, value)| (name.to_owned(), Some(value.to_owned())));
    stage.engine().alter_topic("t", None, config.into()).await.unwrap();
    let large = "x".repeat(500_000);
    for _ in 0..6 {
        stage.put("t", 0, std::slice::from_ref(&large)).await;
    }
    let start = async || stage.engine().describe_topic("t").await.unwrap().partitions[0].start;
    until("retention has taken records away", async || start().await > 5).await;
    let directory = Directory::new(stage.engine(), &[]);
    let running = stage.start(specs());
    stage.until_committed("p", "t", 0, 11).await;
    until("it is told", async || {
        let workers = directory.get("p").await.unwrap().unwrap().workers;
        let errors = workers.iter().flat_map(|worker| &worker.status.errors);
        errors.into_iter().any(|error| error.error.contains("deleted by retention"))
    })
    .await;
    running.drain(Duration::from_secs(10)).await;
}
