//! What workers tell gateways while an answer is written: the records of `chat.stream` and `chat.stops`.

use bytes::Bytes;
use floe_engine::{Append, NewRecord, StoredRecord};
use floe_pipeline::{Log, LogError};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::topics;

/// A piece of news about a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StreamEvent {
    pub(crate) session_id: String,
    pub(crate) request_id: String,
    /// Which attempt at the answer this belongs to: a later one begins anew, what is left of an earlier one doesn't count.
    pub(crate) attempt: i64,
    #[serde(flatten)]
    pub(crate) news: News,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum News {
    /// The next part of the answer.
    Delta { content: String },
    /// There will be no answer.
    Error { code: String, detail: String },
}

/// Somebody wants an answer to end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Stop {
    pub(crate) session_id: String,
    pub(crate) request_id: String,
}

impl StreamEvent {
    /// Tells it; durable on `Ok`.
    pub(crate) async fn tell(&self, log: &Log) -> Result<(), LogError> {
        append(log, topics::STREAM, &self.session_id, self).await
    }
}

impl Stop {
    /// Asks for it; durable on `Ok`.
    pub(crate) async fn tell(&self, log: &Log) -> Result<(), LogError> {
        append(log, topics::STOPS, &self.session_id, self).await
    }
}

/// What a record of one of these topics says; nothing if somebody else wrote it.
pub(crate) fn read<T: DeserializeOwned>(record: &StoredRecord) -> Option<T> {
    serde_json::from_slice(record.value.as_deref()?).ok()
}

async fn append(log: &Log, topic: &str, key: &str, value: &impl Serialize) -> Result<(), LogError> {
    let value = serde_json::to_vec(value).map_err(|error| LogError::Refused(error.to_string()))?;
    let record = NewRecord {
        key: Some(Bytes::copy_from_slice(key.as_bytes())),
        value: Some(value.into()),
        partition: Some(0),
        ..NewRecord::default()
    };
    let append = Append { topic: topic.to_owned(), records: vec![record], acks: None, idempotency: None };
    log.append(append).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_are_read_as_they_were_told() {
        for news in [
            News::Delta { content: "so".to_owned() },
            News::Error { code: "MODEL_FAILED".to_owned(), detail: "why".to_owned() },
        ] {
            let event =
                StreamEvent { session_id: "s".to_owned(), request_id: "r".to_owned(), attempt: 7, news };
            let text = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<StreamEvent>(&text).unwrap(), event, "{text}");
        }
    }
}
