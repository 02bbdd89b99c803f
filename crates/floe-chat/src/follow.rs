//! Following a topic of one partition from any place: here, or on another node.

use floe_engine::{OffsetSpec, Page, PartitionRead, StoredRecord};
use floe_pipeline::{Log, LogError};
use tokio::{sync::watch, task::JoinHandle, time::sleep};

use crate::limits::{LOOK_AGAIN, READ_BYTES, READ_WAIT, RECORDS_READ};

/// Reads on from `at`; waits a second for something. What can't be reached, or isn't there yet, is waited for as long as it takes.
/// Where records are gone, reading goes on at the first that is left. Cancel-safe.
pub(crate) async fn read_on(log: &Log, topic: &'static str, mut at: OffsetSpec, max_records: usize) -> Page {
    let mut failed = false;
    loop {
        let read = PartitionRead {
            topic: topic.to_owned(),
            partition: 0,
            from: at,
            max_records,
            max_bytes: READ_BYTES,
            wait: READ_WAIT,
        };
        match log.read(read).await {
            Ok(page) => return page,
            // retention has passed, or the topic was made again
            Err(LogError::OutOfRange { offset, start, .. }) => {
                tracing::warn!(
                    topic,
                    from = offset,
                    to = start,
                    "records were gone before anybody read them"
                );
                at = OffsetSpec::Offset(start);
            }
            // one that isn't there yet is being made
            Err(LogError::NoTopic { .. }) => sleep(LOOK_AGAIN).await,
            Err(error) => {
                if !failed {
                    tracing::warn!(topic, %error, "the topic can't be read; it is tried again");
                }
                failed = true;
                sleep(LOOK_AGAIN).await;
            }
        }
    }
}

/// A place in a topic, read on from there without end.
#[derive(Debug)]
pub(crate) struct Follower {
    log: Log,
    topic: &'static str,
    next: OffsetSpec,
}

impl Follower {
    /// Begins at the oldest record that is kept.
    pub(crate) fn from_start(log: Log, topic: &'static str) -> Self {
        Self { log, topic, next: OffsetSpec::Earliest }
    }

    /// The next records; none after a second without any. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Vec<StoredRecord> {
        self.next_page().await.records
    }

    /// The same with what is known of the partition.
    pub(crate) async fn next_page(&mut self) -> Page {
        let page = read_on(&self.log, self.topic, self.next, RECORDS_READ).await;
        self.next = OffsetSpec::Offset(page.next_offset);
        page
    }
}

/// How far a topic is taken in: the offset behind what is, `None` until all that was there at the start is.
pub(crate) type Seen = Option<i64>;

/// Tells how far a topic is taken in, when all of a page is.
pub(crate) fn tell_seen(seen: &watch::Sender<Seen>, next_offset: i64, high_watermark: i64) {
    if seen.borrow().is_some() || next_offset >= high_watermark {
        seen.send_replace(Some(next_offset));
    }
}

/// A task that ends with who started it.
#[derive(Debug)]
pub(crate) struct OwnedTask(JoinHandle<()>);

impl OwnedTask {
    /// Starts it. Must be called inside a tokio runtime.
    pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(task))
    }
}

impl Drop for OwnedTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}
