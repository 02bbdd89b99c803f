//! What librdkafka and the brokers say, as the engine's own errors.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::EngineError;

/// The code in an error, if it has one.
pub(super) fn code_of(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    match error {
        KafkaError::AdminOp(code) => Some(*code),
        error => error.rdkafka_error_code(),
    }
}

/// An error of a request that changes nothing when it fails, or can be made again.
pub(super) fn unavailable(what: &str, error: &KafkaError) -> EngineError {
    EngineError::Unavailable { why: format!("{what}: {error}") }
}

/// An error about one topic.
pub(super) fn about_topic(topic: &str, code: RDKafkaErrorCode) -> EngineError {
    let topic = topic.to_owned();
    match code {
        RDKafkaErrorCode::UnknownTopicOrPartition
        | RDKafkaErrorCode::UnknownTopic
        | RDKafkaErrorCode::UnknownPartition => EngineError::TopicNotFound { topic },
        RDKafkaErrorCode::TopicAlreadyExists => EngineError::TopicExists { topic },
        RDKafkaErrorCode::InvalidPartitions => {
            EngineError::InvalidPartitions { asked: 0, why: "the cluster takes another number" }
        }
        RDKafkaErrorCode::InvalidReplicationFactor => EngineError::Unavailable {
            why: "the cluster has too few brokers for the replication factor asked for".to_owned(),
        },
        code => EngineError::Unavailable { why: format!("topic '{topic}': {code}") },
    }
}

/// An error about one consumer group.
pub(super) fn about_group(group: &str, code: RDKafkaErrorCode) -> EngineError {
    let name = || group.to_owned();
    match code {
        RDKafkaErrorCode::NonEmptyGroup
        | RDKafkaErrorCode::UnknownMemberId
        | RDKafkaErrorCode::GroupSubscribedToTopic => {
            EngineError::GroupActive { group: name(), members: 1, leases: 0 }
        }
        RDKafkaErrorCode::GroupIdNotFound => EngineError::GroupNotFound { group: name() },
        RDKafkaErrorCode::InvalidGroupId => {
            EngineError::InvalidGroup { max: floe_broker::limits::MAX_GROUP_NAME_BYTES }
        }
        code => {
            EngineError::Unavailable { why: format!("consumer group '{}': {code}", group.escape_debug()) }
        }
    }
}
