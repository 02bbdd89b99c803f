//! A cluster that is away: at the start, in the middle, stopped, cut off. Nothing acknowledged is lost, nothing waits for ever,
//! and everything goes on by itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use floe_engine::{Clock, Engine, EngineError, KafkaConfig, StorageState};
use floe_testkit::services::{Kafka, Traffic, free_port};

use crate::stage::{PATIENCE, append_of, keyed, make, put, read_all, record, record_in, texts, until};

fn open(bootstrap: String) -> Engine {
    let config = KafkaConfig {
        bootstrap,
        properties: BTreeMap::new(),
        replication_factor: None,
        client_id: "away".to_owned(),
        repeats_wait: KafkaConfig::REPEATS_WAIT,
        clock: Clock::system(),
    };
    Engine::open_kafka(&config).unwrap()
}

async fn started() -> (Kafka, Engine) {
    let kafka = tokio::task::spawn_blocking(Kafka::start_kraft).await.unwrap();
    let engine = open(kafka.bootstrap());
    until("the engine is ready", async || engine.ready().await.is_ok()).await;
    (kafka, engine)
}

fn is_away(error: &EngineError) -> bool {
    matches!(
        error,
        EngineError::Unavailable { .. } | EngineError::OutcomeUnknown | EngineError::Overloaded { .. }
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_starts_before_its_cluster() {
    let engine = open(format!("127.0.0.1:{}", free_port()));
    until("it says that nobody is there", async || engine.health().storage == StorageState::Unreachable)
        .await;
    let began = Instant::now();
    let refused = engine.append(append_of("t", vec![record("", "v")])).await.unwrap_err();
    assert!(matches!(refused, EngineError::Unavailable { .. }), "{refused}");
    assert!(began.elapsed() < Duration::from_secs(30), "nobody is kept waiting for ever");
    engine.close();
}

/// Sends numbered records until it is told to stop; answers those that were acknowledged.
fn sender(engine: Engine, name: usize, stop: Arc<AtomicBool>) -> tokio::task::JoinHandle<Vec<String>> {
    tokio::spawn(async move {
        let mut acknowledged = Vec::new();
        for number in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let value = format!("{name}.{number}");
            match engine.append(append_of("t", vec![record("", value.clone())])).await {
                Ok(_) => acknowledged.push(value),
                Err(error) => assert!(is_away(&error), "{error}"),
            }
        }
        acknowledged
    })
}

async fn through(engine: &Engine, fault: impl Future<Output = ()>) {
    let stop = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = (0..8).map(|name| sender(engine.clone(), name, stop.clone())).collect();
    until("records are stored", async || engine.topic_summary("t").await.is_ok_and(|t| t.messages > 200))
        .await;
    fault.await;
    until("the cluster is reached again", async || engine.health().storage == StorageState::Writable).await;
    let before = engine.topic_summary("t").await.unwrap().messages;
    until("records are stored again", async || {
        engine.topic_summary("t").await.is_ok_and(|t| t.messages > before + 100)
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    let mut acknowledged = Vec::new();
    for sender in senders {
        acknowledged.extend(sender.await.unwrap());
    }
    let stored = texts(&read_all(engine, "t").await);
    let once: BTreeSet<&String> = stored.iter().collect();
    assert_eq!(once.len(), stored.len(), "the producer is idempotent: none twice");
    let lost: Vec<_> = acknowledged.iter().filter(|value| !once.contains(value)).collect();
    assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), acknowledged.len());
    // each sender's in its order
    for name in 0..8 {
        let own = stored.iter().filter_map(|value| value.strip_prefix(&format!("{name}.")));
        let numbers: Vec<u64> = own.map(|number| number.parse().unwrap()).collect();
        assert!(numbers.is_sorted(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_is_killed_under_load() {
    let (kafka, engine) = started().await;
    make(&engine, "t", 1).await;
    through(&engine, async {
        tokio::task::block_in_place(|| {
            kafka.kill();
            kafka.restart();
        });
    })
    .await;
    engine.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_stops_to_answer_for_a_while() {
    let (kafka, engine) = started().await;
    make(&engine, "t", 1).await;
    through(&engine, async {
        kafka.pause();
        until("it is missed", async || engine.health().storage == StorageState::Unreachable).await;
        kafka.resume();
    })
    .await;
    engine.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_cut_under_load() {
    let (kafka, proxy) = tokio::task::spawn_blocking(|| Kafka::start_kraft_behind_proxy(&[])).await.unwrap();
    let engine = open(format!("127.0.0.1:{}", proxy.port()));
    until("the engine is ready", async || engine.ready().await.is_ok()).await;
    make(&engine, "t", 1).await;
    through(&engine, async {
        for _ in 0..3 {
            proxy.set(Traffic::Refused);
            until("it is missed", async || engine.health().storage == StorageState::Unreachable).await;
            proxy.set(Traffic::Flows);
            until("it is back", async || engine.health().storage == StorageState::Writable).await;
        }
    })
    .await;
    drop(kafka);
    engine.close();
}

/// An answer that is lost leaves it open whether the record is stored; under a key a repeat stores it once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_after_an_outage_stores_once() {
    let (kafka, engine) = started().await;
    make(&engine, "t", 2).await;
    put(&engine, "t", vec![record_in(0, "first")]).await;
    let append = || keyed(append_of("t", vec![record_in(0, "a"), record_in(1, "b")]), "key", 1);
    for kills in 0..2 {
        let sending = tokio::spawn({
            let (engine, append) = (engine.clone(), append());
            async move { engine.append(append).await }
        });
        tokio::task::block_in_place(|| {
            kafka.kill();
            kafka.restart();
        });
        if let Err(error) = sending.await.unwrap() {
            assert!(is_away(&error), "{kills}: {error}");
        }
    }
    let repeated = async {
        loop {
            match engine.append(append()).await {
                Ok(answer) => return answer,
                Err(error) => assert!(is_away(&error), "{error}"),
            }
        }
    };
    let answer = tokio::time::timeout(PATIENCE, repeated).await.expect("the repeat is answered");
    let stored = read_all(&engine, "t").await;
    assert_eq!(texts(&stored).iter().filter(|value| *value == "a").count(), 1, "{stored:?}");
    assert_eq!(texts(&stored).iter().filter(|value| *value == "b").count(), 1, "{stored:?}");
    assert!(stored.iter().all(|record| record.headers.is_empty()), "{stored:?}");
    assert_eq!(answer.placements.len(), 2);
    engine.close();
}
