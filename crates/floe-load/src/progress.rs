//! How a run is getting on, once a second.

use std::time::Duration;

/// A look at a run in progress.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// What it is doing.
    pub phase: Phase,
    /// Since the start.
    pub elapsed: Duration,
    /// Records the run has in all, when that is known.
    pub total: Option<u64>,
    /// Records sent.
    pub sent: u64,
    /// Records acknowledged.
    pub acknowledged: u64,
    /// Records certainly not stored.
    pub failed: u64,
    /// Records of which that isn't known.
    pub unknown: u64,
    /// Records sent again.
    pub resent: u64,
    /// Records that are due and not sent yet.
    pub behind: u64,
    /// Acknowledgements a second, since the last look.
    pub rate: f64,
    /// Latencies since the last look.
    pub latency: IntervalLatency,
}

/// What a run is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Sending.
    #[default]
    Sending,
    /// Reading back; so many records were read.
    Verifying {
        /// Records read so far.
        read: u64,
    },
    /// Nothing more.
    Done,
}

/// Latencies of a short while.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IntervalLatency {
    /// The median.
    pub p50: Duration,
    /// 99 of 100 were faster.
    pub p99: Duration,
    /// The slowest.
    pub max: Duration,
}
