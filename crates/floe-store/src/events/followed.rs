//! One subscriber's place in what is stored.

use std::sync::Arc;

use tokio::{sync::watch, time::sleep};

use super::{
    EventFilter, FollowedEvent,
    feed::{Feed, User},
    query::{self, Window},
    ring::Look,
};
use crate::limits::FEED_POLL;

/// One subscriber's place in what is stored: each event once, in order, after its row is readable; what isn't in
/// memory any more is read from the table. Memory is bounded whoever is slow.
#[derive(Debug)]
pub struct Followed {
    feed: Arc<Feed>,
    cursor: Option<i64>,
    filter: EventFilter,
    changes: watch::Receiver<()>,
    _user: User,
}

impl Followed {
    pub(super) fn new(feed: &Arc<Feed>, after: Option<i64>, filter: EventFilter) -> Self {
        let user = feed.join();
        let cursor = after.or_else(|| feed.now());
        Self { feed: Arc::clone(feed), cursor, filter, changes: feed.changes(), _user: user }
    }

    /// The next events, at least one; waits for them. Cancel-safe. Errors of the database are retried inside.
    pub async fn next(&mut self) -> Vec<Arc<FollowedEvent>> {
        loop {
            self.changes.borrow_and_update();
            let (cursor, look) = self.feed.look(self.cursor, &self.filter);
            self.cursor = cursor;
            match look {
                Look::Events(events, behind) => {
                    self.cursor = Some(behind);
                    if !events.is_empty() {
                        return events;
                    }
                }
                Look::Behind(upto) => {
                    let events = self.read(upto).await;
                    if !events.is_empty() {
                        return events;
                    }
                }
                Look::Nothing => {
                    // The sender lives as long as the feed, which this holds.
                    let _ = self.changes.changed().await;
                }
            }
        }
    }

    /// A page from the table; the cursor moves behind it, or to `upto` if there is no more before that.
    async fn read(&mut self, upto: i64) -> Vec<Arc<FollowedEvent>> {
        let after = self.cursor.unwrap_or_default();
        let Ok(page) =
            query::page(self.feed.database(), &self.filter, Window::behind(after, Some(upto))).await
        else {
            sleep(FEED_POLL).await;
            return Vec::new();
        };
        let last = page.events.last().filter(|_| !page.whole).map_or(upto, |event| event.seq);
        self.cursor = Some(last);
        page.events.into_iter().map(|event| Arc::new(FollowedEvent::from(event))).collect()
    }
}
