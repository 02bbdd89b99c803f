//! Writing dead letters.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use floe_engine::{Append, Header, IdempotencyKey, NewRecord, StoredRecord};
use floe_store::PositionKey;

use super::{ANY_CONTENT, headers};
use crate::{
    Log, LogError, excerpt,
    limits::{DEAD_LETTER_BYTES, ERROR_BYTES},
};

/// What happened to a record that can't be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub error: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it failed first, milliseconds since the epoch.
    pub first_ms: i64,
    /// When it failed last.
    pub last_ms: i64,
}

/// Writes the dead letters of one pipeline, or of whatever else takes records that may fail.
#[derive(Debug)]
pub struct DeadLetterWriter {
    log: Log,
    topic: Arc<str>,
    group: Arc<str>,
    /// Whether the topic is known to be there.
    made: AtomicBool,
}

impl DeadLetterWriter {
    /// Dead letters of a consumer group's records, into a topic that is made when the first one is written.
    #[must_use]
    pub fn new(log: Log, topic: &str, group: &str) -> Self {
        Self { log, topic: topic.into(), group: group.into(), made: AtomicBool::new(false) }
    }

    /// Makes the topic unless it is known to be there. To be called before several are written at once: they keep their
    /// order only if none of them has to wait for the topic.
    pub(crate) async fn prepare(&self) -> Result<(), LogError> {
        if self.made.load(Ordering::Relaxed) { Ok(()) } else { self.make_topic().await }
    }

    /// Writes one dead letter; durable on `Ok`. A repeat for the same record makes no second one, also after a restart.
    pub async fn write(
        &self,
        at: &PositionKey,
        record: &StoredRecord,
        failure: &Failure,
    ) -> Result<(), LogError> {
        let offset = record.offset;
        match self.store(at, offset, self.letter(at, record, failure)).await {
            Err(LogError::Refused(why)) => {
                // Better without its value than not at all, and better than a partition that stands still.
                tracing::error!(
                    target: "floe_pipeline", pipeline = &*at.pipeline, topic = &*at.topic, partition = at.partition,
                    offset, error = %why, "a dead letter is written without its value"
                );
                let mut letter = self.letter(at, record, failure);
                let bytes = letter.value.take().map_or(0, |value| value.len());
                letter.headers.push(headers::text(headers::VALUE_BYTES, bytes.to_string()));
                self.store(at, offset, letter).await
            }
            stored => stored,
        }
    }

    fn letter(&self, at: &PositionKey, record: &StoredRecord, failure: &Failure) -> NewRecord {
        let mut all: Vec<Header> = record.headers.clone();
        all.extend([
            headers::text(headers::TOPIC, &*at.topic),
            headers::text(headers::PARTITION, at.partition.to_string()),
            headers::text(headers::OFFSET, record.offset.to_string()),
            headers::text(headers::GROUP, &*self.group),
            headers::text(headers::ATTEMPTS, failure.attempts.to_string()),
            headers::text(headers::MESSAGE, excerpt::of(&failure.error, ERROR_BYTES)),
            headers::text(headers::FIRST, failure.first_ms.to_string()),
            headers::text(headers::LAST, failure.last_ms.to_string()),
        ]);
        let (key, value) = (record.key.clone(), record.value.clone());
        NewRecord { key, value, headers: all, partition: Some(0), timestamp: None }
    }

    async fn store(&self, at: &PositionKey, offset: i64, letter: NewRecord) -> Result<(), LogError> {
        let key = format!("dlq:{}:{}:{}:{}:{offset}", at.pipeline, at.log, at.topic_id, at.partition);
        let append = Append {
            topic: self.topic.to_string(),
            records: vec![letter],
            acks: None,
            idempotency: Some(IdempotencyKey { key, fingerprint: ANY_CONTENT }),
        };
        match self.log.append(append.clone()).await {
            Err(LogError::NoTopic { .. }) => {
                self.make_topic().await?;
                self.log.append(append).await.map(drop)
            }
            stored => stored.map(drop),
        }
    }

    async fn make_topic(&self) -> Result<(), LogError> {
        let most = DEAD_LETTER_BYTES.to_string();
        let config = [("max.message.bytes", most.as_str()), ("retention.ms", "-1")];
        self.log.ensure_topic(&self.topic, 1, &config).await?;
        self.made.store(true, Ordering::Relaxed);
        Ok(())
    }
}
