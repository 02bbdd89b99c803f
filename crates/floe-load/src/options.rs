//! What a run is asked to do.

use std::{path::PathBuf, time::Duration};

use anyhow::bail;

use crate::{
    Rate,
    http::Target,
    limits::{MAX_BATCH_RECORDS, MAX_CONNECTIONS, MAX_WINDOW_RECORDS},
};

/// Through which door the records go in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// `POST /topics/{t}/records`: one record a request, or NDJSON when `batch` is above 1.
    Records,
    /// `POST /register_event?topic=…`: one event a request, or NDJSON when `batch` is above 1.
    RegisterEvent,
    /// `publish` on `/ws`, with so many publishes waiting for their acknowledgement on each connection.
    WebSocket {
        /// The most that wait.
        window: usize,
    },
}

/// The promise each acknowledgement is asked to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acks {
    /// What the topic says; on disk unless it says otherwise.
    #[default]
    Topic,
    /// None.
    None,
    /// Accepted by the log.
    Written,
    /// On disk.
    All,
}

/// Where the values come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Generated JSON.
    Generated {
        /// Its size.
        bytes: usize,
        /// How many different keys; none means no key.
        keys: Option<u32>,
    },
    /// The lines of an NDJSON file. Records of one key go over one connection, in the order of the file.
    File {
        /// The file.
        path: PathBuf,
        /// The field of the value that is the key.
        key_field: Option<String>,
    },
}

/// When the run ends; whichever comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// After so many records.
    pub count: Option<u64>,
    /// After so long.
    pub duration: Option<Duration>,
}

/// Whether a record whose outcome is unknown, or that was refused for a passing reason, is sent again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retry {
    /// Each record is sent once.
    #[default]
    Never,
    /// Again under the same `Idempotency-Key`, so that it is stored once, for at most this long.
    For(Duration),
}

/// Whether everything is read back at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// No.
    #[default]
    Skip,
    /// Yes: each record carries an id and a CRC, and the topic is read from where it was at the start.
    ReadBack,
}

/// A run in full.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// The server.
    pub target: Target,
    /// The topic.
    pub topic: String,
    /// Makes the topic with this many partitions when it is not there.
    pub create_partitions: Option<u32>,
    /// The door.
    pub door: Door,
    /// Records of one request.
    pub batch: usize,
    /// Connections, each with one request (or window) in flight.
    pub connections: usize,
    /// How fast.
    pub rate: Rate,
    /// How long.
    pub extent: Extent,
    /// What.
    pub source: Source,
    /// For which promise.
    pub acks: Acks,
    /// Again?
    pub retry: Retry,
    /// Read back?
    pub verify: Verify,
    /// How long an answer may take before the outcome counts as unknown.
    pub timeout: Duration,
}

impl LoadOptions {
    /// A run against `target` with everything else as the command line has it by default.
    #[must_use]
    pub fn new(target: Target, topic: &str) -> Self {
        Self {
            target,
            topic: topic.to_owned(),
            create_partitions: Some(1),
            door: Door::Records,
            batch: 1,
            connections: 16,
            rate: Rate::Max,
            extent: Extent::default(),
            source: Source::Generated { bytes: 200, keys: None },
            acks: Acks::Topic,
            retry: Retry::Never,
            verify: Verify::Skip,
            timeout: Duration::from_secs(30),
        }
    }

    /// Says what can't be done, before anything starts.
    pub fn check(&self) -> anyhow::Result<()> {
        if self.connections == 0 || self.connections > MAX_CONNECTIONS {
            bail!("connections: expected 1 to {MAX_CONNECTIONS}, not {}", self.connections);
        }
        if self.batch == 0 || self.batch > MAX_BATCH_RECORDS {
            bail!("batch: expected 1 to {MAX_BATCH_RECORDS} records, not {}", self.batch);
        }
        if self.timeout.is_zero() {
            bail!("timeout: must be above zero");
        }
        if self.extent.count == Some(0) || self.extent.duration.is_some_and(|duration| duration.is_zero()) {
            bail!("count and duration must be above zero");
        }
        if let Door::WebSocket { window } = self.door {
            if window == 0 || window > MAX_WINDOW_RECORDS {
                bail!("window: expected 1 to {MAX_WINDOW_RECORDS}, not {window}");
            }
            if self.batch != 1 {
                bail!(
                    "a batch can't be published on a WebSocket: leave the batch at 1, the window is what pipelines"
                );
            }
            if self.acks != Acks::Topic {
                bail!("a publish on a WebSocket takes the topic's own acks");
            }
            if self.retry != Retry::Never {
                bail!(
                    "a publish on a WebSocket has no Idempotency-Key, so it can't be sent again without risk of a repeat"
                );
            }
        }
        Ok(())
    }

    /// The mode in a word, for reports.
    #[must_use]
    pub fn mode(&self) -> &'static str {
        match (self.door, self.batch) {
            (Door::Records, 1) => "http",
            (Door::Records, _) => "http-batch",
            (Door::RegisterEvent, 1) => "register_event",
            (Door::RegisterEvent, _) => "register_event-batch",
            (Door::WebSocket { .. }, _) => "websocket",
        }
    }
}
