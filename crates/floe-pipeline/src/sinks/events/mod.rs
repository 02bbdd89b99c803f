//! The event store. Exactly once: events and the partition's position are written in one transaction.

mod config;
mod event;

use std::sync::Arc;

use floe_store::{Claim, EventStore, PositionKey, StoreError, WriteError};

pub(in crate::sinks) use event::rfc3339_ms;

pub use config::EventsSpec;

use super::{Batch, DeliveryError, Outgoing};
use crate::Services;

#[derive(Clone, Debug)]
pub(crate) struct EventsSink {
    store: EventStore,
}

/// A claimed partition.
#[derive(Debug)]
pub(crate) struct EventsHold {
    store: EventStore,
    key: PositionKey,
    claim: Claim,
    position: Option<i64>,
}

impl EventsSink {
    pub(crate) fn open(_: &EventsSpec, _pipeline: &Arc<str>, services: &Services) -> Result<Self, String> {
        let store = services.store.clone();
        let store = store.ok_or("events: this process has no event store; it needs a database")?;
        Ok(Self { store })
    }

    #[expect(clippy::unused_self, reason = "every sink is asked the same way")]
    pub(crate) fn label(&self) -> String {
        "events".to_owned()
    }

    pub(crate) async fn claim(&self, key: &PositionKey, owner: &str) -> Result<EventsHold, DeliveryError> {
        let claim = self.store.claim(key, owner).await.map_err(claim_error)?;
        Ok(EventsHold { store: self.store.clone(), key: key.clone(), position: claim.next_offset, claim })
    }
}

impl EventsHold {
    pub(crate) fn position(&self) -> Option<i64> {
        self.position
    }

    pub(crate) async fn deliver(&mut self, batch: &Batch) -> Result<(), DeliveryError> {
        if self.position.is_some_and(|position| position >= batch.next_offset) {
            return Ok(());
        }
        let done = passed_over(&batch.records, self.position);
        let records = &batch.records[done..];
        let mut events = Vec::with_capacity(records.len());
        let mut poison = Vec::new();
        for (place, record) in records.iter().enumerate() {
            match event::read(&self.key, record) {
                Ok(event) => events.push(event),
                Err(why) => poison.push((done + place, why)),
            }
        }
        if !poison.is_empty() {
            return Err(DeliveryError::Poison { delivered: done, records: poison });
        }
        let written = self.store.write(&self.key, &self.claim, events, batch.next_offset).await;
        written.map_err(|error| write_error(error, done))?;
        self.position = Some(batch.next_offset);
        Ok(())
    }
}

/// How many records the sink has stored before: those in front of its position.
pub(in crate::sinks) fn passed_over(records: &[Outgoing], position: Option<i64>) -> usize {
    position.map_or(0, |position| records.partition_point(|record| record.offset < position))
}

pub(in crate::sinks) fn claim_error(error: StoreError) -> DeliveryError {
    match error {
        StoreError::Unavailable(why) => DeliveryError::Unavailable(why),
        StoreError::Refused(why) => DeliveryError::Fatal(why),
    }
}

/// `done`: records in front of those that were to be written.
pub(in crate::sinks) fn write_error(error: WriteError, done: usize) -> DeliveryError {
    match error {
        WriteError::Unavailable(why) => DeliveryError::Unavailable(why),
        WriteError::Rejected(rows) => DeliveryError::Poison {
            delivered: done,
            records: rows.into_iter().map(|(place, why)| (done + place, why)).collect(),
        },
        WriteError::Fenced => DeliveryError::Fenced,
        WriteError::Refused(why) => DeliveryError::Fatal(why),
    }
}
