//! What all processes on a cluster agree on without speaking to each other: a log of commands in an internal topic with one
//! partition, which every process applies in the same order to the same state.
//!
//! A process that wants something writes a command, and knows what became of it when it comes to that command itself: the
//! log's order decides, and nobody has to be alive but the cluster. (The idea is state machine replication: Schneider,
//! *Implementing Fault-Tolerant Services Using the State Machine Approach*, 1990.) The state is gone with the process; the
//! next one reads the log from its start, so what a machine remembers may depend on nothing but commands that are still in it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use floe_broker::NewRecord;
use parking_lot::Mutex;
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::StreamConsumer,
    error::{KafkaError, RDKafkaErrorCode},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{
    sync::{oneshot, watch},
    time::{Instant, timeout, timeout_at},
};

use super::{
    client::{Told, open_at},
    cluster::Cluster,
    error::{about_topic, unavailable},
    limits::REQUEST_LIMIT,
    native::OffsetQuery,
    producer::{Pending, Producer},
};
use crate::EngineError;

/// How long to wait before the internal topic is asked for again while the cluster is away.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// A state that changes by commands alone.
pub(super) trait Machine: Send + 'static {
    /// What can be asked of it.
    type Command: Serialize + DeserializeOwned + Send + 'static;
    /// What came of it, for the one who asked.
    type Outcome: Send + 'static;

    /// Applies one command. The same commands lead every process to the same state: nothing else may decide.
    fn apply(&mut self, at: At, command: Self::Command) -> Self::Outcome;
}

/// A command's place in the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    /// Its offset.
    pub(super) offset: i64,
    /// When the broker took it, milliseconds since the epoch.
    pub(super) time_ms: i64,
}

/// A command on its way.
#[derive(Serialize, Deserialize)]
struct Proposal<C> {
    /// Whose it is; unguessable, so that nobody takes another's outcome.
    id: String,
    command: C,
}

/// The log, and this process's copy of the state.
pub(super) struct Agreed<M: Machine> {
    topic: &'static str,
    machine: Arc<Mutex<M>>,
    waiting: Arc<Mutex<HashMap<String, oneshot::Sender<M::Outcome>>>>,
    producer: Arc<Producer>,
    /// The offset behind the last command applied; `None` until everything is that was there at the start.
    applied: watch::Receiver<Option<i64>>,
}

impl<M: Machine> std::fmt::Debug for Agreed<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agreed").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl<M: Machine> Agreed<M> {
    /// Begins to follow the log, which is made if it isn't there, as soon as the cluster is.
    pub(super) fn follow(
        cluster: &Arc<Cluster>,
        producer: &Arc<Producer>,
        topic: &'static str,
        config: &'static [(&'static str, &'static str)],
        machine: M,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let machine = Arc::new(Mutex::new(machine));
        let waiting = Arc::new(Mutex::new(HashMap::new()));
        let (told, applied) = watch::channel(None);
        let follower = Follower {
            topic,
            config,
            cluster: Arc::clone(cluster),
            machine: Arc::clone(&machine),
            waiting: Arc::clone(&waiting),
            applied: told,
        };
        tokio::spawn(follower.run(stopping));
        Self { topic, machine, waiting, producer: Arc::clone(producer), applied }
    }

    /// Waits until this process's copy has all that was there when it started. Answers the offset behind the last command
    /// applied.
    pub(super) async fn ready(&self) -> Result<i64, EngineError> {
        let mut applied = self.applied.clone();
        let is_ready = timeout(REQUEST_LIMIT, applied.wait_for(Option::is_some)).await;
        match is_ready {
            Ok(Ok(applied)) => Ok(applied.unwrap_or(0)),
            Ok(Err(_)) => Err(EngineError::Stopping),
            Err(_) => {
                Err(EngineError::Unavailable { why: format!("the topic '{}' is not read yet", self.topic) })
            }
        }
    }

    /// Looks at this process's copy.
    pub(super) fn look<T>(&self, look: impl FnOnce(&M) -> T) -> T {
        look(&self.machine.lock())
    }

    /// Writes a command, and answers what came of it.
    pub(super) async fn propose(
        &self,
        key: Option<&str>,
        command: M::Command,
    ) -> Result<M::Outcome, EngineError> {
        self.ready().await?;
        let (record, outcome) = self.prepare(key, command);
        let mut pending = Waiting { waiting: &self.waiting, id: outcome.id };
        let sent = self.producer.send(self.topic, 0, &record, 0, None);
        let acknowledged = async { self.producer.acknowledged(self.topic, sent?).await };
        acknowledged.await.map_err(|error| match error {
            EngineError::TopicNotFound { topic } => {
                EngineError::Unavailable { why: format!("the internal topic '{topic}' is gone") }
            }
            error => error,
        })?;
        let told = timeout(REQUEST_LIMIT, outcome.receiver).await;
        pending.id.clear();
        match told {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(_)) => Err(EngineError::Stopping),
            Err(_) => Err(EngineError::OutcomeUnknown),
        }
    }

    /// Writes a command whose outcome nobody waits for; returns when the log has it.
    pub(super) async fn tell(&self, command: M::Command) -> Result<(), EngineError> {
        self.producer.acknowledged(self.topic, self.say(command)?).await.map(drop)
    }

    /// The same, and doesn't wait for the log.
    pub(super) fn say(&self, command: M::Command) -> Result<Pending, EngineError> {
        self.producer.send(self.topic, 0, &record_of(&Proposal { id: new_id(), command }), 0, None)
    }

    /// What tells that more commands were applied, from now on.
    pub(super) fn news(&self) -> News {
        let mut applied = self.applied.clone();
        applied.mark_unchanged();
        News(applied)
    }

    /// A command as a record, and where its outcome will come.
    fn prepare(&self, key: Option<&str>, command: M::Command) -> (NewRecord, Outcome<M>) {
        let id = new_id();
        let mut record = record_of(&Proposal { id: id.clone(), command });
        record.key = key.map(|key| key.as_bytes().to_vec().into());
        let (sender, receiver) = oneshot::channel();
        self.waiting.lock().insert(id.clone(), sender);
        (record, Outcome { id, receiver })
    }
}

/// Tells that more commands were applied.
pub(super) struct News(watch::Receiver<Option<i64>>);

impl News {
    /// Waits for more, or until then.
    pub(super) async fn wait(mut self, until: Instant) -> Result<(), EngineError> {
        match timeout_at(until, self.0.changed()).await {
            Ok(Err(_)) => Err(EngineError::Stopping),
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }
}

fn record_of<C: Serialize>(proposal: &Proposal<C>) -> NewRecord {
    // maps have text as keys, and nothing else can fail
    let value = serde_json::to_vec(proposal).unwrap_or_default();
    NewRecord { value: Some(value.into()), ..NewRecord::default() }
}

/// A name that nobody can guess and nobody else has: of a proposal, a delivery, an attempt.
pub(super) fn new_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

struct Outcome<M: Machine> {
    id: String,
    receiver: oneshot::Receiver<M::Outcome>,
}

/// Takes a place in the waiting room back, also when the one who waits is gone.
struct Waiting<'a, O> {
    waiting: &'a Mutex<HashMap<String, oneshot::Sender<O>>>,
    id: String,
}

impl<O> Drop for Waiting<'_, O> {
    fn drop(&mut self) {
        self.waiting.lock().remove(&self.id);
    }
}

/// The task that applies what is in the log.
struct Follower<M: Machine> {
    topic: &'static str,
    config: &'static [(&'static str, &'static str)],
    cluster: Arc<Cluster>,
    machine: Arc<Mutex<M>>,
    waiting: Arc<Mutex<HashMap<String, oneshot::Sender<M::Outcome>>>>,
    applied: watch::Sender<Option<i64>>,
}

impl<M: Machine> Follower<M> {
    async fn run(self, mut stopping: watch::Receiver<bool>) {
        tokio::select! {
            () = self.follow() => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
    }

    async fn follow(&self) {
        let (consumer, end) = loop {
            match self.open().await {
                Ok(opened) => break opened,
                Err(error) => {
                    tracing::debug!(topic = self.topic, %error, "an internal topic is not there yet")
                }
            }
            tokio::time::sleep(TRY_AGAIN).await;
        };
        if end == 0 {
            self.applied.send_replace(Some(0));
        }
        loop {
            match consumer.recv().await {
                Ok(message) => {
                    let at = At {
                        offset: message.offset(),
                        time_ms: message.timestamp().to_millis().unwrap_or(0),
                    };
                    self.apply(at, message.payload().unwrap_or_default());
                    self.passed(message.offset() + 1, end);
                }
                // retention may have taken the last of them
                Err(KafkaError::PartitionEOF(_)) => self.passed(end, end),
                Err(error) => {
                    tracing::debug!(topic = self.topic, %error, "reading an internal topic is interrupted");
                    tokio::time::sleep(TRY_AGAIN).await;
                }
            }
        }
    }

    fn passed(&self, next: i64, end: i64) {
        self.applied.send_if_modified(|applied| {
            let next = applied.unwrap_or(0).max(next);
            let changed = next >= end && *applied != Some(next);
            if changed {
                *applied = Some(next);
            }
            changed
        });
    }

    fn apply(&self, at: At, value: &[u8]) {
        match serde_json::from_slice::<Proposal<M::Command>>(value) {
            Ok(proposal) => {
                let outcome = self.machine.lock().apply(at, proposal.command);
                if let Some(waiting) = self.waiting.lock().remove(&proposal.id) {
                    // whoever no longer waits doesn't need the outcome
                    let _ = waiting.send(outcome);
                }
            }
            // of a later release, or somebody else's: no process applies it
            Err(error) => {
                tracing::warn!(topic = self.topic, offset = at.offset, %error, "a command is not understood");
            }
        }
    }

    /// Makes the topic if need be, and opens it at its start. Answers where it ends now.
    async fn open(&self) -> Result<(StreamConsumer<Told>, i64), EngineError> {
        self.ensure_topic().await?;
        let end = self
            .cluster
            .list_offsets(vec![(self.topic.to_owned(), 0, OffsetQuery::Latest)])
            .await?
            .pop()
            .and_then(|(.., end)| end.ok())
            .ok_or_else(|| EngineError::TopicNotFound { topic: self.topic.to_owned() })?;
        let mut config = self.cluster.config.reader();
        config.set("fetch.wait.max.ms", "500").set("fetch.min.bytes", "1");
        let mut start = TopicPartitionList::new();
        let start = start.add_partition_offset(self.topic, 0, Offset::Beginning).map(|()| start);
        let consumer = open_at(config, start, "opening an internal topic").await?;
        Ok((consumer, end))
    }

    async fn ensure_topic(&self) -> Result<(), EngineError> {
        match self.cluster.look_up(self.topic).await {
            Err(EngineError::TopicNotFound { .. }) => {}
            known => return known.map(drop),
        }
        let config = self.config.iter().copied().chain([("message.timestamp.type", "LogAppendTime")]);
        match self.cluster.make_topic(self.topic, 1, config).await {
            Ok(Ok(()) | Err(RDKafkaErrorCode::TopicAlreadyExists)) => Ok(()),
            Ok(Err(code)) => Err(about_topic(self.topic, code)),
            Err(error) => Err(unavailable("making an internal topic", &error)),
        }
    }
}
