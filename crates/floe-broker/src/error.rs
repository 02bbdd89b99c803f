//! What can go wrong, as facts. Each door translates these once: HTTP to problem documents, Kafka to error codes.

use crate::name::TopicNameError;

/// Why the broker refused or could not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// No topic of this name.
    #[error("topic '{topic}' does not exist")]
    TopicNotFound {
        /// The name asked for.
        topic: String,
    },
    /// A topic of this name is there already.
    #[error("topic '{topic}' already exists")]
    TopicExists {
        /// The name asked for.
        topic: String,
    },
    /// The text is not a topic name.
    #[error("'{}' is not a topic name: {why}", topic.escape_debug())]
    InvalidTopicName {
        /// What was given.
        topic: String,
        /// Which rule it breaks.
        why: TopicNameError,
    },
    /// The name is reserved for the system's own topics.
    #[error("topic '{topic}' is internal: clients may not write there")]
    InternalTopic {
        /// The name asked for.
        topic: String,
    },
    /// The topic has no such partition.
    #[error("topic '{topic}' has partitions 0 to {}, not {partition}", count - 1)]
    PartitionNotFound {
        /// The topic.
        topic: String,
        /// The partition asked for.
        partition: u32,
        /// How many it has.
        count: u32,
    },
    /// A number of partitions outside what a topic or the node takes.
    #[error("{asked} partitions: {why}")]
    InvalidPartitions {
        /// What was asked for.
        asked: u64,
        /// The rule it breaks.
        why: &'static str,
    },
    /// A topic setting is unknown or its value isn't one it takes.
    #[error("{key}={}: {expected}", value.escape_debug())]
    InvalidConfig {
        /// The setting.
        key: String,
        /// The value given.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// A record (or a batch of one request for one partition) is over the topic's `max.message.bytes`.
    #[error("the record takes {size} bytes, and topic '{topic}' takes at most {limit} (max.message.bytes)")]
    RecordTooLarge {
        /// The topic.
        topic: String,
        /// Its size as stored.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// The bytes given are not a record batch that may be stored.
    #[error("the record batch is invalid: {why}")]
    InvalidBatch {
        /// What is wrong with it.
        why: &'static str,
    },
    /// The key was used within its window with other content.
    #[error("Idempotency-Key '{}' was used for other content on topic '{topic}'", key.escape_debug())]
    IdempotencyConflict {
        /// The topic.
        topic: String,
        /// The key.
        key: String,
    },
    /// The offset lies outside what is stored.
    #[error("offset {offset} is outside {start} to {end} of '{topic}' partition {partition}")]
    OffsetOutOfRange {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// What was asked for.
        offset: i64,
        /// The first offset kept.
        start: i64,
        /// The offset behind the newest visible record.
        end: i64,
    },
    /// The cursor belongs to another topic, or to an earlier topic of the same name.
    #[error(
        "the cursor is not one of topic '{topic}': it was deleted and made again, or the cursor is another topic's"
    )]
    ForeignCursor {
        /// The topic asked for.
        topic: String,
    },
    /// No such consumer group.
    #[error("consumer group '{}' does not exist", group.escape_debug())]
    GroupNotFound {
        /// The group asked for.
        group: String,
    },
    /// The text is not a group name.
    #[error("a group name has 1 to {max} bytes, without control characters")]
    InvalidGroup {
        /// The longest name.
        max: usize,
    },
    /// The group has members or deliveries that are not acknowledged yet.
    #[error("consumer group '{}' is active: {members} members, {leases} open deliveries", group.escape_debug())]
    GroupActive {
        /// The group.
        group: String,
        /// Members it has.
        members: usize,
        /// Deliveries handed out and neither acknowledged nor expired.
        leases: usize,
    },
    /// The group has no position on the topic (dialect 000: the user isn't subscribed).
    #[error("consumer group '{}' is not subscribed to topic '{topic}'", group.escape_debug())]
    NotSubscribed {
        /// The group.
        group: String,
        /// The topic.
        topic: String,
    },
    /// The delivery was acknowledged before, its lease ran out, or it never was.
    #[error("delivery '{}' is not open in group '{}': acknowledged before, or its lease ran out", delivery.escape_debug(), group.escape_debug())]
    DeliveryNotOpen {
        /// The group.
        group: String,
        /// The token given.
        delivery: String,
    },
    /// The member is unknown or its generation is over: it must join again.
    #[error("member '{}' of group '{}' must join again", member.escape_debug(), group.escape_debug())]
    MemberUnknown {
        /// The group.
        group: String,
        /// The member.
        member: String,
    },
    /// The disk has no room. Writing resumes by itself when there is.
    #[error("the disk is full: nothing was stored; writing resumes by itself when there is room")]
    StorageFull,
    /// A write or a sync failed. Nothing more is written until a restart; reads go on.
    #[error("a write to disk failed: no more writes until a restart")]
    StorageFailed,
    /// Too much is waiting to be written; try again soon.
    #[error("{queued_bytes} bytes wait to be written; try again soon")]
    Overloaded {
        /// What waits.
        queued_bytes: usize,
    },
    /// A named limit of the node is reached.
    #[error("{what}: the limit is {limit}")]
    LimitReached {
        /// What there would be too many of.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// The stored bytes were damaged on disk and are not served.
    #[error("offsets {from} to {to} of '{topic}' partition {partition} are damaged on disk")]
    Damaged {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// First damaged offset.
        from: i64,
        /// Last damaged offset.
        to: i64,
    },
    /// Reading from disk failed.
    #[error("reading from disk failed")]
    ReadFailed,
    /// The log can't be reached; nothing was stored or changed. Try again soon.
    #[error("the log can't be reached: {why}")]
    Unavailable {
        /// What was tried, and what came of it.
        why: String,
    },
    /// It was sent to the log, and no answer came in time: it may be stored or not. With an idempotency key a repeat is
    /// safe.
    #[error(
        "no answer came from the log in time: it may be stored or not; with an Idempotency-Key a repeat is safe"
    )]
    OutcomeUnknown,
    /// The broker is stopping.
    #[error("the server is stopping")]
    Stopping,
}
