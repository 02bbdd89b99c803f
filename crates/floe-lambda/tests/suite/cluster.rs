//! Kafka, and what is in it.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
    time::Duration,
};

use floe_engine::{
    Clock, Engine, KafkaConfig, OffsetSpec, PartitionRead, StoredRecord, TopicRead, TopicSpec, TopicStart,
};
use floe_testkit::services::{Kafka, Proxy};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::function::until;

type Own = Option<(Kafka, Proxy)>;

static OWN: LazyLock<Arc<Mutex<Own>>> = LazyLock::new(Arc::default);

/// A turn on a Kafka that may be killed, with a stretch of network before it that may fail.
pub(crate) struct Turn(OwnedMutexGuard<Own>);

impl Turn {
    pub(crate) async fn take() -> Self {
        let mut turn = OWN.clone().lock_owned().await;
        if turn.is_none() {
            let start = || Kafka::start_kraft_behind_proxy(&[]);
            *turn = Some(tokio::task::spawn_blocking(start).await.unwrap());
        }
        Self(turn)
    }

    pub(crate) fn kafka(&self) -> &Kafka {
        &self.0.as_ref().unwrap().0
    }

    pub(crate) fn proxy(&self) -> &Proxy {
        &self.0.as_ref().unwrap().1
    }

    /// The brokers for who is to go through the proxy.
    pub(crate) fn behind_proxy(&self) -> String {
        format!("127.0.0.1:{}", self.proxy().port())
    }

    pub(crate) fn kill(&self) {
        tokio::task::block_in_place(|| self.kafka().kill());
    }

    pub(crate) fn restart(&self) {
        tokio::task::block_in_place(|| self.kafka().restart());
    }
}

/// The Kafka that most tests share. Starting it blocks.
pub(crate) fn shared() -> Arc<Kafka> {
    tokio::task::block_in_place(Kafka::shared)
}

/// What is in the cluster, by way of the engine.
pub(crate) struct Log(Engine);

impl Log {
    pub(crate) async fn of(kafka: &Kafka) -> Self {
        let config = KafkaConfig {
            bootstrap: kafka.bootstrap(),
            properties: BTreeMap::new(),
            replication_factor: None,
            client_id: "test".to_owned(),
            repeats_wait: KafkaConfig::REPEATS_WAIT,
            clock: Clock::system(),
        };
        let engine = Engine::open_kafka(&config).unwrap();
        until("the engine is ready", async || engine.ready().await.is_ok()).await;
        Self(engine)
    }

    /// Makes a topic with one partition.
    pub(crate) async fn topic(&self, name: &str, config: &[(&str, &str)]) {
        let config = config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let spec = TopicSpec { name: name.to_owned(), partitions: 1, config };
        self.0.create_topic(spec).await.unwrap();
    }

    /// The text at a place.
    pub(crate) async fn at(&self, topic: &str, (partition, offset): (u32, i64)) -> String {
        let read = PartitionRead {
            topic: topic.to_owned(),
            partition,
            from: OffsetSpec::Offset(offset),
            max_records: 1,
            max_bytes: 1,
            wait: Duration::from_secs(10),
        };
        let page = self.0.read(read).await.unwrap();
        assert_eq!(page.records[0].offset, offset);
        text(&page.records[0])
    }

    /// All that is in a topic.
    pub(crate) async fn all(&self, topic: &str) -> Vec<String> {
        let read = TopicRead {
            topic: topic.to_owned(),
            from: TopicStart::Earliest,
            max_records: 10_000,
            max_bytes: 64 << 20,
            wait: Duration::ZERO,
        };
        self.0.read_topic(read).await.unwrap().records.iter().map(text).collect()
    }
}

fn text(record: &StoredRecord) -> String {
    String::from_utf8(record.value.as_ref().unwrap().to_vec()).unwrap()
}
