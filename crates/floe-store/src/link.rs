//! Whether something can be reached, and when it may be tried again.

use std::time::Duration;

use parking_lot::Mutex;
use rand::RngExt as _;
use tokio::{
    sync::{Mutex as AsyncMutex, MutexGuard},
    time::Instant,
};
use tracing::{info, warn};

use crate::{
    clock,
    error::Failure,
    limits::{BACK_OFF_FIRST, BACK_OFF_LAST},
};

/// Whether a database or Redis can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// Nothing was tried yet.
    Unknown,
    /// The last attempt worked.
    Connected,
    /// It did not.
    Failing {
        /// Since when, in milliseconds since the epoch.
        since_ms: i64,
        /// How often in a row.
        attempts: u32,
        /// The last error, without secrets.
        error: String,
    },
}

/// What is known of the way to one server or file. Tells the log when that changes, not at each attempt, and spaces
/// attempts while it fails: one at a time, with back-off.
#[derive(Debug)]
pub(crate) struct Link {
    name: String,
    known: Mutex<Known>,
    attempt: AsyncMutex<()>,
}

#[derive(Debug)]
struct Known {
    state: ConnectionState,
    next_attempt: Instant,
}

/// The right to make one attempt; while the link fails nobody else has it.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    _alone: Option<MutexGuard<'a, ()>>,
}

impl Link {
    /// `name` is what the log calls it, without secrets.
    pub(crate) fn new(name: String) -> Self {
        let known = Known { state: ConnectionState::Unknown, next_attempt: Instant::now() };
        Self { name, known: Mutex::new(known), attempt: AsyncMutex::new(()) }
    }

    pub(crate) fn state(&self) -> ConnectionState {
        self.known.lock().state.clone()
    }

    /// The last error, while it is too early for another attempt.
    pub(crate) fn resting(&self) -> Option<String> {
        let known = self.known.lock();
        match &known.state {
            ConnectionState::Failing { error, .. } if Instant::now() < known.next_attempt => {
                Some(error.clone())
            }
            ConnectionState::Failing { .. } | ConnectionState::Unknown | ConnectionState::Connected => None,
        }
    }

    /// Waits until an attempt may be made. An attempt that somebody else made meanwhile counts: its error is answered.
    pub(crate) async fn turn(&self) -> Result<Turn<'_>, Failure> {
        let Some(seen) = self.failed_attempts() else { return Ok(Turn { _alone: None }) };
        let alone = self.attempt.lock().await;
        let wait = {
            let known = self.known.lock();
            match &known.state {
                ConnectionState::Failing { attempts, error, .. } if *attempts != seen => {
                    return Err(Failure::Unavailable(error.clone()));
                }
                ConnectionState::Failing { .. } => Some(known.next_attempt),
                ConnectionState::Connected | ConnectionState::Unknown => None,
            }
        };
        if let Some(at) = wait {
            tokio::time::sleep_until(at).await;
        }
        Ok(Turn { _alone: Some(alone) })
    }

    fn failed_attempts(&self) -> Option<u32> {
        match self.known.lock().state {
            ConnectionState::Failing { attempts, .. } => Some(attempts),
            ConnectionState::Connected | ConnectionState::Unknown => None,
        }
    }

    /// It was reached.
    pub(crate) fn worked(&self) {
        let before = {
            let mut known = self.known.lock();
            if known.state == ConnectionState::Connected {
                return;
            }
            std::mem::replace(&mut known.state, ConnectionState::Connected)
        };
        match before {
            ConnectionState::Failing { since_ms, attempts, .. } => {
                let outage_ms = clock::now_ms().saturating_sub(since_ms);
                info!(to = %self.name, outage_ms, attempts, "connected again");
            }
            ConnectionState::Unknown | ConnectionState::Connected => info!(to = %self.name, "connected"),
        }
    }

    /// A connection that stood is lost. While that is known already, by others that had one too, it changes nothing:
    /// they have not tried to connect.
    pub(crate) fn lost(&self, failure: &Failure) {
        if self.failed_attempts().is_none() {
            self.failed(failure);
        }
    }

    /// An attempt to reach it failed.
    pub(crate) fn failed(&self, failure: &Failure) {
        let error = failure.text().to_owned();
        let mut known = self.known.lock();
        let (since_ms, attempts, news) = match &known.state {
            ConnectionState::Failing { since_ms, attempts, error: before } => {
                let refuses_now = matches!(failure, Failure::Refused(_)) && *before != error;
                (*since_ms, attempts.saturating_add(1), refuses_now)
            }
            ConnectionState::Unknown | ConnectionState::Connected => (clock::now_ms(), 1, true),
        };
        known.next_attempt = Instant::now() + back_off(attempts);
        known.state = ConnectionState::Failing { since_ms, attempts, error: error.clone() };
        drop(known);
        match failure {
            Failure::Unavailable(_) if news => {
                warn!(to = %self.name, error, "can't be reached; trying again until it can");
            }
            Failure::Data(_) | Failure::Refused(_) if news => {
                warn!(to = %self.name, error, "refuses; somebody has to look, until then it is tried again");
            }
            Failure::Unavailable(_) | Failure::Data(_) | Failure::Refused(_) => {}
        }
    }
}

fn back_off(attempts: u32) -> Duration {
    let doubled = BACK_OFF_FIRST.saturating_mul(1 << attempts.saturating_sub(1).min(8));
    let wait = doubled.min(BACK_OFF_LAST);
    wait + wait.mul_f64(rand::rng().random_range(0.0..0.5))
}
