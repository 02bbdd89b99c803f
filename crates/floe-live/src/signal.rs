//! How a connection learns that one of its subscriptions has something.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::Notify;

/// One per connection, shared by all its subscriptions; one task waits on it. A wake that comes while nobody waits is
/// kept, and many of them are one: the cost of a burst is one wake per connection, not one per record.
#[derive(Debug, Default)]
pub struct Signal {
    notify: Notify,
}

impl Signal {
    /// A signal that nobody has raised.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Waits until a subscription may have something to take. Cancel-safe.
    pub async fn raised(&self) {
        self.notify.notified().await;
    }

    /// Wakes the waiting task, now or as soon as it waits.
    pub fn raise(&self) {
        self.notify.notify_one();
    }
}

/// How far a subscriber has come in its ring, for the feeding task to see.
#[derive(Debug)]
pub(crate) struct Pace(AtomicU64);

impl Pace {
    /// Not to be waited for.
    const FREE: u64 = u64::MAX;

    /// The subscriber has taken everything before this sequence number.
    pub(crate) fn reach(&self, next: u64) {
        self.0.store(next, Ordering::Relaxed);
    }

    /// The subscriber is not to be waited for: its socket is full, or it reads the log.
    pub(crate) fn release(&self) {
        self.0.store(Self::FREE, Ordering::Relaxed);
    }
}

/// A subscriber's place among a ring's watchers.
#[derive(Debug)]
pub(crate) struct Seat {
    key: usize,
    /// Where it shows how far it has come.
    pub(crate) pace: Arc<Pace>,
}

/// The subscribers of a ring, as the feeding task sees them.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    slots: Vec<Option<(Arc<Signal>, Arc<Pace>)>>,
    free: Vec<usize>,
}

impl Watchers {
    /// Adds one.
    pub(crate) fn add(&mut self, signal: Arc<Signal>) -> Seat {
        let pace = Arc::new(Pace(AtomicU64::new(Pace::FREE)));
        let watcher = Some((signal, Arc::clone(&pace)));
        let key = match self.free.pop() {
            Some(key) => {
                self.slots[key] = watcher;
                key
            }
            None => {
                self.slots.push(watcher);
                self.slots.len() - 1
            }
        };
        Seat { key, pace }
    }

    /// Takes one out.
    pub(crate) fn remove(&mut self, seat: &Seat) {
        let key = seat.key;
        if self.slots.get_mut(key).and_then(Option::take).is_some() {
            self.free.push(key);
        }
        if self.free.len() == self.slots.len() {
            *self = Self::default();
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Raises all their watchers.
    pub(crate) fn raise_all(&self) {
        for (signal, _) in self.slots.iter().flatten() {
            signal.raise();
        }
    }

    /// The sequence number before which all have taken everything, those that are not waited for left out.
    pub(crate) fn slowest(&self) -> u64 {
        self.slots
            .iter()
            .flatten()
            .map(|(_, pace)| pace.0.load(Ordering::Relaxed))
            .min()
            .unwrap_or(Pace::FREE)
    }

    /// Stops waiting for those that have not come as far as this.
    pub(crate) fn release_before(&self, seq: u64) {
        let late = |pace: &&Arc<Pace>| pace.0.load(Ordering::Relaxed) < seq;
        self.slots.iter().flatten().map(|(_, pace)| pace).filter(late).for_each(|pace| pace.release());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_reused_and_an_empty_set_gives_its_memory_back() {
        let mut watchers = Watchers::default();
        let first = watchers.add(Signal::new());
        let second = watchers.add(Signal::new());
        watchers.remove(&first);
        watchers.remove(&first);
        assert_eq!(watchers.len(), 1);
        let third = watchers.add(Signal::new());
        assert_eq!(third.key, first.key);
        watchers.remove(&third);
        watchers.remove(&second);
        assert_eq!(watchers.len(), 0);
        assert_eq!(watchers.slots.capacity(), 0);
    }

    #[test]
    fn the_slowest_counts_until_it_is_let_go() {
        let mut watchers = Watchers::default();
        let first = watchers.add(Signal::new()).pace;
        let second = watchers.add(Signal::new()).pace;
        assert_eq!(watchers.slowest(), Pace::FREE);
        first.reach(5);
        second.reach(9);
        assert_eq!(watchers.slowest(), 5);
        watchers.release_before(6);
        assert_eq!(watchers.slowest(), 9);
        second.release();
        assert_eq!(watchers.slowest(), Pace::FREE);
    }
}
