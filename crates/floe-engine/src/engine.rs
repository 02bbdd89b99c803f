//! The engine: one enum, one method per thing that doors ask for.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use floe_broker::{BrokerError as EngineError, Clock, Cursor, OffsetSpec, TopicName};
use floe_journal::{JournalConfig, OpenError, RecoveryReport, Storage};

use crate::{
    Append, Appended, Delivery, EmbeddedConfig, EngineHealth, GroupDescription, GroupSummary, KafkaConfig,
    KafkaConfigError, Membership, OpenEngineError, Page, PartitionRead, Poll, Tail, TopicDescription,
    TopicPage, TopicRead, TopicSpec, TopicSummary,
    embedded::{Embedded, JANITOR_PERIOD},
    kafka::Kafka,
};

/// A log to write to and read from. Cloning is cheap and shares it.
#[derive(Clone, Debug)]
pub enum Engine {
    /// The broker in this process.
    Embedded(Arc<Embedded>),
    /// A Kafka cluster.
    Kafka(Arc<Kafka>),
}

impl Engine {
    /// Opens the embedded engine on a directory. What recovery found is in [`recovery`](Self::recovery).
    pub fn open_embedded(config: EmbeddedConfig) -> Result<Self, OpenEngineError> {
        Ok(Self::Embedded(Arc::new(Embedded::open(config)?)))
    }

    /// Opens the embedded engine on storage of the caller's choice, for trying faults.
    pub fn embedded_on(
        storage: Arc<dyn Storage>,
        journal: JournalConfig,
        clock: Clock,
    ) -> Result<Self, OpenError> {
        Self::embedded_with(storage, journal, clock, JANITOR_PERIOD)
    }

    /// The same with retention and cleaning looked at this often.
    pub fn embedded_with(
        storage: Arc<dyn Storage>,
        journal: JournalConfig,
        clock: Clock,
        janitor_period: Duration,
    ) -> Result<Self, OpenError> {
        let embedded = Embedded::on(storage, None, journal, clock, janitor_period, None)?;
        Ok(Self::Embedded(Arc::new(embedded)))
    }

    /// Begins to use a Kafka cluster, which need not be there yet: until it is, methods answer `Unavailable`. Has to be called
    /// inside a tokio runtime.
    pub fn open_kafka(config: &KafkaConfig) -> Result<Self, KafkaConfigError> {
        Kafka::open(config).map(Self::Kafka)
    }

    /// Waits (for some seconds at most) until the engine can serve.
    pub async fn ready(&self) -> Result<(), EngineError> {
        match self {
            Self::Embedded(_) => Ok(()),
            Self::Kafka(kafka) => kafka.ready().await,
        }
    }

    /// What opening found in the log; `None` for an engine whose log is elsewhere.
    #[must_use]
    pub fn recovery(&self) -> Option<&RecoveryReport> {
        match self {
            Self::Embedded(embedded) => Some(embedded.recovery()),
            Self::Kafka(_) => None,
        }
    }

    /// Which log this is: as long as it exists it keeps this id, and no other log has it. Positions that are stored
    /// elsewhere (in a database, beside the rows) are good for this log only.
    pub async fn log_id(&self) -> Result<String, EngineError> {
        match self {
            Self::Embedded(embedded) => Ok(embedded.log_id()),
            Self::Kafka(kafka) => kafka.log_id().await,
        }
    }

    /// Refuses what comes from now on, makes durable what came, and lets go of the log. Blocks until that is done.
    pub fn close(&self) {
        match self {
            Self::Embedded(embedded) => embedded.close(),
            Self::Kafka(kafka) => kafka.close(),
        }
    }

    /// Makes a topic; durable when it returns. Refuses the names of internal topics (`__…`).
    pub async fn create_topic(&self, spec: TopicSpec) -> Result<TopicDescription, EngineError> {
        for_clients(&spec.name)?;
        self.create_own_topic(spec).await
    }

    /// The same for Floe's own use: internal topics too. Nothing that a client names may come here.
    pub async fn create_own_topic(&self, spec: TopicSpec) -> Result<TopicDescription, EngineError> {
        match self {
            Self::Embedded(embedded) => embedded.create_topic(spec).await,
            Self::Kafka(kafka) => kafka.create_topic(spec).await,
        }
    }

    /// Changes a topic: more partitions, other settings (`None` as value goes back to the default); durable when it returns.
    pub async fn alter_topic(
        &self,
        topic: &str,
        partitions: Option<u32>,
        config: BTreeMap<String, Option<String>>,
    ) -> Result<TopicDescription, EngineError> {
        match self {
            Self::Embedded(embedded) => embedded.alter_topic(topic, partitions, config).await,
            Self::Kafka(kafka) => kafka.alter_topic(topic, partitions, config).await,
        }
    }

    /// Deletes a topic with its records and all groups' positions on it; durable when it returns. Tails end with `Deleted`.
    pub async fn delete_topic(&self, topic: &str) -> Result<(), EngineError> {
        match self {
            Self::Embedded(embedded) => embedded.delete_topic(topic).await,
            Self::Kafka(kafka) => kafka.delete_topic(topic).await,
        }
    }

    /// All topics by name, internal ones (`__…`) left out.
    pub async fn topics(&self) -> Result<Vec<TopicSummary>, EngineError> {
        match self {
            Self::Embedded(embedded) => Ok(embedded.topics()),
            Self::Kafka(kafka) => kafka.topics().await,
        }
    }

    /// One topic in a line.
    pub async fn topic_summary(&self, topic: &str) -> Result<TopicSummary, EngineError> {
        match self {
            Self::Embedded(embedded) => embedded.topic_summary(topic),
            Self::Kafka(kafka) => kafka.topic_summary(topic).await,
        }
    }

    /// One topic in full.
    pub async fn describe_topic(&self, topic: &str) -> Result<TopicDescription, EngineError> {
        match self {
            Self::Embedded(embedded) => embedded.describe_topic(topic),
            Self::Kafka(kafka) => kafka.describe_topic(topic).await,
        }
    }

    /// A topic's settings with their values in force.
    pub async fn topic_config(&self, topic: &str) -> Result<BTreeMap<String, String>, EngineError> {
        match self {
            Self::Embedded(embedded) => embedded.topic_config(topic),
            Self::Kafka(kafka) => kafka.topic_config(topic).await,
        }
    }

    /// The partition in which a key's records are: murmur2 modulo the partition count, as Kafka's clients do.
    pub async fn partition_of(&self, topic: &str, key: &[u8]) -> Result<u32, EngineError> {
        match self {
            Self::Embedded(embedded) => embedded.partition_of(topic, key),
            Self::Kafka(kafka) => kafka.partition_of(topic, key).await,
        }
    }

    /// Stores records, all or none, and answers when the promise asked for holds. Safe to call at once from anywhere;
    /// of one caller that waits for each answer, the records keep their order.
    /// Refuses internal topics (`__…`).
    pub async fn append(&self, append: Append) -> Result<Appended, EngineError> {
        for_clients(&append.topic)?;
        self.append_own(append).await
    }

    /// The same for Floe's own use: to internal topics too. Nothing that a client names may come here.
    pub async fn append_own(&self, append: Append) -> Result<Appended, EngineError> {
        match self {
            Self::Embedded(embedded) => embedded.append(append).await,
            Self::Kafka(kafka) => kafka.append(append).await,
        }
    }

    /// Reads one partition. Never returns a record that a crash could take away.
    pub async fn read(&self, read: PartitionRead) -> Result<Page, EngineError> {
        match self {
            Self::Embedded(embedded) => embedded.read(read).await,
            Self::Kafka(kafka) => kafka.read(read).await,
        }
    }

    /// Reads across a topic. Never returns a record that a crash could take away.
    pub async fn read_topic(&self, read: TopicRead) -> Result<TopicPage, EngineError> {
        match self {
            Self::Embedded(embedded) => embedded.read_topic(read).await,
            Self::Kafka(kafka) => kafka.read_topic(read).await,
        }
    }

    /// The offset that a place stands for in one partition.
    pub async fn offset_for(&self, topic: &str, partition: u32, at: OffsetSpec) -> Result<i64, EngineError> {
        match self {
            Self::Embedded(embedded) => embedded.offset_for(topic, partition, at).await,
            Self::Kafka(kafka) => kafka.offset_for(topic, partition, at).await,
        }
    }

    /// The place behind all records of a topic that are visible now.
    pub async fn topic_end(&self, topic: &str) -> Result<Cursor, EngineError> {
        match self {
            Self::Embedded(embedded) => embedded.topic_end(topic),
            Self::Kafka(kafka) => kafka.topic_end(topic).await,
        }
    }

    /// Opens the end of a topic.
    pub async fn tail(&self, topic: &str) -> Result<Tail, EngineError> {
        match self {
            Self::Embedded(embedded) => embedded.tail(topic),
            Self::Kafka(kafka) => kafka.tail(topic).await,
        }
    }

    /// All groups by name.
    pub async fn groups(&self) -> Result<Vec<GroupSummary>, EngineError> {
        match self {
            Self::Embedded(embedded) => Ok(embedded.groups()),
            Self::Kafka(kafka) => kafka.groups().await,
        }
    }

    /// One group in full.
    pub async fn describe_group(&self, group: &str) -> Result<GroupDescription, EngineError> {
        match self {
            Self::Embedded(embedded) => embedded.describe_group(group),
            Self::Kafka(kafka) => kafka.describe_group(group).await,
        }
    }

    /// Gives a group positions on a topic's partitions where it has none; durable when it returns. Answers the positions
    /// in force, by partition: a repeat keeps them.
    pub async fn subscribe_group(
        &self,
        group: &str,
        topic: &str,
        from: OffsetSpec,
    ) -> Result<Vec<i64>, EngineError> {
        match self {
            Self::Embedded(embedded) => embedded.subscribe_group(group, topic, from).await,
            Self::Kafka(kafka) => kafka.subscribe_group(group, topic, from).await,
        }
    }

    /// Takes a group's positions on a topic away; `NotSubscribed` when it has none. Durable when it returns.
    pub async fn unsubscribe_group(&self, group: &str, topic: &str) -> Result<(), EngineError> {
        match self {
            Self::Embedded(embedded) => embedded.unsubscribe_group(group, topic).await,
            Self::Kafka(kafka) => kafka.unsubscribe_group(group, topic).await,
        }
    }

    /// The group's next records.
    pub async fn poll(&self, poll: Poll) -> Result<Delivery, EngineError> {
        match self {
            Self::Embedded(embedded) => embedded.poll(poll).await,
            Self::Kafka(kafka) => kafka.poll(poll).await,
        }
    }

    /// Acknowledges a delivery: its records are not handed out again, and the group's position moves to the first record
    /// that is not acknowledged; durable when it returns.
    pub async fn ack(&self, group: &str, delivery: &str) -> Result<(), EngineError> {
        match self {
            Self::Embedded(embedded) => embedded.ack(group, delivery).await,
            Self::Kafka(kafka) => kafka.ack(group, delivery).await,
        }
    }

    /// Commits positions (the next offset to read). With a member and its generation, only while that is current.
    pub async fn commit(
        &self,
        group: &str,
        member: Option<(&str, u64)>,
        offsets: Vec<(String, u32, i64)>,
    ) -> Result<(), EngineError> {
        match self {
            Self::Embedded(embedded) => embedded.commit(group, member, offsets).await,
            Self::Kafka(kafka) => kafka.commit(group, member, offsets).await,
        }
    }

    /// Moves a group's positions on a topic (one partition or all); refused with `GroupActive` while somebody reads.
    /// Answers the new positions. Durable when it returns.
    pub async fn reset_group(
        &self,
        group: &str,
        topic: &str,
        partition: Option<u32>,
        to: OffsetSpec,
    ) -> Result<Vec<(u32, i64)>, EngineError> {
        match self {
            Self::Embedded(embedded) => embedded.reset_group(group, topic, partition, to).await,
            Self::Kafka(kafka) => kafka.reset_group(group, topic, partition, to).await,
        }
    }

    /// Deletes a group with all its positions; refused with `GroupActive` while somebody reads. Durable when it returns.
    pub async fn delete_group(&self, group: &str) -> Result<(), EngineError> {
        match self {
            Self::Embedded(embedded) => embedded.delete_group(group).await,
            Self::Kafka(kafka) => kafka.delete_group(group).await,
        }
    }

    /// Joins a group as a member that owns partitions until it leaves or is silent for `session`.
    pub async fn join_group(
        &self,
        group: &str,
        client_id: &str,
        topics: Vec<String>,
        session: Duration,
    ) -> Result<Membership, EngineError> {
        match self {
            Self::Embedded(embedded) => embedded.join_group(group, client_id, &topics, session),
            Self::Kafka(kafka) => kafka.join_group(group, client_id, &topics, session).await,
        }
    }

    /// Keeps a member alive and tells its assignment in force. A status (at most 16 KiB) replaces what the member said of
    /// itself before; it is there for those who describe the group.
    pub async fn heartbeat(
        &self,
        group: &str,
        member: &str,
        status: Option<Bytes>,
    ) -> Result<Membership, EngineError> {
        match self {
            Self::Embedded(embedded) => embedded.heartbeat(group, member, status),
            Self::Kafka(kafka) => kafka.heartbeat(group, member, status).await,
        }
    }

    /// Leaves a group; what the member owned goes to the others.
    pub async fn leave_group(&self, group: &str, member: &str) -> Result<(), EngineError> {
        match self {
            Self::Embedded(embedded) => embedded.leave_group(group, member),
            Self::Kafka(kafka) => kafka.leave_group(group, member).await,
        }
    }

    /// How the engine is.
    pub fn health(&self) -> EngineHealth {
        match self {
            Self::Embedded(embedded) => embedded.health(),
            Self::Kafka(kafka) => kafka.health(),
        }
    }
}

/// Refuses the names that are the system's.
fn for_clients(topic: &str) -> Result<(), EngineError> {
    if TopicName::is_internal_name(topic) {
        return Err(EngineError::InternalTopic { topic: topic.to_owned() });
    }
    Ok(())
}
