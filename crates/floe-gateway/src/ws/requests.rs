//! What each request does.

use std::borrow::Cow;

use floe_engine::{Append, Engine, EngineError};

use super::{
    closing::Leaving,
    frame::CloseCode,
    limits::{BAD_MESSAGES_MAX, SUBSCRIPTIONS_MAX},
    message::{Message, Name, Publish, Request, Subscribe},
    reply,
    session::Session,
};
use crate::{
    params::write_failure,
    problem::{ApiError, Code},
};

impl Session {
    /// Acts on a message. One that changes subscriptions waits for the publishes before it, so that requests take
    /// effect in the order they were sent: what was published first is history to a later `subscribe`.
    pub(super) fn act(&mut self, message: Message) -> Result<(), Leaving> {
        let changes = matches!(message.request, Ok(Request::Subscribe(_) | Request::Unsubscribe(_)));
        if changes && !self.replies.is_empty() {
            self.held = Some(message);
            return Ok(());
        }
        let request_id = message.request_id.as_deref();
        let request = match message.request {
            Ok(request) => request,
            Err(error) => {
                self.answer(reply::error(request_id, error.code(), error.detail()));
                return self.strike();
            }
        };
        self.strikes = 0;
        match request {
            Request::Subscribe(subscribe) => self.subscribe(request_id, subscribe),
            Request::Unsubscribe(name) => self.unsubscribe(request_id, &name),
            Request::Publish(publish) => self.publish(message.request_id, publish),
            Request::Ping => self.answer(reply::pong(request_id)),
        }
        Ok(())
    }

    fn answer(&mut self, reply: bytes::Bytes) {
        if let Some(reply) = self.replies.push(reply) {
            self.outbox.push(reply);
        }
    }

    /// Counts a message that could not be understood.
    fn strike(&mut self) -> Result<(), Leaving> {
        self.strikes += 1;
        if self.strikes < BAD_MESSAGES_MAX {
            return Ok(());
        }
        Err(Leaving::Close(CloseCode::POLICY, Cow::Borrowed("100 messages in a row could not be understood")))
    }

    fn subscribe(&mut self, request_id: Option<&str>, subscribe: Subscribe) {
        let Subscribe { name, start, filter } = subscribe;
        if !self.watches.has_room_for(&name) {
            let detail = format!("a socket has at most {SUBSCRIPTIONS_MAX} subscriptions; open another one");
            return self.answer(reply::error(request_id, Code::RateLimited, &detail));
        }
        match self.gateway.live().subscribe(&name.topic, start, self.watches.signal()) {
            Ok(subscription) => {
                let beyond = subscription.started_beyond_end();
                let note = beyond.then_some("the cursor lies past the topic's end; waiting at the end");
                self.answer(reply::ack(request_id, &name.topic, note));
                self.watches.add(name, filter, subscription);
            }
            Err(error) => self.answer(refused(request_id, &error)),
        }
    }

    /// Unsubscribing twice is no error: the wish is fulfilled. From a topic that isn't there it is a mistake.
    fn unsubscribe(&mut self, request_id: Option<&str>, name: &Name) {
        let had = self.watches.remove(name);
        match self.gateway.engine().topic_summary(&name.topic) {
            Err(error) if !had => self.answer(refused(request_id, &error)),
            Ok(_) | Err(_) => self.answer(reply::ack(request_id, &name.topic, None)),
        }
    }

    fn publish(&mut self, request_id: Option<String>, publish: Publish) {
        let bytes = publish.record.value.as_ref().map_or(0, bytes::Bytes::len);
        let engine = self.gateway.engine().clone();
        self.replies.publish(Box::pin(store(engine, request_id, publish)), bytes);
    }
}

/// Stores a message; gives its reply when the topic's promise holds.
async fn store(engine: Engine, request_id: Option<String>, publish: Publish) -> bytes::Bytes {
    let Publish { topic, record } = publish;
    let append = Append { topic: topic.clone(), records: vec![record], acks: None, idempotency: None };
    match engine.append(append).await {
        Ok(appended) => match appended.placements.first() {
            Some(placement) => reply::stored(request_id.as_deref(), &topic, placement),
            None => reply::ack(request_id.as_deref(), &topic, None),
        },
        Err(error) => failed(request_id.as_deref(), &write_failure(error)),
    }
}

fn refused(request_id: Option<&str>, error: &EngineError) -> bytes::Bytes {
    failed(request_id, &error.clone().into())
}

fn failed(request_id: Option<&str>, error: &ApiError) -> bytes::Bytes {
    if error.code() == Code::Internal {
        tracing::error!(error = error.detail(), "a socket's request failed");
    }
    reply::error(request_id, error.code(), error.detail())
}
