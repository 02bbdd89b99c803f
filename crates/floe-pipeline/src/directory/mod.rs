//! All pipelines of a log, whichever process runs them: what they are doing, and what they are to do.

mod rates;

use std::{collections::BTreeSet, sync::Arc};

use floe_engine::{Engine, EngineError, GroupDescription, GroupLag, MemberDescription};
use serde::{Deserialize, Serialize};

use crate::{
    Log, LogError, PipelineSpec, Start, TOPIC_PREFIX, WorkerState, WorkerStatus, commands::Commands, excerpt,
    limits::ERROR_BYTES, log::command_engine,
};
use rates::Rates;

/// The groups of pipelines that have no other name configured.
const GROUP_PREFIX: &str = "pipeline:";

/// The topic that holds what pipelines are to do: key = pipeline, value = [`Command`] as JSON. The newest counts.
pub const COMMANDS_TOPIC: &str = "__pipelines";

/// What a pipeline is to do from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "want", rename_all = "snake_case")]
pub enum Command {
    /// Run.
    Run,
    /// Read nothing more until resumed.
    Pause {
        /// Why, for people.
        reason: String,
        /// The fuse did it, not a person.
        by_fuse: bool,
    },
}

/// Everything known of one pipeline.
#[derive(Clone, Debug)]
pub struct PipelineView {
    /// Its name.
    pub name: String,
    /// Its consumer group.
    pub group: String,
    /// `running`, `retrying`, `paused`, `fuse_blown`, `failed`, `starting`, or `stopped` when nobody runs it.
    pub state: &'static str,
    /// Why, when it isn't simply running.
    pub reason: Option<String>,
    /// The topics it reads, as far as known.
    pub topics: Vec<String>,
    /// Its sinks for people, without secrets; empty if this process has no configuration of it.
    pub sinks: Vec<String>,
    /// Records not yet committed, over all partitions.
    pub lag: u64,
    /// Records committed per second, over the last seconds.
    pub committed_per_sec: f64,
    /// Dead letters ever.
    pub dead_lettered: u64,
    /// Dead letters that are neither redriven nor discarded.
    pub dead_letters_open: u64,
    /// Per partition: topic, partition, committed, end.
    pub partitions: Vec<(String, u32, i64, i64)>,
    /// Its workers: member id, client id, milliseconds since last heard of, partitions, status.
    pub workers: Vec<WorkerView>,
}

/// One worker.
#[derive(Clone, Debug)]
pub struct WorkerView {
    /// The member's id.
    pub id: String,
    /// The name it gave itself.
    pub client_id: String,
    /// Milliseconds since it was last heard of.
    pub last_seen_ms: u64,
    /// Topic and partition.
    pub partitions: Vec<(String, u32)>,
    /// What it says.
    pub status: WorkerStatus,
}

/// The desk from which all pipelines of a log are seen and told what to do. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Directory {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    engine: Engine,
    configured: Vec<Configured>,
    commands: Commands,
    rates: Rates,
}

/// What this process's configuration says of a pipeline.
#[derive(Clone, Debug)]
struct Configured {
    name: String,
    group: String,
    topics: Vec<String>,
    start: Start,
    sinks: Vec<String>,
    dead_letter_topic: String,
}

impl Directory {
    /// `configured`: the pipelines in this process's configuration, whether or not it runs them.
    /// Must be called inside a tokio runtime: follows [`COMMANDS_TOPIC`] in the background.
    #[must_use]
    pub fn new(engine: Engine, configured: &[PipelineSpec]) -> Self {
        let configured: Vec<_> = configured.iter().map(Configured::of).collect();
        let named: Vec<String> = configured.iter().map(|pipeline| pipeline.group.clone()).collect();
        let is_pipelines = move |group: &String| group.starts_with(GROUP_PREFIX) || named.contains(group);
        let commands = Commands::follow(Log::Engine(engine.clone()));
        let rates = Rates::watch(engine.clone(), is_pipelines);
        Self { shared: Arc::new(Shared { engine, configured, commands, rates }) }
    }

    /// All pipelines by name: configured ones, and those with a group `pipeline:…`. `Unavailable` when the log doesn't say
    /// which groups there are.
    pub async fn list(&self) -> Result<Vec<PipelineView>, LogError> {
        let groups = self.shared.engine.groups().await?.into_iter();
        let mut names: BTreeSet<String> =
            groups.filter_map(|group| Some(group.group.strip_prefix(GROUP_PREFIX)?.to_owned())).collect();
        // a group of this form that belongs to a configured pipeline of another name is no pipeline of its own
        names.retain(|name| {
            let group = format!("{GROUP_PREFIX}{name}");
            !self.shared.configured.iter().any(|known| known.group == group && known.name != *name)
        });
        names.extend(self.shared.configured.iter().map(|pipeline| pipeline.name.clone()));
        let mut views = Vec::with_capacity(names.len());
        for name in &names {
            views.push(self.view(name).await?);
        }
        Ok(views)
    }

    /// One of them; `None` when there is no such one. `Unavailable` when the log doesn't say.
    pub async fn get(&self, name: &str) -> Result<Option<PipelineView>, LogError> {
        let configured = self.shared.configured.iter().any(|pipeline| pipeline.name == name);
        let group = format!("{GROUP_PREFIX}{name}");
        let known = configured || known(self.shared.engine.describe_group(&group).await)?.is_some();
        if known { self.view(name).await.map(Some) } else { Ok(None) }
    }

    /// Durable on `Ok`; workers follow within a second or so.
    pub async fn pause(&self, name: &str, reason: &str, by_fuse: bool) -> Result<(), LogError> {
        self.command(name, Command::Pause { reason: excerpt::of(reason, ERROR_BYTES), by_fuse }).await
    }

    /// Lets it run again, also after the fuse has blown or a sink has refused. As durable as [`pause`](Self::pause).
    pub async fn resume(&self, name: &str) -> Result<(), LogError> {
        self.command(name, Command::Run).await
    }

    async fn command(&self, name: &str, command: Command) -> Result<(), LogError> {
        let version = command_engine(&self.shared.engine, name, &command).await?;
        self.shared.commands.seen(version).await;
        Ok(())
    }

    async fn view(&self, name: &str) -> Result<PipelineView, LogError> {
        let shared = &*self.shared;
        let configured = shared.configured.iter().find(|pipeline| pipeline.name == name).cloned();
        let configured = configured.unwrap_or_else(|| Configured::unknown(name));
        let group = known(shared.engine.describe_group(&configured.group).await)?;
        let group = group.unwrap_or_else(|| no_group(&configured.group));
        let unread = self.unread(&configured, &group.partitions).await?;
        let partitions: Vec<GroupLag> = group.partitions.into_iter().chain(unread).collect();
        let mut topics: BTreeSet<String> = configured.topics.into_iter().collect();
        topics.extend(partitions.iter().map(|at| at.topic.clone()));
        let workers: Vec<WorkerView> = group.members.into_iter().map(worker).collect();
        let told = workers.iter().find(|worker| !worker.status.sinks.is_empty());
        let sinks = told.map_or(configured.sinks, |worker| worker.status.sinks.clone());
        let (state, reason) = self.state(name, &workers);
        let (dead_lettered, dead_letters_open) = self.letters(name, &configured.dead_letter_topic).await?;
        Ok(PipelineView {
            name: name.to_owned(),
            committed_per_sec: shared.rates.committed_per_sec(&configured.group),
            group: configured.group,
            state,
            reason,
            topics: topics.into_iter().collect(),
            sinks,
            lag: partitions.iter().map(|at| at.lag).sum(),
            dead_lettered,
            dead_letters_open,
            partitions: partitions
                .into_iter()
                .map(|at| (at.topic, at.partition, at.committed, at.end))
                .collect(),
            workers,
        })
    }

    /// Partitions without a position yet: of a pipeline that starts at their beginning, all that is in them lies ahead.
    async fn unread(&self, configured: &Configured, read: &[GroupLag]) -> Result<Vec<GroupLag>, LogError> {
        if configured.start == Start::Latest {
            return Ok(Vec::new());
        }
        let mut unread = Vec::new();
        for topic in &configured.topics {
            let Some(topic) = known(self.shared.engine.describe_topic(topic).await)? else { continue };
            unread.extend(topic.partitions.into_iter().map(|at| GroupLag {
                topic: topic.name.clone(),
                partition: at.partition,
                committed: at.start,
                end: at.end,
                lag: u64::try_from(at.end - at.start).unwrap_or(0),
            }));
        }
        let is_read = |at: &GroupLag| {
            read.iter().any(|known| known.topic == at.topic && known.partition == at.partition)
        };
        unread.retain(|at| !is_read(at));
        Ok(unread)
    }

    /// What was said to the pipeline counts most, then the worker that is worst off.
    fn state(&self, name: &str, workers: &[WorkerView]) -> (&'static str, Option<String>) {
        if let Some(given) = self.shared.commands.watch().borrow().of(name)
            && let Command::Pause { reason, by_fuse } = &given.command
        {
            return (if *by_fuse { "fuse_blown" } else { "paused" }, Some(reason.clone()));
        }
        let order = [
            (WorkerState::Failed, "failed"),
            (WorkerState::Paused, "paused"),
            (WorkerState::Retrying, "retrying"),
            (WorkerState::Running, "running"),
            (WorkerState::Starting, "starting"),
            (WorkerState::Draining, "running"),
        ];
        let worst = order.into_iter().find_map(|(state, shown)| {
            let worker = workers.iter().find(|worker| worker.status.state == state)?;
            Some((shown, worker.status.reason.clone()))
        });
        worst.unwrap_or(("stopped", None))
    }

    /// Dead letters ever, and those nothing became of yet (as of the last second).
    async fn letters(&self, name: &str, topic: &str) -> Result<(u64, u64), LogError> {
        let described = known(self.shared.engine.describe_topic(topic).await)?;
        let total =
            described.map_or(0, |topic| topic.partitions.iter().map(|at| at.end.unsigned_abs()).sum());
        let (seen, open) = self.shared.rates.letters(name).unwrap_or((0, 0));
        Ok((total, open + total.saturating_sub(seen)))
    }
}

impl Configured {
    fn of(spec: &PipelineSpec) -> Self {
        Self {
            name: spec.name.clone(),
            group: spec.group.clone(),
            topics: spec.from.clone(),
            start: spec.start,
            sinks: spec.sinks.iter().map(|sink| sink.kind().to_owned()).collect(),
            dead_letter_topic: spec.dead_letter_topic.clone(),
        }
    }

    /// A pipeline of another process, of which only the name is known.
    fn unknown(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            group: format!("{GROUP_PREFIX}{name}"),
            topics: Vec::new(),
            start: Start::Earliest,
            sinks: Vec::new(),
            dead_letter_topic: format!("{TOPIC_PREFIX}{name}"),
        }
    }
}

/// What is described; `None` when there is no such thing. That the log doesn't answer is no sign of that.
fn known<T>(described: Result<T, EngineError>) -> Result<Option<T>, LogError> {
    match described.map_err(LogError::from) {
        Ok(described) => Ok(Some(described)),
        Err(error @ LogError::Unavailable(_)) => Err(error),
        Err(_) => Ok(None),
    }
}

fn no_group(group: &str) -> GroupDescription {
    GroupDescription {
        group: group.to_owned(),
        state: floe_engine::GroupState::Empty,
        generation: 0,
        members: Vec::new(),
        partitions: Vec::new(),
    }
}

fn worker(member: MemberDescription) -> WorkerView {
    WorkerView {
        id: member.id,
        client_id: member.client_id,
        last_seen_ms: member.last_seen_ms,
        partitions: member.assignment,
        // before its first heartbeat a member has said nothing: it is starting
        status: serde_json::from_slice::<WorkerStatus>(&member.status).unwrap_or_default(),
    }
}
