//! What pipelines are to do, as everybody in this process knows it: follows the internal topic `__pipelines`.

use std::{collections::HashMap, sync::Arc, time::Duration};

use floe_engine::{OffsetSpec, Page, PartitionRead, StoredRecord};
use tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
    time::timeout,
};

use crate::{
    COMMANDS_TOPIC, Command, Log, LogError,
    limits::{LOOK_AGAIN, OWN_READ_BYTES, OWN_READ_RECORDS, READ_WAIT},
};

/// How long somebody who wrote a command waits to see it followed.
const SEEN_LIMIT: Duration = Duration::from_secs(2);

/// A command and when it was given, in the order of all commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) command: Command,
    pub(crate) version: i64,
}

/// All commands in force.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// Whether all that was said before the start is known.
    pub(crate) ready: bool,
    /// Why nothing new is heard, if so.
    pub(crate) error: Option<String>,
    /// Where to read on.
    next: i64,
    newest: HashMap<String, Given>,
}

impl Known {
    /// What a pipeline is to do; `None` if nobody ever said.
    pub(crate) fn of(&self, pipeline: &str) -> Option<&Given> {
        self.newest.get(pipeline)
    }

    fn take(&mut self, page: &Page) {
        page.records.iter().for_each(|record| self.apply(record));
        self.next = page.next_offset;
        self.ready |= self.next >= page.high_watermark;
        self.error = None;
    }

    fn apply(&mut self, record: &StoredRecord) {
        let pipeline = record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
        let command = record.value.as_deref().map(serde_json::from_slice);
        match (pipeline, command) {
            (Some(pipeline), Some(Ok(command))) => {
                self.newest.insert(pipeline.to_owned(), Given { command, version: record.offset });
            }
            _ => tracing::warn!(
                target: "floe_pipeline", offset = record.offset,
                "a command to pipelines is not understood and passed over"
            ),
        }
    }
}

/// Follows the commands for as long as one of its clones is held.
#[derive(Clone, Debug)]
pub(crate) struct Commands {
    known: watch::Receiver<Known>,
    follower: Arc<Follower>,
}

#[derive(Debug)]
struct Follower {
    task: AbortHandle,
    /// Wakes it when it waits for a topic that isn't there.
    nudge: Arc<Notify>,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Commands {
    /// Starts to follow. Must be called inside a runtime.
    pub(crate) fn follow(log: Log) -> Self {
        let (sender, known) = watch::channel(Known::default());
        let nudge = Arc::new(Notify::new());
        let task = tokio::spawn(follow(log, sender, Arc::clone(&nudge))).abort_handle();
        Self { known, follower: Arc::new(Follower { task, nudge }) }
    }

    /// What is known now, and news of it.
    pub(crate) fn watch(&self) -> watch::Receiver<Known> {
        self.known.clone()
    }

    /// Waits a while until the command at `version` is known.
    pub(crate) async fn seen(&self, version: i64) {
        self.follower.nudge.notify_one();
        let mut known = self.watch();
        let seen = known.wait_for(|known| known.next > version);
        // it is durable: whoever looks before it is followed only sees the one before
        let _ = timeout(SEEN_LIMIT, seen).await.is_ok();
    }
}

async fn follow(log: Log, sender: watch::Sender<Known>, nudge: Arc<Notify>) {
    loop {
        let next = sender.borrow().next;
        let read = PartitionRead {
            topic: COMMANDS_TOPIC.to_owned(),
            partition: 0,
            from: OffsetSpec::Offset(next),
            max_records: OWN_READ_RECORDS,
            max_bytes: OWN_READ_BYTES,
            // the first answer says whether there is anything at all
            wait: if sender.borrow().ready { READ_WAIT } else { Duration::ZERO },
        };
        match log.read(read).await {
            Ok(page) => {
                let news =
                    page.next_offset > next || !sender.borrow().ready || sender.borrow().error.is_some();
                if news {
                    sender.send_modify(|known| known.take(&page));
                }
                continue;
            }
            // another log than before, if it is behind: what the old one said no longer counts
            Err(LogError::OutOfRange { start, .. }) if start != next => {
                sender.send_modify(|known| *known = Known { next: start, ..Known::default() });
                continue;
            }
            Err(LogError::NoTopic { .. }) => {
                sender.send_if_modified(|known| {
                    let news = !known.ready || known.error.is_some() || known.next > 0;
                    *known = Known { ready: true, ..Known::default() };
                    news
                });
            }
            Err(error) => {
                let error = Some(error.to_string());
                sender.send_if_modified(|known| {
                    let news = known.error != error;
                    known.error = error;
                    news
                });
            }
        }
        let _ = timeout(LOOK_AGAIN, nudge.notified()).await.is_ok();
    }
}
