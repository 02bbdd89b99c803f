//! Reading by offset in one partition, and by cursor across a topic.

use std::time::Duration;

use floe_broker::{Cursor, OffsetSpec, StoredRecord};

/// Asks for records of one partition.
#[derive(Clone, Debug)]
pub struct PartitionRead {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// Where to start.
    pub from: OffsetSpec,
    /// At most this many records.
    pub max_records: usize,
    /// At most about this many bytes; the first record is returned whatever its size.
    pub max_bytes: usize,
    /// How long to wait when there is nothing yet.
    pub wait: Duration,
}

/// Records of one partition, in the order of their offsets.
#[derive(Clone, Debug)]
pub struct Page {
    /// The records; empty when there were none before the wait was over.
    pub records: Vec<StoredRecord>,
    /// Where to read on.
    pub next_offset: i64,
    /// The first offset kept.
    pub log_start: i64,
    /// The offset behind the newest visible record.
    pub high_watermark: i64,
    /// Offsets that were passed over because they are damaged on disk.
    pub gaps: Vec<Gap>,
}

/// Offsets that can't be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The partition.
    pub partition: u32,
    /// First offset of the gap.
    pub from: i64,
    /// Last offset of the gap.
    pub to: i64,
}

/// Where a read across a whole topic starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicStart {
    /// At the oldest records kept.
    Earliest,
    /// Behind the newest visible records.
    Latest,
    /// So that no record at or after this time (epoch milliseconds) is left out; of another partition than the first
    /// such record's, a few older ones may come along.
    Time(i64),
    /// Right behind this cursor.
    After(Cursor),
    /// So that this many of the newest visible records follow (fewer if there are fewer).
    Newest(usize),
    /// So that this many of the records up to `end` follow, and all that became visible after `end` behind them: the
    /// place doesn't depend on when the read comes.
    NewestBefore {
        /// How many.
        records: usize,
        /// Counted back from here.
        end: Cursor,
    },
}

/// Asks for records across a topic's partitions: in the one order in which they were stored, where the log has such an order
/// (the embedded engine's journal), else each partition's in its order.
#[derive(Clone, Debug)]
pub struct TopicRead {
    /// The topic.
    pub topic: String,
    /// Where to start.
    pub from: TopicStart,
    /// At most this many records.
    pub max_records: usize,
    /// At most about this many bytes; the first record is returned whatever its size.
    pub max_bytes: usize,
    /// How long to wait when there is nothing yet.
    pub wait: Duration,
}

/// Records across a topic; those of a partition in the order of offsets.
#[derive(Clone, Debug)]
pub struct TopicPage {
    /// The records; empty when there were none before the wait was over.
    pub records: Vec<StoredRecord>,
    /// Where to read on.
    pub next: Cursor,
    /// Offsets that were passed over because they are damaged on disk.
    pub gaps: Vec<Gap>,
}
