//! The partitions of a worker: which of them run, which are on their way out, and how far each is committed.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    sync::watch,
    task::{AbortHandle, Id, JoinError, JoinSet},
    time::Instant,
};

use super::{
    Place, Shared,
    partition::{End, Partition},
};
use crate::{
    Start,
    limits::{FENCED_REST, RELEASE_LIMIT},
};

/// Topic and partition.
pub(super) type Name = (Arc<str>, u32);

/// What a new partition's task needs beside its place.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    /// The log's id.
    pub(super) log: Arc<str>,
    /// The member's id.
    pub(super) owner: String,
    pub(super) topic_id: u64,
    pub(super) start: Start,
}

/// All partitions of a worker.
#[derive(Debug, Default)]
pub(super) struct Roster {
    entries: BTreeMap<Name, Entry>,
    tasks: JoinSet<End>,
    by_task: HashMap<Id, Name>,
    /// Partitions that were left alone lately, until then.
    resting: HashMap<Name, Instant>,
}

#[derive(Debug)]
struct Entry {
    place: Arc<Place>,
    task: AbortHandle,
    running: bool,
    release: watch::Sender<bool>,
    released_at: Option<Instant>,
    /// The position that was committed by this worker.
    committed: Option<i64>,
}

impl Roster {
    /// Lets go of all partitions that aren't wanted: they finish the attempt in hand.
    pub(super) fn keep(&mut self, wanted: &BTreeSet<Name>) {
        for (_, entry) in self.entries.iter_mut().filter(|(name, _)| !wanted.contains(*name)) {
            entry.let_go();
        }
        self.entries.retain(|name, entry| entry.running || wanted.contains(name));
    }

    /// Starts what is wanted and doesn't run. A partition that is still on its way out starts when it is out.
    pub(super) fn start(
        &mut self,
        shared: &Arc<Shared>,
        wanted: &BTreeSet<Name>,
        terms: impl Fn(&Name) -> Option<Terms>,
    ) {
        let now = Instant::now();
        self.resting.retain(|_, until| *until > now);
        for name in wanted {
            let taken = self.entries.get(name).is_some_and(|entry| entry.running);
            if taken || self.resting.contains_key(name) {
                continue;
            }
            let Some(terms) = terms(name) else { continue };
            let place = Arc::new(Place::new(Arc::clone(&name.0), terms.topic_id, name.1));
            let (release, released) = watch::channel(false);
            let (shared, at) = (Arc::clone(shared), Arc::clone(&place));
            let partition = Partition::new(shared, at, terms.log, terms.owner, terms.start, released);
            let task = self.tasks.spawn(partition.run());
            self.by_task.insert(task.id(), name.clone());
            let entry = Entry { place, task, running: true, release, released_at: None, committed: None };
            self.entries.insert(name.clone(), entry);
        }
    }

    /// When the next partition stops resting, or has taken too long to end.
    pub(super) fn next_look(&self) -> Option<Instant> {
        let overdue = self.entries.values().filter(|entry| entry.running);
        let overdue = overdue.filter_map(|entry| Some(entry.released_at? + RELEASE_LIMIT));
        self.resting.values().copied().chain(overdue).min()
    }

    /// Ends those that were told to and take too long.
    pub(super) fn abort_overdue(&self) {
        let overdue = |entry: &&Entry| entry.released_at.is_some_and(|at| at.elapsed() >= RELEASE_LIMIT);
        self.entries.values().filter(overdue).for_each(|entry| entry.task.abort());
    }

    /// Whether no task runs.
    pub(super) fn is_idle(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Waits for a task to end; never if there is none. Cancel-safe.
    pub(super) async fn ended(&mut self) -> Result<(Id, End), JoinError> {
        match self.tasks.join_next_with_id().await {
            Some(ended) => ended,
            None => std::future::pending().await,
        }
    }

    /// Notes that a task has ended, and answers why; `None` if it has failed.
    pub(super) fn note_ended(&mut self, pipeline: &str, ended: Result<(Id, End), JoinError>) -> Option<End> {
        let (id, end) = match ended {
            Ok((id, end)) => (id, Some(end)),
            Err(error) => {
                if error.is_panic() {
                    tracing::error!(target: "floe_pipeline", pipeline, error = %error, "a partition's task has failed; it is started again");
                }
                (error.id(), None)
            }
        };
        let name = self.by_task.remove(&id)?;
        if let Some(entry) = self.entries.get_mut(&name) {
            entry.running = false;
            // a partition that was let go is another worker's to commit
            if entry.released_at.is_some() {
                self.entries.remove(&name);
            }
        }
        if end != Some(End::Released) {
            self.resting.insert(name, Instant::now() + FENCED_REST);
        }
        end
    }

    /// Positions that are further than what was committed.
    pub(super) fn uncommitted(&self) -> Vec<(String, u32, i64)> {
        let own = self.entries.iter().filter(|(_, entry)| entry.released_at.is_none());
        let ahead = own.filter_map(|(name, entry)| {
            let done = entry.place.done().filter(|done| Some(*done) != entry.committed)?;
            Some((name.0.to_string(), name.1, done))
        });
        ahead.collect()
    }

    /// Notes what was committed.
    pub(super) fn note_committed(&mut self, offsets: &[(String, u32, i64)]) {
        for (topic, partition, offset) in offsets {
            let name = (Arc::from(topic.as_str()), *partition);
            if let Some(entry) = self.entries.get_mut(&name) {
                entry.committed = Some(*offset);
            }
        }
    }

    /// Records read and not yet committed, and what the first partition that waits for something waits for.
    pub(super) fn state(&self) -> (u64, Option<String>) {
        let in_flight = |entry: &Entry| {
            let read = entry.place.read.load(Ordering::Acquire);
            read.saturating_sub(entry.committed.unwrap_or(read)).max(0).unsigned_abs()
        };
        let trouble = |entry: &Entry| entry.place.trouble.lock().clone();
        (self.entries.values().map(in_flight).sum(), self.entries.values().find_map(trouble))
    }
}

impl Entry {
    fn let_go(&mut self) {
        if self.released_at.is_none() {
            self.released_at = Some(Instant::now());
            self.release.send_replace(true);
        }
    }
}

/// How long after `at` it is.
pub(super) fn due(at: Option<Instant>, every: Duration) -> Instant {
    at.map_or_else(Instant::now, |at| at + every)
}
