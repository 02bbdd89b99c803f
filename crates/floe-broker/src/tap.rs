//! Taps: what becomes visible in a topic is handed to those who follow its end, straight from the sync.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use floe_journal::Position;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    StoredRecord,
    batch::{BatchPlace, StoredRecords},
    limits::MAX_TAP_BYTES,
};

/// A batch that became visible.
#[derive(Clone, Debug)]
pub struct VisibleBatch {
    /// Its partition.
    pub partition: u32,
    /// Where it was written: the order among all batches.
    pub origin: Position,
    /// The batch as stored.
    pub bytes: Bytes,
}

impl VisibleBatch {
    /// Its records. Those that can't be read (a batch compressed by a client, until that is understood here) are left
    /// out.
    pub fn records(self, topic_id: u64) -> impl Iterator<Item = StoredRecord> {
        let place = BatchPlace { topic_id, partition: self.partition, position: self.origin };
        StoredRecords::new(self.bytes, place, 0).into_iter().flatten().flatten()
    }
}

/// What a tap has for its follower.
#[derive(Debug)]
pub enum Tapped {
    /// Batches, in the order of storing; empty when there is nothing.
    Batches(Vec<VisibleBatch>),
    /// Too much came at once: everything up to and including this position is to be read from the log.
    Behind(Position),
    /// The topic is gone.
    Ended,
}

/// One follower's queue, bounded in bytes.
#[derive(Debug, Default)]
pub struct Tap {
    queue: Mutex<Queue>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    batches: VecDeque<VisibleBatch>,
    bytes: usize,
    behind: Option<Position>,
    ended: bool,
}

impl Tap {
    /// Takes what there is.
    #[must_use]
    pub fn take(&self) -> Tapped {
        let mut queue = self.queue.lock();
        if let Some(through) = queue.behind.take() {
            return Tapped::Behind(through);
        }
        if queue.batches.is_empty() && queue.ended {
            return Tapped::Ended;
        }
        queue.bytes = 0;
        Tapped::Batches(queue.batches.drain(..).collect())
    }

    /// Waits until [`take`](Self::take) may have something. One waiter at a time.
    pub async fn wait(&self) {
        self.wake.notified().await;
    }

    fn push(&self, batch: &VisibleBatch) {
        let mut queue = self.queue.lock();
        if queue.behind.is_some() || queue.bytes + batch.bytes.len() > MAX_TAP_BYTES {
            queue.batches.clear();
            queue.bytes = 0;
            queue.behind = Some(batch.origin);
        } else {
            queue.bytes += batch.bytes.len();
            queue.batches.push_back(batch.clone());
        }
        drop(queue);
        self.wake.notify_one();
    }

    fn end(&self) {
        self.queue.lock().ended = true;
        self.wake.notify_one();
    }
}

/// All taps of a topic.
#[derive(Debug)]
pub(crate) struct Taps {
    /// Everything up to here is visible; everything behind it comes through the taps.
    last_origin: Position,
    taps: Vec<Arc<Tap>>,
}

impl Taps {
    pub(crate) fn new(last_origin: Position) -> Self {
        Self { last_origin, taps: Vec::new() }
    }

    /// Opens a tap; the position is the last one that doesn't come through it.
    pub(crate) fn open(&mut self) -> (Arc<Tap>, Position) {
        let tap = Arc::new(Tap::default());
        self.taps.push(tap.clone());
        (tap, self.last_origin)
    }

    pub(crate) fn close(&mut self, tap: &Arc<Tap>) {
        self.taps.retain(|known| !Arc::ptr_eq(known, tap));
    }

    pub(crate) fn push(&mut self, batch: &VisibleBatch) {
        self.last_origin = self.last_origin.max(batch.origin);
        for tap in &self.taps {
            tap.push(batch);
        }
    }

    pub(crate) fn end(&mut self) {
        for tap in self.taps.drain(..) {
            tap.end();
        }
    }
}
