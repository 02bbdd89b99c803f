//! One pipeline in this process: a member of its consumer group, and a task for each partition it owns.
//!
//! [`member`] joins, keeps the membership, starts and stops [`partition`]s, commits where they are and tells how they do.
//! A partition reads ([`gather`]), runs the steps, and delivers ([`delivery`]) to each sink in turn; what can't be
//! delivered is dead-lettered before anything counts as done.

mod backoff;
mod delivery;
mod fuse;
mod gather;
mod member;
mod outage;
mod partition;
mod roster;
mod steps;
mod switch;
mod tally;

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use floe_transform::Transform;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    Log, PipelineSpec, Services, WorkerError, dead_letters::DeadLetterWriter, moment::now_ms, sinks::Sink,
};
use fuse::Fuse;
use outage::Outage;
use steps::Steps;
use switch::{Cause, Switch};
use tally::Tally;

pub(crate) use member::Member;

/// What the partitions of a pipeline share.
#[derive(Debug)]
pub(crate) struct Shared {
    spec: PipelineSpec,
    name: Arc<str>,
    log: Log,
    outlets: Vec<Outlet>,
    steps: Steps,
    letters: DeadLetterWriter,
    /// The log's own, for reading and for dead letters.
    log_outage: Outage,
    fuse: Option<Fuse>,
    tally: Tally,
    switch: Switch,
    /// Something happened that the member wants to know of.
    news: Notify,
}

/// A sink, and whether it can be reached.
#[derive(Debug)]
struct Outlet {
    sink: Sink,
    outage: Outage,
}

impl Shared {
    /// Compiles the steps and opens the sinks; nothing is connected. `Err` says what is wrong.
    pub(crate) fn open(spec: PipelineSpec, services: &Services) -> Result<Self, String> {
        let name: Arc<str> = spec.name.as_str().into();
        let transform = Transform::compile(&spec.steps).map_err(|error| error.to_string())?;
        let mut outlets = Vec::with_capacity(spec.sinks.len());
        for sink in &spec.sinks {
            let sink = Sink::open(sink, &name, services)?;
            outlets.push(Outlet { sink, outage: Outage::new(spec.retry.max) });
        }
        let log = services.log.clone();
        Ok(Self {
            steps: Steps::new(transform, spec.step_limit),
            letters: DeadLetterWriter::new(log.clone(), &spec.dead_letter_topic, &spec.group),
            log_outage: Outage::new(spec.retry.max),
            fuse: spec.fuse.map(Fuse::new),
            tally: Tally::default(),
            switch: Switch::new(),
            news: Notify::new(),
            name,
            log,
            outlets,
            spec,
        })
    }

    /// Stops the pipeline in this process until it is resumed.
    fn halt(&self, cause: Cause, reason: &str) {
        if self.switch.halt(cause, reason) {
            tracing::error!(target: "floe_pipeline", pipeline = &*self.name, reason, "the pipeline stops until it is resumed");
            self.news.notify_one();
        }
    }
}

/// A partition, as its task and the member see it.
#[derive(Debug)]
struct Place {
    topic: Arc<str>,
    topic_id: u64,
    partition: u32,
    /// The offset up to which everything is done; below 0 as long as it isn't known.
    done: AtomicI64,
    /// The offset up to which was read.
    read: AtomicI64,
    /// What it waits for, if something is wrong.
    trouble: Mutex<Option<String>>,
}

impl Place {
    fn new(topic: Arc<str>, topic_id: u64, partition: u32) -> Self {
        let (done, read) = (AtomicI64::new(-1), AtomicI64::new(-1));
        Self { topic, topic_id, partition, done, read, trouble: Mutex::new(None) }
    }

    /// The offset up to which everything is done.
    fn done(&self) -> Option<i64> {
        Some(self.done.load(Ordering::Acquire)).filter(|done| *done >= 0)
    }

    fn error(&self, offset: i64, error: &str) -> WorkerError {
        let topic = self.topic.to_string();
        WorkerError { at: now_ms(), topic, partition: self.partition, offset, error: error.to_owned() }
    }
}
