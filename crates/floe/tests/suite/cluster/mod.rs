//! Many processes over Kafka, PostgreSQL and Redis: what the documents promise, what faults cost, and how a node moves here.

mod chat;
mod documents;
mod examples;
mod faults;
mod migration;

mod senders;
mod verdict;

use std::{
    sync::{Arc, Mutex, Weak},
    thread,
    time::Duration,
};

use floe_testkit::services::{Kafka, Postgres, Redis};
use serde_json::Value;

use crate::node::{Node, until};

const WORKERS: usize = 3;
/// The whole of one test that injures nobody.
const ALL_WITHIN: Duration = Duration::from_secs(180);

/// Two gateways, three workers and what they share. All of it ends when dropped, the processes first.
struct Cluster {
    gateways: [Node; 2],
    workers: Vec<Node>,
    environment: Vec<(&'static str, String)>,
    /// The address of the database.
    database: String,
    kafka: Kafka,
    postgres: Postgres,
    _redis: Redis,
}

/// The one that tests share, as long as one of them holds it.
static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());

impl Cluster {
    /// For one test alone, which may kill what it likes.
    fn start() -> Self {
        let (kafka, postgres, redis) = thread::scope(|scope| {
            let kafka = scope.spawn(Kafka::start_kraft);
            let postgres = scope.spawn(Postgres::start);
            (kafka.join().unwrap(), postgres.join().unwrap(), Redis::start())
        });
        let database = postgres.database();
        let environment = vec![
            ("KAFKA_BROKER_URL", kafka.bootstrap()),
            ("POSTGRES_URL", database.clone()),
            ("REDIS_URL", redis.url()),
        ];
        let gateways = ["gateway 1", "gateway 2"].map(|name| Node::gateway(name, &environment));
        let worker = |number| Node::cluster_worker(&format!("worker {number}"), &environment);
        let workers = (1..=WORKERS).map(worker).collect();
        Self { gateways, workers, environment, database, kafka, postgres, _redis: redis }
    }

    /// The one that tests share: kill nothing, and use topics and ids of your own.
    fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap();
        shared.upgrade().unwrap_or_else(|| {
            let cluster = Arc::new(Self::start());
            *shared = Arc::downgrade(&cluster);
            cluster
        })
    }

    async fn is_ready(&self) {
        for gateway in &self.gateways {
            until("a gateway is ready", async || gateway.is_ready_with("ok", "").await).await;
        }
    }

    /// Waits until so many workers have partitions of the events.
    async fn works_with(&self, workers: usize) {
        until("each worker has partitions", async || {
            let answer = self.gateways[1].try_ask("GET", "/pipelines/events-store", "").await;
            let Ok((200, pipeline)) = answer else { return false };
            let has_some = |worker: &&Value| worker["partitions"].as_array().is_some_and(|at| !at.is_empty());
            pipeline["workers"].as_array().unwrap().iter().filter(has_some).count() == workers
        })
        .await;
    }
}

/// What happens on the shared cluster, within a time.
async fn on_shared(story: impl AsyncFnOnce(&Cluster)) {
    in_time(async {
        let cluster = Cluster::shared();
        cluster.is_ready().await;
        story(&cluster).await;
    })
    .await;
}

async fn in_time(story: impl Future<Output = ()>) {
    assert!(tokio::time::timeout(ALL_WITHIN, story).await.is_ok(), "not done after {ALL_WITHIN:?}");
}
