//! The topics of the chat, which are made at start.

use std::time::Duration;

use floe_pipeline::{Log, LogError};
use tokio::time::sleep;

use crate::{
    limits::{LOOK_AGAIN, RECORD_BYTES_MAX},
    message::MessageType,
};

/// What is said while an answer is written, and what went wrong: for gateways, as long as the messages.
pub const STREAM: &str = "chat.stream";
/// Answers that somebody wants stopped: for workers, as long as the messages.
pub const STOPS: &str = "chat.stops";
/// What sessions remember, without Redis.
pub const SESSIONS: &str = "chat.sessions";
/// The documents that answers come from; kept for good.
pub const DOCUMENTS: &str = "chat.documents";

/// Makes the topics that aren't there. Each has one partition: its order is the order of what was said. One that is there keeps its
/// settings.
pub(crate) async fn make(log: &Log, retention: Duration, session_expiry: Duration) -> Result<(), LogError> {
    let short = retention.as_millis().to_string();
    let messages = MessageType::ALL.map(|(_, kind)| kind.topic());
    for topic in messages.into_iter().chain([STREAM, STOPS]) {
        // Kafka deletes whole segments only
        log.ensure_topic(topic, 1, &[("retention.ms", &short), ("segment.ms", &short)]).await?;
    }
    let expiry = session_expiry.as_millis().to_string();
    log.ensure_topic(SESSIONS, 1, &[("retention.ms", &expiry)]).await?;
    // with its key and its place in a batch
    let largest = (RECORD_BYTES_MAX + RECORD_BYTES_MAX / 20).to_string();
    let kept = [("retention.ms", "-1"), ("retention.bytes", "-1"), ("max.message.bytes", largest.as_str())];
    log.ensure_topic(DOCUMENTS, 1, &kept).await
}

/// The same, however long that takes. Cancel-safe.
pub(crate) async fn make_at_last(log: &Log, retention: Duration, session_expiry: Duration) {
    let mut failed = false;
    while let Err(error) = make(log, retention, session_expiry).await {
        if !failed {
            tracing::warn!(%error, "the chat's topics can't be made; it is tried again");
        }
        failed = true;
        sleep(LOOK_AGAIN).await;
    }
}
