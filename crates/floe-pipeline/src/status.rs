//! What a worker says of itself with each heartbeat, for everybody who asks about the pipeline.

use serde::{Deserialize, Serialize};

/// One worker of one pipeline. Counters are since the worker started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// What it is doing.
    pub state: WorkerState,
    /// Why, when it isn't simply running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its sinks for people, without secrets.
    #[serde(default)]
    pub sinks: Vec<String>,
    /// Records read.
    pub read: u64,
    /// Records delivered to all sinks.
    pub delivered: u64,
    /// Records that a filter left out.
    pub dropped: u64,
    /// Records dead-lettered.
    pub dead_lettered: u64,
    /// Attempts that failed and were made again.
    pub retried: u64,
    /// Records read and not yet committed.
    pub in_flight: u64,
    /// The newest errors, newest first; at most 5.
    #[serde(default)]
    pub errors: Vec<WorkerError>,
}

/// What a worker is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerState {
    /// It joined and has not read yet, or waits for its topics.
    #[default]
    Starting,
    /// Records flow.
    Running,
    /// A sink can't be reached; it tries again.
    Retrying,
    /// Somebody, or the fuse, stopped it until it is resumed.
    Paused,
    /// It needs a person: its sink refuses.
    Failed,
    /// It finishes what it holds and ends.
    Draining,
}

/// An error and where it happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerError {
    /// Milliseconds since the epoch.
    pub at: i64,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The first offset of what failed.
    pub offset: i64,
    /// What was wrong.
    pub error: String,
}
