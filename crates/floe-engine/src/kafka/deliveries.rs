//! Who holds which records of which group: the state behind polling, agreed on by all processes.
//!
//! The rules are those of the embedded engine ([`floe_broker::group::Deliveries`]); here each step is a command in the log
//! `__floe_deliveries`, so two processes that poll for one group at the same moment get different records. Committed
//! positions stay where Kafka keeps them; what is here is what they don't say: what is handed out and not acknowledged.
//!
//! Time decides nothing in the state. A lease that has run out by the clock of any process is released by a command of that
//! process; a process that stops releases its own.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
};

use floe_broker::{
    Clock,
    group::{Deliveries, PartitionKey},
};
use serde::{Deserialize, Serialize};

use super::agreed::{At, Machine};

/// The log's topic, and its settings. Leases last an hour at most, and what is older says nothing any more.
pub(super) const TOPIC: &str = "__floe_deliveries";
/// See [`TOPIC`].
pub(super) const TOPIC_CONFIG: &[(&str, &str)] =
    &[("cleanup.policy", "delete"), ("retention.ms", "10800000"), ("segment.ms", "3600000")];
/// A group in which nothing happened for this long is forgotten. Shorter than the log is kept, so that processes that read
/// the log from its start come to the same.
const FORGET_AFTER_MS: i64 = 2 * 3_600_000;
/// Groups are looked through for that at every offset which this divides.
const LOOK_THROUGH_EVERY: i64 = 1_000;

/// A share of a partition that is asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) topic: String,
    pub(super) topic_id: u64,
    pub(super) partition: u32,
    /// The group's committed position, or where it starts.
    pub(super) committed: i64,
    pub(super) log_start: i64,
    pub(super) end: i64,
}

/// What can be asked.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Command {
    /// Hand out records, to be acknowledged under this id.
    Take {
        group: String,
        id: String,
        /// The process that asks.
        by: u64,
        /// The state that was known when the positions were looked up: the offset behind the last command.
        seen: i64,
        lease_ms: u64,
        max_records: usize,
        places: Vec<Place>,
        /// Only of partitions of which nobody holds records.
        exclusive: bool,
    },
    /// Fewer records were read than handed out: topic id, partition, and where they end.
    Shorten { group: String, id: String, ends: Vec<(u64, u32, i64)> },
    /// Records were processed.
    Acknowledge { group: String, id: String },
    /// Leases have run out.
    Release { group: String, ids: Vec<String> },
    /// A process stops: what it holds is free.
    Leave { by: u64 },
    /// Positions are set anew, unless somebody holds records.
    Reset { group: String, of: Vec<PartitionKey> },
    /// A group loses a topic.
    Unsubscribe { group: String, topic_id: u64 },
    /// A topic is gone.
    ForgetTopic { topic_id: u64 },
    /// A group is gone, unless somebody holds records.
    ForgetGroup { group: String },
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Handed out: partition and offsets. Nothing, when there is nothing or others hold it.
    Taken(Vec<(PartitionKey, Range<i64>)>),
    /// The positions looked up may be older than what happened since: look again.
    Stale,
    /// Too many deliveries are open.
    TooMany,
    /// Positions up to which everything is acknowledged, where that moved: topic and partition.
    Moved(Vec<(String, PartitionKey, i64)>),
    /// No such delivery is open.
    NotOpen,
    /// This many deliveries are open, so it was not done.
    Held(usize),
    /// Done; whether there was anything.
    Done(bool),
}

/// The groups that were polled lately.
#[derive(Debug)]
pub(super) struct Groups {
    groups: BTreeMap<String, Group>,
    /// What was forgotten at this offset or before is not known any more to have been.
    forgot_at: i64,
    clock: Clock,
}

#[derive(Debug, Default)]
struct Group {
    deliveries: Deliveries,
    leases: HashMap<u128, Lease>,
    /// Names of topics it took from, by id.
    topics: BTreeMap<u64, String>,
    last_ms: i64,
    /// The offset of the last command that made it forget something.
    forgot_at: i64,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    by: u64,
    lease_ms: u64,
    /// When this process came to know of it, by its own monotonic clock. Not part of the state.
    since_ms: u64,
}

fn id_of(text: &str) -> Option<u128> {
    u128::from_str_radix(text, 16).ok().filter(|id| format!("{id:032x}") == text)
}

impl Groups {
    pub(super) fn new(clock: Clock) -> Self {
        Self { groups: BTreeMap::new(), forgot_at: -1, clock }
    }

    /// Open deliveries of a group; `None` if nothing is known of it.
    pub(super) fn open_count(&self, group: &str) -> Option<usize> {
        self.groups.get(group).map(|group| group.deliveries.open_count())
    }

    /// Groups of which somebody holds records.
    pub(super) fn held(&self) -> impl Iterator<Item = &str> {
        self.groups
            .iter()
            .filter(|(_, group)| group.deliveries.open_count() > 0)
            .map(|(name, _)| name.as_str())
    }

    /// Groups that are known.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.groups.keys().map(String::as_str)
    }

    /// Deliveries of a group that have run out by this process's clock.
    pub(super) fn run_out(&self, group: &str) -> Vec<String> {
        let now = self.clock.monotonic_ms();
        let leases = self.groups.get(group).into_iter().flat_map(|group| &group.leases);
        leases
            .filter(|(_, lease)| now.saturating_sub(lease.since_ms) >= lease.lease_ms)
            .map(|(id, _)| format!("{id:032x}"))
            .collect()
    }

    /// The position of a partition up to which everything was acknowledged, as far as it is known here.
    pub(super) fn committed(&self, group: &str, key: PartitionKey) -> Option<i64> {
        self.groups.get(group)?.deliveries.committed(key)
    }

    fn forget_old(&mut self, at: At) {
        let before = self.groups.len();
        self.groups.retain(|_, group| at.time_ms.saturating_sub(group.last_ms) < FORGET_AFTER_MS);
        if self.groups.len() < before {
            self.forgot_at = at.offset;
        }
    }

    fn group(&mut self, name: &str, at: At) -> &mut Group {
        if self
            .groups
            .get(name)
            .is_some_and(|group| at.time_ms.saturating_sub(group.last_ms) >= FORGET_AFTER_MS)
        {
            self.groups.remove(name);
            self.forgot_at = at.offset;
        }
        let group = self.groups.entry(name.to_owned()).or_default();
        group.last_ms = at.time_ms;
        group
    }

    fn take(&mut self, at: At, taking: &Taking<'_>) -> Outcome {
        let forgot_at = self.forgot_at;
        let since_ms = self.clock.monotonic_ms();
        let group = self.group(taking.group, at);
        if taking.seen <= group.forgot_at.max(forgot_at) {
            return Outcome::Stale;
        }
        let (mut left, mut claims) = (taking.max_records, Vec::new());
        for place in taking.places {
            let key = (place.topic_id, place.partition);
            group.topics.insert(place.topic_id, place.topic.clone());
            if taking.exclusive && group.deliveries.is_held(key) {
                continue;
            }
            let remembered = group.deliveries.remembers(key);
            while left > 0
                && let Some(claim) =
                    group.deliveries.take(key, place.committed, place.log_start, place.end, left, 0)
            {
                left -= usize::try_from(claim.range().end - claim.range().start).unwrap_or(left).min(left);
                claims.push(claim);
            }
            if remembered && !group.deliveries.remembers(key) {
                group.forgot_at = at.offset;
            }
        }
        let taken: Vec<_> = claims.iter().map(|claim| (claim.key(), claim.range())).collect();
        if taken.is_empty() {
            return Outcome::Taken(taken);
        }
        if group.deliveries.open_as(taking.id, claims).is_err() {
            return Outcome::TooMany;
        }
        let lease = Lease { by: taking.by, lease_ms: taking.lease_ms, since_ms };
        group.leases.insert(taking.id, lease);
        Outcome::Taken(taken)
    }

    fn leave(&mut self, by: u64) -> bool {
        let mut any = false;
        for group in self.groups.values_mut() {
            let gone: Vec<u128> =
                group.leases.iter().filter(|(_, lease)| lease.by == by).map(|(id, _)| *id).collect();
            for id in gone {
                group.leases.remove(&id);
                any |= group.deliveries.release(id);
            }
        }
        any
    }
}

/// The fields of [`Command::Take`].
struct Taking<'a> {
    group: &'a str,
    id: u128,
    by: u64,
    seen: i64,
    lease_ms: u64,
    max_records: usize,
    places: &'a [Place],
    exclusive: bool,
}

impl Group {
    fn named(&self, moved: Vec<(PartitionKey, i64)>) -> Vec<(String, PartitionKey, i64)> {
        let named = |(key, at): (PartitionKey, i64)| Some((self.topics.get(&key.0)?.clone(), key, at));
        moved.into_iter().filter_map(named).collect()
    }

    /// Forgets leases of which nothing is left.
    fn sweep(&mut self) {
        let deliveries = &self.deliveries;
        self.leases.retain(|id, _| deliveries.is_open(*id));
    }
}

impl Machine for Groups {
    type Command = Command;
    type Outcome = Outcome;

    fn apply(&mut self, at: At, command: Command) -> Outcome {
        if at.offset % LOOK_THROUGH_EVERY == 0 {
            self.forget_old(at);
        }
        match command {
            Command::Take { group, id, by, seen, lease_ms, max_records, places, exclusive } => {
                let Some(id) = id_of(&id) else { return Outcome::NotOpen };
                let (group, places) = (group.as_str(), places.as_slice());
                self.take(at, &Taking { group, id, by, seen, lease_ms, max_records, places, exclusive })
            }
            Command::Shorten { group, id, ends } => {
                let Some(id) = id_of(&id) else { return Outcome::NotOpen };
                let group = self.group(&group, at);
                for (topic_id, partition, end) in ends {
                    group.deliveries.shorten(id, (topic_id, partition), end);
                }
                Outcome::Done(true)
            }
            Command::Acknowledge { group, id } => {
                if !self.groups.contains_key(&group) {
                    return Outcome::NotOpen;
                }
                let group = self.group(&group, at);
                let moved = group.deliveries.ack(&id, 0);
                group.sweep();
                moved.map_or(Outcome::NotOpen, |moved| Outcome::Moved(group.named(moved)))
            }
            Command::Release { group, ids } => {
                let group = self.group(&group, at);
                let ids: Vec<u128> = ids.iter().filter_map(|id| id_of(id)).collect();
                let released = ids.into_iter().filter(|id| group.deliveries.release(*id)).count();
                group.sweep();
                Outcome::Done(released > 0)
            }
            Command::Leave { by } => Outcome::Done(self.leave(by)),
            Command::Reset { group, of } => {
                let group = self.group(&group, at);
                let held = group.deliveries.open_count();
                if held > 0 {
                    return Outcome::Held(held);
                }
                of.into_iter().for_each(|key| group.deliveries.reset(key));
                group.forgot_at = at.offset;
                Outcome::Done(true)
            }
            Command::Unsubscribe { group, topic_id } => {
                let group = self.group(&group, at);
                group.deliveries.forget_topic(topic_id);
                group.sweep();
                group.forgot_at = at.offset;
                Outcome::Done(true)
            }
            Command::ForgetTopic { topic_id } => {
                for group in self.groups.values_mut() {
                    group.deliveries.forget_topic(topic_id);
                    group.sweep();
                }
                Outcome::Done(true)
            }
            Command::ForgetGroup { group } => {
                let held = self.open_count(&group);
                if let Some(held) = held.filter(|held| *held > 0) {
                    return Outcome::Held(held);
                }
                self.forgot_at = at.offset;
                Outcome::Done(self.groups.remove(&group).is_some())
            }
        }
    }
}
