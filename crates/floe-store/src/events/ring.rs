//! The newest stored events in memory, in order of storing.

use std::{collections::VecDeque, sync::Arc};

use super::{EventFilter, FollowedEvent};
use crate::limits::{FOLLOW_PAGE, RING_BYTES, RING_EVENTS};

/// What is held is whole: every event behind `floor` up to `last` that is in the table is here.
#[derive(Debug)]
pub(super) struct Ring {
    /// Where it began to be filled.
    pub(super) origin: i64,
    floor: i64,
    pub(super) last: i64,
    events: VecDeque<Arc<FollowedEvent>>,
    bytes: usize,
}

/// What is to be had behind a cursor.
#[derive(Debug)]
pub(super) enum Look {
    /// Events that pass the filter (maybe none), and the cursor behind them.
    Events(Vec<Arc<FollowedEvent>>, i64),
    /// The ring doesn't reach back so far: the table has what lies behind the cursor, up to this place.
    Behind(i64),
    /// Nothing new.
    Nothing,
}

impl Ring {
    pub(super) fn new(last: i64) -> Self {
        Self { origin: last, floor: last, last, events: VecDeque::new(), bytes: 0 }
    }

    /// Adds what follows; events that are held already are passed over. The caller knows that nothing readable lies
    /// between `last` and the first of them.
    pub(super) fn extend(&mut self, events: impl IntoIterator<Item = Arc<FollowedEvent>>) {
        for event in events {
            if event.event.seq > self.last {
                self.last = event.event.seq;
                self.bytes += event.frame.len() * 2;
                self.events.push_back(event);
            }
        }
        while self.events.len() > RING_EVENTS || self.bytes > RING_BYTES {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= oldest.frame.len() * 2;
            self.floor = oldest.event.seq;
        }
    }

    /// Lets go of an event that was erased.
    pub(super) fn forget(&mut self, id: &str) {
        if let Some(place) = self.events.iter().position(|event| event.event.id == id)
            && let Some(erased) = self.events.remove(place)
        {
            self.bytes -= erased.frame.len() * 2;
        }
    }

    pub(super) fn look(&self, cursor: i64, filter: &EventFilter) -> Look {
        if cursor >= self.last {
            return Look::Nothing;
        }
        if cursor < self.floor {
            return Look::Behind(self.last);
        }
        let from = self.events.partition_point(|event| event.event.seq <= cursor);
        let mut page = Vec::new();
        for event in self.events.range(from..) {
            if filter.passes(&event.event) {
                page.push(Arc::clone(event));
                if page.len() == FOLLOW_PAGE {
                    return Look::Events(page, event.event.seq);
                }
            }
        }
        Look::Events(page, self.last)
    }
}
