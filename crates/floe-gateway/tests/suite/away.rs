//! Doors over a cluster that is away: they answer all the same, and say what is wrong.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use floe_engine::{Clock, Engine, KafkaConfig, StorageState};
use floe_gateway::{GatewayConfig, GatewayParts};
use floe_testkit::services::free_port;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::{floe::Floe, socket::Client};

/// Doors over a cluster that nobody runs, once the engine knows.
async fn started() -> Floe {
    let config = KafkaConfig {
        bootstrap: format!("127.0.0.1:{}", free_port()),
        properties: BTreeMap::new(),
        replication_factor: None,
        client_id: "away".to_owned(),
        repeats_wait: KafkaConfig::REPEATS_WAIT,
        clock: Clock::system(),
    };
    let engine = Engine::open_kafka(&config).unwrap();
    let known = async {
        while engine.health().storage != StorageState::Unreachable {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), known)
        .await
        .expect("the engine knows that nobody is there");
    Floe::before(GatewayParts::of(engine), None, &GatewayConfig::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_answer_without_the_log() {
    let floe = started().await;
    let asked = Instant::now();
    let health = floe.get("/health").await.ok(200);
    assert_eq!((&health["status"], &health["storage"]), (&json!("degraded"), &json!("unreachable")));
    assert_eq!((&health["topics"], &health["log_id"]), (&Value::Null, &Value::Null));
    assert_eq!(health["reasons"][0]["part"], "log");
    floe.get("/health/ready").await.problem(503, "UNAVAILABLE");
    assert_eq!(floe.get("/health/live").await.ok(200), json!({ "status": "ok" }));
    let metrics = floe.get("/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.text().contains("floe_storage_writable 0\n") && metrics.text().ends_with("# EOF\n"));
    for family in ["floe_topic_", "floe_group_", "kafka_consumergroup_", "floe_pipeline_"] {
        assert!(!metrics.text().contains(family), "{family}: {}", metrics.text());
    }
    assert!(asked.elapsed() < Duration::from_secs(5), "nobody waits for the cluster");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_the_log_says_that_it_is_away() {
    let floe = started().await;
    let paths = ["/topics", "/topics/t", "/groups", "/stats", "/pipelines", "/topics/t/records"];
    let answers = join_all(paths.map(|path| floe.get(path)));
    for (path, answer) in paths.iter().zip(answers.await) {
        answer.problem(503, "UNAVAILABLE");
        assert_eq!(answer.header("retry-after"), Some("1"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_waits_for_the_log_still_lives() {
    let mut floe = started().await;
    let mut client = Client::connect(&floe).await;
    client.send(json!({ "type": "subscribe", "topic": "t", "client_id": "c", "request_id": "s" })).await;
    client.send(json!({ "type": "ping", "request_id": "p" })).await;
    let error = client.expect("error").await;
    assert_eq!((&error["request_id"], &error["error"]["code"]), (&json!("s"), &json!("UNAVAILABLE")));
    assert_eq!(client.expect("pong").await["request_id"], "p", "requests are answered in their order");
    // Nor does it keep a server that stops waiting.
    client.send(json!({ "type": "subscribe", "topic": "t", "client_id": "c" })).await;
    floe.begin_stop();
    let stopping = Instant::now();
    while !matches!(client.frame().await, Message::Close(_)) {}
    assert!(stopping.elapsed() < Duration::from_secs(5), "it was closed while it waited");
}
