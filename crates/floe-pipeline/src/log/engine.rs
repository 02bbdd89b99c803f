//! The engine in this process as a pipeline's log.

use std::collections::BTreeMap;

use floe_engine::{Append, Engine, EngineError, NewRecord, TopicSpec};

use super::{LogError, TopicShape};
use crate::{COMMANDS_TOPIC, Command};

/// Settings of the topics in which Floe keeps what must not be forgotten.
const KEPT_FOR_GOOD: [(&str, &str); 2] = [("retention.ms", "-1"), ("retention.bytes", "-1")];

/// A topic's id and partitions.
pub(super) async fn topic(engine: &Engine, topic: &str) -> Result<TopicShape, LogError> {
    let summary = engine.topic_summary(topic).await?;
    Ok(TopicShape { id: summary.id, partitions: summary.partitions })
}

/// Makes a topic unless it is there.
pub(super) async fn ensure_topic(
    engine: &Engine,
    topic: &str,
    partitions: u32,
    config: &[(&str, &str)],
) -> Result<(), LogError> {
    made(engine.create_topic(spec(topic, partitions, config)).await)
}

/// A group's committed position.
pub(super) async fn committed(
    engine: &Engine,
    group: &str,
    topic: &str,
    partition: u32,
) -> Result<Option<i64>, LogError> {
    match engine.describe_group(group).await {
        Ok(group) => {
            let found = group.partitions.iter().find(|at| at.topic == topic && at.partition == partition);
            Ok(found.map(|at| at.committed))
        }
        Err(EngineError::GroupNotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Writes what a pipeline is to do; durable on `Ok`. Answers the command's version.
pub(crate) async fn command(engine: &Engine, pipeline: &str, command: &Command) -> Result<i64, LogError> {
    let value = serde_json::to_vec(command).map_err(|error| LogError::Refused(error.to_string()))?;
    append_own(engine, COMMANDS_TOPIC, vec![(pipeline.to_owned(), value)]).await
}

/// Appends keyed records to one of Floe's own topics, which is made when it isn't there; durable on `Ok`. Answers the
/// offset of the last one.
pub(crate) async fn append_own(
    engine: &Engine,
    topic: &str,
    records: Vec<(String, Vec<u8>)>,
) -> Result<i64, LogError> {
    made(engine.create_own_topic(spec(topic, 1, &KEPT_FOR_GOOD)).await)?;
    let record = |(key, value): (String, Vec<u8>)| NewRecord {
        key: Some(key.into()),
        value: Some(value.into()),
        ..NewRecord::default()
    };
    let records = records.into_iter().map(record).collect();
    let acks = Some(floe_engine::Acks::Durable);
    let stored =
        engine.append_own(Append { topic: topic.to_owned(), records, acks, idempotency: None }).await?;
    Ok(stored.placements.last().map_or(-1, |place| place.offset))
}

fn spec(topic: &str, partitions: u32, config: &[(&str, &str)]) -> TopicSpec {
    let config: BTreeMap<_, _> =
        config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    TopicSpec { name: topic.to_owned(), partitions, config }
}

fn made<T>(answer: Result<T, EngineError>) -> Result<(), LogError> {
    match answer {
        Ok(_) | Err(EngineError::TopicExists { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

impl From<EngineError> for LogError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::TopicNotFound { topic }
            | EngineError::PartitionNotFound { topic, .. }
            | EngineError::ForeignCursor { topic } => Self::NoTopic { topic },
            EngineError::OffsetOutOfRange { offset, start, end, .. } => {
                Self::OutOfRange { offset, start, end }
            }
            EngineError::MemberUnknown { .. } | EngineError::GroupNotFound { .. } => Self::MemberGone,
            EngineError::Overloaded { .. }
            | EngineError::StorageFull
            | EngineError::StorageFailed
            | EngineError::ReadFailed
            | EngineError::LimitReached { .. }
            | EngineError::Unavailable { .. }
            // asked again under the same idempotency key, what was stored is not stored twice
            | EngineError::OutcomeUnknown
            | EngineError::Stopping => Self::Unavailable(error.to_string()),
            error => Self::Refused(error.to_string()),
        }
    }
}
