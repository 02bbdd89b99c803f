//! What waits for the writer, and what is told when it is done.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use floe_journal::{PartitionId, Position};
use tokio::sync::oneshot;

use crate::{Acks, BrokerError, NewRecord, Topic, TopicName, group::PartitionKey, idempotency::PlacedRun};

/// Where an answer goes.
pub(crate) type Answer<T> = oneshot::Sender<Result<T, BrokerError>>;

/// Something to be written.
#[derive(Debug)]
pub(crate) enum Command {
    Append(AppendCommand),
    CreateTopic {
        name: TopicName,
        partitions: u32,
        config: BTreeMap<String, String>,
        answer: Answer<Arc<Topic>>,
    },
    AlterTopic {
        topic: Arc<Topic>,
        partitions: Option<u32>,
        config: BTreeMap<String, Option<String>>,
        answer: Answer<Arc<Topic>>,
    },
    DeleteTopic {
        topic: Arc<Topic>,
        answer: Answer<()>,
    },
    /// Positions of a group. Answers the positions in force.
    SetPositions {
        group: String,
        positions: Vec<(PartitionKey, i64)>,
        mode: PositionsMode,
        answer: Answer<Vec<(PartitionKey, i64)>>,
    },
    RemovePositions {
        group: String,
        topic: Arc<Topic>,
        answer: Answer<()>,
    },
    DeleteGroup {
        group: String,
        answer: Answer<()>,
    },
    LogStart {
        starts: Vec<(PartitionKey, i64)>,
        answer: Answer<()>,
    },
    Move {
        batches: Vec<MovedBatch>,
        answer: Answer<()>,
    },
    Retire {
        segment: Position,
        answer: Answer<()>,
    },
}

/// How positions meet those that a group has already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PositionsMode {
    /// They replace them.
    Set,
    /// Those that are set already stay.
    OnlyNew,
    /// They replace them, and what was handed out from there on counts for nothing.
    Reset,
}

/// Records for one topic.
#[derive(Debug)]
pub(crate) struct AppendCommand {
    pub(crate) topic: Arc<Topic>,
    pub(crate) content: Content,
    /// When the batches were built: the time of records without one of their own.
    pub(crate) built_ms: i64,
    /// With an idempotency key: the partition of each record, in the order given.
    pub(crate) order: Vec<u32>,
    pub(crate) acks: Acks,
    pub(crate) idempotency: Option<(String, u64)>,
    pub(crate) answer: Answer<AppendOutcome>,
}

/// The records themselves.
#[derive(Debug)]
pub(crate) enum Content {
    /// One record: shares a batch with what waits beside it for the same partition.
    Record { partition: u32, record: NewRecord },
    /// Batches that are already built, one a partition.
    Batches(Vec<BuiltBatch>),
}

/// A record batch without its offset.
#[derive(Debug)]
pub(crate) struct BuiltBatch {
    pub(crate) partition: u32,
    pub(crate) records: u32,
    pub(crate) bytes: Vec<u8>,
}

/// A batch to be written again elsewhere.
#[derive(Debug)]
pub(crate) struct MovedBatch {
    pub(crate) partition: PartitionId,
    pub(crate) flags: u8,
    pub(crate) base_offset: i64,
    pub(crate) last_offset_delta: u32,
    pub(crate) max_timestamp: i64,
    pub(crate) origin: Position,
    pub(crate) bytes: Bytes,
}

/// Where an append's records went.
#[derive(Clone, Debug)]
pub(crate) struct AppendOutcome {
    /// Runs of consecutive offsets, in the order of the batches.
    pub(crate) runs: Runs,
    /// The time of the append, for records without one of their own (and all of a log-append-time topic).
    pub(crate) timestamp_ms: i64,
    /// It is the answer that the idempotency key got before.
    pub(crate) replayed: bool,
}

/// Runs of offsets; one is by far the most frequent.
#[derive(Clone, Debug)]
pub(crate) enum Runs {
    /// One run.
    One(PlacedRun),
    /// Several.
    Many(Vec<PlacedRun>),
}

impl Runs {
    /// All of them.
    #[must_use]
    pub(crate) fn as_slice(&self) -> &[PlacedRun] {
        match self {
            Self::One(run) => std::slice::from_ref(run),
            Self::Many(runs) => runs,
        }
    }
}

/// Fixed cost of a command in the journal: a frame entry and a batch header, generously.
const OVERHEAD_BYTES: usize = 256;
/// The same of an append: the head of its entry (48), a batch header (61), its share of the frame's header and padding.
const APPEND_OVERHEAD_BYTES: usize = 192;

impl Command {
    /// Bytes it may take in the journal, at most: what queue and group are bounded by.
    pub(crate) fn weight(&self) -> usize {
        let content = match self {
            Self::Append(append) => {
                let runs = append.order.len() * PlacedRun::STORED_BYTES;
                let key = append.idempotency.as_ref().map_or(0, |_| OVERHEAD_BYTES + 300 + runs);
                key + match &append.content {
                    Content::Record { record, .. } => record.weight(),
                    Content::Batches(batches) => {
                        batches.iter().map(|batch| batch.bytes.len() + 64 + OVERHEAD_BYTES / 4).sum()
                    }
                }
            }
            Self::Move { batches, .. } => batches.iter().map(|batch| batch.bytes.len() + 64).sum(),
            Self::SetPositions { positions, .. } | Self::LogStart { starts: positions, .. } => {
                positions.len() * 24
            }
            Self::CreateTopic { config, .. } => {
                config.iter().map(|(key, value)| key.len() + value.len() + 8).sum()
            }
            Self::AlterTopic { topic, config, .. } => {
                // the entry holds all that is set
                let set: usize =
                    topic.config().overrides().iter().map(|(key, value)| key.len() + value.len() + 8).sum();
                let new =
                    config.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, String::len) + 8);
                set + new.sum::<usize>()
            }
            Self::DeleteTopic { .. }
            | Self::RemovePositions { .. }
            | Self::DeleteGroup { .. }
            | Self::Retire { .. } => 0,
        };
        // appends are many, and what they are weighed at is allocated; the others may hold a name
        let fixed = match self {
            Self::Append(_) => APPEND_OVERHEAD_BYTES,
            _ => OVERHEAD_BYTES + 2 * crate::limits::MAX_GROUP_NAME_BYTES,
        };
        content + fixed
    }

    /// Entries it may take in a frame, at most.
    pub(crate) fn entries(&self) -> usize {
        match self {
            Self::Append(AppendCommand { content: Content::Batches(batches), .. }) => batches.len() + 1,
            Self::Move { batches, .. } => batches.len(),
            Self::Append(_)
            | Self::CreateTopic { .. }
            | Self::AlterTopic { .. }
            | Self::DeleteTopic { .. }
            | Self::SetPositions { .. }
            | Self::RemovePositions { .. }
            | Self::DeleteGroup { .. }
            | Self::LogStart { .. }
            | Self::Retire { .. } => 2,
        }
    }

    /// The topic it is about, for errors.
    pub(crate) fn topic(&self) -> String {
        match self {
            Self::Append(AppendCommand { topic, .. })
            | Self::AlterTopic { topic, .. }
            | Self::DeleteTopic { topic, .. }
            | Self::RemovePositions { topic, .. } => topic.name.to_string(),
            Self::CreateTopic { name, .. } => name.to_string(),
            Self::SetPositions { .. }
            | Self::DeleteGroup { .. }
            | Self::LogStart { .. }
            | Self::Move { .. }
            | Self::Retire { .. } => String::new(),
        }
    }

    /// Whether it may use the room that is kept for a full disk: what frees space, and what readers' progress needs.
    pub(crate) fn is_essential(&self) -> bool {
        match self {
            Self::DeleteTopic { .. }
            | Self::SetPositions { .. }
            | Self::RemovePositions { .. }
            | Self::DeleteGroup { .. }
            | Self::LogStart { .. }
            | Self::Retire { .. } => true,
            Self::Append(_) | Self::CreateTopic { .. } | Self::AlterTopic { .. } | Self::Move { .. } => false,
        }
    }

    /// Tells the one who waits that it didn't work.
    pub(crate) fn refuse(self, error: BrokerError) {
        // whoever no longer waits doesn't need the answer
        match self {
            Self::Append(append) => drop(append.answer.send(Err(error))),
            Self::CreateTopic { answer, .. } | Self::AlterTopic { answer, .. } => {
                drop(answer.send(Err(error)))
            }
            Self::SetPositions { answer, .. } => drop(answer.send(Err(error))),
            Self::DeleteTopic { answer, .. }
            | Self::RemovePositions { answer, .. }
            | Self::DeleteGroup { answer, .. }
            | Self::LogStart { answer, .. }
            | Self::Move { answer, .. }
            | Self::Retire { answer, .. } => drop(answer.send(Err(error))),
        }
    }
}

impl NewRecord {
    /// Bytes of its parts, with their length fields.
    pub(crate) fn weight(&self) -> usize {
        let part = |part: &Option<Bytes>| part.as_ref().map_or(0, Bytes::len) + 5;
        let headers = self.headers.iter().map(|header| header.name.len() + 5 + part(&header.value));
        part(&self.key) + part(&self.value) + headers.sum::<usize>() + 32
    }
}
