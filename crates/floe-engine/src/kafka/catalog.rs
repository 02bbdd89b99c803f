//! The topics of the cluster as far as they were asked for: id, partitions, settings.
//!
//! What is known is believed for a moment, so that a write doesn't cost a request for metadata. A topic that was deleted and
//! made again elsewhere is noticed by its id when that moment is over.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Instant,
};

use floe_broker::{TopicConfig, TopicName};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use super::{
    limits::{STICKY, TOPIC_FRESH},
    native::TopicFacts,
};
use crate::EngineError;

/// A topic, for as long as it is the same.
#[derive(Debug)]
pub(super) struct KafkaTopic {
    pub(super) name: Arc<str>,
    pub(super) id: u64,
    partitions: AtomicU32,
    sticky: Mutex<Sticky>,
    gone: watch::Sender<bool>,
    settings: Mutex<Option<Known<Arc<TopicSettings>>>>,
    leaders: Mutex<Vec<i32>>,
}

/// The partition that keyless records go to for the moment. Those that come together share batches there; spread over all, each
/// would be a request of its own (KIP-480).
#[derive(Debug)]
struct Sticky {
    partition: u32,
    since: Instant,
}

/// A topic's settings in force.
#[derive(Debug)]
pub(super) struct TopicSettings {
    /// The cluster's, and Floe's own.
    pub(super) all: BTreeMap<String, String>,
    /// Floe's own.
    pub(super) floe: TopicConfig,
    /// The largest batch.
    pub(super) max_message_bytes: usize,
}

/// Something that was true at some moment.
#[derive(Debug)]
struct Known<T> {
    value: T,
    since: Instant,
}

/// Topics by name.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    topics: RwLock<HashMap<String, Known<Arc<KafkaTopic>>>>,
}

impl KafkaTopic {
    fn new(name: &str, facts: TopicFacts) -> Self {
        Self {
            name: name.into(),
            id: facts.id,
            partitions: AtomicU32::new(u32::try_from(facts.leaders.len()).unwrap_or(u32::MAX)),
            // processes that start together shouldn't all begin with the same one
            sticky: Mutex::new(Sticky { partition: rand::random(), since: Instant::now() }),
            gone: watch::Sender::new(false),
            settings: Mutex::new(None),
            leaders: Mutex::new(facts.leaders),
        }
    }

    pub(super) fn partition_count(&self) -> u32 {
        self.partitions.load(Ordering::Relaxed)
    }

    /// The partition's leader, or -1.
    pub(super) fn leader(&self, partition: u32) -> i32 {
        self.leaders.lock().get(partition as usize).copied().unwrap_or(-1)
    }

    /// Refuses a partition that it doesn't have.
    pub(super) fn check_partition(&self, partition: u32) -> Result<(), EngineError> {
        let count = self.partition_count();
        if partition < count {
            return Ok(());
        }
        Err(EngineError::PartitionNotFound { topic: self.name.to_string(), partition, count })
    }

    /// The partition asked for, or all.
    pub(super) fn partitions(&self, only: Option<u32>) -> Result<Range<u32>, EngineError> {
        let Some(partition) = only else { return Ok(0..self.partition_count()) };
        self.check_partition(partition)?;
        Ok(partition..partition + 1)
    }

    /// The partition for all keyless records of one append.
    pub(super) fn sticky(&self) -> u32 {
        let mut sticky = self.sticky.lock();
        if sticky.since.elapsed() >= STICKY {
            *sticky = Sticky { partition: sticky.partition.wrapping_add(1), since: Instant::now() };
        }
        sticky.partition % self.partition_count().max(1)
    }

    /// Turns true when the topic is deleted.
    pub(super) fn gone(&self) -> watch::Receiver<bool> {
        self.gone.subscribe()
    }

    /// Its settings, if they were looked up after `since`.
    pub(super) fn settings_since(&self, since: Option<Instant>) -> Option<Arc<TopicSettings>> {
        let known = self.settings.lock();
        let known = known.as_ref()?;
        since.is_none_or(|since| known.since >= since).then(|| Arc::clone(&known.value))
    }

    pub(super) fn keep_settings(&self, settings: Arc<TopicSettings>, since: Instant) {
        *self.settings.lock() = Some(Known { value: settings, since });
    }

    pub(super) fn forget_settings(&self) {
        *self.settings.lock() = None;
    }
}

impl Catalog {
    /// A topic that was looked at a moment ago.
    pub(super) fn fresh(&self, name: &str) -> Option<Arc<KafkaTopic>> {
        let topics = self.topics.read();
        topics.get(name).filter(|known| known.since.elapsed() < TOPIC_FRESH).map(|known| known.value.clone())
    }

    /// A topic as it was known at last.
    pub(super) fn last_known(&self, name: &str) -> Option<Arc<KafkaTopic>> {
        self.topics.read().get(name).map(|known| known.value.clone())
    }

    /// Takes in what the cluster says of a topic.
    pub(super) fn learn(&self, name: &str, facts: TopicFacts) -> Arc<KafkaTopic> {
        let since = Instant::now();
        let mut topics = self.topics.write();
        if let Some(known) = topics.get_mut(name) {
            if known.value.id == facts.id {
                let count = u32::try_from(facts.leaders.len()).unwrap_or(u32::MAX);
                known.value.partitions.store(count, Ordering::Relaxed);
                *known.value.leaders.lock() = facts.leaders;
                known.since = since;
                return known.value.clone();
            }
            known.value.gone.send_replace(true);
        }
        let topic = Arc::new(KafkaTopic::new(name, facts));
        topics.insert(name.to_owned(), Known { value: topic.clone(), since });
        topic
    }

    /// Takes in that there is no such topic.
    pub(super) fn forget(&self, name: &str) {
        if let Some(known) = self.topics.write().remove(name) {
            known.value.gone.send_replace(true);
        }
    }
}

/// Refuses a text that can't be a topic's name, which the cluster needn't be asked about.
pub(super) fn checked_name(name: &str) -> Result<(), EngineError> {
    TopicName::new(name)
        .map(drop)
        .map_err(|why| EngineError::InvalidTopicName { topic: name.to_owned(), why })
}
