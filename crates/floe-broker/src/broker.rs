//! The broker: opened once, shared by all doors, closed in order.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use floe_journal::{
    DirectoryLock, Journal, JournalConfig, OpenError, Opened, Position, RecoveryReport, Replay, Storage,
};
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use crate::{
    BrokerError, Catalog, Clock, MAX_IDEMPOTENCY_KEY_BYTES, NewRecord, Topic, TopicName,
    append_plan::{AppendPlan, placements},
    command::{Answer, AppendCommand, Command, PositionsMode},
    group::PartitionKey,
    groups::{Groups, check_group_name},
    janitor::janitor_loop,
    queue::CommandQueue,
    record::Acks,
    state::{State, StateEntry},
    tap::Tap,
    writer::{sync_loop, write_loop},
};

/// What a broker is opened with.
#[derive(Debug)]
pub struct BrokerConfig {
    /// Where the journal lives.
    pub storage: Arc<dyn Storage>,
    /// How the journal is laid out.
    pub journal: JournalConfig,
    /// Held until the broker is dropped.
    pub lock: Option<DirectoryLock>,
    /// Time.
    pub clock: Clock,
    /// How often retention and cleaning are looked at.
    pub janitor_period: Duration,
}

/// What the broker's threads and callers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) catalog: Catalog,
    pub(crate) groups: Groups,
    pub(crate) queue: CommandQueue,
    pub(crate) journal: Journal,
    pub(crate) clock: Clock,
    /// Everything before this position of the journal is on disk and published.
    visible: AtomicU64,
    /// The largest frame that the journal takes.
    pub(crate) max_frame_bytes: u64,
    /// A thread of the broker panicked, or decided what could not be written: nothing more is written.
    broken: AtomicBool,
    stop_janitor: Mutex<bool>,
    janitor_bell: Condvar,
}

/// The broker of one node.
///
/// Nothing becomes visible to readers before it is on disk.
#[derive(Debug)]
pub struct Broker {
    pub(crate) shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    keeper: Mutex<Option<JoinHandle<()>>>,
    report: RecoveryReport,
    _lock: Option<DirectoryLock>,
}

impl Shared {
    pub(crate) fn visible(&self) -> Position {
        self.visible.load(Ordering::Acquire)
    }

    pub(crate) fn set_visible(&self, position: Position) {
        self.visible.store(position, Ordering::Release);
    }

    /// Sends a command and gives back what its answer comes through.
    pub(crate) fn send<T>(
        &self,
        command: impl FnOnce(Answer<T>) -> Command,
    ) -> Result<oneshot::Receiver<Result<T, BrokerError>>, BrokerError> {
        let (answer, receiver) = oneshot::channel();
        if self.is_failed() {
            return Err(BrokerError::StorageFailed);
        }
        self.queue.put(command(answer))?;
        Ok(receiver)
    }

    /// Whether nothing more is written before a restart.
    pub(crate) fn is_failed(&self) -> bool {
        self.broken.load(Ordering::Acquire) || self.journal.is_failed()
    }

    /// Stops writing for good: the state in memory is no longer that of the journal.
    pub(crate) fn break_down(&self) {
        self.broken.store(true, Ordering::Release);
        self.queue.break_down();
    }

    /// Rests until the period is over; answers whether to stop.
    pub(crate) fn janitor_rest(&self, period: Duration) -> bool {
        let mut stop = self.stop_janitor.lock();
        if !*stop {
            self.janitor_bell.wait_for(&mut stop, period);
        }
        *stop
    }
}

/// An order that is given and not yet carried out. It will be, or fails, whether or not somebody waits.
#[derive(Debug)]
#[must_use = "nothing is known before it is done"]
pub struct Pending<T>(oneshot::Receiver<Result<T, BrokerError>>);

/// Positions on their way to the disk.
pub type PendingPositions = Pending<Vec<(PartitionKey, i64)>>;

impl<T> Pending<T> {
    /// Waits until it is on disk.
    pub async fn done(self) -> Result<T, BrokerError> {
        answered(self.0).await
    }
}

async fn answered<T>(receiver: oneshot::Receiver<Result<T, BrokerError>>) -> Result<T, BrokerError> {
    // an answer that never comes: the writer is gone
    receiver.await.unwrap_or(Err(BrokerError::StorageFailed))
}

impl Broker {
    /// Opens the journal, rebuilds the state and starts the threads.
    pub fn open(config: BrokerConfig) -> Result<Arc<Self>, OpenError> {
        let mut state = State::default();
        let mut unreadable = 0u64;
        let opened = floe_journal::open(config.storage, &config.journal, rand::random(), &mut |replay| {
            let outcome = match replay {
                Replay::Snapshot(bytes) => state.load(bytes),
                Replay::State(bytes) => StateEntry::decode(bytes).map(|entry| state.replay(entry)),
            };
            if let Err(error) = outcome {
                unreadable += 1;
                tracing::error!(%error, "a state entry of the journal is not readable");
            }
        })?;
        let Opened { journal, appender, syncer, mut keeper, report } = opened;
        let durable = journal.durable();
        state.settle(&journal, durable);
        let catalog = Catalog::default();
        state.topics.values().for_each(|topic| catalog.insert(topic.clone()));
        let shared = Arc::new(Shared {
            catalog,
            groups: Groups::restore(state.groups.clone()),
            queue: CommandQueue::default(),
            journal,
            clock: config.clock,
            visible: AtomicU64::new(durable),
            max_frame_bytes: appender.max_frame_bytes(),
            broken: AtomicBool::new(false),
            stop_janitor: Mutex::new(false),
            janitor_bell: Condvar::new(),
        });
        let (groups, written) = mpsc::sync_channel(0);
        let syncer = Arc::new(Mutex::new(syncer));
        let for_writer = (shared.clone(), syncer.clone());
        let for_syncer = shared.clone();
        let for_janitor = shared.clone();
        let period = config.janitor_period;
        let threads = vec![
            spawn("floe-writer", move || write_loop(&for_writer.0, state, appender, &for_writer.1, &groups)),
            spawn("floe-syncer", move || sync_loop(&for_syncer, &syncer, &written)),
            spawn("floe-janitor", move || janitor_loop(&for_janitor, period)),
        ];
        let keeper = spawn("floe-keeper", move || keeper.run());
        Ok(Arc::new(Self {
            shared,
            threads: Mutex::new(threads),
            keeper: Mutex::new(Some(keeper)),
            report,
            _lock: config.lock,
        }))
    }

    /// What recovery found.
    #[must_use]
    pub fn recovery(&self) -> &RecoveryReport {
        &self.report
    }

    /// The topics.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.shared.catalog
    }

    /// The consumer groups.
    #[must_use]
    pub fn groups(&self) -> &Groups {
        &self.shared.groups
    }

    /// The journal under it.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.shared.journal
    }

    /// Whether a write failed: nothing more is written before a restart.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        self.shared.is_failed()
    }

    /// Time, as the broker sees it.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// Bytes that wait to be written.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.shared.queue.queued_bytes()
    }

    /// Refuses what comes, finishes what came, leaves a snapshot for a fast start, ends the threads. A second call
    /// does nothing.
    pub fn close(&self) {
        self.shared.queue.close();
        *self.shared.stop_janitor.lock() = true;
        self.shared.janitor_bell.notify_all();
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the broker panicked");
            }
        }
        self.shared.journal.stop_keeper();
        if let Some(keeper) = self.keeper.lock().take() {
            drop(keeper.join());
        }
    }

    /// Makes a topic. Durable when it returns.
    pub async fn create_topic(
        &self,
        name: &str,
        partitions: u32,
        config: BTreeMap<String, String>,
    ) -> Result<Arc<Topic>, BrokerError> {
        let name = TopicName::new(name)
            .map_err(|why| BrokerError::InvalidTopicName { topic: name.to_owned(), why })?;
        answered(self.shared.send(|answer| Command::CreateTopic { name, partitions, config, answer })?).await
    }

    /// Changes a topic's settings or gives it more partitions. Durable when it returns.
    pub async fn alter_topic(
        &self,
        topic: Arc<Topic>,
        partitions: Option<u32>,
        config: BTreeMap<String, Option<String>>,
    ) -> Result<Arc<Topic>, BrokerError> {
        answered(self.shared.send(|answer| Command::AlterTopic { topic, partitions, config, answer })?).await
    }

    /// Deletes a topic. Durable when it returns.
    pub async fn delete_topic(&self, topic: Arc<Topic>) -> Result<(), BrokerError> {
        answered(self.shared.send(|answer| Command::DeleteTopic { topic, answer })?).await
    }

    /// Stores records, all or none, and answers where each went: partition, offset, timestamp.
    pub async fn append(
        &self,
        topic: Arc<Topic>,
        records: Vec<NewRecord>,
        acks: Option<Acks>,
        idempotency: Option<(String, u64)>,
    ) -> Result<(Vec<(u32, i64, i64)>, bool), BrokerError> {
        if idempotency.as_ref().is_some_and(|(key, _)| key.len() > MAX_IDEMPOTENCY_KEY_BYTES) {
            let what = "bytes of an Idempotency-Key";
            return Err(BrokerError::LimitReached { what, limit: MAX_IDEMPOTENCY_KEY_BYTES });
        }
        let acks = acks.unwrap_or_else(|| topic.config().acks());
        let plan = AppendPlan::new(&topic, records, self.shared.clock.now_ms())?;
        let AppendPlan { content, built_ms, order } = plan;
        let keyed = idempotency.is_some();
        let in_order = order.iter().filter(|_| keyed).map(|(partition, _)| *partition).collect();
        let receiver = self.shared.send(|answer| {
            let topic = topic.clone();
            Command::Append(AppendCommand {
                topic,
                content,
                built_ms,
                order: in_order,
                acks,
                idempotency,
                answer,
            })
        })?;
        if acks == Acks::None {
            let placed = order.into_iter().map(|(partition, time)| (partition, -1, time.unwrap_or(-1)));
            return Ok((placed.collect(), false));
        }
        let outcome = answered(receiver).await?;
        Ok((placements(&outcome, &order, &topic), outcome.replayed))
    }

    /// Orders a group's positions to be set. Orders are carried out as they were given: whoever gives them under the
    /// group's lock knows their order. Answers, when done, the positions in force.
    pub fn set_positions(
        &self,
        group: &str,
        positions: Vec<(PartitionKey, i64)>,
        mode: PositionsMode,
    ) -> Result<PendingPositions, BrokerError> {
        check_group_name(group)?;
        let group = group.to_owned();
        self.shared.send(|answer| Command::SetPositions { group, positions, mode, answer }).map(Pending)
    }

    /// Takes a group's positions on a topic away.
    pub async fn remove_positions(&self, group: &str, topic: Arc<Topic>) -> Result<(), BrokerError> {
        let group = group.to_owned();
        answered(self.shared.send(|answer| Command::RemovePositions { group, topic, answer })?).await
    }

    /// Orders a group to be deleted; see [`set_positions`](Self::set_positions) for the order of orders.
    pub fn delete_group(&self, group: &str) -> Result<Pending<()>, BrokerError> {
        let name = group.to_owned();
        self.shared.send(|answer| Command::DeleteGroup { group: name, answer }).map(Pending)
    }

    /// Waits for a group's deletion.
    pub async fn group_deleted(&self, group: &str, deleted: Pending<()>) -> Result<(), BrokerError> {
        let deleted = deleted.done().await;
        // a group that only ever had members or deliveries has nothing in the journal
        if let Err(BrokerError::GroupNotFound { .. }) = &deleted
            && self.shared.groups.get(group).is_ok()
        {
            self.shared.groups.remove(group);
            return Ok(());
        }
        deleted
    }

    /// Opens a tap on a topic's end; the position is the last one that doesn't come through it.
    #[must_use]
    pub fn open_tap(&self, topic: &Topic) -> (Arc<Tap>, Position) {
        topic.taps.lock().open()
    }

    /// Closes a tap.
    pub fn close_tap(&self, topic: &Topic, tap: &Arc<Tap>) {
        topic.taps.lock().close(tap);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.close();
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    thread::Builder::new().name(name.to_owned()).spawn(run).expect("a thread can be started at start-up")
}
