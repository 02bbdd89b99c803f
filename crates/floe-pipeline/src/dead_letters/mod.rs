//! Dead letters: records that a pipeline could not deliver, with why, in the topic `dlq.<pipeline>`.

mod headers;
mod marks;
mod origins;
mod redrive;
mod scan;
mod write;

use std::sync::Arc;

use bytes::Bytes;
use floe_engine::{Engine, EngineError, Header, TopicDescription};
use tokio::sync::Mutex;

use crate::{LogError, limits::LETTERS_PER_PAGE};
use marks::Marks;
use origins::Origins;
use scan::Scan;

pub use write::{DeadLetterWriter, Failure};

/// Topics with this prefix hold dead letters.
pub const TOPIC_PREFIX: &str = "dlq.";

/// One dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// `partition-offset` in the dead-letter topic.
    pub id: String,
    /// What became of it.
    pub state: DeadLetterState,
    /// Why it is here.
    pub error: String,
    /// How often it was tried.
    pub attempts: u32,
    /// Milliseconds since the epoch.
    pub first_failure: Option<i64>,
    /// Milliseconds since the epoch.
    pub last_failure: i64,
    /// Where it came from, as far as its headers say.
    pub origin: Option<Origin>,
    /// How often it has been redriven before.
    pub redrives: u32,
    /// As it was in the origin topic.
    pub key: Option<Bytes>,
    /// As it was in the origin topic.
    pub value: Option<Bytes>,
    /// As they were in the origin topic.
    pub headers: Vec<Header>,
}

/// Where a record was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The offset.
    pub offset: i64,
}

/// What became of a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadLetterState {
    /// Waits for somebody.
    Open,
    /// Was written to its origin topic again.
    Redriven,
    /// Somebody decided against it.
    Discarded,
}

/// Counts of one pipeline's dead letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterCounts {
    /// The pipeline: the topic's name without the prefix.
    pub pipeline: String,
    /// Ever.
    pub total: u64,
    /// Of those, redriven.
    pub redriven: u64,
    /// Of those, discarded.
    pub discarded: u64,
    /// Of those, still waiting (and still kept by the topic's retention).
    pub open: u64,
}

/// Which dead letters are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// By id; empty means all.
    pub ids: Vec<String>,
    /// Only those whose error contains this text.
    pub error_contains: Option<String>,
    /// Only of this origin topic.
    pub topic: Option<String>,
    /// At most so many.
    pub limit: Option<usize>,
}

/// How to redrive.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Redrive {
    /// Which.
    pub selection: Selection,
    /// Only say what would be done.
    pub dry_run: bool,
    /// At most so many a second.
    pub rate: Option<f64>,
    /// Also those that were redriven [`MAX_REDRIVES`] times before.
    pub force: bool,
}

/// A record that came back so often isn't redriven again unless forced.
pub const MAX_REDRIVES: u32 = 3;

/// What a redrive did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redriven {
    /// Written to their origin topics again.
    pub redriven: u64,
    /// Left alone: id and why (redriven before, came back too often, no origin, its topic is gone).
    pub skipped: Vec<(String, String)>,
}

/// A page of dead letters.
#[derive(Clone, Debug)]
pub struct DeadLetterPage {
    /// Oldest first.
    pub letters: Vec<DeadLetter>,
    /// The id to go on behind; `None` at the end.
    pub next: Option<String>,
}

/// Of idempotency keys that name a record: the key alone says what is a repeat.
const ANY_CONTENT: u64 = 0;

/// The dead letters of a log. Cloning shares it.
///
/// What is known of them is read on whenever something is asked, so answers are never behind.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    engine: Engine,
    /// Held while marks are decided on and written: of two that redrive at once, the second sees what the first did.
    marks: Mutex<Marks>,
    origins: Mutex<Origins>,
}

impl DeadLetters {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(engine: Engine) -> Self {
        Self { shared: Arc::new(Shared { engine, marks: Mutex::default(), origins: Mutex::default() }) }
    }

    /// Of every topic `dlq.…`.
    pub async fn counts(&self) -> Result<Vec<DeadLetterCounts>, LogError> {
        let engine = &self.shared.engine;
        let mut marks = self.shared.marks.lock().await;
        marks.catch_up(engine).await?;
        let mut all = Vec::new();
        for topic in engine.topics().await? {
            let Some(pipeline) = topic.name.strip_prefix(TOPIC_PREFIX) else { continue };
            let topic = match engine.describe_topic(&topic.name).await {
                Err(EngineError::TopicNotFound { .. }) => continue,
                topic => topic?,
            };
            let (redriven, discarded) = marks.counts(topic.id);
            let mut counts = DeadLetterCounts { redriven, discarded, ..DeadLetterCounts::default() };
            counts.pipeline = pipeline.to_owned();
            for at in &topic.partitions {
                let kept = at.end.saturating_sub(at.start).unsigned_abs();
                counts.total += at.end.unsigned_abs();
                counts.open += kept.saturating_sub(marks.marked_from(topic.id, at.partition, at.start));
            }
            all.push(counts);
        }
        Ok(all)
    }

    /// Of one pipeline, behind `after`; only open ones unless `all`. At most 1,000 at once, and fewer when they are
    /// large. `NoTopic` when it never had any.
    pub async fn list(
        &self,
        pipeline: &str,
        after: Option<&str>,
        limit: usize,
        all: bool,
    ) -> Result<DeadLetterPage, LogError> {
        let topic = self.shared.engine.describe_topic(&topic_of(pipeline)).await?;
        let after = match after {
            None => None,
            Some(id) => {
                let ids = Selection { ids: vec![id.to_owned()], ..Selection::default() };
                ids.places()?.into_iter().next()
            }
        };
        let mut scan = self.scan(topic, after, all).await?;
        let letters = scan.page(limit.clamp(1, LETTERS_PER_PAGE), |_| true).await?;
        let next = if scan.more().await? { letters.last().map(|letter| letter.id.clone()) } else { None };
        Ok(DeadLetterPage { letters, next })
    }

    /// One of them; `None` when there is no such one, or not any more. `NoTopic` when the pipeline never had any.
    pub async fn get(&self, pipeline: &str, id: &str) -> Result<Option<DeadLetter>, LogError> {
        let topic = self.shared.engine.describe_topic(&topic_of(pipeline)).await?;
        let Some((partition, offset)) = parse_id(id) else { return Ok(None) };
        self.shared.marks.lock().await.catch_up(&self.shared.engine).await?;
        self.at(&topic, partition, offset).await
    }

    /// Dead letters that came from this record, with their pipelines: among the newest 100,000.
    pub async fn of_origin(&self, origin: &Origin) -> Result<Vec<(String, DeadLetter)>, LogError> {
        let places = {
            let mut origins = self.shared.origins.lock().await;
            origins.catch_up(&self.shared.engine).await?;
            origins.of(origin)
        };
        self.shared.marks.lock().await.catch_up(&self.shared.engine).await?;
        let mut found = Vec::new();
        for place in places {
            let topic = match self.shared.engine.describe_topic(&place.topic).await {
                Ok(topic) if topic.id == place.topic_id => topic,
                Ok(_) | Err(EngineError::TopicNotFound { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            let pipeline = place.topic.strip_prefix(TOPIC_PREFIX).unwrap_or(&place.topic).to_owned();
            let letter = self.at(&topic, place.partition, place.offset).await?;
            found.extend(letter.map(|letter| (pipeline, letter)));
        }
        Ok(found)
    }

    async fn scan(
        &self,
        topic: TopicDescription,
        after: Option<(u32, i64)>,
        all: bool,
    ) -> Result<Scan<'_>, LogError> {
        let shared = &*self.shared;
        shared.marks.lock().await.catch_up(&shared.engine).await?;
        Ok(Scan::new(&shared.engine, &shared.marks, topic, after, all))
    }

    async fn at(
        &self,
        topic: &TopicDescription,
        partition: u32,
        offset: i64,
    ) -> Result<Option<DeadLetter>, LogError> {
        let bounds = topic.partitions.iter().find(|bounds| bounds.partition == partition);
        if bounds.is_none_or(|bounds| !(bounds.start..bounds.end).contains(&offset)) {
            return Ok(None);
        }
        let records = match scan::read(&self.shared.engine, &topic.name, partition, offset, 1).await {
            Err(EngineError::OffsetOutOfRange { .. }) => return Ok(None),
            read => read?.0,
        };
        let state = self.shared.marks.lock().await.state(topic.id, partition, offset);
        let record = records.into_iter().next().filter(|record| record.offset == offset);
        Ok(record.map(|record| headers::decode(record, state)))
    }
}

/// The topic with a pipeline's dead letters.
fn topic_of(pipeline: &str) -> String {
    format!("{TOPIC_PREFIX}{pipeline}")
}

fn id(partition: u32, offset: i64) -> String {
    format!("{partition}-{offset}")
}

fn parse_id(id: &str) -> Option<(u32, i64)> {
    let (partition, offset) = id.split_once('-')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(partition) || !digits(offset) {
        return None;
    }
    Some((partition.parse().ok()?, offset.parse().ok()?))
}
