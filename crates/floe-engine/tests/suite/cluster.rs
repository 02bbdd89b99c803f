//! Real clusters that cases take turns on: each case has one for itself, and begins with an empty one.

use std::{collections::BTreeMap, sync::LazyLock, time::Duration};

use floe_engine::{Clock, Engine, KafkaConfig};
use floe_testkit::services::Kafka;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::stage::until;

const REQUEST: Duration = Duration::from_secs(20);
/// What the cluster keeps for itself.
const CLUSTERS_OWN: [&str; 2] = ["__consumer_offsets", "__transaction_state"];

static KRAFT: LazyLock<std::sync::Arc<Mutex<Option<Kafka>>>> = LazyLock::new(std::sync::Arc::default);
static ZOOKEEPER: LazyLock<std::sync::Arc<Mutex<Option<Kafka>>>> = LazyLock::new(std::sync::Arc::default);

/// A turn on a cluster.
pub(crate) struct Cluster {
    kafka: OwnedMutexGuard<Option<Kafka>>,
}

impl Cluster {
    /// Apache Kafka 4 that keeps its metadata itself.
    pub(crate) async fn kraft() -> Self {
        Self::turn(&KRAFT, Kafka::start_kraft).await
    }

    /// Apache Kafka 3.9 with ZooKeeper.
    pub(crate) async fn zookeeper() -> Self {
        Self::turn(&ZOOKEEPER, Kafka::start_zookeeper).await
    }

    async fn turn(turns: &std::sync::Arc<Mutex<Option<Kafka>>>, start: fn() -> Kafka) -> Self {
        let mut kafka = turns.clone().lock_owned().await;
        if kafka.is_none() {
            *kafka = Some(tokio::task::spawn_blocking(start).await.unwrap());
        }
        Self { kafka }
    }

    pub(crate) fn kafka(&self) -> &Kafka {
        self.kafka.as_ref().unwrap()
    }

    pub(crate) fn open(&self, clock: Clock) -> Engine {
        let config = KafkaConfig {
            bootstrap: self.kafka().bootstrap(),
            properties: BTreeMap::new(),
            replication_factor: None,
            client_id: "contract".to_owned(),
            repeats_wait: KafkaConfig::REPEATS_WAIT,
            clock,
        };
        Engine::open_kafka(&config).unwrap()
    }

    /// Deletes all topics and groups.
    pub(crate) async fn empty(&self) {
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", self.kafka().bootstrap()).create().unwrap();
        let options = AdminOptions::new().operation_timeout(Some(REQUEST)).request_timeout(Some(REQUEST));
        let topics = || {
            let all = admin.inner().fetch_metadata(None, REQUEST).unwrap();
            let names = all.topics().iter().map(|topic| topic.name().to_owned());
            names.filter(|name| !CLUSTERS_OWN.contains(&name.as_str())).collect::<Vec<_>>()
        };
        let names = topics();
        if !names.is_empty() {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            admin.delete_topics(&names, &options).await.unwrap();
        }
        until("all topics are gone", async || topics().is_empty()).await;
        // one whose last member is still taken for alive is asked for again
        until("all groups are gone", async || {
            let groups = admin.inner().fetch_group_list(None, REQUEST).unwrap();
            let groups: Vec<&str> = groups.groups().iter().map(|group| group.name()).collect();
            if !groups.is_empty() {
                admin.delete_groups(&groups, &options).await.unwrap();
            }
            groups.is_empty()
        })
        .await;
    }
}
