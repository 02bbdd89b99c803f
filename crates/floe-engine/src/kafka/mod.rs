//! Apache Kafka (or whatever speaks its protocol) behind the engine's methods, through librdkafka.
//!
//! **No process holds state of its own.** Records, topics and committed positions are where Kafka keeps them. What Kafka has no
//! place for (who was handed which records, which idempotency keys were used, Floe's own settings of topics) is agreed on by
//! all processes through internal topics ([`agreed`]), so any number of them may be started, on one cluster, at any time.

mod agreed;
mod append;
mod catalog;
mod client;
mod cluster;
mod deliveries;
mod ends;
mod error;
mod follow;
mod groups;
mod keys;
mod limits;
mod members;
mod native;
mod once;
mod polls;
mod producer;
mod read;
mod readers;
mod search;
mod settings;
mod statuses;
mod topics;

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

pub use client::{KafkaConfig, KafkaConfigError};
pub(crate) use follow::KafkaTail;

use crate::{EngineError, EngineHealth, StorageState};
use cluster::Cluster;
use ends::EndsWatch;
use limits::{PROBE_LIMIT, PROBE_PERIOD, REQUEST_LIMIT};
use members::Members;
use once::Once;
use polls::Polls;
use producer::{Kind, Producer};
use readers::Readers;
use settings::Settings;
use statuses::Statuses;

/// The Kafka engine's shared parts.
#[derive(Debug)]
pub struct Kafka {
    cluster: Arc<Cluster>,
    producer: Arc<Producer>,
    /// For topics that take only small batches.
    singles: Arc<Producer>,
    readers: Readers,
    members: Members,
    deliveries: Polls,
    ends: EndsWatch,
    settings: Settings,
    statuses: Statuses,
    once: Arc<Once>,
    /// Nothing new is begun.
    stopping: watch::Sender<bool>,
    /// Nothing is followed any more.
    ended: watch::Sender<bool>,
    reach: Arc<Reach>,
    runtime: tokio::runtime::Handle,
}

/// Whether the cluster can be reached.
#[derive(Debug, Default)]
struct Reach {
    /// Why not; `None` if it can.
    trouble: Mutex<Option<String>>,
    cluster_id: watch::Sender<Option<String>>,
}

impl Kafka {
    /// Begins to use a cluster. It need not be there yet. Has to be called inside a tokio runtime.
    pub(crate) fn open(config: &KafkaConfig) -> Result<Arc<Self>, KafkaConfigError> {
        config.check()?;
        let cluster = Arc::new(Cluster::new(config.clone())?);
        let producer = Arc::new(Producer::new(config.clone(), Kind::Batches)?);
        let singles = Arc::new(Producer::new(config.clone(), Kind::Singles)?);
        let (stopping, ended) = (watch::Sender::new(false), watch::Sender::new(false));
        let kafka = Arc::new(Self {
            deliveries: Polls::follow(&cluster, &producer, ended.subscribe()),
            ends: EndsWatch::new(&cluster),
            settings: Settings::follow(&cluster, &producer, ended.subscribe()),
            statuses: Statuses::follow(&cluster, &producer, ended.subscribe()),
            once: Arc::new(Once::follow(&cluster, &producer, ended.subscribe())),
            readers: Readers::new(config.clone()),
            members: Members::default(),
            reach: Arc::default(),
            runtime: tokio::runtime::Handle::current(),
            cluster,
            producer,
            singles,
            stopping,
            ended,
        });
        tokio::spawn(probe(Arc::clone(&kafka)));
        Ok(kafka)
    }

    pub(crate) async fn ready(&self) -> Result<(), EngineError> {
        self.deliveries.ready().await?;
        self.once.ready().await
    }

    /// The cluster's id.
    pub(crate) async fn log_id(&self) -> Result<String, EngineError> {
        let mut known = self.reach.cluster_id.subscribe();
        let known = tokio::time::timeout(REQUEST_LIMIT, known.wait_for(Option::is_some)).await;
        match known {
            Ok(Ok(id)) => Ok(id.clone().unwrap_or_default()),
            Ok(Err(_)) | Err(_) => {
                Err(EngineError::Unavailable { why: "the cluster's id is not known yet".to_owned() })
            }
        }
    }

    /// Refuses what comes from now on, and waits for what was sent. Blocks.
    pub(crate) fn close(self: &Arc<Self>) {
        if self.stopping.send_replace(true) {
            return;
        }
        self.members.leave_all();
        // a cluster that is away isn't waited for: leases end by themselves
        if self.reach.is_good() {
            let kafka = Arc::clone(self);
            let (done, wait) = std::sync::mpsc::sync_channel(1);
            self.runtime.spawn(async move {
                kafka.deliveries.leave().await;
                // whoever waits is there
                let _ = done.send(());
            });
            let _ = wait.recv_timeout(REQUEST_LIMIT);
        }
        self.producer.flush();
        self.singles.flush();
        self.ended.send_replace(true);
        self.readers.close();
    }

    fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    fn check_open(&self) -> Result<(), EngineError> {
        if *self.stopping.borrow() { Err(EngineError::Stopping) } else { Ok(()) }
    }

    fn now(&self) -> u64 {
        self.cluster.config.clock.monotonic_ms()
    }

    pub(crate) fn health(&self) -> EngineHealth {
        let storage = match (*self.stopping.borrow(), self.reach.is_good()) {
            (true, _) => StorageState::Stopping,
            (false, false) => StorageState::Unreachable,
            (false, true) => StorageState::Writable,
        };
        let queued_bytes = self.producer.waiting_bytes() + self.singles.waiting_bytes();
        EngineHealth { engine: "kafka", storage, queued_bytes, stored_bytes: 0, damage: Vec::new() }
    }
}

/// Asks the cluster whether it is there, again and again; says so in the log when that changes.
async fn probe(kafka: Arc<Kafka>) {
    let mut stopping = kafka.stopping();
    loop {
        let asked = kafka.cluster.ask(|admin| {
            admin.inner().fetch_metadata(Some(keys::TOPIC), PROBE_LIMIT)?;
            Ok(admin.inner().fetch_cluster_id(PROBE_LIMIT))
        });
        let found = asked.await;
        kafka.reach.note(found.map_err(|error| error.to_string()));
        kafka.cluster.listen();
        kafka.members.expire(kafka.now());
        tokio::select! {
            () = tokio::time::sleep(PROBE_PERIOD) => {}
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
    }
}

impl Reach {
    fn is_good(&self) -> bool {
        self.trouble.lock().is_none()
    }

    fn note(&self, found: Result<Option<String>, String>) {
        let trouble = match found {
            Ok(id) => {
                if id.is_some() {
                    self.cluster_id.send_replace(id);
                }
                None
            }
            Err(why) => Some(why),
        };
        let mut known = self.trouble.lock();
        match (&*known, &trouble) {
            (None, Some(why)) => tracing::warn!(why, "the Kafka cluster can't be reached"),
            (Some(_), None) => tracing::info!("the Kafka cluster is reached again"),
            (None, None) | (Some(_), Some(_)) => {}
        }
        *known = trouble;
    }
}
