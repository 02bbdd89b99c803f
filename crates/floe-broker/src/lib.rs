//! Topics, partitions, offsets and consumer groups: a state machine over the journal.

mod error;
mod name;
mod record;

pub use error::BrokerError;
pub use name::{MAX_TOPIC_NAME_BYTES, TopicName, TopicNameError};
pub use record::{Acks, Cursor, Header, NewRecord, OffsetSpec, StoredRecord};
