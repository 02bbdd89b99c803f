//! A socket's subscriptions: what they give becomes frames.

use std::{fmt, pin::Pin, sync::Arc};

use bytes::Bytes;
use floe_engine::EngineError;
use floe_live::{Blocked, Dialect, End, LiveRecord, Room, Signal, Subscription, Taken};

use super::{
    limits::{SUBSCRIPTIONS_MAX, TAKE_BYTES, TAKE_RECORDS},
    message::{Filter, Name},
    outbox::Outbox,
    reply,
};
use crate::problem::{Code, code_of};

const ROOM: Room = Room { records: TAKE_RECORDS, bytes: TAKE_BYTES };

/// What filling the outbox came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    /// There may be more.
    More,
    /// All subscriptions wait.
    Idle,
    /// A subscriber was too slow, and the topic's policy is to disconnect.
    Disconnect,
}

/// One subscription.
struct Watch {
    id: u64,
    name: Name,
    filter: Option<Box<Filter>>,
    /// Away while it reads the log.
    subscription: Option<Box<Subscription>>,
}

/// A subscription that is back from the log, and how reading went.
type Read = (Box<Subscription>, Result<(), EngineError>);

/// A subscription that reads its next page from the log; it takes itself along, so that the socket goes on meanwhile.
struct Reading {
    id: u64,
    page: Pin<Box<dyn Future<Output = Read> + Send>>,
}

/// A socket's subscriptions. At most one of them reads the log at a time, so that the pages held are bounded by the
/// socket, not by its subscriptions.
pub(crate) struct Watches {
    signal: Arc<Signal>,
    list: Vec<Watch>,
    reading: Option<Reading>,
    next_id: u64,
    /// Whose turn it is, so that a busy topic doesn't starve the others.
    turn: usize,
}

impl Watches {
    pub(crate) fn new() -> Self {
        Self { signal: Signal::new(), list: Vec::new(), reading: None, next_id: 0, turn: 0 }
    }

    /// What subscriptions of this socket raise.
    pub(crate) fn signal(&self) -> &Arc<Signal> {
        &self.signal
    }

    /// Whether one more subscription of this name may be added; one that replaces another always may.
    pub(crate) fn has_room_for(&self, name: &Name) -> bool {
        self.list.len() < SUBSCRIPTIONS_MAX || self.list.iter().any(|watch| watch.name == *name)
    }

    /// Adds a subscription; one of the same name ends.
    pub(crate) fn add(&mut self, name: Name, filter: Option<Filter>, subscription: Box<Subscription>) {
        self.remove(&name);
        self.next_id += 1;
        self.list.push(Watch {
            id: self.next_id,
            name,
            filter: filter.map(Box::new),
            subscription: Some(subscription),
        });
    }

    /// Ends a subscription; answers whether there was one.
    pub(crate) fn remove(&mut self, name: &Name) -> bool {
        match self.list.iter().position(|watch| watch.name == *name) {
            Some(at) => {
                self.remove_at(at);
                true
            }
            None => false,
        }
    }

    fn remove_at(&mut self, at: usize) {
        let watch = self.list.swap_remove(at);
        self.reading.take_if(|reading| reading.id == watch.id);
    }

    /// Says that the socket is full: no topic waits for it.
    pub(crate) fn release(&self) {
        self.list.iter().filter_map(|watch| watch.subscription.as_ref()).for_each(|held| held.release());
    }

    /// Waits until a subscription may have something. Cancel-safe.
    pub(crate) async fn changed(&mut self, outbox: &mut Outbox) {
        let Some(reading) = &mut self.reading else { return self.signal.raised().await };
        let (subscription, read) = tokio::select! {
            read = reading.page.as_mut() => read,
            () = self.signal.raised() => return,
        };
        let id = reading.id;
        self.reading = None;
        let Some(at) = self.list.iter().position(|watch| watch.id == id) else { return };
        match read {
            Ok(()) => self.list[at].subscription = Some(subscription),
            Err(error) => {
                let (code, _) = code_of(&error);
                if code == Code::Internal {
                    tracing::error!(topic = subscription.topic(), %error, "a subscription could not read the log");
                }
                outbox.push(reply::failed(&self.list[at].name, code, &error.to_string()));
                self.remove_at(at);
            }
        }
    }

    /// Takes what there is, until it is enough for one round of writing.
    pub(crate) fn fill(&mut self, blocked: Blocked, outbox: &mut Outbox) -> Filled {
        let mut taken = Vec::new();
        let mut visits = self.list.len();
        let mut filled = Filled::Idle;
        while visits > 0 && outbox.unsent_bytes() < TAKE_BYTES {
            visits -= 1;
            if self.turn >= self.list.len() {
                self.turn = 0;
            }
            match self.visit(self.turn, blocked, outbox, &mut taken) {
                Visit::Served => filled = Filled::More,
                Visit::Nothing => {}
                Visit::Gone => continue,
                Visit::TooSlow => return Filled::Disconnect,
            }
            self.turn += 1;
        }
        // Those not visited may have something.
        if visits > 0 { Filled::More } else { filled }
    }

    fn visit(
        &mut self,
        at: usize,
        blocked: Blocked,
        outbox: &mut Outbox,
        taken: &mut Vec<Arc<LiveRecord>>,
    ) -> Visit {
        let Some(watch) = self.list.get_mut(at) else { return Visit::Nothing };
        let Some(subscription) = &mut watch.subscription else { return Visit::Nothing };
        match subscription.take(blocked, ROOM, taken) {
            Taken::Records => {
                for record in taken.drain(..) {
                    if let Some(frame) = watch.frame(&record) {
                        outbox.push(frame);
                    }
                }
                Visit::Served
            }
            Taken::Nothing => Visit::Nothing,
            Taken::ReadLog => {
                self.begin_reading(at);
                Visit::Nothing
            }
            Taken::Lagged(lagged) => {
                outbox.push(reply::slow_consumer(&watch.name, &lagged));
                Visit::Served
            }
            Taken::Gap(gap) => {
                outbox.push(reply::gap(&watch.name, gap));
                Visit::Served
            }
            Taken::Ended(End::TooSlow(lagged)) => {
                outbox.push(reply::slow_consumer(&watch.name, &lagged));
                Visit::TooSlow
            }
            Taken::Ended(end) => {
                // A server that stops says so once, when it closes the socket.
                if end == End::Deleted {
                    outbox.push(reply::topic_deleted(&watch.name));
                }
                self.remove_at(at);
                Visit::Gone
            }
        }
    }

    /// Sends a subscription to the log, unless another is there: then its turn comes when that one is back.
    fn begin_reading(&mut self, at: usize) {
        if self.reading.is_some() {
            return;
        }
        let watch = &mut self.list[at];
        let Some(mut subscription) = watch.subscription.take() else { return };
        let page = Box::pin(async move {
            let read = subscription.read_log(ROOM).await;
            (subscription, read)
        });
        self.reading = Some(Reading { id: watch.id, page });
    }
}

/// What one subscription had.
enum Visit {
    Served,
    Nothing,
    Gone,
    TooSlow,
}

impl Watch {
    /// The record's frame, if it is wanted.
    fn frame(&self, record: &LiveRecord) -> Option<Bytes> {
        let stored = record.record();
        let wanted =
            self.filter.as_ref().is_none_or(|filter| filter.wants(stored.key.as_ref(), &stored.headers));
        wanted.then(|| record.encoded(Dialect::WebSocket, |stored| reply::event(&self.name.topic, stored)))
    }
}

impl fmt::Debug for Watches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watches").field("subscriptions", &self.list.len()).finish_non_exhaustive()
    }
}
