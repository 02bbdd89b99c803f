//! What `/get_status?event_id=` knows: where the newest events went. Bounded; the oldest are forgotten.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use floe_engine::Placement;
use parking_lot::Mutex;

use crate::limits::RECEIPTS_MAX;

/// Where an event went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) topic: Arc<str>,
    pub(crate) placement: Placement,
}

/// The newest events by their id.
#[derive(Debug, Default)]
pub(crate) struct Receipts(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    by_id: HashMap<Arc<str>, Receipt>,
    /// In the order of arrival; an id that came again is in it once, at its first place.
    order: VecDeque<Arc<str>>,
}

impl Book {
    /// The topic's name as the newest receipt holds it, so that a run of one topic's events shares it.
    fn topic(&self, topic: &str) -> Arc<str> {
        let newest = self.order.back().and_then(|id| self.by_id.get(id));
        newest
            .filter(|receipt| *receipt.topic == *topic)
            .map_or_else(|| topic.into(), |receipt| Arc::clone(&receipt.topic))
    }
}

impl Receipts {
    /// Notes where events went; of an id that came before, the newer place counts.
    pub(crate) fn note<'a>(&self, topic: &str, events: impl Iterator<Item = (&'a str, Placement)>) {
        let mut book = self.0.lock();
        let topic = book.topic(topic);
        for (id, placement) in events {
            let receipt = Receipt { topic: Arc::clone(&topic), placement };
            if let Some(known) = book.by_id.get_mut(id) {
                *known = receipt;
                continue;
            }
            if book.order.len() >= RECEIPTS_MAX
                && let Some(oldest) = book.order.pop_front()
            {
                book.by_id.remove(&oldest);
            }
            let id: Arc<str> = id.into();
            book.order.push_back(Arc::clone(&id));
            book.by_id.insert(id, receipt);
        }
    }

    /// Notes where an event went that came before all that is noted. Only while there is room, and of an id that is known
    /// already the known place counts. Answers whether there is room for more.
    pub(crate) fn note_older(&self, topic: &str, id: &str, placement: Placement) -> bool {
        let mut book = self.0.lock();
        if book.order.len() >= RECEIPTS_MAX {
            return false;
        }
        if !book.by_id.contains_key(id) {
            let receipt = Receipt { topic: book.topic(topic), placement };
            let id: Arc<str> = id.into();
            book.order.push_front(Arc::clone(&id));
            book.by_id.insert(id, receipt);
        }
        true
    }

    pub(crate) fn find(&self, id: &str) -> Option<Receipt> {
        self.0.lock().by_id.get(id).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_known_and_the_oldest_forgotten() {
        let receipts = Receipts::default();
        let at = |offset| Placement { partition: 0, offset, timestamp: 0 };
        let ids: Vec<String> = (0..=RECEIPTS_MAX).map(|n| n.to_string()).collect();
        receipts.note("events", ids.iter().map(|id| (id.as_str(), at(1))));
        assert_eq!(receipts.find("0"), None);
        assert!(receipts.find("1").is_some());
        receipts.note("events", [("1", at(9))].into_iter());
        assert_eq!(receipts.find("1").unwrap().placement, at(9));
        assert_eq!(receipts.0.lock().order.len(), RECEIPTS_MAX);
    }

    #[test]
    fn what_came_earlier_is_noted_while_there_is_room() {
        let receipts = Receipts::default();
        let at = |offset| Placement { partition: 0, offset, timestamp: 0 };
        receipts.note("events", [("new", at(9))].into_iter());
        assert!(receipts.note_older("events", "new", at(1)));
        assert!(receipts.note_older("events", "old", at(2)));
        assert_eq!(receipts.find("new").unwrap().placement, at(9));
        let ids: Vec<String> = (2..RECEIPTS_MAX).map(|n| n.to_string()).collect();
        receipts.note("events", ids.iter().map(|id| (id.as_str(), at(1))));
        assert!(!receipts.note_older("events", "late", at(3)));
        receipts.note("events", [("one more", at(4))].into_iter());
        assert_eq!((receipts.find("old"), receipts.find("late")), (None, None));
        assert!(receipts.find("new").is_some());
    }
}
