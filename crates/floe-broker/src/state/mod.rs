//! The broker's durable state: changed by the writer thread alone, entry by entry, rebuilt from the journal at start.

mod codec;
mod entry;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use floe_journal::{Journal, Position};

pub use codec::DecodeError;
use codec::{Reader, Writer};
pub use entry::StateEntry;

use crate::{
    TopicConfig, TopicName,
    group::PartitionKey,
    idempotency::{IdempotencyTable, MAX_IDEMPOTENCY_KEYS},
    limits::MAX_PARTITIONS_PER_TOPIC,
    topic::{Partition, Shape, Topic, journal_id},
};

const SNAPSHOT_VERSION: u8 = 1;

/// Positions of one group.
pub(crate) type Positions = BTreeMap<PartitionKey, i64>;

/// All that survives a restart, except the records.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) topics: HashMap<u64, Arc<Topic>>,
    pub(crate) names: HashMap<TopicName, u64>,
    pub(crate) groups: BTreeMap<String, Positions>,
    pub(crate) idempotency: IdempotencyTable,
    pub(crate) next_topic_id: u64,
    pub(crate) partitions: usize,
}

impl Default for State {
    fn default() -> Self {
        Self {
            topics: HashMap::new(),
            names: HashMap::new(),
            groups: BTreeMap::new(),
            idempotency: IdempotencyTable::with_limit(MAX_IDEMPOTENCY_KEYS),
            next_topic_id: 1,
            partitions: 0,
        }
    }
}

impl State {
    pub(crate) fn by_name(&self, name: &TopicName) -> Option<&Arc<Topic>> {
        self.topics.get(self.names.get(name)?)
    }

    /// Adds a topic; the caller has checked that there is room and the name is free.
    pub(crate) fn insert_topic(&mut self, topic: Arc<Topic>) {
        self.next_topic_id = self.next_topic_id.max(topic.id + 1);
        self.partitions += topic.partition_count() as usize;
        self.names.insert(topic.name.clone(), topic.id);
        self.topics.insert(topic.id, topic);
    }

    /// Takes a topic away, with all positions and keys on it.
    pub(crate) fn remove_topic(&mut self, id: u64) -> Option<Arc<Topic>> {
        let topic = self.topics.remove(&id)?;
        self.names.remove(&topic.name);
        self.partitions -= topic.written().partitions.len();
        self.groups.values_mut().for_each(|positions| forget_topic(positions, id));
        self.idempotency.forget_topic(id);
        topic.set_removed();
        Some(topic)
    }

    /// Gives a topic other settings and at least so many partitions.
    pub(crate) fn alter_topic(&mut self, topic: &Topic, partitions: u32, config: TopicConfig) -> Shape {
        let before = topic.written().partitions.len();
        let shape = topic.write_shape(partitions, config);
        self.partitions += shape.partitions.len() - before;
        shape
    }

    /// The whole state as bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u8(SNAPSHOT_VERSION).u64(self.next_topic_id).count(self.topics.len());
        for topic in self.topics.values() {
            let Shape { config, partitions } = topic.written();
            out.u64(topic.id).text(topic.name.as_str()).config(&config.overrides()).count(partitions.len());
            for partition in partitions.iter() {
                out.i64(partition.written_start()).i64(partition.written_end());
            }
        }
        out.count(self.groups.len());
        for (group, positions) in &self.groups {
            let positions: Vec<_> = positions.iter().map(|(key, offset)| (*key, *offset)).collect();
            out.text(group).positions(&positions);
        }
        self.idempotency.encode(out.bytes_mut());
        out.finish()
    }

    /// Replays a snapshot; must come before all entries.
    pub(crate) fn load(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        let mut read = Reader::new(bytes);
        match read.u8()? {
            SNAPSHOT_VERSION => {}
            tag => return Err(DecodeError::UnknownTag { tag }),
        }
        self.next_topic_id = read.u64()?;
        for _ in 0..read.u32()? {
            let id = read.u64()?;
            let name = read.text()?;
            let config = read.config()?;
            let partitions = (0..read.u32()?)
                .map(|_| Ok(Partition::new(read.i64()?, read.i64()?, 0)))
                .collect::<Result<Arc<[_]>, DecodeError>>()?;
            self.restore_topic(id, &name, &config, partitions);
        }
        for _ in 0..read.u32()? {
            let group = read.text()?;
            self.groups.insert(group, read.positions()?.into_iter().collect());
        }
        self.idempotency = IdempotencyTable::decode(read.rest(), MAX_IDEMPOTENCY_KEYS)?;
        Ok(())
    }

    fn restore_topic(
        &mut self,
        id: u64,
        name: &str,
        config: &BTreeMap<String, String>,
        partitions: Arc<[Arc<Partition>]>,
    ) {
        // both were checked when the topic was made; a name from a future version is refused rather than guessed
        let Ok(name) = TopicName::new(name) else { return };
        let config = TopicConfig::from_overrides(config).unwrap_or_else(|error| {
            tracing::warn!(%error, topic = %name, "a setting of the topic is not known to this version; defaults are used");
            TopicConfig::default()
        });
        self.insert_topic(Topic::new(id, name, config, partitions, 0));
    }

    /// Replays one entry.
    pub(crate) fn replay(&mut self, entry: StateEntry) {
        match entry {
            StateEntry::TopicCreated { id, name, partitions, config } => {
                let partitions =
                    (0..partitions.min(MAX_PARTITIONS_PER_TOPIC)).map(|_| Partition::new(0, 0, 0)).collect();
                self.restore_topic(id, &name, &config, partitions);
            }
            StateEntry::TopicAltered { id, partitions, config } => {
                if let Some(topic) = self.topics.get(&id).cloned() {
                    let config = TopicConfig::from_overrides(&config).unwrap_or_default();
                    let partitions = partitions.min(MAX_PARTITIONS_PER_TOPIC);
                    topic.publish_shape(self.alter_topic(&topic, partitions, config));
                }
            }
            StateEntry::TopicDeleted { id } => drop(self.remove_topic(id)),
            StateEntry::Positions { group, positions } => {
                self.groups.entry(group).or_default().extend(positions)
            }
            StateEntry::PositionsRemoved { group, topic_id } => {
                if let Some(positions) = self.groups.get_mut(&group) {
                    forget_topic(positions, topic_id);
                }
            }
            StateEntry::GroupDeleted { group } => drop(self.groups.remove(&group)),
            StateEntry::LogStart { starts } => {
                for ((topic_id, number), start) in starts {
                    if let Some(partition) =
                        self.topics.get(&topic_id).and_then(|topic| topic.partition(number).ok())
                    {
                        partition.write_start(start);
                        partition.publish_start(start, 0);
                    }
                }
            }
            StateEntry::IdempotencyUsed { topic_id, key, entry } => {
                self.idempotency.insert(topic_id, &key, entry)
            }
        }
    }

    /// Brings the topics up to what the journal holds: offsets behind the snapshot, bytes, and where live readers start.
    pub(crate) fn settle(&mut self, journal: &Journal, durable: Position) {
        let ids: Vec<u64> = self.topics.keys().copied().collect();
        for id in ids {
            let topic = self.topics[&id].clone();
            let partitions: Arc<[_]> = topic
                .partitions()
                .iter()
                .zip(0u32..)
                .map(|(partition, number)| {
                    let journal_id = journal_id(id, number);
                    let stored_end = journal.range(journal_id).map_or(0, |(_, last)| last + 1);
                    let end = partition.written_end().max(stored_end);
                    let start = partition.written_start().min(end);
                    Partition::new(start, end, journal.bytes_from(journal_id, start))
                })
                .collect();
            let config = TopicConfig::clone(&topic.config());
            self.topics.insert(id, Topic::new(id, topic.name.clone(), config, partitions, durable));
        }
    }
}

/// Removes a topic's positions.
pub(crate) fn forget_topic(positions: &mut Positions, topic_id: u64) {
    positions.retain(|(id, _), _| *id != topic_id);
}
