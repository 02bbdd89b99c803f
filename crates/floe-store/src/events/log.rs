//! The table `events` as something that is written.

use std::{collections::HashSet, sync::Arc};

use super::{FollowedEvent, NewEvent, StoredEvent, feed::Feed};
use crate::{
    clock,
    connection::{Connection, Kind},
    error::Failure,
    limits::NAME_BYTES,
    postgres, sqlite,
    writer::{Inserted, Part, Target},
};

/// Writes events, and tells the feed.
#[derive(Debug)]
pub(crate) struct EventLog {
    pub(super) feed: Arc<Feed>,
}

/// An event that isn't in the table yet, with its place in the order of storing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fresh<'a> {
    pub(crate) seq: i64,
    /// Which part of the write it is of.
    pub(crate) part: usize,
    pub(crate) topic: &'a str,
    pub(crate) partition: u32,
    pub(crate) event: &'a NewEvent,
}

/// What a transaction has stored.
#[derive(Debug)]
pub(crate) struct Stored {
    /// The first new event's place; `None` if there was none.
    pub(super) first: Option<i64>,
    pub(super) last: i64,
    /// The new events; empty if nobody wants them.
    pub(super) events: Vec<StoredEvent>,
}

impl Fresh<'_> {
    fn stored(&self, stored_at: i64) -> StoredEvent {
        StoredEvent {
            seq: self.seq,
            id: self.event.id.clone(),
            event_type: self.event.event_type.clone(),
            user_id: self.event.user_id.clone(),
            data: self.event.data.clone(),
            timestamp: self.event.timestamp,
            stored_at,
            topic: self.topic.to_owned(),
            partition: self.partition,
            offset: self.event.offset,
        }
    }
}

/// Gives numbers behind `last` to the events whose ids are neither known nor there twice.
fn number<'a>(parts: &[Part<'a, NewEvent>], last: i64, known: &[String]) -> Vec<Fresh<'a>> {
    let count = parts.iter().map(|part| part.rows.len()).sum();
    let mut ids = HashSet::with_capacity(count + known.len());
    ids.extend(known.iter().map(String::as_str));
    let mut fresh = Vec::with_capacity(count);
    let mut seq = last;
    for (place, part) in parts.iter().enumerate() {
        for event in part.rows.iter().filter(|event| ids.insert(event.id.as_str())) {
            seq += 1;
            fresh.push(Fresh {
                seq,
                part: place,
                topic: &part.key.topic,
                partition: part.key.partition,
                event,
            });
        }
    }
    fresh
}

impl Target for EventLog {
    type Row = NewEvent;
    type News = Stored;

    fn name(&self) -> &str {
        "events"
    }

    fn offset(event: &NewEvent) -> i64 {
        event.offset
    }

    fn bytes(event: &NewEvent) -> usize {
        let names = [&event.event_type, &event.user_id].into_iter().flatten().map(String::len);
        event.id.len() + event.data.len() + names.sum::<usize>() + 64
    }

    fn flaw(&self, event: &NewEvent, kind: Kind) -> Option<String> {
        let names = [
            ("id", Some(&event.id)),
            ("event_type", event.event_type.as_ref()),
            ("user_id", event.user_id.as_ref()),
        ];
        for (what, name) in names {
            let Some(name) = name else { continue };
            if name.len() > NAME_BYTES {
                return Some(format!("{what} has {} bytes; at most {NAME_BYTES} can be stored", name.len()));
            }
            if kind == Kind::Postgres && name.contains('\0') {
                return Some(format!("{what} has a NUL character, which PostgreSQL can't hold"));
            }
        }
        if !clock::can_be_stored(event.timestamp) {
            return Some("the time's year is not from 1 to 9999".into());
        }
        std::str::from_utf8(&event.data).is_err().then(|| "data is not UTF-8".to_owned())
    }

    async fn prepare(&self, _connection: &mut Connection) -> Result<(), Failure> {
        Ok(())
    }

    async fn insert(
        &self,
        connection: &mut Connection,
        parts: &[Part<'_, NewEvent>],
    ) -> Result<Inserted<Stored>, Failure> {
        let stored_at = clock::now_ms();
        let (last, fresh) = match connection {
            Connection::Sqlite(sqlite) => {
                let last = sqlite::events::newest(sqlite).await?;
                // Nearly always all are new: trying that is quicker than asking first.
                let hoped = number(parts, last, &[]);
                if sqlite::events::insert_new(sqlite, &hoped, stored_at).await? {
                    (last, hoped)
                } else {
                    let known = sqlite::events::known(sqlite, parts).await?;
                    let fresh = number(parts, last, &known);
                    sqlite::events::insert(sqlite, &fresh, stored_at).await?;
                    (last, fresh)
                }
            }
            Connection::Postgres(postgres) => {
                let (last, known) = postgres::events::known(postgres, parts).await?;
                let fresh = number(parts, last, &known);
                postgres::events::insert(postgres, &fresh, stored_at).await?;
                (last, fresh)
            }
        };
        let mut new = vec![0; parts.len()];
        fresh.iter().for_each(|event| new[event.part] += 1);
        let events = if self.feed.is_wanted() {
            fresh.iter().map(|event| event.stored(stored_at)).collect()
        } else {
            Vec::new()
        };
        let first = fresh.first().map(|event| event.seq);
        let last = fresh.last().map_or(last, |event| event.seq);
        Ok(Inserted { new, news: Stored { first, last, events } })
    }

    fn committing(&self, news: &Stored) {
        if let Some(first) = news.first {
            self.feed.committing(first);
        }
    }

    fn committed(&self, news: Stored, done: bool) {
        if news.first.is_none() {
            return;
        }
        let events = if done { news.events } else { Vec::new() };
        let events: Vec<_> = events.into_iter().map(|event| Arc::new(FollowedEvent::from(event))).collect();
        self.feed.committed(news.last, events);
    }

    fn given_up(&self) {
        self.feed.given_up();
    }
}
