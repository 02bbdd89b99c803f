//! Where records go. A folder per sink, each with the same files: `config.rs` (what can be configured, checked before
//! anything starts, secrets redacted) and `mod.rs` (the sink).

pub mod events;
pub mod fields;
pub mod file;
mod line;
pub mod redis;
pub mod sql;
pub mod stdout;
pub mod topic;
pub mod webhook;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use floe_engine::Header;
use floe_store::PositionKey;
use serde::Deserialize;

use crate::{Services, excerpt};

/// The header that names an event.
const EVENT_ID_HEADER: &str = "event-id";

/// A longer name is not taken for one.
const RECORD_ID_BYTES_MAX: usize = 200;

/// How much of what others say is told.
const TOLD_BYTES_MAX: usize = 200;

/// A sink, as configured. `type` names it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SinkSpec {
    /// The event store.
    Events(events::EventsSpec),
    /// A table of SQLite or PostgreSQL.
    Sql(sql::SqlSpec),
    /// A file of JSON lines.
    File(file::FileSpec),
    /// Standard output.
    Stdout(stdout::StdoutSpec),
    /// HTTP requests.
    Webhook(webhook::WebhookSpec),
    /// Redis Pub/Sub or a Redis Stream.
    Redis(redis::RedisSpec),
    /// Another topic.
    Topic(topic::TopicSpec),
}

impl SinkSpec {
    /// What `type` says.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Events(_) => "events",
            Self::Sql(_) => "sql",
            Self::File(_) => "file",
            Self::Stdout(_) => "stdout",
            Self::Webhook(_) => "webhook",
            Self::Redis(_) => "redis",
            Self::Topic(_) => "topic",
        }
    }

    /// The database (`None` is the event store's) and table in which it keeps positions, if it does.
    pub(crate) fn keeps_positions_in(&self) -> Option<(Option<&fields::Secret>, &str)> {
        match self {
            Self::Events(_) => Some((None, "events")),
            Self::Sql(sql) => Some((sql.url.as_ref(), &sql.table)),
            Self::File(_) | Self::Stdout(_) | Self::Webhook(_) | Self::Redis(_) | Self::Topic(_) => None,
        }
    }
}

/// Records of one partition on their way to a sink, in order of offset.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The records; may be empty when all were dropped or dead-lettered.
    pub records: Vec<Outgoing>,
    /// Where the partition is read on after this batch.
    pub next_offset: i64,
}

/// One record on its way to a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The offset it was read at.
    pub offset: i64,
    /// Counts the values that a map made of one record.
    pub index: u32,
    /// Milliseconds since the epoch.
    pub timestamp: i64,
    /// The key.
    pub key: Option<Bytes>,
    /// The value after the steps.
    pub value: Option<Bytes>,
    /// The headers.
    pub headers: Vec<Header>,
}

/// Why a delivery was not (fully) done. Decided by the sink, acted on by the pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryError {
    /// The sink can't be reached: waited for, however long it takes.
    Unavailable(String),
    /// The first `delivered` records are done; the next one was refused for now. Tried again within the retry's bounds.
    Retry {
        /// Records that are done.
        delivered: usize,
        /// Why.
        error: String,
        /// When the sink asked to be tried again.
        after: Option<Duration>,
    },
    /// The first `delivered` records are done; these (by place in the batch) will never be taken. The rest is delivered again.
    Poison {
        /// Records that are done.
        delivered: usize,
        /// Place and why.
        records: Vec<(usize, String)>,
    },
    /// Somebody else owns the partition by now: it is given up.
    Fenced,
    /// Needs a person: the pipeline stops until it is resumed.
    Fatal(String),
}

/// An open sink of a pipeline, shared by its partitions.
#[derive(Clone, Debug)]
pub struct Sink {
    label: Arc<str>,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Events(events::EventsSink),
    Sql(sql::SqlSink),
    File(file::FileSink),
    Stdout(stdout::StdoutSink),
    Webhook(webhook::WebhookSink),
    Redis(redis::RedisSink),
    Topic(topic::TopicSink),
}

impl Sink {
    /// Checks and prepares; connects to nothing yet. `Err` says what is wrong with the configuration.
    pub fn open(spec: &SinkSpec, pipeline: &Arc<str>, services: &Services) -> Result<Self, String> {
        let kind = match spec {
            SinkSpec::Events(spec) => Kind::Events(events::EventsSink::open(spec, pipeline, services)?),
            SinkSpec::Sql(spec) => Kind::Sql(sql::SqlSink::open(spec, pipeline, services)?),
            SinkSpec::File(spec) => Kind::File(file::FileSink::open(spec)?),
            SinkSpec::Stdout(spec) => Kind::Stdout(stdout::StdoutSink::open(spec)),
            SinkSpec::Webhook(spec) => Kind::Webhook(webhook::WebhookSink::open(spec)?),
            SinkSpec::Redis(spec) => Kind::Redis(redis::RedisSink::open(spec, services)?),
            SinkSpec::Topic(spec) => Kind::Topic(topic::TopicSink::open(spec, pipeline, services)?),
        };
        Ok(Self { label: kind.label().into(), kind })
    }

    /// For people and logs: kind and target, without secrets (`sql quakes`, `webhook https://example.com/hook`).
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Takes hold of a partition for `owner` (a worker's id).
    pub async fn claim(&self, key: &PositionKey, owner: &str) -> Result<Hold, DeliveryError> {
        let kind = match &self.kind {
            Kind::Events(sink) => HoldKind::Events(sink.claim(key, owner).await?),
            Kind::Sql(sink) => HoldKind::Sql(sink.claim(key, owner).await?),
            Kind::File(sink) => HoldKind::File(sink.claim(key).await?),
            Kind::Stdout(sink) => HoldKind::Stdout(sink.claim(key)),
            Kind::Webhook(sink) => HoldKind::Webhook(sink.claim(key)),
            Kind::Redis(sink) => HoldKind::Redis(sink.claim(key)),
            Kind::Topic(sink) => HoldKind::Topic(sink.claim(key).await?),
        };
        Ok(Hold { kind })
    }
}

impl Kind {
    fn label(&self) -> String {
        match self {
            Self::Events(sink) => sink.label(),
            Self::Sql(sink) => sink.label(),
            Self::File(sink) => sink.label(),
            Self::Stdout(sink) => sink.label(),
            Self::Webhook(sink) => sink.label(),
            Self::Redis(sink) => sink.label(),
            Self::Topic(sink) => sink.label(),
        }
    }
}

/// A sink's hold on one partition.
#[derive(Debug)]
pub struct Hold {
    kind: HoldKind,
}

#[derive(Debug)]
enum HoldKind {
    Events(events::EventsHold),
    Sql(sql::SqlHold),
    File(file::FileHold),
    Stdout(stdout::StdoutHold),
    Webhook(webhook::WebhookHold),
    Redis(redis::RedisHold),
    Topic(topic::TopicHold),
}

impl Hold {
    /// Where the sink itself says that reading goes on; `None` if it keeps no positions.
    #[must_use]
    pub fn position(&self) -> Option<i64> {
        match &self.kind {
            HoldKind::Events(hold) => hold.position(),
            HoldKind::Sql(hold) => hold.position(),
            HoldKind::File(_)
            | HoldKind::Stdout(_)
            | HoldKind::Webhook(_)
            | HoldKind::Redis(_)
            | HoldKind::Topic(_) => None,
        }
    }

    /// Delivers in order. `Ok`: the records are where the sink promises them to be, and its position (if it keeps one)
    /// is `batch.next_offset`. May be called again with what is left after an error. Records before the sink's own position
    /// are passed over. Not called concurrently for one hold.
    pub async fn deliver(&mut self, batch: &Batch) -> Result<(), DeliveryError> {
        match &mut self.kind {
            HoldKind::Events(hold) => hold.deliver(batch).await,
            HoldKind::Sql(hold) => hold.deliver(batch).await,
            HoldKind::File(hold) => hold.deliver(batch).await,
            HoldKind::Stdout(hold) => hold.deliver(batch).await,
            HoldKind::Webhook(hold) => hold.deliver(batch).await,
            HoldKind::Redis(hold) => hold.deliver(batch).await,
            HoldKind::Topic(hold) => hold.deliver(batch).await,
        }
    }
}

/// What names a value wherever it is delivered again: the record's own `event-id`, else its place in the log.
fn record_id(topic: &str, partition: u32, record: &Outgoing) -> String {
    let own = record.headers.iter().rev().find(|header| header.name == EVENT_ID_HEADER);
    let own = own.and_then(|header| std::str::from_utf8(header.value.as_deref()?).ok());
    let own = own.filter(|id| {
        (1..=RECORD_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
    });
    match (own, record.index) {
        (Some(id), 0) => id.to_owned(),
        (Some(id), index) => format!("{id}-{index}"),
        (None, index) => format!("{topic}-{partition}-{}-{index}", record.offset),
    }
}

/// A text from outside as it may stand in an error.
fn printable(text: &str) -> String {
    excerpt::of(text.trim(), TOLD_BYTES_MAX)
}
