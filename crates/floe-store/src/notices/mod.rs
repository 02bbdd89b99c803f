//! What was stored, told from gateway to gateway by Redis Pub/Sub.
//!
//! Each event is one message, its frame, so any Redis client can use the channel. Floe itself takes a message as a hint
//! that there is something in the table: whoever can write to the channel can't make anybody see what isn't stored.
//! Redis never holds up a write: what can't be told is left out, and found in the table by those who look.

mod publisher;
mod subscriber;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use redis::Client;
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinHandle},
};

use crate::{
    ConnectionState, FollowedEvent, error::Failure, limits::QUEUED_NOTICES, link::Link, url::without_secrets,
};

/// The channel.
const CHANNEL: &str = "events";

/// The way to Redis. The publishing task ends with it.
pub(crate) struct Notices {
    /// Holds the password.
    client: Client,
    link: Arc<Link>,
    queue: mpsc::Sender<Vec<Arc<FollowedEvent>>>,
    dropped: Arc<AtomicU64>,
}

impl fmt::Debug for Notices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notices").field("link", &self.link).finish_non_exhaustive()
    }
}

impl Notices {
    /// Connects in the background. Must be called inside a tokio runtime.
    pub(crate) fn start(url: &str) -> Result<Self, String> {
        let client = Client::open(url).map_err(|_| {
            // The error's text could hold the address, and with it the password.
            "the address of Redis is not redis://user:password@host:port/database (rediss:// with TLS)"
                .to_owned()
        })?;
        let (queue, frames) = mpsc::channel(QUEUED_NOTICES);
        let link = Arc::new(Link::new(without_secrets(url)));
        let dropped = Arc::new(AtomicU64::new(0));
        let notices = Self { client, link, queue, dropped };
        let task = publisher::run(
            notices.client.clone(),
            Arc::clone(&notices.link),
            frames,
            Arc::clone(&notices.dropped),
        );
        tokio::spawn(task);
        Ok(notices)
    }

    pub(crate) fn state(&self) -> ConnectionState {
        self.link.state()
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Hands over what was stored; never waits.
    pub(crate) fn publish(&self, events: Vec<Arc<FollowedEvent>>) {
        let count = u64::try_from(events.len()).unwrap_or(u64::MAX);
        if self.queue.try_send(events).is_err() {
            self.dropped.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Calls `hint` with the sequence number of each message, and with `None` when messages may have been missed; until
    /// the answer is dropped.
    pub(crate) fn follow(&self, hint: impl Fn(Option<i64>) + Send + Sync + 'static) -> Following {
        let task: JoinHandle<()> =
            tokio::spawn(subscriber::run(self.client.clone(), Arc::clone(&self.link), hint));
        Following { task: task.abort_handle() }
    }
}

/// Listens until it is dropped.
#[derive(Debug)]
pub(crate) struct Following {
    task: AbortHandle,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Redis's own words; its errors hold no addresses with passwords.
fn failure(error: &redis::RedisError) -> Failure {
    Failure::Unavailable(error.to_string())
}
