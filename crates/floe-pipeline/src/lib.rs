//! Pipelines: from topic to sink.
//!
//! A pipeline is a member of a consumer group. Each of its partitions runs by itself: read, gather a batch, transform,
//! deliver to every sink, dead-letter what can't be delivered, commit. Positions move only after delivery, so every record
//! arrives at least once; into SQL exactly once, because rows and position share a transaction there.

mod built_in;
mod commands;
mod dead_letters;
mod directory;
mod excerpt;
mod limits;
mod log;
mod moment;
mod pipelines;
pub mod sinks;
mod spec;
mod status;
pub mod units;
mod worker;

pub use built_in::{EVENTS_STORE, EVENTS_TOPIC, event_schemas, events_store};
pub use dead_letters::{
    DeadLetter, DeadLetterCounts, DeadLetterPage, DeadLetterState, DeadLetterWriter, DeadLetters, Failure,
    MAX_REDRIVES, Origin, Redrive, Redriven, Selection, TOPIC_PREFIX,
};
pub use directory::{COMMANDS_TOPIC, Command, Directory, PipelineView, WorkerView};
pub use floe_store::PositionKey;
pub use log::{Log, LogError, RemoteLog, TopicShape, wire};
pub use pipelines::{Pipelines, Services};
pub use spec::{BatchSpec, FuseSpec, PipelineSpec, RetrySpec, Start};
pub use status::{WorkerError, WorkerState, WorkerStatus};
