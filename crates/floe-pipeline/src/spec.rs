//! What a pipeline is to do, checked.

use std::time::Duration;

use floe_transform::Step;

use crate::sinks::SinkSpec;

/// A pipeline, as configured and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct PipelineSpec {
    /// Its name: letters, digits, `.`, `_` and `-`, at most 100.
    pub name: String,
    /// The topics it reads; waited for when they don't exist yet.
    pub from: Vec<String>,
    /// The consumer group whose members share the partitions; `pipeline:<name>` unless configured.
    pub group: String,
    /// Where it starts in a partition for which there is no position.
    pub start: Start,
    /// What is done to each record, in order.
    pub steps: Vec<Step>,
    /// How long a record's steps may take.
    pub step_limit: Duration,
    /// Where records go; every record to each of them. At least one.
    pub sinks: Vec<SinkSpec>,
    /// How records are gathered.
    pub batch: BatchSpec,
    /// How failures are tried again.
    pub retry: RetrySpec,
    /// When it stops itself.
    pub fuse: Option<FuseSpec>,
    /// The topic for what can't be delivered; `dlq.<name>` unless configured. Made when first needed, with one partition.
    pub dead_letter_topic: String,
}

/// Where to start without a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the oldest record kept.
    Earliest,
    /// With what comes from now on.
    Latest,
}

/// A batch is delivered when one of these bounds is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSpec {
    /// Records.
    pub max_records: usize,
    /// Bytes of keys and values together; the first record is taken whatever its size.
    pub max_bytes: usize,
    /// Since its first record was there. Zero takes what is there and waits for nothing more.
    pub max_wait: Duration,
}

/// How often and how long a record that was refused for now is tried again. An outage of the whole sink (it can't be
/// reached) isn't counted: that is waited for as long as it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrySpec {
    /// The first wait; doubled each time, and spread by a random part of up to a half.
    pub initial: Duration,
    /// The longest wait.
    pub max: Duration,
    /// Attempts in all, before the record is dead-lettered.
    pub attempts: u32,
    /// Since the first attempt, before the record is dead-lettered.
    pub elapsed: Duration,
}

/// A pipeline that dead-letters more than this is stopped until somebody resumes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FuseSpec {
    /// Of the newest `window` records, the share that may be dead-lettered: above 0, at most 1.
    pub share: f64,
    /// How many of the newest records are looked at; the fuse doesn't blow before there were so many.
    pub window: usize,
}

impl Default for BatchSpec {
    fn default() -> Self {
        Self { max_records: 1_000, max_bytes: 1 << 20, max_wait: Duration::ZERO }
    }
}

impl Default for RetrySpec {
    fn default() -> Self {
        Self {
            initial: Duration::from_millis(250),
            max: Duration::from_secs(30),
            attempts: 10,
            elapsed: Duration::from_secs(600),
        }
    }
}

impl Default for FuseSpec {
    fn default() -> Self {
        Self { share: 0.5, window: 100 }
    }
}
