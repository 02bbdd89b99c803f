//! Questions that can't be answered: told to the session, and kept as dead letters.

use floe_engine::StoredRecord;
use floe_pipeline::{DeadLetterWriter, Failure, Log, LogError, PositionKey};
use tokio::time::sleep;

use crate::{
    limits::LOOK_AGAIN,
    message::Message,
    stream::{News, StreamEvent},
};

/// The name under which `/dead-letters` and `floe dlq` know them.
pub(crate) const PIPELINE: &str = "chat";
/// Where they are kept.
const TOPIC: &str = "dlq.chat";

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unanswered {
    /// For programs.
    pub(crate) code: &'static str,
    /// For people.
    pub(crate) detail: String,
    /// How often it was tried.
    pub(crate) attempts: u32,
}

impl Unanswered {
    /// Nothing was heard of it for longer than it is kept.
    pub(crate) fn in_time() -> Self {
        let detail = "nobody answered the question in time".to_owned();
        Self { code: "NOT_ANSWERED", detail, attempts: 1 }
    }
}

/// Writes failures down.
#[derive(Debug)]
pub(crate) struct Failures {
    log: Log,
    letters: DeadLetterWriter,
}

impl Failures {
    pub(crate) fn new(log: Log) -> Self {
        let letters = DeadLetterWriter::new(log.clone(), TOPIC, PIPELINE);
        Self { log, letters }
    }

    /// Keeps a record that failed as a dead letter, durably, once. A log that can't be reached is waited for.
    pub(crate) async fn bury(
        &self,
        topic: &'static str,
        record: &StoredRecord,
        why: &Unanswered,
        now_ms: i64,
    ) {
        let failure = Failure {
            error: format!("{}: {}", why.code, why.detail),
            attempts: why.attempts,
            first_ms: now_ms,
            last_ms: now_ms,
        };
        persist("a dead letter", || self.write(topic, record, &failure)).await;
    }

    async fn write(
        &self,
        topic: &'static str,
        record: &StoredRecord,
        failure: &Failure,
    ) -> Result<(), LogError> {
        let shape = self.log.topic(topic).await?;
        let at = PositionKey {
            pipeline: PIPELINE.into(),
            log: self.log.id().await?,
            topic_id: shape.id,
            topic: topic.into(),
            partition: record.partition,
        };
        self.letters.write(&at, record, failure).await
    }

    /// Tells the session that there will be no answer, durably.
    pub(crate) async fn tell(&self, message: &Message, why: &Unanswered, now_ms: i64) {
        let news = News::Error { code: why.code.to_owned(), detail: why.detail.clone() };
        let event = StreamEvent {
            session_id: message.session_id.clone(),
            request_id: message.id.clone(),
            attempt: now_ms,
            news,
        };
        persist("the failure of a question", || event.tell(&self.log)).await;
    }
}

/// Does something that must not get lost, until it is done or will never be.
pub(crate) async fn persist<T, A: Future<Output = Result<T, LogError>>>(
    what: &'static str,
    attempt: impl Fn() -> A,
) -> Option<T> {
    let mut failed = false;
    loop {
        match attempt().await {
            Ok(done) => return Some(done),
            Err(LogError::Unavailable(why)) => {
                if !failed {
                    tracing::warn!(why, "{what} can't be stored for now; it is tried again");
                }
                failed = true;
            }
            Err(error) => {
                tracing::error!(%error, "{what} can't be stored");
                return None;
            }
        }
        sleep(LOOK_AGAIN).await;
    }
}
