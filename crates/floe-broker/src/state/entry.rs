//! State entries: what of the broker's state the journal keeps beside the records. The tags are on disk: never reused.

use std::collections::BTreeMap;

use super::codec::{DecodeError, Reader, Writer};
use crate::{group::PartitionKey, idempotency::IdempotencyEntry};

/// One change of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateEntry {
    /// A topic was made.
    TopicCreated {
        /// Its id.
        id: u64,
        /// Its name.
        name: String,
        /// How many partitions it has.
        partitions: u32,
        /// What was set.
        config: BTreeMap<String, String>,
    },
    /// A topic has other settings or more partitions.
    TopicAltered {
        /// Its id.
        id: u64,
        /// How many partitions it has now.
        partitions: u32,
        /// All that is set now.
        config: BTreeMap<String, String>,
    },
    /// A topic was deleted, with all positions on it.
    TopicDeleted {
        /// Its id.
        id: u64,
    },
    /// A group's positions were set.
    Positions {
        /// The group.
        group: String,
        /// Partition and the next offset to read.
        positions: Vec<(PartitionKey, i64)>,
    },
    /// A group's positions on a topic were taken away.
    PositionsRemoved {
        /// The group.
        group: String,
        /// The topic's id.
        topic_id: u64,
    },
    /// A group was deleted.
    GroupDeleted {
        /// The group.
        group: String,
    },
    /// Partitions start later now.
    LogStart {
        /// Partition and its first offset.
        starts: Vec<(PartitionKey, i64)>,
    },
    /// A client's key was used for a write.
    IdempotencyUsed {
        /// The topic's id.
        topic_id: u64,
        /// The key.
        key: String,
        /// What for.
        entry: IdempotencyEntry,
    },
}

impl StateEntry {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        match self {
            Self::TopicCreated { id, name, partitions, config } => {
                out.u8(1).u64(*id).text(name).u32(*partitions).config(config);
            }
            Self::TopicAltered { id, partitions, config } => {
                out.u8(2).u64(*id).u32(*partitions).config(config);
            }
            Self::TopicDeleted { id } => {
                out.u8(3).u64(*id);
            }
            Self::Positions { group, positions } => {
                out.u8(4).text(group).positions(positions);
            }
            Self::PositionsRemoved { group, topic_id } => {
                out.u8(5).text(group).u64(*topic_id);
            }
            Self::GroupDeleted { group } => {
                out.u8(6).text(group);
            }
            Self::LogStart { starts } => {
                out.u8(7).positions(starts);
            }
            Self::IdempotencyUsed { topic_id, key, entry } => {
                out.u8(8);
                entry.encode(*topic_id, key, out.bytes_mut());
            }
        }
        out.finish()
    }

    /// From bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut read = Reader::new(bytes);
        let entry = match read.u8()? {
            1 => Self::TopicCreated {
                id: read.u64()?,
                name: read.text()?,
                partitions: read.u32()?,
                config: read.config()?,
            },
            2 => Self::TopicAltered { id: read.u64()?, partitions: read.u32()?, config: read.config()? },
            3 => Self::TopicDeleted { id: read.u64()? },
            4 => Self::Positions { group: read.text()?, positions: read.positions()? },
            5 => Self::PositionsRemoved { group: read.text()?, topic_id: read.u64()? },
            6 => Self::GroupDeleted { group: read.text()? },
            7 => Self::LogStart { starts: read.positions()? },
            8 => {
                let (topic_id, key, entry) = read.idempotency()?;
                Self::IdempotencyUsed { topic_id, key, entry }
            }
            tag => return Err(DecodeError::UnknownTag { tag }),
        };
        read.finish().map(|()| entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_as_they_were() {
        let config = BTreeMap::from([("retention.ms".to_owned(), "1000".to_owned())]);
        let entries = [
            StateEntry::TopicCreated { id: 7, name: "news".into(), partitions: 3, config: config.clone() },
            StateEntry::TopicAltered { id: 7, partitions: 12, config },
            StateEntry::TopicDeleted { id: 7 },
            StateEntry::Positions {
                group: "user:john@example.com".into(),
                positions: vec![((7, 2), 99), ((8, 0), 0)],
            },
            StateEntry::PositionsRemoved { group: "g".into(), topic_id: 7 },
            StateEntry::GroupDeleted { group: "g".into() },
            StateEntry::LogStart { starts: vec![((7, 0), 5)] },
        ];
        for entry in entries {
            let bytes = entry.encode();
            assert_eq!(StateEntry::decode(&bytes), Ok(entry));
            for cut in 0..bytes.len() {
                assert!(StateEntry::decode(&bytes[..cut]).is_err(), "cut at {cut}");
            }
        }
        assert_eq!(StateEntry::decode(&[99]), Err(DecodeError::UnknownTag { tag: 99 }));
    }

    #[test]
    fn the_format_is_pinned() {
        let entry = StateEntry::Positions { group: "g".into(), positions: vec![((1, 2), 3)] };
        assert_eq!(
            entry.encode(),
            [4, 1, 0, 0, 0, b'g', 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]
        );
    }
}
