//! Following a topic's end: from the tap, or from the log when the tap could not hold it all.

use std::{sync::Arc, time::Duration};

use floe_broker::{
    Broker, BrokerError, Cursor, JournalCursor, ReadLimits, StoredRecord, Tap, Tapped, Topic, VisibleBatch,
};
use tokio::sync::watch;

use super::Embedded;
use crate::{Tail, TailEnd};

/// Records read from the log at once while behind.
const BEHIND_LIMITS: ReadLimits = ReadLimits { records: 4_096, bytes: 1 << 20, disk: false };
/// How long to wait for what the tap has announced to become readable.
const BEHIND_WAIT: Duration = Duration::from_millis(100);

/// The embedded engine's tail.
#[derive(Debug)]
pub(crate) struct EmbeddedTail {
    embedded: Arc<Embedded>,
    topic: Arc<Topic>,
    tap: Arc<Tap>,
    /// The last record given out, or where the tail started.
    last: JournalCursor,
    /// While behind: everything up to this position comes from the log.
    behind: Option<u64>,
    stopping: watch::Receiver<bool>,
}

impl Embedded {
    pub(crate) fn tail(self: &Arc<Self>, topic: &str) -> Result<Tail, BrokerError> {
        let topic = self.broker.catalog().get(topic)?;
        let (tap, position) = self.broker.open_tap(&topic);
        let after = JournalCursor { topic_id: topic.id, position, records: u32::MAX };
        let stopping = self.stopping();
        let tail = EmbeddedTail { embedded: self.clone(), topic, tap, last: after, behind: None, stopping };
        Ok(Tail::embedded(Cursor::Journal(after), tail))
    }
}

impl Drop for EmbeddedTail {
    fn drop(&mut self) {
        self.broker().close_tap(&self.topic, &self.tap);
    }
}

impl EmbeddedTail {
    fn broker(&self) -> &Broker {
        &self.embedded.broker
    }

    /// The next records. Cancel-safe: what was taken is given out before the next wait.
    pub(crate) async fn next(&mut self) -> Result<Vec<StoredRecord>, TailEnd> {
        loop {
            if let Some(through) = self.behind {
                let records = self.catch_up(through).await?;
                if !records.is_empty() {
                    return Ok(records);
                }
                continue;
            }
            match self.tap.take() {
                Tapped::Batches(batches) if batches.is_empty() => {
                    tokio::select! {
                        () = self.tap.wait() => {}
                        _ = self.stopping.wait_for(|stopping| *stopping) => return Err(TailEnd::Stopped),
                    }
                }
                Tapped::Batches(batches) => {
                    let records = self.decode(batches);
                    if !records.is_empty() {
                        return Ok(records);
                    }
                }
                Tapped::Behind(through) => self.behind = Some(through),
                Tapped::Ended => return Err(TailEnd::Deleted),
            }
        }
    }

    fn decode(&mut self, batches: Vec<VisibleBatch>) -> Vec<StoredRecord> {
        let mut records = Vec::new();
        for batch in batches {
            self.last = JournalCursor { topic_id: self.topic.id, position: batch.origin, records: u32::MAX };
            records.extend(batch.records(self.topic.id));
        }
        records
    }

    async fn catch_up(&mut self, through: u64) -> Result<Vec<StoredRecord>, TailEnd> {
        let page = self.embedded.read_topic_from(&self.topic, self.last, BEHIND_LIMITS, BEHIND_WAIT).await;
        let mut page = match page {
            Ok(page) => page,
            Err(BrokerError::Stopping) => return Err(TailEnd::Stopped),
            Err(_) if self.topic.is_deleted() => return Err(TailEnd::Deleted),
            Err(error) => {
                // the rest of what was announced can't be read: go on with what comes
                tracing::error!(%error, topic = %self.topic.name, "following a topic from the log failed");
                self.behind = None;
                return Ok(Vec::new());
            }
        };
        // what lies behind the announced position comes through the tap
        let before = page.records.len();
        page.records.retain(|record| journal(&record.cursor).is_some_and(|place| place.position <= through));
        let next = journal(&page.next).unwrap_or(self.last);
        let reached = page.records.len() < before || next.position >= through && next.records == u32::MAX;
        let last = page.records.last().and_then(|record| journal(&record.cursor));
        self.last = if reached {
            JournalCursor { topic_id: self.topic.id, position: through, records: u32::MAX }
        } else {
            last.unwrap_or(next)
        };
        if reached {
            self.behind = None;
        }
        Ok(page.records)
    }
}

/// A place in this engine's journal; it gives out no other.
fn journal(cursor: &Cursor) -> Option<JournalCursor> {
    match cursor {
        Cursor::Journal(cursor) => Some(*cursor),
        Cursor::Offsets(_) => None,
    }
}
