//! The pipelines of this process.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use floe_store::EventStore;
use tokio::{sync::watch, task::JoinSet, time::timeout};

use crate::{
    Log, PipelineSpec,
    commands::Commands,
    sinks::SinkSpec,
    worker::{Member, Shared},
};

/// What sinks may need beside their own configuration.
#[derive(Clone, Debug)]
pub struct Services {
    /// The log.
    pub log: Log,
    /// The database for SQL sinks without a `url` of their own, and the event store on it.
    pub store: Option<EventStore>,
    /// Redis for Redis sinks without a `url` of their own.
    pub redis: Option<String>,
}

/// The pipelines that run in this process. Dropping it ends them at once, as a crash would: what was not committed is
/// delivered again by whoever gets the partitions.
#[derive(Debug)]
pub struct Pipelines {
    members: JoinSet<()>,
    drain: watch::Sender<bool>,
}

impl Pipelines {
    /// Checks everything and starts one task per pipeline. A topic, database or Redis that isn't there is waited for.
    /// `Err` says which pipeline can't be started and why. Must be called inside a tokio runtime.
    #[expect(clippy::needless_pass_by_value, reason = "the pipelines own the services")]
    pub fn start(services: Services, specs: Vec<PipelineSpec>) -> Result<Self, String> {
        let (mut names, mut groups) = (BTreeSet::new(), BTreeSet::new());
        let mut opened = Vec::with_capacity(specs.len());
        for spec in specs {
            let name = spec.name.clone();
            let named = |why: String| format!("pipeline '{name}': {why}");
            check(&spec).map_err(named)?;
            if !names.insert(name.clone()) {
                return Err(named("there are two of this name".to_owned()));
            }
            if !groups.insert(spec.group.clone()) {
                return Err(named(format!(
                    "another pipeline has the group '{}', too: each would get a part of the records",
                    spec.group
                )));
            }
            opened.push(Arc::new(Shared::open(spec, &services).map_err(named)?));
        }
        let (drain, draining) = watch::channel(false);
        let mut members = JoinSet::new();
        if !opened.is_empty() {
            let commands = Commands::follow(services.log.clone());
            let client_id: Arc<str> = format!("floe-{}", std::process::id()).into();
            for shared in opened {
                let member = Member::new(shared, commands.clone(), Arc::clone(&client_id), draining.clone());
                members.spawn(member.run());
            }
        }
        Ok(Self { members, drain })
    }

    /// Lets each partition finish the batch it holds (at most so long), commits, leaves the groups.
    pub async fn drain(mut self, limit: Duration) {
        self.drain.send_replace(true);
        let all = async { while self.members.join_next().await.is_some() {} };
        if timeout(limit, all).await.is_err() {
            tracing::warn!(
                target: "floe_pipeline", pipelines = self.members.len(),
                "pipelines did not finish in time; what they held is delivered again"
            );
        }
    }
}

fn check(spec: &PipelineSpec) -> Result<(), String> {
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if spec.name.is_empty() || spec.name.len() > MAX_NAME_BYTES || !spec.name.chars().all(named) {
        return Err(format!(
            "a name has 1 to {MAX_NAME_BYTES} letters, digits, dots, underscores and hyphens"
        ));
    }
    if spec.from.is_empty() {
        return Err("it reads no topic".to_owned());
    }
    if spec.sinks.is_empty() {
        return Err("it has no sink".to_owned());
    }
    for sink in &spec.sinks {
        if let SinkSpec::Topic(sink) = sink
            && spec.from.contains(&sink.topic)
        {
            return Err(format!("it reads topic '{}' and writes to it", sink.topic));
        }
    }
    // Positions are kept by table: the two would take the partition from each other without end.
    if let Some(twice) = spec.sinks.iter().enumerate().find_map(|(place, sink)| {
        let table = sink.keeps_positions_in()?;
        spec.sinks[..place].iter().any(|other| other.keeps_positions_in() == Some(table)).then_some(table.1)
    }) {
        return Err(format!("two of its sinks write to the table '{twice}'"));
    }
    if spec.from.contains(&spec.dead_letter_topic) {
        return Err("it reads its own dead letters: redrive them instead".to_owned());
    }
    if spec.batch.max_records == 0 || spec.batch.max_bytes == 0 || spec.retry.attempts == 0 {
        return Err(
            "a batch has at least one record and one byte, and a record at least one attempt".to_owned()
        );
    }
    let retry = spec.retry;
    if [spec.batch.max_wait, spec.step_limit, retry.initial, retry.max, retry.elapsed]
        .iter()
        .any(|s| *s > LONGEST_SPAN)
    {
        return Err("a span of time is at most 365d".to_owned());
    }
    match spec.fuse {
        Some(fuse) if !(fuse.share > 0.0 && fuse.share <= 1.0) || fuse.window == 0 => {
            Err("the fuse's share is above 0 and at most 1, and its window at least 1".to_owned())
        }
        _ => Ok(()),
    }
}

/// The longest name.
const MAX_NAME_BYTES: usize = 100;
/// The longest span of time in a pipeline's settings.
const LONGEST_SPAN: Duration = Duration::from_secs(365 * 24 * 3_600);
