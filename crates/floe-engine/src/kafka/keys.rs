//! Idempotency keys: which were used, for what, and what came of it. Agreed on by all processes, in the log `__floe_keys`.
//!
//! The life of a key: *claimed* by an attempt to store what has it; *done* when it is known where the records went; or *freed*,
//! when nothing was stored. An attempt has a name that its records carry ([`ATTEMPT`]), and knows where the partitions ended
//! when it began: so whoever takes an attempt over that its holder has left can find what there is of it.
//!
//! (Kafka's own transactions would make the records visible together with the command that tells of them. But Kafka 4.x can
//! lose a transaction's end when a broker dies while it is committed, and then nobody reads behind it any more:
//! KAFKA-20734.)

use std::collections::{BTreeMap, HashMap};

use floe_broker::{Clock, MAX_IDEMPOTENCY_KEYS, limits::IDEMPOTENCY_WINDOW_MS};
use serde::{Deserialize, Serialize};

use super::agreed::{At, Machine};

/// The log's topic, and its settings: an hour longer than keys are good for.
pub(super) const TOPIC: &str = "__floe_keys";
/// See [`TOPIC`].
pub(super) const TOPIC_CONFIG: &[(&str, &str)] =
    &[("cleanup.policy", "delete"), ("retention.ms", "90000000"), ("segment.ms", "3600000")];
/// The header of a record by which its attempt can be told: the attempt's name, and the record's number in it.
pub(super) const ATTEMPT: &str = "floe-attempt";

/// Where a record went: partition, offset, timestamp.
pub(super) type Placed = (u32, i64, i64);

/// The first offset of a partition that can hold a record of an attempt.
pub(super) type Floor = (u32, i64);

/// An attempt to store what has a key. Who goes on with it stores the same records under the same name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attempt {
    /// Its name.
    pub(super) id: String,
    /// Of each partition that its records may be in.
    pub(super) floors: Vec<Floor>,
}

/// What can be asked.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Command {
    /// A process wants to store what has this key.
    Claim {
        topic_id: u64,
        key: String,
        fingerprint: u64,
        /// What it would begin. The name is the holder's, too.
        attempt: Attempt,
        /// By the wall clock of the process; decides when keys are forgotten.
        now_ms: i64,
        /// The holder that is gone, who must still be the one in force: its attempt goes on.
        over: Option<String>,
    },
    /// It is stored.
    Done { topic_id: u64, key: String, attempt: String, placed: Vec<Placed> },
    /// It is not stored, and will not be.
    Free { topic_id: u64, key: String, holder: String },
    /// The holder has sent nothing, and leaves the attempt as it is.
    Leave { topic_id: u64, key: String, holder: String },
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The one who asked is to store it, and has this attempt; with what an earlier holder may have stored of it.
    Claimed { attempt: Attempt, is_taken_over: bool },
    /// It is stored already.
    Stored(Vec<Placed>),
    /// The key was used for something else.
    Conflict,
    /// Somebody else is storing it.
    Busy {
        holder: String,
        /// Since when, as far as this process knows, milliseconds; `None` if the holder has left it.
        for_ms: Option<u64>,
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
    /// Being stored.
    Claimed {
        attempt: Attempt,
        holder: String,
        /// By this process's own monotonic clock, so it is not part of the state; `None` if the holder has left it.
        since_ms: Option<u64>,
    },
    Done(Vec<Placed>),
}

impl Entry {
    /// For content with this fingerprint.
    fn outcome(&self, fingerprint: u64, clock: &Clock) -> Outcome {
        if self.fingerprint != fingerprint {
            return Outcome::Conflict;
        }
        match &self.state {
            State::Claimed { holder, since_ms, .. } => {
                let now_ms = clock.monotonic_ms();
                let for_ms = since_ms.map(|since_ms| now_ms.saturating_sub(since_ms));
                Outcome::Busy { holder: holder.clone(), for_ms }
            }
            State::Done(placed) => Outcome::Stored(placed.clone()),
        }
    }
}

impl Keys {
    pub(super) fn new(clock: Clock) -> Self {
        Self { entries: HashMap::new(), order: BTreeMap::new(), clock }
    }

    /// What is known of a key that was claimed, for content with this fingerprint.
    pub(super) fn state(&self, topic_id: u64, key: &str, fingerprint: u64) -> Option<Outcome> {
        let entry = self.entries.get(&(topic_id, key.to_owned()))?;
        Some(entry.outcome(fingerprint, &self.clock))
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
        asked: Attempt,
        now_ms: i64,
        over: Option<&str>,
    ) -> Outcome {
        self.sweep(now_ms);
        let since_ms = Some(self.clock.monotonic_ms());
        let Some(entry) = self.entries.get_mut(&name) else {
            let expires_ms = now_ms.saturating_add(IDEMPOTENCY_WINDOW_MS);
            self.order.insert((expires_ms, at.offset), name.clone());
            let state = State::Claimed { attempt: asked.clone(), holder: asked.id.clone(), since_ms };
            self.entries.insert(name, Entry { fingerprint, expires_ms, claimed_at: at.offset, state });
            return Outcome::Claimed { attempt: asked, is_taken_over: false };
        };
        match &mut entry.state {
            State::Claimed { attempt, holder, since_ms: since }
                if entry.fingerprint == fingerprint && over == Some(holder.as_str()) =>
            {
                (*holder, *since) = (asked.id, since_ms);
                // a partition that the attempt was not sent to so far
                for (partition, floor) in asked.floors {
                    if !attempt.floors.iter().any(|(known, _)| *known == partition) {
                        attempt.floors.push((partition, floor));
                    }
                }
                Outcome::Claimed { attempt: attempt.clone(), is_taken_over: true }
            }
            State::Claimed { .. } | State::Done(_) => entry.outcome(fingerprint, &self.clock),
        }
    }

    /// The claim on a key, if this is its holder.
    fn held_by(&mut self, name: &(u64, String), who: &str) -> Option<&mut Option<u64>> {
        match self.entries.get_mut(name) {
            Some(Entry { state: State::Claimed { holder, since_ms, .. }, .. }) if holder == who => {
                Some(since_ms)
            }
            _ => None,
        }
    }
}

impl Machine for Keys {
    type Command = Command;
    type Outcome = Outcome;

    fn apply(&mut self, at: At, command: Command) -> Outcome {
        match command {
            Command::Claim { topic_id, key, fingerprint, attempt, now_ms, over } => {
                self.claim(at, (topic_id, key), fingerprint, attempt, now_ms, over.as_deref())
            }
            Command::Done { topic_id, key, attempt: stored, placed } => {
                if let Some(entry) = self.entries.get_mut(&(topic_id, key))
                    && matches!(&entry.state, State::Claimed { attempt, .. } if attempt.id == stored)
                {
                    entry.state = State::Done(placed);
                }
                Outcome::Noted
            }
            Command::Free { topic_id, key, holder } => {
                let name = (topic_id, key);
                if self.held_by(&name, &holder).is_some() {
                    self.forget(&name);
                }
                Outcome::Noted
            }
            Command::Leave { topic_id, key, holder } => {
                if let Some(since_ms) = self.held_by(&(topic_id, key), &holder) {
                    *since_ms = None;
                }
                Outcome::Noted
            }
        }
    }
}
