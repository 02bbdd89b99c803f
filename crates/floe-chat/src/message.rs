//! What the topics of the chat hold: one JSON object a record, keyed by its session.

use bytes::Bytes;
use floe_engine::{Append, IdempotencyKey, NewRecord, StoredRecord};
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::limits::{CONTENT_BYTES_MAX, ID_BYTES_MAX};

/// Which of the three topics a message belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageType {
    /// What a person asks.
    Query,
    /// The question with what was found for it and the session's history: what a model is asked.
    Prompt,
    /// What came of it.
    Answer,
}

/// Marks a repeat, whatever it holds: what is done again after a crash is stored once.
pub(crate) const ANY_CONTENT: u64 = 0;

impl MessageType {
    /// All, by name.
    pub const ALL: [(&'static str, Self); 3] =
        [("query", Self::Query), ("prompt", Self::Prompt), ("answer", Self::Answer)];

    /// The type of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }

    /// Its name, which is its topic's, too.
    #[must_use]
    pub const fn topic(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Prompt => "prompt",
            Self::Answer => "answer",
        }
    }
}

/// Where an answer comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// The document's id.
    pub document: String,
    /// The document's title.
    pub title: String,
    /// The headings above the passage.
    pub section: String,
    /// Which passage of the document, counted from 0.
    pub passage: u32,
    /// A quote from the passage.
    pub snippet: String,
    /// How well it matches the question: larger is better, and comparable within one answer only.
    pub score: f32,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnswerStatus {
    /// It is complete.
    Answered,
    /// The person stopped it: it is what there was by then.
    Stopped,
    /// There is none: see the error.
    Failed,
}

/// A question and its answer, as a session remembers them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// The question's id.
    pub request_id: String,
    /// What was asked.
    pub question: String,
    /// What was answered.
    #[serde(default)]
    pub answer: String,
    /// Where from.
    #[serde(default)]
    pub sources: Vec<Source>,
    /// How it ended.
    pub status: AnswerStatus,
    /// Of a question that failed: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When, RFC 3339.
    pub at: String,
}

/// A passage that a model is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Excerpt {
    #[serde(flatten)]
    pub(crate) source: Source,
    /// All of its text.
    pub(crate) text: String,
}

/// A message of one of the three topics.
///
/// The same schema everywhere; what only some types have is left out of the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Of a query: the id that its prompt and its answer have, too.
    pub id: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: MessageType,
    /// Whose conversation it is part of.
    pub session_id: String,
    /// Who asked, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The text.
    pub content: String,
    /// When it was made, RFC 3339 with milliseconds.
    pub created_at: String,
    /// Follows a question through all topics and logs: 32 hexadecimal digits, as in W3C Trace Context.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub trace_id: String,
    /// Of an answer: where it comes from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
    /// Of an answer: how it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<AnswerStatus>,
    /// Of a prompt and an answer: what was asked, as it may be shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// Of a prompt: what was found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) excerpts: Vec<Excerpt>,
    /// Of a prompt: what the passages say themselves, if they answer the question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) extract: Option<String>,
    /// Of a prompt: what was said before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) history: Vec<Spoken>,
}

/// A question and an answer of before, for a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spoken {
    pub(crate) question: String,
    pub(crate) answer: String,
}

/// What is wrong with a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageFault {
    /// It has no text.
    #[error("the content is empty")]
    Empty,
    /// It has too much text.
    #[error("the content has {bytes} bytes, at most {CONTENT_BYTES_MAX} are taken")]
    TooLong {
        /// How much.
        bytes: usize,
    },
    /// An id isn't one.
    #[error("{field} is 1 to {ID_BYTES_MAX} letters, digits, hyphens and underscores")]
    Id {
        /// Which.
        field: &'static str,
    },
    /// The record doesn't hold a message.
    #[error("the record is no message of the chat: {0}")]
    NotAMessage(String),
}

impl Message {
    /// A message of now, with ids of its own.
    #[must_use]
    pub fn new(kind: MessageType, session_id: &str, content: String, now_ms: i64) -> Self {
        Self {
            id: new_id(),
            kind,
            session_id: session_id.to_owned(),
            user_id: None,
            content,
            created_at: rfc3339(now_ms),
            trace_id: new_trace_id(),
            sources: Vec::new(),
            status: None,
            question: None,
            excerpts: Vec::new(),
            extract: None,
            history: Vec::new(),
        }
    }

    /// What follows from this message: the same ids, another type and text.
    pub(crate) fn follow_up(&self, kind: MessageType, content: String, now_ms: i64) -> Self {
        Self {
            id: self.id.clone(),
            user_id: self.user_id.clone(),
            trace_id: self.trace_id.clone(),
            question: Some(self.question.clone().unwrap_or_else(|| self.content.clone())),
            ..Self::new(kind, &self.session_id, content, now_ms)
        }
    }

    /// Checks what a person can get wrong.
    pub fn check(&self) -> Result<(), MessageFault> {
        check_content(&self.content)?;
        check_id("id", &self.id)?;
        check_id("session_id", &self.session_id)?;
        self.user_id.as_deref().map_or(Ok(()), |user| check_id("user_id", user))
    }

    /// The message as a record of its topic.
    fn record(&self) -> NewRecord {
        NewRecord {
            key: Some(Bytes::copy_from_slice(self.session_id.as_bytes())),
            value: Some(serde_json::to_vec(self).unwrap_or_default().into()),
            partition: Some(0),
            ..NewRecord::default()
        }
    }

    /// The message on its way into the topic of its type.
    pub(crate) fn append(&self) -> Append {
        let (topic, records) = (self.kind.topic().to_owned(), vec![self.record()]);
        Append { topic, records, acks: None, idempotency: None }
    }

    /// The same once: a repeat under its session and id stores nothing, and is refused if its fingerprint is another one.
    pub(crate) fn append_once(&self, fingerprint: u64) -> Append {
        let key = format!("chat:{}:{}:{}", self.kind.topic(), self.session_id, self.id);
        Append { idempotency: Some(IdempotencyKey { key, fingerprint }), ..self.append() }
    }

    /// The message that a record holds.
    pub(crate) fn of(record: &StoredRecord) -> Result<Self, MessageFault> {
        let value = record.value.as_deref().unwrap_or_default();
        serde_json::from_slice(value).map_err(|error| MessageFault::NotAMessage(error.to_string()))
    }

    /// The message that a record holds; of one that somebody else wrote there, its text.
    pub(crate) fn of_any(kind: MessageType, record: &StoredRecord) -> Self {
        Self::of(record).unwrap_or_else(|_| {
            let text = |bytes: &Option<Bytes>| {
                String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned()
            };
            Self {
                id: format!("{}-{}", record.partition, record.offset),
                trace_id: String::new(),
                ..Self::new(kind, &text(&record.key), text(&record.value), record.timestamp)
            }
        })
    }
}

/// Checks a text that a person wrote.
pub(crate) fn check_content(content: &str) -> Result<(), MessageFault> {
    if content.trim().is_empty() {
        return Err(MessageFault::Empty);
    }
    if content.len() > CONTENT_BYTES_MAX {
        return Err(MessageFault::TooLong { bytes: content.len() });
    }
    Ok(())
}

/// Checks an id that a client chose.
pub fn check_id(field: &'static str, id: &str) -> Result<(), MessageFault> {
    let named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if id.is_empty() || id.len() > ID_BYTES_MAX || !id.bytes().all(named) {
        return Err(MessageFault::Id { field });
    }
    Ok(())
}

/// An id that nobody can guess.
#[must_use]
pub fn new_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// A trace id of W3C Trace Context.
#[must_use]
pub fn new_trace_id() -> String {
    data_encoding::HEXLOWER.encode(&rand::random::<[u8; 16]>())
}

/// A time as text.
pub(crate) fn rfc3339(ms: i64) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}

/// A time from text, milliseconds since the epoch.
pub(crate) fn milliseconds(text: &str) -> Option<i64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_what_was_written() {
        let mut query = Message::new(MessageType::Query, "s-1", "why?".to_owned(), 1_700_000_000_123);
        query.user_id = Some("u".to_owned());
        let answer = query.follow_up(MessageType::Answer, "so".to_owned(), 1_700_000_000_999);
        assert_eq!((&answer.id, &answer.trace_id), (&query.id, &query.trace_id));
        assert_eq!(answer.question.as_deref(), Some("why?"));
        let text = serde_json::to_string(&query).unwrap();
        assert_eq!(serde_json::from_str::<Message>(&text).unwrap(), query);
        assert!(
            text.contains("\"type\":\"query\"")
                && text.contains("\"created_at\":\"2023-11-14T22:13:20.123Z\"")
        );
        assert_eq!(milliseconds(&query.created_at), Some(1_700_000_000_123));
    }

    #[test]
    fn what_is_no_id_or_no_text_is_refused() {
        for id in ["", "a b", "a/b", "é", &"a".repeat(65)] {
            assert_eq!(check_id("session_id", id), Err(MessageFault::Id { field: "session_id" }), "{id}");
        }
        assert_eq!(check_id("session_id", "A-z_9"), Ok(()));
        assert_eq!(check_content(" \n\t"), Err(MessageFault::Empty));
        assert!(matches!(check_content(&"a".repeat(16_001)), Err(MessageFault::TooLong { bytes: 16_001 })));
    }
}
