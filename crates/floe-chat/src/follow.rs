//! Following a topic of one partition from any place: here, or on another node.

use std::time::Duration;

use floe_engine::{OffsetSpec, PartitionRead, StoredRecord};
use floe_pipeline::{Log, LogError};
use tokio::time::sleep;

use crate::limits::{LOOK_AGAIN, READ_BYTES, READ_WAIT, RECORDS_READ};

/// A place in a topic, read on from there without end.
#[derive(Debug)]
pub(crate) struct Follower {
    log: Log,
    topic: &'static str,
    next: OffsetSpec,
    /// Whether the last look failed: told once.
    failed: bool,
}

impl Follower {
    /// Begins at the oldest record that is kept.
    pub(crate) fn from_start(log: Log, topic: &'static str) -> Self {
        Self { log, topic, next: OffsetSpec::Earliest, failed: false }
    }

    /// Where the next record is read.
    pub(crate) fn next_offset(&self) -> Option<i64> {
        match self.next {
            OffsetSpec::Offset(offset) => Some(offset),
            _ => None,
        }
    }

    /// The next records, and the offset behind the newest there is; waits until there are some, or for a second. What can't be
    /// reached, or isn't there yet, is waited for as long as it takes. Cancel-safe.
    pub(crate) async fn next(&mut self) -> (Vec<StoredRecord>, i64) {
        loop {
            match self.look(READ_WAIT).await {
                Ok(found) => return found,
                Err(error) => self.excuse(&error).await,
            }
        }
    }

    async fn look(&mut self, wait: Duration) -> Result<(Vec<StoredRecord>, i64), LogError> {
        let read = PartitionRead {
            topic: self.topic.to_owned(),
            partition: 0,
            from: self.next,
            max_records: RECORDS_READ,
            max_bytes: READ_BYTES,
            wait,
        };
        let page = match self.log.read(read).await {
            // retention has passed: what is left begins later; a topic made again begins anew
            Err(LogError::OutOfRange { start, .. }) => {
                self.next = OffsetSpec::Offset(start);
                return Ok((Vec::new(), start));
            }
            page => page?,
        };
        self.failed = false;
        self.next = OffsetSpec::Offset(page.next_offset);
        Ok((page.records, page.high_watermark))
    }

    async fn excuse(&mut self, error: &LogError) {
        // one that isn't there yet is being made
        if !self.failed && !matches!(error, LogError::NoTopic { .. }) {
            tracing::warn!(topic = self.topic, %error, "the topic can't be read; it is tried again");
        }
        self.failed |= !matches!(error, LogError::NoTopic { .. });
        sleep(LOOK_AGAIN).await;
    }
}
