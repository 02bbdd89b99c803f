//! `/messages`: any message in, and each out once, in order, whoever asks.

use std::time::Duration;

use floe_engine::{DeliveryMode, Placement, Poll};

use super::{Chat, ChatError};
use crate::{
    limits::READ_BYTES,
    message::{Message, MessageType},
};

/// A message that was stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Posted {
    /// The message with its ids.
    pub message: Message,
    /// Where it is.
    pub placement: Placement,
}

/// A message as it leaves.
#[derive(Clone, Debug, PartialEq)]
pub struct FilteredMessage {
    /// The message; a query's content went through the profanity filter.
    pub message: Message,
    /// Where it is.
    pub offset: i64,
    /// Whether the filter found something.
    pub filtered: bool,
    /// Whether the policy is to hold back the content of such a message.
    pub rejected: bool,
}

impl Chat {
    /// Stores a message in the topic of its type, in a session that is opened unless it is there; durable on `Ok`.
    pub async fn post(&self, message: Message) -> Result<Posted, ChatError> {
        message.check()?;
        self.enter(&message.session_id, message.user_id.as_deref()).await?;
        let placement = self.append(message.append()).await?;
        tracing::info!(
            topic = message.kind.topic(),
            offset = placement.offset,
            id = message.id,
            trace_id = message.trace_id,
            "a message"
        );
        Ok(Posted { message, placement })
    }

    /// A message of now, to be posted.
    #[must_use]
    pub fn message(&self, kind: MessageType, session_id: &str, content: String) -> Message {
        Message::new(kind, session_id, content, self.inner.clock.now_ms())
    }

    /// The next message of this type for a group; `None` when there was none in this time. The group's position is behind it,
    /// durably, before the answer: no two callers get the same one, none is left out, and their order is the topic's. Only queries
    /// are filtered, and the stored record stays as it is.
    pub async fn take(
        &self,
        kind: MessageType,
        group: &str,
        wait: Duration,
    ) -> Result<Option<FilteredMessage>, ChatError> {
        let poll = Poll {
            group: group.to_owned(),
            topics: vec![kind.topic().to_owned()],
            partition: None,
            max_records: 1,
            max_bytes: READ_BYTES,
            wait,
            mode: DeliveryMode::Commit,
            require_subscription: false,
        };
        let delivery = self.inner.engine.poll(poll).await?;
        let Some((_, record)) = delivery.records.into_iter().next() else { return Ok(None) };
        let mut message = Message::of_any(kind, &record);
        let (mut filtered, mut rejected) = (false, false);
        if kind == MessageType::Query {
            let checked = self.inner.filter.check(&message.content);
            (filtered, rejected) = (checked.filtered, checked.rejected);
            let content = checked.content.into_owned();
            message.content = if rejected { String::new() } else { content };
        }
        Ok(Some(FilteredMessage { message, offset: record.offset, filtered, rejected }))
    }
}
