//! Members of groups: each a consumer of its own in Kafka's group coordination, which reads nothing itself.
//!
//! Kafka decides who owns what (cooperative-sticky assignment, KIP-429). A partition is let go only after the member was told
//! by its next heartbeat, so that nobody works on one that somebody else owns already; a member that is silent for its session
//! leaves. What members say of themselves is told to other processes through the log `__floe_members`.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use rdkafka::{
    ClientContext, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance},
    error::{KafkaError, RDKafkaErrorCode},
};

use super::{
    Kafka,
    client::{KafkaConfig, Told},
    cluster::is_passing,
    error::{code_of, unavailable},
    limits::REQUEST_LIMIT,
};
use crate::{EngineError, Membership};

/// Sessions that may be asked for, milliseconds; others are moved to the nearest bound. Kafka's own least is 6 s, so a process
/// that dies is noticed after that.
const SESSION_MS: (u64, u64) = (1_000, 1_800_000);
const KAFKAS_LEAST_SESSION_MS: u64 = 6_000;
/// What a member may say of itself, in bytes.
const MAX_STATUS_BYTES: usize = 16 * 1024;
/// How long joining waits for a first assignment.
const FIRST_ASSIGNMENT: Duration = Duration::from_secs(4);
/// How often a member's thread looks whether it is to end.
const POLL_STEP: Duration = Duration::from_millis(100);
/// Stands between the name that a member gave itself and its id, in the name that Kafka knows.
const ID_MARK: char = '#';

/// The members of this process.
#[derive(Clone, Debug, Default)]
pub(super) struct Members {
    members: Arc<Mutex<HashMap<String, Arc<Member>>>>,
}

/// One member.
pub(super) struct Member {
    pub(super) group: String,
    pub(super) id: String,
    pub(super) client_id: String,
    session_ms: u64,
    state: Arc<State>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    consumer: Arc<Consumes>,
    said: Mutex<Said>,
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member").field("group", &self.group).field("id", &self.id).finish_non_exhaustive()
    }
}

type Consumes = BaseConsumer<Rebalances>;

#[derive(Debug, Default)]
struct Said {
    last_ms: u64,
    status: Bytes,
}

/// What Kafka has assigned.
#[derive(Debug, Default)]
struct State {
    assigned: Mutex<Assigned>,
    changed: Condvar,
    leaving: AtomicBool,
}

#[derive(Debug, Default)]
struct Assigned {
    partitions: BTreeSet<(String, u32)>,
    generation: u64,
    /// The generation that the member was told of last.
    told: u64,
}

/// Takes part in rebalances.
struct Rebalances {
    told: Told,
    state: Arc<State>,
    session: Duration,
}

impl ClientContext for Rebalances {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.told.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.told.error(error, reason);
    }
}

fn named(list: &TopicPartitionList) -> impl Iterator<Item = (String, u32)> {
    let elements = list.elements();
    let named: Vec<_> = elements
        .iter()
        .map(|element| (element.topic().to_owned(), element.partition().unsigned_abs()))
        .collect();
    named.into_iter()
}

impl ConsumerContext for Rebalances {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(list) = rebalance {
            self.state.revoke(list, self.session);
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance {
            // read by others, by offset
            if let Err(error) = consumer.pause(list) {
                tracing::debug!(target: "floe::kafka", %error, "assigned partitions could not be paused");
            }
            self.state.assign(list);
        }
    }
}

impl State {
    fn assign(&self, list: &TopicPartitionList) {
        let mut assigned = self.assigned.lock();
        assigned.partitions.extend(named(list));
        assigned.generation += 1;
        self.changed.notify_all();
    }

    /// Takes partitions away, and waits until the member was told.
    fn revoke(&self, list: &TopicPartitionList, session: Duration) {
        let mut assigned = self.assigned.lock();
        for partition in named(list) {
            assigned.partitions.remove(&partition);
        }
        assigned.generation += 1;
        let told_in = assigned.generation;
        self.changed.notify_all();
        let deadline = Instant::now() + session;
        while assigned.told < told_in && !self.leaving.load(Ordering::Acquire) {
            if self.changed.wait_until(&mut assigned, deadline).timed_out() {
                return;
            }
        }
    }
}

impl Member {
    fn join(
        config: &KafkaConfig,
        group: &str,
        client_id: &str,
        topics: &[String],
        session_ms: u64,
        now_ms: u64,
    ) -> Result<Self, KafkaError> {
        let id = format!("{:016x}", rand::random::<u64>());
        let state = Arc::new(State::default());
        let context =
            Rebalances { told: Told, state: Arc::clone(&state), session: Duration::from_millis(session_ms) };
        let kafkas_session = session_ms.max(KAFKAS_LEAST_SESSION_MS);
        let mut client = config.base();
        client
            .set("client.id", format!("{client_id}{ID_MARK}{id}"))
            .set("group.id", group)
            .set("session.timeout.ms", kafkas_session.to_string())
            .set("heartbeat.interval.ms", (kafkas_session / 10).clamp(100, 1_000).to_string())
            .set("max.poll.interval.ms", kafkas_session.max(300_000).to_string())
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("isolation.level", "read_committed")
            .set("topic.metadata.refresh.interval.ms", "1000")
            .set("queued.max.messages.kbytes", "64");
        let consumer: Arc<Consumes> = Arc::new(client.create_with_context(context)?);
        // who waits for topics that aren't there yet owns nothing; Kafka has no name for that
        if !topics.is_empty() {
            consumer.subscribe(&topics.iter().map(String::as_str).collect::<Vec<_>>())?;
        }
        let (polled, watched) = (Arc::clone(&consumer), Arc::clone(&state));
        let thread = std::thread::spawn(move || {
            while !watched.leaving.load(Ordering::Acquire) {
                if let Some(Err(error)) = polled.poll(POLL_STEP) {
                    tracing::debug!(target: "floe::kafka", %error, "a member of a group has trouble");
                }
            }
        });
        Ok(Self {
            group: group.to_owned(),
            id,
            client_id: client_id.to_owned(),
            session_ms,
            state,
            thread: Mutex::new(Some(thread)),
            consumer,
            said: Mutex::new(Said { last_ms: now_ms, status: Bytes::new() }),
        })
    }

    /// Its assignment in force; it counts as told.
    fn membership(&self) -> Membership {
        let mut assigned = self.state.assigned.lock();
        assigned.told = assigned.generation;
        self.state.changed.notify_all();
        Membership {
            member: self.id.clone(),
            generation: assigned.generation,
            assignment: assigned.partitions.iter().cloned().collect(),
        }
    }

    fn wait_for_first_assignment(&self) {
        let deadline = Instant::now() + FIRST_ASSIGNMENT;
        let mut assigned = self.state.assigned.lock();
        while assigned.generation == 0 && !self.state.changed.wait_until(&mut assigned, deadline).timed_out()
        {
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.state.assigned.lock().generation
    }

    pub(super) fn status(&self) -> Bytes {
        self.said.lock().status.clone()
    }

    pub(super) fn silent_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.said.lock().last_ms)
    }

    fn owns(&self, generation: u64, offsets: &[(String, u32, i64)]) -> bool {
        let assigned = self.state.assigned.lock();
        assigned.generation == generation
            && offsets
                .iter()
                .all(|(topic, partition, _)| assigned.partitions.contains(&(topic.clone(), *partition)))
    }

    /// Leaves the group. Blocks until that is done.
    fn leave(&self) {
        self.state.leaving.store(true, Ordering::Release);
        // under the lock, so that one who is about to wait is woken
        drop(self.state.assigned.lock());
        self.state.changed.notify_all();
        if let Some(thread) = self.thread.lock().take() {
            // a thread that panicked has said so
            let _ = thread.join();
        }
        // serves what is left of the group's protocol until the group is left
        if let Err(error) = self.consumer.close_queue() {
            tracing::debug!(target: "floe::kafka", %error, "a member could not leave in order");
            return;
        }
        let deadline = Instant::now() + REQUEST_LIMIT;
        while !self.consumer.closed() && Instant::now() < deadline {
            self.consumer.poll(POLL_STEP);
        }
    }
}

impl Members {
    pub(super) fn of_group(&self, group: &str) -> Vec<Arc<Member>> {
        self.members.lock().values().filter(|member| member.group == group).cloned().collect()
    }

    fn get(&self, group: &str, id: &str) -> Result<Arc<Member>, EngineError> {
        let known = self.members.lock().get(id).filter(|member| member.group == group).cloned();
        known.ok_or_else(|| EngineError::MemberUnknown { group: group.to_owned(), member: id.to_owned() })
    }

    /// Takes out members that were silent for their session; they leave in the background.
    pub(super) fn expire(&self, now_ms: u64) {
        let silent: Vec<_> = {
            let mut members = self.members.lock();
            let silent: Vec<String> = members
                .values()
                .filter(|member| member.silent_ms(now_ms) >= member.session_ms)
                .map(|member| member.id.clone())
                .collect();
            silent.iter().filter_map(|id| members.remove(id)).collect()
        };
        for member in silent {
            tracing::info!(group = member.group, member = member.id, "a silent member leaves its group");
            std::thread::spawn(move || member.leave());
        }
    }

    /// All members leave. Blocks.
    pub(super) fn leave_all(&self) {
        let members: Vec<_> = self.members.lock().drain().map(|(_, member)| member).collect();
        let leaving: Vec<_> =
            members.into_iter().map(|member| std::thread::spawn(move || member.leave())).collect();
        for thread in leaving {
            let _ = thread.join();
        }
    }
}

/// The parts of a member's name as Kafka knows it: the name that it gave itself, and its id if it is one of ours.
pub(super) fn name_and_id(client_id: &str) -> (&str, Option<&str>) {
    client_id.rsplit_once(ID_MARK).map_or((client_id, None), |(name, id)| (name, Some(id)))
}

impl Kafka {
    pub(crate) async fn join_group(
        &self,
        group: &str,
        client_id: &str,
        topics: &[String],
        session: Duration,
    ) -> Result<Membership, EngineError> {
        self.check_open()?;
        floe_broker::check_group_name(group)?;
        for topic in topics {
            self.cluster.topic(topic).await?;
        }
        self.members.expire(self.now());
        let session_ms = u64::try_from(session.as_millis()).unwrap_or(u64::MAX);
        let session_ms = session_ms.clamp(SESSION_MS.0, SESSION_MS.1);
        let config = self.cluster.config.clone();
        let (group, client_id, topics) = (group.to_owned(), client_id.to_owned(), topics.to_vec());
        let (members, now_ms) = (self.members.clone(), self.now());
        let joined = tokio::task::spawn_blocking(move || {
            let member = Member::join(&config, &group, &client_id, &topics, session_ms, now_ms)?;
            if !topics.is_empty() {
                member.wait_for_first_assignment();
            }
            member.said.lock().last_ms = config.clock.monotonic_ms();
            // also if whoever asked has given up: then its silence takes it out of the group
            let member = Arc::new(member);
            members.members.lock().insert(member.id.clone(), Arc::clone(&member));
            Ok(member)
        });
        let member = joined
            .await
            .map_err(|_| EngineError::Stopping)?
            .map_err(|error: KafkaError| unavailable("joining a group", &error))?;
        Ok(member.membership())
    }

    pub(crate) async fn heartbeat(
        &self,
        group: &str,
        member: &str,
        status: Option<Bytes>,
    ) -> Result<Membership, EngineError> {
        if status.as_ref().is_some_and(|status| status.len() > MAX_STATUS_BYTES) {
            let what = "bytes of a member's status";
            return Err(EngineError::LimitReached { what, limit: MAX_STATUS_BYTES });
        }
        self.members.expire(self.now());
        let member = self.members.get(group, member)?;
        {
            let mut said = member.said.lock();
            said.last_ms = self.now();
            if let Some(status) = &status {
                said.status = status.clone();
            }
        }
        if let Some(status) = status {
            self.statuses.say(group, &member.id, &status);
        }
        Ok(member.membership())
    }

    pub(crate) async fn leave_group(&self, group: &str, member: &str) -> Result<(), EngineError> {
        self.members.expire(self.now());
        let member = self.members.get(group, member)?;
        self.members.members.lock().remove(&member.id);
        tokio::task::spawn_blocking(move || member.leave()).await.map_err(|_| EngineError::Stopping)
    }

    /// Commits a member's positions, through the member: Kafka refuses those of a generation that is over.
    pub(super) async fn commit_as_member(
        &self,
        group: &str,
        member: &str,
        generation: u64,
        offsets: Vec<(String, u32, i64)>,
    ) -> Result<(), EngineError> {
        self.members.expire(self.now());
        let unknown = || EngineError::MemberUnknown { group: group.to_owned(), member: member.to_owned() };
        let known = self.members.get(group, member)?;
        let started = Instant::now();
        loop {
            if !known.owns(generation, &offsets) {
                return Err(unknown());
            }
            let (known, offsets) = (Arc::clone(&known), offsets.clone());
            let committed = tokio::task::spawn_blocking(move || {
                let mut list = TopicPartitionList::new();
                for (topic, partition, offset) in &offsets {
                    list.add_partition_offset(topic, partition.cast_signed(), Offset::Offset(*offset))?;
                }
                known.consumer.commit(&list, CommitMode::Sync)
            });
            let error = match committed.await.map_err(|_| EngineError::Stopping)? {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            match code_of(&error) {
                Some(
                    RDKafkaErrorCode::IllegalGeneration
                    | RDKafkaErrorCode::UnknownMemberId
                    | RDKafkaErrorCode::FencedInstanceId
                    | RDKafkaErrorCode::StaleMemberEpoch,
                ) => return Err(unknown()),
                Some(code) if is_passing(&code) && started.elapsed() < REQUEST_LIMIT => {
                    tokio::time::sleep(POLL_STEP).await;
                }
                _ => return Err(unavailable("committing positions", &error)),
            }
        }
    }
}
