//! Idempotency keys: which were used, for what, and what came of it. Agreed on by all processes, in the log `__floe_keys`.
//!
//! The life of a key: *claimed* by the process that stores the records; *done* by a command that becomes visible in the same
//! transaction as the records (KIP-98), so there is never one without the other; or *freed*, when nothing was stored.
//! A claim whose process is gone can be taken over once its transaction can't be committed any more.

use std::collections::{BTreeMap, HashMap};

use floe_broker::{Clock, MAX_IDEMPOTENCY_KEYS, limits::IDEMPOTENCY_WINDOW_MS};
use serde::{Deserialize, Serialize};

use super::agreed::{At, Machine};

/// The log's topic, and its settings: an hour longer than keys are good for.
pub(super) const TOPIC: &str = "__floe_keys";
/// See [`TOPIC`].
pub(super) const TOPIC_CONFIG: &[(&str, &str)] =
    &[("cleanup.policy", "delete"), ("retention.ms", "90000000"), ("segment.ms", "3600000")];
/// A claim this old can be taken over: by then a transaction that was begun for it is committed or aborted.
pub(super) const TAKE_OVER_AFTER_MS: u64 = 25_000;

/// Where a record went: partition, offset, timestamp.
pub(super) type Placed = (u32, i64, i64);

/// What can be asked.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Command {
    /// A process wants to store what has this key.
    Claim {
        topic_id: u64,
        key: String,
        fingerprint: u64,
        /// Names the attempt.
        by: String,
        /// By the wall clock of the process; decides when keys are forgotten.
        now_ms: i64,
        /// The claim it takes over, which must still be the one in force.
        over: Option<String>,
    },
    /// It is stored.
    Done { topic_id: u64, key: String, by: String, placed: Vec<Placed> },
    /// It is not stored, and will not be.
    Free { topic_id: u64, key: String, by: String },
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The one who asked is to store it.
    Claimed,
    /// It is stored already.
    Stored(Vec<Placed>),
    /// The key was used for something else.
    Conflict,
    /// Somebody else is storing it.
    Busy {
        by: String,
        /// For how long, as far as this process knows, milliseconds.
        for_ms: u64,
    },
    /// Told.
    Noted,
}

/// The keys in their window.
#[derive(Debug)]
pub(super) struct Keys {
    entries: HashMap<(u64, String), Entry>,
    /// By expiry, then by age.
    order: BTreeMap<(i64, i64), (u64, String)>,
    clock: Clock,
}

#[derive(Debug)]
struct Entry {
    fingerprint: u64,
    expires_ms: i64,
    claimed_at: i64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Being stored; since when, by this process's own monotonic clock, is not part of the state.
    Claimed {
        by: String,
        since_ms: u64,
    },
    Done(Vec<Placed>),
}

impl Keys {
    pub(super) fn new(clock: Clock) -> Self {
        Self { entries: HashMap::new(), order: BTreeMap::new(), clock }
    }

    /// What is known of a key that was claimed, for content with this fingerprint.
    pub(super) fn state(&self, topic_id: u64, key: &str, fingerprint: u64) -> Option<Outcome> {
        let entry = self.entries.get(&(topic_id, key.to_owned()))?;
        Some(self.outcome(entry, fingerprint))
    }

    fn outcome(&self, entry: &Entry, fingerprint: u64) -> Outcome {
        if entry.fingerprint != fingerprint {
            return Outcome::Conflict;
        }
        match &entry.state {
            State::Claimed { by, since_ms } => {
                Outcome::Busy { by: by.clone(), for_ms: self.clock.monotonic_ms().saturating_sub(*since_ms) }
            }
            State::Done(placed) => Outcome::Stored(placed.clone()),
        }
    }

    fn forget(&mut self, name: &(u64, String)) {
        if let Some(entry) = self.entries.remove(name) {
            self.order.remove(&(entry.expires_ms, entry.claimed_at));
        }
    }

    /// Forgets keys whose time is over, and the oldest when there are too many.
    fn sweep(&mut self, now_ms: i64) {
        while let Some((&(expires_ms, _), name)) = self.order.first_key_value()
            && (expires_ms <= now_ms || self.entries.len() > MAX_IDEMPOTENCY_KEYS)
        {
            let name = name.clone();
            self.forget(&name);
        }
    }

    fn claim(
        &mut self,
        at: At,
        name: (u64, String),
        fingerprint: u64,
        by: String,
        now_ms: i64,
        over: Option<&str>,
    ) -> Outcome {
        self.sweep(now_ms);
        if let Some(entry) = self.entries.get(&name) {
            let taken_over = matches!(&entry.state, State::Claimed { by, .. } if Some(by.as_str()) == over)
                && entry.fingerprint == fingerprint;
            if !taken_over {
                return self.outcome(entry, fingerprint);
            }
            self.forget(&name);
        }
        let expires_ms = now_ms.saturating_add(IDEMPOTENCY_WINDOW_MS);
        let since_ms = self.clock.monotonic_ms();
        self.order.insert((expires_ms, at.offset), name.clone());
        let state = State::Claimed { by, since_ms };
        self.entries.insert(name, Entry { fingerprint, expires_ms, claimed_at: at.offset, state });
        Outcome::Claimed
    }

    fn is_claimed_by(&self, name: &(u64, String), who: &str) -> bool {
        matches!(self.entries.get(name), Some(Entry { state: State::Claimed { by, .. }, .. }) if by == who)
    }
}

impl Machine for Keys {
    type Command = Command;
    type Outcome = Outcome;

    fn apply(&mut self, at: At, command: Command) -> Outcome {
        match command {
            Command::Claim { topic_id, key, fingerprint, by, now_ms, over } => {
                self.claim(at, (topic_id, key), fingerprint, by, now_ms, over.as_deref())
            }
            Command::Done { topic_id, key, by, placed } => {
                let name = (topic_id, key);
                if self.is_claimed_by(&name, &by)
                    && let Some(entry) = self.entries.get_mut(&name)
                {
                    entry.state = State::Done(placed);
                }
                Outcome::Noted
            }
            Command::Free { topic_id, key, by } => {
                let name = (topic_id, key);
                if self.is_claimed_by(&name, &by) {
                    self.forget(&name);
                }
                Outcome::Noted
            }
        }
    }
}
