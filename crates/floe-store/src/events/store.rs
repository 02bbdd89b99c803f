//! The handle of the event store.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{
    CountBy, EventCount, EventFilter, EventLog, EventPage, Followed, ListOrder, NewEvent, StoredEvent,
    feed::Feed,
    query::{self, Window},
};
use crate::{
    Claim, ConnectionState, Database, PositionKey, StoreError, WriteError, limits::STORED_POLL,
    notices::Notices, writer::Writer,
};

/// The event store: the table `events` and what is told about it. Cloning shares it.
#[derive(Clone, Debug)]
pub struct EventStore {
    database: Database,
    feed: Arc<Feed>,
    writer: Writer<EventLog>,
}

impl EventStore {
    /// `redis`: where gateways tell each other (channel `events`); without it they look into the table.
    /// Must be called inside a tokio runtime. `Err` says what is wrong with Redis's address, without repeating it.
    #[expect(clippy::needless_pass_by_value, reason = "the address, with its password, is handed over")]
    pub fn new(database: Database, redis: Option<String>) -> Result<Self, String> {
        let notices = redis.as_deref().map(Notices::start).transpose()?;
        let feed = Arc::new(Feed::new(database.clone(), notices));
        let writer = Writer::start(database.clone(), Arc::new(EventLog { feed: Arc::clone(&feed) }));
        Ok(Self { database, feed, writer })
    }

    /// The database it is in.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// `None` without Redis.
    #[must_use]
    pub fn redis_state(&self) -> Option<ConnectionState> {
        self.feed.notices().map(Notices::state)
    }

    /// Events that Redis was not told of because it could not be reached or was too slow. Those who follow elsewhere
    /// find them in the table.
    #[must_use]
    pub fn unpublished(&self) -> u64 {
        self.feed.notices().map_or(0, Notices::dropped)
    }

    /// As [`TableWriter::claim`](crate::TableWriter::claim).
    pub async fn claim(&self, key: &PositionKey, owner: &str) -> Result<Claim, StoreError> {
        self.writer.claim(key, owner).await
    }

    /// As [`TableWriter::write`](crate::TableWriter::write); afterwards those who follow are told. An event whose id is
    /// stored already is passed over.
    pub async fn write(
        &self,
        key: &PositionKey,
        claim: &Claim,
        events: Vec<NewEvent>,
        next_offset: i64,
    ) -> Result<u64, WriteError> {
        self.writer.write(key, claim, events, next_offset).await
    }

    /// The event of this id.
    pub async fn get(&self, id: &str) -> Result<Option<StoredEvent>, StoreError> {
        query::get(&self.database, id).await
    }

    /// In the order of storing, behind `cursor`, oldest first (`NewestFirst`: before it, newest first). At most 10,000
    /// events, and no more once they have 4 MiB of data together: the page says whether there is more.
    pub async fn page(
        &self,
        filter: &EventFilter,
        order: ListOrder,
        cursor: Option<i64>,
        limit: usize,
    ) -> Result<EventPage, StoreError> {
        query::page(&self.database, filter, Window { order, cursor, upto: None, limit }).await
    }

    /// Erases an event's row; answers whether there was one. Positions stay, so the pipeline doesn't store it again; a
    /// record of the same id that is sent later is a new event. The log keeps its record until retention removes it.
    pub async fn delete(&self, id: &str) -> Result<bool, StoreError> {
        let erased = query::delete(&self.database, id).await?;
        self.feed.forget(id);
        Ok(erased)
    }

    /// How many events there are by type or user, in spans of `every` if that is given; at most 10,000 lines, the
    /// oldest spans first.
    pub async fn counts(
        &self,
        filter: &EventFilter,
        by: CountBy,
        every: Option<Duration>,
    ) -> Result<Vec<EventCount>, StoreError> {
        query::counts(&self.database, filter, by, every).await
    }

    /// Follows what is stored, from behind `after` (`None`: from now). Must be called inside a tokio runtime.
    #[must_use]
    pub fn follow(&self, after: Option<i64>, filter: EventFilter) -> Followed {
        Followed::new(&self.feed, after, filter)
    }

    /// Resolves when an event of this id is readable. Cancel-safe. Register before appending. While it is kept it has to
    /// be polled: it may hold one of the few connections for reading.
    pub async fn stored(&self, id: &str) -> StoredEvent {
        let mut waiting = self.feed.wait_for(id);
        loop {
            // Stored by another process, or long ago: nobody would tell.
            if let Ok(Some(event)) = self.get(id).await {
                return event;
            }
            if let Ok(Ok(event)) = timeout(STORED_POLL, &mut waiting.told).await {
                return event;
            }
        }
    }
}
