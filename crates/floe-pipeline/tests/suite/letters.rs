//! Dead letters: what they say, and what can become of them.

use std::time::{Duration, Instant};

use floe_engine::{NewRecord, StoredRecord};
use floe_pipeline::{
    DeadLetter, DeadLetterState, DeadLetters, LogError, MAX_REDRIVES, Origin, Redrive, Selection,
};

use crate::stage::{Arrived, Receiver, Stage, header, named, pipeline, text, texts, until};

/// Refuses everything from topic `t` for good.
async fn dead_letter(stage: &Stage, count: usize) {
    stage.make("t", 1).await;
    stage.put("t", 0, &texts(0, count)).await;
    let receiver = Receiver::start(|_: &Arrived| 400).await;
    let running = stage.start(vec![pipeline("p", "t", vec![receiver.sink()])]);
    stage.until_committed("p", "t", 0, count.try_into().unwrap()).await;
    running.drain(Duration::from_secs(10)).await;
}

fn all() -> Redrive {
    Redrive::default()
}

async fn open(letters: &DeadLetters) -> Vec<DeadLetter> {
    letters.list("p", None, 1_000, false).await.unwrap().letters
}

fn values(records: &[StoredRecord]) -> Vec<String> {
    records.iter().map(|record| text(record.value.as_ref())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_its_record_with_why_and_where_from() {
    let stage = Stage::new();
    stage.make("t", 3).await;
    let record = NewRecord {
        key: Some("k".into()),
        value: Some("v".into()),
        headers: vec![header("a", "1"), header("a", "2")],
        partition: Some(2),
        timestamp: Some(1_700_000_000_000),
    };
    stage.put("t", 2, &texts(0, 4)).await;
    stage.put_records("t", vec![record]).await;
    let receiver = Receiver::start(|arrived: &Arrived| if arrived.offset == 4 { 400 } else { 200 }).await;
    let running = stage.start(vec![pipeline("p", "t", vec![receiver.sink()])]);
    stage.until_committed("p", "t", 2, 5).await;
    running.drain(Duration::from_secs(10)).await;
    let stored = stage.read("dlq.p", 0).await;
    assert_eq!(stored.len(), 1);
    assert_eq!((stored[0].key.as_deref(), stored[0].value.as_deref()), (Some(&b"k"[..]), Some(&b"v"[..])));
    assert_eq!(stored[0].headers[..2], [header("a", "1"), header("a", "2")]);
    let said = |name: &str| named(&stored[0].headers, name).unwrap();
    for (name, value) in [
        ("topic", "t"),
        ("partition", "2"),
        ("offset", "4"),
        ("group", "pipeline:p"),
        ("delivery.count", "1"),
    ] {
        assert_eq!(said(&format!("__dlq.errors.{name}")), value);
    }
    assert!(said("__dlq.errors.message").contains("400"));
    let first: i64 = said("__dlq.errors.first.timestamp").parse().unwrap();
    let last: i64 = said("__dlq.errors.last.timestamp").parse().unwrap();
    assert!(first > 1_700_000_000_000 && first <= last);
    let letters = DeadLetters::new(stage.engine());
    let letter = letters.get("p", "0-0").await.unwrap().unwrap();
    assert_eq!(
        letter.headers,
        [header("a", "1"), header("a", "2")],
        "the failure's headers are not the record's"
    );
    assert_eq!(letter.state, DeadLetterState::Open);
    assert_eq!(letter.origin, Some(Origin { topic: "t".into(), partition: 2, offset: 4 }));
    assert!(letters.get("p", "0-1").await.unwrap().is_none());
    assert!(letters.get("p", "nonsense").await.unwrap().is_none());
    let none = letters.list("other", None, 10, true).await.unwrap_err();
    assert_eq!(none, LogError::NoTopic { topic: "dlq.other".into() });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_writes_each_once_and_says_what_it_would_do() {
    let stage = Stage::new();
    dead_letter(&stage, 150).await;
    let letters = DeadLetters::new(stage.engine());
    let dry = letters.redrive("p", &Redrive { dry_run: true, ..all() }).await.unwrap();
    assert_eq!((dry.redriven, dry.skipped.len()), (150, 0));
    assert_eq!(stage.read("t", 0).await.len(), 150, "nothing was written");
    // two at once, of two processes' making
    let other = DeadLetters::new(stage.engine());
    let (all, again) = (all(), all());
    let (one, two) = tokio::join!(letters.redrive("p", &all), other.redrive("p", &again));
    assert!(one.unwrap().redriven + two.unwrap().redriven >= 150);
    let stored = stage.read("t", 0).await;
    assert_eq!(stored.len(), 300);
    assert_eq!(values(&stored[150..]), texts(0, 150), "in their order");
    assert_eq!(named(&stored[150].headers, "floe.redrive.count").as_deref(), Some("1"));
    assert!(named(&stored[150].headers, "__dlq.errors.topic").is_none());
    assert_eq!(letters.redrive("p", &all).await.unwrap().redriven, 0);
    // by name one is told why not
    let ids = vec!["0-3".to_owned(), "0-900".to_owned()];
    let named = Redrive { selection: Selection { ids, ..Selection::default() }, ..Redrive::default() };
    let told = letters.redrive("p", &named).await.unwrap();
    assert_eq!((told.redriven, told.skipped.len()), (0, 2));
    assert!(told.skipped.iter().any(|(id, why)| id == "0-3" && why.contains("redriven before")));
    drop((letters, other));
    let engine = stage.restart();
    let letters = DeadLetters::new(engine);
    let counts = letters.counts().await.unwrap().remove(0);
    assert_eq!((counts.total, counts.redriven, counts.discarded, counts.open), (150, 150, 0, 0));
    assert_eq!(letters.redrive("p", &Redrive::default()).await.unwrap().redriven, 0);
    assert_eq!(letters.list("p", None, 10, true).await.unwrap().letters[0].state, DeadLetterState::Redriven);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_selection_narrows_what_is_meant() {
    let stage = Stage::new();
    dead_letter(&stage, 20).await;
    let letters = DeadLetters::new(stage.engine());
    let of = |selection: Selection| Redrive { selection, ..Redrive::default() };
    let none = of(Selection { error_contains: Some("no such text".into()), ..Selection::default() });
    assert_eq!(letters.redrive("p", &none).await.unwrap().redriven, 0);
    let none = of(Selection { topic: Some("another".into()), ..Selection::default() });
    assert_eq!(letters.redrive("p", &none).await.unwrap().redriven, 0);
    let some =
        Selection { error_contains: Some("400".into()), topic: Some("t".into()), ..Selection::default() };
    let first = of(Selection { limit: Some(5), ..some.clone() });
    assert_eq!(letters.redrive("p", &first).await.unwrap().redriven, 5);
    assert_eq!(open(&letters).await[0].id, "0-5");
    let ids = vec!["0-7".to_owned(), "0-9".to_owned(), "0-9".to_owned(), "0-1".to_owned()];
    let two = Selection { ids, ..Selection::default() };
    assert_eq!(letters.discard("p", &two).await.unwrap(), 2, "one of them was redriven, one is named twice");
    let counts = letters.counts().await.unwrap().remove(0);
    assert_eq!((counts.total, counts.redriven, counts.discarded, counts.open), (20, 5, 2, 13));
    let bad = Selection { ids: vec!["seven".into()], ..Selection::default() };
    assert!(matches!(letters.discard("p", &bad).await.unwrap_err(), LogError::Refused(_)));
    // page by page
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = letters.list("p", after.as_deref(), 4, false).await.unwrap();
        seen.extend(page.letters.into_iter().map(|letter| letter.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let left: Vec<_> = (5..20).filter(|n| ![7, 9].contains(n)).map(|n| format!("0-{n}")).collect();
    assert_eq!(seen, left);
    assert_eq!(letters.discard("p", &Selection::default()).await.unwrap(), 13);
    assert!(open(&letters).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_back_too_often_is_left_alone_unless_forced() {
    let stage = Stage::new();
    stage.make("t", 1).await;
    stage.put("t", 0, &["x".to_owned()]).await;
    let receiver = Receiver::start(|_: &Arrived| 400).await;
    let running = stage.start(vec![pipeline("p", "t", vec![receiver.sink()])]);
    let letters = DeadLetters::new(stage.engine());
    for round in 0..MAX_REDRIVES {
        until("it is dead-lettered", async || {
            let counts = letters.counts().await.unwrap();
            counts.first().is_some_and(|counts| counts.open == 1)
        })
        .await;
        assert_eq!(open(&letters).await[0].redrives, round);
        assert_eq!(letters.redrive("p", &all()).await.unwrap().redriven, 1);
    }
    until("it is back again", async || open(&letters).await.len() == 1).await;
    let left = letters.redrive("p", &all()).await.unwrap();
    assert_eq!(left.redriven, 0);
    assert!(left.skipped[0].1.contains("came back 3 times"), "{:?}", left.skipped);
    assert_eq!(letters.redrive("p", &Redrive { force: true, ..all() }).await.unwrap().redriven, 1);
    running.drain(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_keeps_to_its_rate() {
    let stage = Stage::new();
    dead_letter(&stage, 12).await;
    let letters = DeadLetters::new(stage.engine());
    let began = Instant::now();
    let paced = Redrive { rate: Some(20.0), ..all() };
    assert_eq!(letters.redrive("p", &paced).await.unwrap().redriven, 12);
    assert!(began.elapsed() >= Duration::from_millis(490), "{:?}", began.elapsed());
    for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let refused = letters.redrive("p", &Redrive { rate: Some(rate), ..all() }).await.unwrap_err();
        assert!(matches!(refused, LogError::Refused(_)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_that_others_wrote_are_understood() {
    let stage = Stage::new();
    stage.make("t", 5).await;
    stage.make("dlq.p", 2).await;
    let with = |headers| NewRecord {
        value: Some("v".into()),
        headers,
        partition: Some(1),
        timestamp: Some(1_700_000_000_000),
        ..NewRecord::default()
    };
    let connect = vec![
        header("own", "kept"),
        header("__connect.errors.topic", "t"),
        header("__connect.errors.partition", "4"),
        header("__connect.errors.offset", "17"),
        header("__connect.errors.exception.message", "connect's"),
    ];
    let spring = vec![
        header("kafka_dlt-original-topic", "t"),
        header("kafka_dlt-original-partition", 4i32.to_be_bytes().to_vec()),
        header("kafka_dlt-original-offset", 18i64.to_be_bytes().to_vec()),
        header("kafka_dlt-exception-message", "spring's"),
    ];
    let broken = vec![header("kafka_dlt-original-topic", "t"), header("kafka_dlt-original-offset", "18")];
    let gone = vec![
        header("__dlq.errors.topic", "gone"),
        header("__dlq.errors.partition", "0"),
        header("__dlq.errors.offset", "1"),
    ];
    stage.put_records("dlq.p", [connect, spring, broken, gone].map(with).into()).await;
    let letters = DeadLetters::new(stage.engine());
    let read = open(&letters).await;
    let origin = |offset| Some(Origin { topic: "t".into(), partition: 4, offset });
    assert_eq!((read[0].error.as_str(), &read[0].origin), ("connect's", &origin(17)));
    assert_eq!(read[0].headers, [header("own", "kept")]);
    assert_eq!((read[1].error.as_str(), &read[1].origin), ("spring's", &origin(18)));
    assert_eq!((&read[2].origin, read[2].last_failure), (&None, 1_700_000_000_000));
    let found = letters.of_origin(&origin(18).unwrap()).await.unwrap();
    assert_eq!((found[0].0.as_str(), found[0].1.id.as_str()), ("p", "1-1"));
    let done = letters.redrive("p", &all()).await.unwrap();
    assert_eq!(done.redriven, 2);
    assert_eq!(done.skipped.len(), 2, "{:?}", done.skipped);
    assert_eq!(values(&stage.read("t", 4).await), ["v", "v"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_leads_to_its_dead_letters() {
    let stage = Stage::new();
    let letters = DeadLetters::new(stage.engine());
    let origin = |offset| Origin { topic: "t".into(), partition: 0, offset };
    assert!(letters.of_origin(&origin(0)).await.unwrap().is_empty());
    dead_letter(&stage, 3).await;
    for letters in [letters.clone(), DeadLetters::new(stage.engine())] {
        let found = letters.of_origin(&origin(1)).await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].0.as_str(), found[0].1.id.as_str()), ("p", "0-1"));
        assert!(letters.of_origin(&origin(3)).await.unwrap().is_empty());
    }
    // a topic made again has none of the old ones
    stage.engine().delete_topic("dlq.p").await.unwrap();
    stage.make("dlq.p", 1).await;
    assert!(letters.of_origin(&origin(1)).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_after_a_crash_makes_no_second_dead_letter() {
    let stage = Stage::new();
    stage.make("t", 1).await;
    stage.put("t", 0, &texts(0, 5)).await;
    // the second sink is away, so that the batch doesn't get done before the crash
    let (first, second) = (Receiver::start(|_| 400).await, Receiver::start(|_| 503).await);
    let mut spec = pipeline("p", "t", vec![first.sink(), second.sink()]);
    spec.retry.attempts = 1_000;
    for round in 1..4 {
        let running = stage.start(vec![spec.clone()]);
        stage.pass(Duration::from_secs(60));
        until("it was refused once more", async || first.arrived().len() >= 5 * round).await;
        until("and is written", async || stage.read("dlq.p", 0).await.len() == 5).await;
        drop(running);
    }
    second.answer(|_| 200);
    let running = stage.start(vec![spec]);
    stage.pass(Duration::from_secs(60));
    stage.until_committed("p", "t", 0, 5).await;
    assert_eq!(stage.read("dlq.p", 0).await.len(), 5);
    running.drain(Duration::from_secs(10)).await;
}
