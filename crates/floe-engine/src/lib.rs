//! The handle that every door holds.
//!
//! [`Engine`] is a small enum over real implementations; what each method promises is written here once and
//! tested once, by the suite in `tests/suite/contract`, against every implementation.

mod append;
mod embedded;
mod engine;
mod group;
mod health;
mod kafka;
mod read;
mod tail;
mod topic;

pub use append::{Append, Appended, IdempotencyKey, Placement};
pub use embedded::{Embedded, EmbeddedConfig, OpenEngineError};
pub use engine::Engine;
pub use floe_broker::{
    Acks, BrokerError as EngineError, Clock, Cursor, Header, JournalCursor, MAX_TOPIC_NAME_BYTES, NewRecord,
    OffsetSpec, OffsetsCursor, StoredRecord, TopicName, TopicNameError,
};
pub use group::{
    Delivery, DeliveryMode, GroupDescription, GroupLag, GroupState, GroupSummary, MemberDescription,
    Membership, Poll,
};
pub use health::{Damage, EngineHealth, StorageState};
pub use kafka::{Kafka, KafkaConfig, KafkaConfigError};
pub use read::{Gap, Page, PartitionRead, TopicPage, TopicRead, TopicStart};
pub use tail::{Tail, TailEnd};
pub use topic::{PartitionDescription, TopicDescription, TopicSpec, TopicSummary};
