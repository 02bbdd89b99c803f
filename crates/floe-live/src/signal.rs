//! How a connection learns that one of its subscriptions has something.

use std::sync::Arc;

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

/// The signals of a ring's subscribers.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    slots: Vec<Option<Arc<Signal>>>,
    free: Vec<usize>,
}

impl Signals {
    /// Adds one and answers the key to take it out with.
    pub(crate) fn add(&mut self, signal: Arc<Signal>) -> usize {
        match self.free.pop() {
            Some(key) => {
                self.slots[key] = Some(signal);
                key
            }
            None => {
                self.slots.push(Some(signal));
                self.slots.len() - 1
            }
        }
    }

    /// Takes one out.
    pub(crate) fn remove(&mut self, key: usize) {
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

    /// Raises all of them.
    pub(crate) fn raise_all(&self) {
        for signal in self.slots.iter().flatten() {
            signal.raise();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_reused_and_an_empty_set_gives_its_memory_back() {
        let mut signals = Signals::default();
        let first = signals.add(Signal::new());
        let second = signals.add(Signal::new());
        signals.remove(first);
        signals.remove(first);
        assert_eq!(signals.len(), 1);
        assert_eq!(signals.add(Signal::new()), first);
        signals.remove(first);
        signals.remove(second);
        assert_eq!(signals.len(), 0);
        assert_eq!(signals.slots.capacity(), 0);
    }
}
