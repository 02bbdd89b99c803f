//! What was stored, told to those who follow.
//!
//! The table is the truth: events come from it in the order of their sequence numbers, which is the order in which rows
//! become readable. This process's own writes are handed over right after their commit; if they follow what is known
//! without a gap they go out at once. Anything else (a notice through Redis, a gap, a look now and then) makes the feed
//! read the table. It works only while somebody follows or waits.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::{
    sync::{Notify, oneshot, watch},
    time::{Instant, timeout},
};
use tracing::debug;

use super::{
    EventFilter, FollowedEvent, StoredEvent,
    query::{self, Window},
    ring::{Look, Ring},
};
use crate::{
    Database, StoreError,
    limits::{FEED_LINGER, FEED_POLL},
    notices::Notices,
};

/// The desk between the writer, the table and the followers.
#[derive(Debug)]
pub(crate) struct Feed {
    database: Database,
    notices: Option<Notices>,
    state: Mutex<State>,
    /// Raised when there may be something in the table that the ring doesn't have.
    wake: Notify,
    /// Changes whenever the ring does.
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    /// Followers and those who wait for an event.
    users: usize,
    running: bool,
    /// `None` until the table was asked how far it is.
    ring: Option<Ring>,
    /// The first event of a transaction of this process that is being committed: it may be readable already.
    committing: Option<i64>,
    /// The first event that this process stored while the feed worked but there was no ring yet.
    stored_unseen: Option<i64>,
    waiting: HashMap<String, Vec<(u64, oneshot::Sender<StoredEvent>)>>,
    tickets: u64,
}

impl Feed {
    pub(super) fn new(database: Database, notices: Option<Notices>) -> Self {
        Self {
            database,
            notices,
            state: Mutex::default(),
            wake: Notify::new(),
            changed: watch::Sender::new(()),
        }
    }

    pub(super) fn database(&self) -> &Database {
        &self.database
    }

    pub(super) fn notices(&self) -> Option<&Notices> {
        self.notices.as_ref()
    }

    /// Whether it is worth making copies of what is stored.
    pub(super) fn is_wanted(&self) -> bool {
        self.notices.is_some() || self.state.lock().users > 0
    }

    /// This process's transaction, whose first event is this, may become readable from now on.
    pub(super) fn committing(&self, first: i64) {
        let mut state = self.state.lock();
        state.committing = Some(first);
        if state.running && state.ring.is_none() {
            state.stored_unseen.get_or_insert(first);
        }
    }

    /// The transaction was given up on its way; nobody knows what became of it.
    pub(super) fn given_up(&self) {
        self.state.lock().committing = None;
        self.wake.notify_one();
    }

    /// The transaction is over. `events`: what it stored, in order; empty if that is unknown or nobody wanted it.
    pub(super) fn committed(&self, last: i64, events: Vec<Arc<FollowedEvent>>) {
        let told = {
            let mut state = self.state.lock();
            state.committing = None;
            state.resolve(&events);
            match (&mut state.ring, events.first()) {
                (Some(ring), Some(first)) if first.event.seq == ring.last + 1 => {
                    ring.extend(events.iter().cloned());
                    true
                }
                (Some(ring), _) if ring.last >= last => true,
                (Some(_) | None, _) => false,
            }
        };
        if told {
            self.changed.send_replace(());
        } else {
            self.wake.notify_one();
        }
        if let (Some(notices), false) = (&self.notices, events.is_empty()) {
            notices.publish(events);
        }
    }

    /// An event was erased: it isn't replayed from memory either.
    pub(super) fn forget(&self, id: &str) {
        if let Some(ring) = &mut self.state.lock().ring {
            ring.forget(id);
        }
    }

    /// Another process says that it stored this.
    fn hint(&self, seq: i64) {
        let news = self.state.lock().ring.as_ref().is_none_or(|ring| seq > ring.last);
        if news {
            self.wake.notify_one();
        }
    }

    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Where the stream begins for one who follows from now on; `None` if that isn't known yet.
    pub(super) fn now(&self) -> Option<i64> {
        self.state.lock().ring.as_ref().map(|ring| ring.last)
    }

    /// What lies behind a cursor; `None` as cursor is where the feed itself began.
    pub(super) fn look(&self, cursor: Option<i64>, filter: &EventFilter) -> (Option<i64>, Look) {
        let state = self.state.lock();
        let Some(ring) = &state.ring else { return (cursor, Look::Nothing) };
        let cursor = cursor.unwrap_or(ring.origin);
        (Some(cursor), ring.look(cursor, filter))
    }

    /// Keeps the feed working until the answer is dropped.
    pub(super) fn join(self: &Arc<Self>) -> User {
        let start = {
            let mut state = self.state.lock();
            state.users += 1;
            !std::mem::replace(&mut state.running, true)
        };
        if start {
            tokio::spawn(Arc::clone(self).run());
        }
        User { feed: Arc::clone(self) }
    }

    /// Is answered when an event of this id is stored; what is stored already isn't told.
    pub(super) fn wait_for(self: &Arc<Self>, id: &str) -> Waiting {
        let user = self.join();
        let (sender, told) = oneshot::channel();
        let ticket = {
            let mut state = self.state.lock();
            state.tickets += 1;
            let ticket = state.tickets;
            state.waiting.entry(id.to_owned()).or_default().push((ticket, sender));
            ticket
        };
        Waiting { user, id: id.to_owned(), ticket, told }
    }

    async fn run(self: Arc<Self>) {
        let mut closing = self.database.closing();
        let _hints = self.notices.as_ref().map(|notices| {
            let feed = Arc::downgrade(&self);
            notices.follow(move |seq| {
                if let Some(feed) = feed.upgrade() {
                    match seq {
                        Some(seq) => feed.hint(seq),
                        None => feed.wake.notify_one(),
                    }
                }
            })
        });
        let mut wanted_until = Instant::now() + FEED_LINGER;
        loop {
            if let Err(error) = self.catch_up().await {
                debug!(%error, "the feed waits for the database");
            }
            {
                let mut state = self.state.lock();
                if state.users > 0 {
                    wanted_until = Instant::now() + FEED_LINGER;
                } else if Instant::now() >= wanted_until {
                    (state.running, state.ring, state.stored_unseen) = (false, None, None);
                    return;
                }
            }
            tokio::select! {
                _ = timeout(FEED_POLL, self.wake.notified()) => {}
                _ = closing.wait_for(|closing| *closing) => {
                    self.state.lock().running = false;
                    return;
                }
            }
        }
    }

    /// Reads from the table what the ring doesn't have.
    async fn catch_up(&self) -> Result<(), StoreError> {
        let known = self.state.lock().ring.as_ref().map(|ring| ring.last);
        let mut last = match known {
            Some(last) => last,
            None => {
                let last = query::newest(&self.database).await?;
                self.state.lock().begin(last)
            }
        };
        loop {
            let page =
                query::page(&self.database, &EventFilter::default(), Window::behind(last, None)).await?;
            let events: Vec<_> =
                page.events.into_iter().map(|event| Arc::new(FollowedEvent::from(event))).collect();
            let mut state = self.state.lock();
            state.resolve(&events);
            let Some(ring) = &mut state.ring else { return Ok(()) };
            ring.extend(events);
            let moved = ring.last > std::mem::replace(&mut last, ring.last);
            drop(state);
            if moved || known.is_none() {
                self.changed.send_replace(());
            }
            if page.whole {
                return Ok(());
            }
        }
    }
}

impl State {
    /// Starts the ring behind what is in the table, but before anything that this process has stored since it was
    /// asked for or is storing right now: whoever follows from now on may have seen that coming.
    fn begin(&mut self, newest: i64) -> i64 {
        let own = [self.committing, self.stored_unseen].into_iter().flatten().min();
        let last = own.map_or(newest, |first| newest.min(first - 1));
        self.stored_unseen = None;
        self.ring.get_or_insert_with(|| Ring::new(last)).last
    }

    /// Answers those who wait for one of these.
    fn resolve(&mut self, events: &[Arc<FollowedEvent>]) {
        if self.waiting.is_empty() {
            return;
        }
        for event in events {
            for (_, waiting) in self.waiting.remove(&event.event.id).into_iter().flatten() {
                let _ = waiting.send(event.event.clone());
            }
        }
    }
}

/// One for whom the feed works.
#[derive(Debug)]
pub(super) struct User {
    feed: Arc<Feed>,
}

impl Drop for User {
    fn drop(&mut self) {
        let mut state = self.feed.state.lock();
        state.users = state.users.saturating_sub(1);
    }
}

/// One who waits for an event.
#[derive(Debug)]
pub(super) struct Waiting {
    user: User,
    id: String,
    ticket: u64,
    pub(super) told: oneshot::Receiver<StoredEvent>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.user.feed.state.lock();
        if let Some(waiting) = state.waiting.get_mut(&self.id) {
            waiting.retain(|(ticket, _)| *ticket != self.ticket);
            if waiting.is_empty() {
                state.waiting.remove(&self.id);
            }
        }
    }
}
