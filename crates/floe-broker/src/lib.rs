//! Topics, partitions, offsets and consumer groups: a state machine over the journal.
//!
//! One thread decides, writes, syncs and publishes (another syncs while much is written ahead); everybody else reads what
//! is published. The core is synchronous; only answers come through futures.

mod append_plan;
pub mod batch;
mod broker;
mod catalog;
mod claims;
mod clock;
mod command;
mod cursor;
mod error;
pub mod group;
mod groups;
mod idempotency;
mod janitor;
pub mod limits;
mod name;
mod partitioner;
mod queue;
mod read;
mod record;
mod state;
mod tap;
mod topic;
mod topic_config;
mod writer;

pub use broker::{Broker, BrokerConfig, Pending, PendingPositions};
pub use catalog::Catalog;
pub use claims::{ClaimRequest, Claimed};
pub use clock::Clock;
pub use command::PositionsMode;
pub use cursor::{Cursor, JournalCursor, OffsetsCursor};
pub use error::BrokerError;
pub use groups::{Group, Groups, check_group_name};
pub use idempotency::{
    IdempotencyDecodeError, IdempotencyEntry, IdempotencyLookup, IdempotencyTable, MAX_IDEMPOTENCY_KEY_BYTES,
    MAX_IDEMPOTENCY_KEYS, PlacedRun,
};
pub use name::{MAX_TOPIC_NAME_BYTES, TopicName, TopicNameError};
pub use partitioner::{murmur2, partition_for_key};
pub use read::{PartitionRecords, ReadLimits, TopicRecords};
pub use record::{Acks, Header, NewRecord, OffsetSpec, StoredRecord};
pub use state::{DecodeError, StateEntry};
pub use tap::{Tap, Tapped, VisibleBatch};
pub use topic::{Partition, Topic, journal_id, split_journal_id};
pub use topic_config::{LivePolicy, TopicConfig};
