//! One watched topic: its window, the signals of who watches, and how it ended.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use floe_engine::{Cursor, StoredRecord, TailEnd};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use tokio::sync::Notify;

use crate::{
    record::LiveRecord,
    signal::{Seat, Signal, Watchers},
    window::{Budget, Window},
};

/// The newest records of a watched topic and its watchers. The feeding task alone pushes and ends it; subscribers
/// read.
#[derive(Debug)]
pub(crate) struct Ring {
    topic: Arc<str>,
    topic_id: u64,
    window: RwLock<Window>,
    /// The window's head, to be compared without the lock by subscribers that have nothing to take.
    head: AtomicU64,
    ended: OnceLock<TailEnd>,
    watchers: Mutex<Watchers>,
    /// Raised when the last subscriber has left.
    abandoned: Notify,
}

impl Ring {
    /// An empty ring right behind `after`, which is where its tail starts.
    pub(crate) fn new(topic: &str, after: Cursor, max_records: usize, budget: Arc<Budget>) -> Self {
        Self {
            topic: topic.into(),
            topic_id: after.topic_id(),
            window: RwLock::new(Window::new(after, max_records, budget)),
            head: AtomicU64::new(0),
            ended: OnceLock::new(),
            watchers: Mutex::default(),
            abandoned: Notify::new(),
        }
    }

    /// The topic's name.
    pub(crate) fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    /// The topic's id: a topic made again under the same name has another ring.
    pub(crate) fn topic_id(&self) -> u64 {
        self.topic_id
    }

    /// The window, to read.
    pub(crate) fn window(&self) -> RwLockReadGuard<'_, Window> {
        self.window.read()
    }

    /// Makes room for at least this many records.
    pub(crate) fn grow_to(&self, max_records: usize) {
        self.window.write().grow_to(max_records);
    }

    /// Sequence number of the next record to come.
    pub(crate) fn head(&self) -> u64 {
        self.head.load(Ordering::Acquire)
    }

    /// How the topic's tail ended, if it has; what the window holds is still there to be taken.
    pub(crate) fn ended(&self) -> Option<TailEnd> {
        self.ended.get().copied()
    }

    /// Adds the newest records and wakes the subscribers.
    pub(crate) fn push(&self, records: &[StoredRecord]) {
        // Copied before the lock is taken: subscribers are kept out only while the window's slots move.
        let records: Vec<_> = records.iter().map(LiveRecord::detached).collect();
        {
            let mut window = self.window.write();
            records.into_iter().for_each(|record| window.push(record));
            self.head.store(window.head(), Ordering::Release);
        }
        self.watchers.lock().raise_all();
    }

    /// The sequence number from which on records will be held once `records` more have come; what lies before it is
    /// given up.
    pub(crate) fn first_after(&self, records: usize) -> u64 {
        self.window().first_after(records)
    }

    /// The sequence number before which every subscriber that can take has taken everything.
    pub(crate) fn slowest(&self) -> u64 {
        self.watchers.lock().slowest()
    }

    /// Stops waiting for subscribers that have not come as far as this.
    pub(crate) fn release_before(&self, seq: u64) {
        self.watchers.lock().release_before(seq);
    }

    /// Ends the ring and wakes the subscribers. The first end counts.
    pub(crate) fn end(&self, end: TailEnd) {
        if self.ended.set(end).is_ok() {
            self.watchers.lock().raise_all();
        }
    }

    /// Adds a subscriber.
    pub(crate) fn join(&self, signal: Arc<Signal>) -> Seat {
        self.watchers.lock().add(signal)
    }

    /// Takes a subscriber out and answers how many are left; with the last one the feeding task stops.
    pub(crate) fn leave(&self, seat: &Seat) -> usize {
        let mut watchers = self.watchers.lock();
        watchers.remove(seat);
        if watchers.len() == 0 {
            self.abandoned.notify_one();
        }
        watchers.len()
    }

    /// How many subscriptions there are.
    pub(crate) fn subscribers(&self) -> usize {
        self.watchers.lock().len()
    }

    /// Waits until the last subscriber has left. Cancel-safe.
    pub(crate) async fn abandoned(&self) {
        self.abandoned.notified().await;
    }
}
