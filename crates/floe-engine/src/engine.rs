//! The engine: one enum, one method per thing that doors ask for.

use std::{collections::BTreeMap, time::Duration};

use floe_broker::{BrokerError, OffsetSpec};

use crate::{
    Append, Appended, Delivery, EngineHealth, GroupDescription, GroupSummary, Membership, Page,
    PartitionRead, Poll, Tail, TopicDescription, TopicPage, TopicRead, TopicSpec, TopicSummary,
};

/// A log to write to and read from. Cloning is cheap and shares it.
#[derive(Clone, Debug)]
pub enum Engine {
    /// The broker in this process.
    Embedded,
}

#[expect(unused_variables, reason = "being written")]
#[expect(clippy::unimplemented, reason = "being written")]
impl Engine {
    /// Makes a topic; durable when it returns.
    pub async fn create_topic(&self, spec: TopicSpec) -> Result<TopicDescription, BrokerError> {
        unimplemented!()
    }

    /// Changes a topic: more partitions, other settings (`None` as value goes back to the default); durable when it returns.
    pub async fn alter_topic(
        &self,
        topic: &str,
        partitions: Option<u32>,
        config: BTreeMap<String, Option<String>>,
    ) -> Result<TopicDescription, BrokerError> {
        unimplemented!()
    }

    /// Deletes a topic with its records and all groups' positions on it; durable when it returns. Tails end with `Deleted`.
    pub async fn delete_topic(&self, topic: &str) -> Result<(), BrokerError> {
        unimplemented!()
    }

    /// All topics by name, internal ones (`__…`) left out.
    pub fn topics(&self) -> Vec<TopicSummary> {
        unimplemented!()
    }

    /// One topic in a line.
    pub fn topic_summary(&self, topic: &str) -> Result<TopicSummary, BrokerError> {
        unimplemented!()
    }

    /// One topic in full.
    pub fn describe_topic(&self, topic: &str) -> Result<TopicDescription, BrokerError> {
        unimplemented!()
    }

    /// A topic's settings with their values in force.
    pub fn topic_config(&self, topic: &str) -> Result<BTreeMap<String, String>, BrokerError> {
        unimplemented!()
    }

    /// The partition in which a key's records are: murmur2 modulo the partition count, as Kafka's clients do.
    pub fn partition_of(&self, topic: &str, key: &[u8]) -> Result<u32, BrokerError> {
        unimplemented!()
    }

    /// Stores records, all or none, and answers when the promise asked for holds. Safe to call at once from anywhere;
    /// of one caller that waits for each answer, the records keep their order.
    pub async fn append(&self, append: Append) -> Result<Appended, BrokerError> {
        unimplemented!()
    }

    /// Reads one partition. Never returns a record that a crash could take away.
    pub async fn read(&self, read: PartitionRead) -> Result<Page, BrokerError> {
        unimplemented!()
    }

    /// Reads across a topic. Never returns a record that a crash could take away.
    pub async fn read_topic(&self, read: TopicRead) -> Result<TopicPage, BrokerError> {
        unimplemented!()
    }

    /// The offset that a place stands for in one partition.
    pub async fn offset_for(&self, topic: &str, partition: u32, at: OffsetSpec) -> Result<i64, BrokerError> {
        unimplemented!()
    }

    /// Opens the end of a topic.
    pub fn tail(&self, topic: &str) -> Result<Tail, BrokerError> {
        unimplemented!()
    }

    /// All groups by name.
    pub fn groups(&self) -> Vec<GroupSummary> {
        unimplemented!()
    }

    /// One group in full.
    pub fn describe_group(&self, group: &str) -> Result<GroupDescription, BrokerError> {
        unimplemented!()
    }

    /// Gives a group positions on a topic's partitions where it has none; durable when it returns. Answers the positions
    /// in force, by partition: a repeat keeps them.
    pub async fn subscribe_group(
        &self,
        group: &str,
        topic: &str,
        from: OffsetSpec,
    ) -> Result<Vec<i64>, BrokerError> {
        unimplemented!()
    }

    /// Takes a group's positions on a topic away; `NotSubscribed` when it has none. Durable when it returns.
    pub async fn unsubscribe_group(&self, group: &str, topic: &str) -> Result<(), BrokerError> {
        unimplemented!()
    }

    /// The group's next records.
    pub async fn poll(&self, poll: Poll) -> Result<Delivery, BrokerError> {
        unimplemented!()
    }

    /// Acknowledges a delivery: its records are committed; durable when it returns.
    pub async fn ack(&self, group: &str, delivery: &str) -> Result<(), BrokerError> {
        unimplemented!()
    }

    /// Commits positions (the next offset to read). With a member and its generation, only while that is current.
    pub async fn commit(
        &self,
        group: &str,
        member: Option<(&str, u64)>,
        offsets: Vec<(String, u32, i64)>,
    ) -> Result<(), BrokerError> {
        unimplemented!()
    }

    /// Moves a group's positions on a topic (one partition or all); refused with `GroupActive` while somebody reads.
    /// Answers the new positions. Durable when it returns.
    pub async fn reset_group(
        &self,
        group: &str,
        topic: &str,
        partition: Option<u32>,
        to: OffsetSpec,
    ) -> Result<Vec<(u32, i64)>, BrokerError> {
        unimplemented!()
    }

    /// Deletes a group with all its positions; refused with `GroupActive` while somebody reads. Durable when it returns.
    pub async fn delete_group(&self, group: &str) -> Result<(), BrokerError> {
        unimplemented!()
    }

    /// Joins a group as a member that owns partitions until it leaves or is silent for `session`.
    pub async fn join_group(
        &self,
        group: &str,
        client_id: &str,
        topics: Vec<String>,
        session: Duration,
    ) -> Result<Membership, BrokerError> {
        unimplemented!()
    }

    /// Keeps a member alive and tells its assignment in force.
    pub async fn heartbeat(&self, group: &str, member: &str) -> Result<Membership, BrokerError> {
        unimplemented!()
    }

    /// Leaves a group; what the member owned goes to the others.
    pub async fn leave_group(&self, group: &str, member: &str) -> Result<(), BrokerError> {
        unimplemented!()
    }

    /// How the engine is.
    pub fn health(&self) -> EngineHealth {
        unimplemented!()
    }
}
