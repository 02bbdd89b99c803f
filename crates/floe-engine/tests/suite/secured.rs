//! A cluster that speaks TLS and asks who is there, by the client's properties that may be set.

use std::{collections::BTreeMap, time::Duration};

use floe_engine::{Clock, DeliveryMode, Engine, EngineError, KafkaConfig, Poll, StorageState};
use floe_testkit::services::{Kafka, Secured};

use crate::stage::{append_of, keyed, make, put, read_all, record, texts, until};

/// An engine with these properties instead of those that are right.
fn open(secured: &Secured, instead: &[(&str, &str)]) -> Engine {
    let right = secured.properties().map(|(name, value)| (name.to_owned(), value));
    let mut properties = BTreeMap::from(right);
    properties.extend(instead.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let config = KafkaConfig {
        bootstrap: secured.bootstrap(),
        properties,
        replication_factor: None,
        client_id: "secured".to_owned(),
        repeats_wait: KafkaConfig::REPEATS_WAIT,
        clock: Clock::system(),
    };
    Engine::open_kafka(&config).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_the_password_and_trusts_the_server_gets_in() {
    let (_kafka, secured) = tokio::task::spawn_blocking(Kafka::start_kraft_secured).await.unwrap();
    let engine = open(&secured, &[]);
    until("the engine is ready", async || engine.ready().await.is_ok()).await;
    make(&engine, "t", 2).await;
    put(&engine, "t", vec![record("k", "plain")]).await;
    for replayed in [false, true] {
        let append = keyed(append_of("t", vec![record("k", "once")]), "key", 1);
        assert_eq!(engine.append(append).await.unwrap().replayed, replayed);
    }
    assert_eq!(texts(&read_all(&engine, "t").await), ["plain", "once"]);
    let poll = Poll {
        group: "g".into(),
        topics: vec!["t".into()],
        partition: None,
        max_records: 10,
        max_bytes: 1 << 20,
        wait: Duration::ZERO,
        mode: DeliveryMode::Commit,
        require_subscription: false,
    };
    assert_eq!(engine.poll(poll).await.unwrap().records.len(), 2);
    let session = Duration::from_secs(10);
    engine.join_group("members", "m", vec!["t".into()], session).await.unwrap();

    for wrong in [("sasl.password", "a guess"), ("ssl.ca.location", "/etc/ssl/certs/ca-certificates.crt")] {
        let refused = open(&secured, &[wrong]);
        until("it says so", async || refused.health().storage == StorageState::Unreachable).await;
        let error = refused.append(append_of("t", vec![record("", "v")])).await.unwrap_err();
        assert!(matches!(error, EngineError::Unavailable { .. }), "{wrong:?}: {error}");
        refused.close();
    }
    assert_eq!(read_all(&engine, "t").await.len(), 2);
    engine.close();
}
