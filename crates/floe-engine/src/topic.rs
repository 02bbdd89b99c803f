//! Topics as callers ask for them and as they are described.

use std::collections::BTreeMap;

/// A topic to be made.
#[derive(Clone, Debug)]
pub struct TopicSpec {
    /// Its name; checked against Kafka's rule.
    pub name: String,
    /// 1 to 10,000.
    pub partitions: u32,
    /// Settings under Kafka's names (`retention.ms`, `max.message.bytes`, …) and Floe's own (`floe.…`).
    pub config: BTreeMap<String, String>,
}

/// A topic in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSummary {
    /// Its name.
    pub name: String,
    /// Its id: a topic deleted and made again has another one.
    pub id: u64,
    /// How many partitions it has.
    pub partitions: u32,
    /// All records ever accepted.
    pub messages: u64,
    /// Bytes stored now.
    pub bytes: u64,
}

/// A topic in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: u64,
    /// Every partition, by number.
    pub partitions: Vec<PartitionDescription>,
    /// Every setting with its value in force.
    pub config: BTreeMap<String, String>,
}

/// One partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionDescription {
    /// Its number.
    pub partition: u32,
    /// The first offset kept.
    pub start: i64,
    /// The offset behind the newest visible record.
    pub end: i64,
    /// Bytes stored now.
    pub bytes: u64,
    /// The node that leads it (1: a Floe node is the only one).
    pub leader: i32,
}
