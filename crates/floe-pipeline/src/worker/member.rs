//! A worker's membership in the pipeline's consumer group.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use floe_engine::Membership;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

use super::{
    Cause, Shared,
    partition::End,
    roster::{Name, Roster, Terms, due},
    switch::Position,
};
use crate::{
    Command, LogError, Start, TopicShape, WorkerState, WorkerStatus,
    commands::{Commands, Known},
    excerpt,
    limits::{
        COMMIT_LEAST, ERROR_BYTES, HEARTBEAT, HEARTBEAT_LEAST, LOOK_AGAIN, SESSION, SHAPES_LOOK,
        STATUS_SINK_BYTES, STATUS_SINKS,
    },
};

type Offsets = Vec<(String, u32, i64)>;
type Committing = Pin<Box<dyn Future<Output = (Offsets, Result<(), LogError>)> + Send>>;
type Telling = Pin<Box<dyn Future<Output = Result<(), LogError>> + Send>>;

/// A worker. Runs until it is told to drain; ends with everything it owns when it is dropped.
pub(crate) struct Member {
    shared: Arc<Shared>,
    commands: watch::Receiver<Known>,
    /// Keeps the follower of commands alive.
    _follower: Commands,
    drain: watch::Receiver<bool>,
    client_id: Arc<str>,
    log_id: Option<Arc<str>>,
    /// The topics as they were when the worker first knew; `None` for one that wasn't there.
    first_seen: BTreeMap<Arc<str>, Option<TopicShape>>,
    /// The topics as they were when it joined.
    topics: BTreeMap<Arc<str>, TopicShape>,
    membership: Option<Membership>,
    wanted: BTreeSet<Name>,
    roster: Roster,
    committing: Option<Committing>,
    /// The fuse's command to all workers, on its way.
    telling: Option<Telling>,
    told_halt: bool,
    /// Why the log doesn't answer, if it doesn't.
    log_error: Option<String>,
    last: Last,
    told: (WorkerState, Option<String>),
}

/// When things were done last.
#[derive(Debug, Default)]
struct Last {
    heartbeat: Option<Instant>,
    commit: Option<Instant>,
    commit_failed: Option<Instant>,
    shapes: Option<Instant>,
    /// The last attempt to join.
    join: Option<Instant>,
    tell: Option<Instant>,
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member").field("pipeline", &self.shared.name).finish_non_exhaustive()
    }
}

impl Member {
    /// `drain` becomes true when it is to end.
    pub(crate) fn new(
        shared: Arc<Shared>,
        commands: Commands,
        client_id: Arc<str>,
        drain: watch::Receiver<bool>,
    ) -> Self {
        Self {
            shared,
            commands: commands.watch(),
            _follower: commands,
            drain,
            client_id,
            log_id: None,
            first_seen: BTreeMap::new(),
            topics: BTreeMap::new(),
            membership: None,
            wanted: BTreeSet::new(),
            roster: Roster::default(),
            committing: None,
            telling: None,
            told_halt: false,
            log_error: None,
            last: Last::default(),
            told: (WorkerState::Starting, None),
        }
    }

    /// Works until it has drained.
    pub(crate) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let mut switch = shared.switch.watch();
        loop {
            self.turn().await;
            if shared.switch.position().draining && self.is_done() {
                break;
            }
            let wake = self.next_turn();
            tokio::select! {
                () = sleep_until(wake) => {}
                () = shared.news.notified() => {}
                Ok(()) = self.commands.changed() => {}
                Ok(()) = switch.changed() => {}
                Ok(()) = self.drain.changed() => {}
                ended = self.roster.ended() => {
                    match self.roster.note_ended(&shared.name, ended) {
                        Some(End::NoTopic) => self.last.shapes = None,
                        Some(End::Fenced) => self.last.heartbeat = None,
                        Some(End::Released) | None => {}
                    }
                }
                (offsets, committed) = pending_or(&mut self.committing) => {
                    self.committing = None;
                    self.committed(&offsets, committed);
                }
                told = pending_or(&mut self.telling) => {
                    self.telling = None;
                    self.told_halt = told.is_ok();
                    if let Err(error) = told {
                        self.log_failed("telling that the fuse has blown", &error);
                    }
                }
            }
        }
        if let Some(membership) = self.membership.take() {
            let left = timeout(SESSION, shared.log.leave(&shared.spec.group, &membership.member)).await;
            // who doesn't get through is gone when the session is over
            let _ = left.is_ok();
        }
    }

    /// Does all that is due.
    async fn turn(&mut self) {
        self.follow_commands();
        if self.membership.is_none() && !self.shared.switch.position().draining {
            self.join().await;
        }
        if due(self.last.shapes, self.shapes_look()) <= Instant::now() {
            self.look_at_topics().await;
        }
        self.commit();
        self.heartbeat().await;
        self.tell_of_fuse();
        self.roster.keep(&self.wanted);
        self.roster.abort_overdue();
        if !self.shared.switch.position().draining {
            self.start();
        }
    }

    /// When something is due next, if nothing happens before.
    fn next_turn(&self) -> Instant {
        let mut next = due(self.last.shapes, self.shapes_look());
        if self.membership.is_none() {
            let draining = self.shared.switch.position().draining;
            next = if draining { next } else { next.min(due(self.last.join, LOOK_AGAIN)) };
        } else {
            let changed = self.state() != self.told;
            next = next.min(due(self.last.heartbeat, if changed { HEARTBEAT_LEAST } else { HEARTBEAT }));
        }
        if self.committing.is_none() && self.membership.is_some() && !self.roster.uncommitted().is_empty() {
            next = next.min(self.next_commit());
        }
        if self.fuse_to_tell() {
            next = next.min(due(self.last.tell, LOOK_AGAIN));
        }
        self.roster.next_look().map_or(next, |look| next.min(look))
    }

    /// Whether a drained worker has nothing left to do.
    fn is_done(&self) -> bool {
        let committed = self.committing.is_none() && self.roster.uncommitted().is_empty();
        self.roster.is_idle() && (committed || self.membership.is_none())
    }

    fn follow_commands(&mut self) {
        if *self.drain.borrow_and_update() {
            self.shared.switch.drain();
        }
        let known = self.commands.borrow_and_update();
        let released = self.shared.switch.follow(known.ready, known.of(&self.shared.name));
        drop(known);
        if self.shared.switch.position().halt.is_none() {
            self.told_halt = false;
        }
        if released && let Some(fuse) = &self.shared.fuse {
            fuse.reset();
        }
    }

    /// Joins with the topics that are there; the others are looked for.
    async fn join(&mut self) {
        if due(self.last.join, LOOK_AGAIN) > Instant::now() {
            return;
        }
        self.last.join = Some(Instant::now());
        match timeout(SESSION, self.try_join()).await {
            Ok(Ok(membership)) => {
                self.log_error = None;
                self.last.heartbeat = None;
                self.assigned(membership);
            }
            Ok(Err(error)) => self.log_failed("joining the group", &error),
            Err(_) => {
                self.log_failed("joining the group", &LogError::Unavailable("no answer in time".to_owned()))
            }
        }
    }

    async fn try_join(&mut self) -> Result<Membership, LogError> {
        let (log, spec) = (&self.shared.log, &self.shared.spec);
        // another log may be behind the same address by now
        self.log_id = Some(log.id().await?);
        self.topics = shapes(&self.shared).await?;
        self.last.shapes = Some(Instant::now());
        for topic in &spec.from {
            let name: Arc<str> = topic.as_str().into();
            let shape = self.topics.get(&name).cloned();
            self.first_seen.entry(name).or_insert(shape);
        }
        let topics = self.topics.keys().map(|topic| topic.to_string()).collect();
        log.join(&spec.group, &self.client_id, topics, SESSION).await
    }

    fn shapes_look(&self) -> Duration {
        if self.topics.len() < self.shared.spec.from.len() { LOOK_AGAIN } else { SHAPES_LOOK }
    }

    /// Joins again when a topic has come, has gone or was made again. (More partitions come with the membership.)
    async fn look_at_topics(&mut self) {
        self.last.shapes = Some(Instant::now());
        if self.membership.is_none() {
            return;
        }
        let Ok(Ok(shapes)) = timeout(SESSION, shapes(&self.shared)).await else { return };
        let ids = |shapes: &BTreeMap<Arc<str>, TopicShape>| -> Vec<(Arc<str>, u64)> {
            shapes.iter().map(|(topic, shape)| (Arc::clone(topic), shape.id)).collect()
        };
        if ids(&shapes) != ids(&self.topics) {
            if let Some(membership) = self.membership.take() {
                let (log, group) = (&self.shared.log, &self.shared.spec.group);
                let left = timeout(SESSION, log.leave(group, &membership.member)).await;
                // or the session ends
                let _ = left.is_ok();
            }
            self.gone();
        }
    }

    fn next_commit(&self) -> Instant {
        // the last one is kept waiting by nothing but a failure
        let draining = self.shared.switch.position().draining;
        let next = if draining { Instant::now() } else { due(self.last.commit, COMMIT_LEAST) };
        self.last.commit_failed.map_or(next, |failed| next.max(failed + LOOK_AGAIN))
    }

    fn commit(&mut self) {
        let Some(membership) = &self.membership else { return };
        if self.committing.is_some() || self.next_commit() > Instant::now() {
            return;
        }
        let offsets = self.roster.uncommitted();
        if offsets.is_empty() {
            return;
        }
        self.last.commit = Some(Instant::now());
        let (shared, member, generation) =
            (Arc::clone(&self.shared), membership.member.clone(), membership.generation);
        self.committing = Some(Box::pin(async move {
            let commit = shared.log.commit(&shared.spec.group, &member, generation, offsets.clone());
            let committed = commit.await;
            (offsets, committed)
        }));
    }

    fn committed(&mut self, offsets: &Offsets, committed: Result<(), LogError>) {
        match committed {
            Ok(()) => {
                (self.log_error, self.last.commit_failed) = (None, None);
                self.roster.note_committed(offsets);
            }
            // or the generation is an old one: the next heartbeat tells
            Err(LogError::MemberGone) => self.last.heartbeat = None,
            Err(LogError::NoTopic { .. }) => self.last.shapes = None,
            Err(error) => {
                self.last.commit_failed = Some(Instant::now());
                self.log_failed("committing", &error);
            }
        }
    }

    async fn heartbeat(&mut self) {
        let Some(membership) = &self.membership else { return };
        let state = self.state();
        let every = if state == self.told { HEARTBEAT } else { HEARTBEAT_LEAST };
        if due(self.last.heartbeat, every) > Instant::now() {
            return;
        }
        let status = serde_json::to_vec(&self.status(state.clone())).unwrap_or_default();
        let beat = self.shared.log.heartbeat(&self.shared.spec.group, &membership.member, status.into());
        let told = timeout(SESSION, beat).await;
        self.last.heartbeat = Some(Instant::now());
        // also if nobody heard it: it isn't said again at once
        self.told = state;
        match told {
            Ok(Ok(membership)) => {
                self.log_error = None;
                self.assigned(membership);
            }
            Ok(Err(LogError::MemberGone)) => {
                tracing::warn!(
                    target: "floe_pipeline", pipeline = &*self.shared.name,
                    "the worker was taken for gone; it joins again"
                );
                self.gone();
            }
            Ok(Err(error)) => self.log_failed("heartbeat", &error),
            Err(_) => self.log_failed("heartbeat", &LogError::Unavailable("no answer in time".to_owned())),
        }
    }

    fn assigned(&mut self, membership: Membership) {
        let assignment = membership.assignment.iter();
        self.wanted = assignment.map(|(topic, partition)| (Arc::from(topic.as_str()), *partition)).collect();
        self.membership = Some(membership);
    }

    /// It isn't a member any more: everything it owned may be another's.
    fn gone(&mut self) {
        self.membership = None;
        self.committing = None;
        self.last.join = None;
        self.wanted.clear();
        self.roster.keep(&self.wanted);
    }

    fn start(&mut self) {
        let (Some(membership), Some(log)) = (&self.membership, &self.log_id) else { return };
        let (topics, first_seen, spec) = (&self.topics, &self.first_seen, &self.shared.spec);
        self.roster.start(&self.shared, &self.wanted, |(topic, partition)| {
            let shape = topics.get(topic)?;
            // what came into being while the worker looked is read from its beginning
            let old = first_seen.get(topic).and_then(Option::as_ref);
            let old = old.is_some_and(|old| old.id == shape.id && *partition < old.partitions);
            Some(Terms {
                log: Arc::clone(log),
                owner: membership.member.clone(),
                topic_id: shape.id,
                start: if old { spec.start } else { Start::Earliest },
            })
        });
    }

    fn fuse_to_tell(&self) -> bool {
        let blown = self.shared.switch.position().halt.is_some_and(|halt| halt.cause == Cause::Fuse);
        blown && !self.told_halt && self.telling.is_none()
    }

    /// The fuse has blown in this worker: the others are to stop, too, also after a restart.
    fn tell_of_fuse(&mut self) {
        if !self.fuse_to_tell() || due(self.last.tell, LOOK_AGAIN) > Instant::now() {
            return;
        }
        let Some(halt) = self.shared.switch.position().halt else { return };
        self.last.tell = Some(Instant::now());
        let shared = Arc::clone(&self.shared);
        self.telling = Some(Box::pin(async move {
            let command = Command::Pause { reason: halt.reason, by_fuse: true };
            shared.log.command(&shared.name, &command).await
        }));
    }

    fn log_failed(&mut self, doing: &'static str, error: &LogError) {
        let error = error.to_string();
        // once per outage
        if self.log_error.is_none() {
            tracing::warn!(
                target: "floe_pipeline", pipeline = &*self.shared.name, doing, error,
                "the log does not do what it is asked for; trying again"
            );
        }
        self.log_error = Some(error);
    }

    /// What it is doing, and why.
    fn state(&self) -> (WorkerState, Option<String>) {
        let Position { ready, given, halt, draining } = self.shared.switch.position();
        if draining {
            return (WorkerState::Draining, None);
        }
        match (halt, given.map(|given| given.command)) {
            (Some(halt), _) if halt.cause == Cause::Failed => {
                return (WorkerState::Failed, Some(halt.reason));
            }
            (Some(halt), _) => return (WorkerState::Paused, Some(halt.reason)),
            (None, Some(Command::Pause { reason, .. })) => return (WorkerState::Paused, Some(reason)),
            (None, Some(Command::Run) | None) => {}
        }
        if let Some(error) = &self.log_error {
            return (WorkerState::Retrying, Some(error.clone()));
        }
        if !ready {
            return (WorkerState::Starting, self.commands.borrow().error.clone());
        }
        if let (_, Some(trouble)) = self.roster.state() {
            return (WorkerState::Retrying, Some(trouble));
        }
        let missing = self.shared.spec.from.iter().find(|topic| !self.topics.contains_key(topic.as_str()));
        match missing {
            Some(topic) if self.topics.is_empty() => {
                (WorkerState::Starting, Some(format!("topic '{topic}' does not exist yet")))
            }
            Some(topic) => (WorkerState::Running, Some(format!("topic '{topic}' does not exist yet"))),
            None => (WorkerState::Running, None),
        }
    }

    fn status(&self, (state, reason): (WorkerState, Option<String>)) -> WorkerStatus {
        let sinks = self.shared.outlets.iter().take(STATUS_SINKS);
        let sinks = sinks.map(|outlet| excerpt::of(outlet.sink.label(), STATUS_SINK_BYTES)).collect();
        let reason = reason.map(|reason| excerpt::of(&reason, ERROR_BYTES));
        let (in_flight, _) = self.roster.state();
        let mut status = WorkerStatus { state, reason, sinks, in_flight, ..WorkerStatus::default() };
        self.shared.tally.fill(&mut status);
        status
    }
}

/// The topics that are there.
async fn shapes(shared: &Shared) -> Result<BTreeMap<Arc<str>, TopicShape>, LogError> {
    let mut shapes = BTreeMap::new();
    for topic in &shared.spec.from {
        match shared.log.topic(topic).await {
            Ok(shape) => drop(shapes.insert(topic.as_str().into(), shape)),
            Err(LogError::NoTopic { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(shapes)
}

/// Awaits what is there; for ever if there is nothing.
async fn pending_or<T>(future: &mut Option<Pin<Box<dyn Future<Output = T> + Send>>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
