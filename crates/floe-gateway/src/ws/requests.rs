//! What each request does.

use std::{borrow::Cow, sync::Arc};

use floe_engine::{Append, Engine, EngineError};

use super::{
    change::Changed,
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
            Request::Subscribe(subscribe) => self.subscribe(message.request_id, subscribe),
            Request::Unsubscribe(name) => self.unsubscribe(message.request_id, name),
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

    fn subscribe(&mut self, request_id: Option<String>, subscribe: Subscribe) {
        let Subscribe { name, start, filter } = subscribe;
        if !self.watches.has_room_for(&name) {
            let detail = format!("a socket has at most {SUBSCRIPTIONS_MAX} subscriptions; open another one");
            return self.answer(reply::error(request_id.as_deref(), Code::RateLimited, &detail));
        }
        let (gateway, signal) = (Arc::clone(&self.gateway), Arc::clone(self.watches.signal()));
        self.begin(async move {
            let subscription = gateway.live().subscribe(&name.topic, start, &signal).await.map(Box::new);
            Changed::Subscribed { request_id, name, filter, subscription }
        });
    }

    fn unsubscribe(&mut self, request_id: Option<String>, name: Name) {
        // Unsubscribing twice is no error: the wish is fulfilled. From a topic that isn't there it is a mistake.
        if self.watches.remove(&name) {
            return self.answer(reply::ack(request_id.as_deref(), &name.topic, None));
        }
        let engine = self.gateway.engine().clone();
        self.begin(async move {
            let known = engine.topic_summary(&name.topic).await.map(drop);
            Changed::Unsubscribed { request_id, name, known }
        });
    }

    fn begin(&mut self, change: impl Future<Output = Changed> + Send + 'static) {
        if let Some(changed) = self.change.begin(change) {
            self.changed(*changed);
        }
    }

    /// Answers a request to change subscriptions.
    pub(super) fn changed(&mut self, changed: Changed) {
        match changed {
            Changed::Subscribed { request_id, name, filter, subscription: Ok(subscription) } => {
                let beyond = subscription.started_beyond_end();
                let note = beyond.then_some("the cursor lies past the topic's end; waiting at the end");
                self.answer(reply::ack(request_id.as_deref(), &name.topic, note));
                self.watches.add(name, filter, subscription);
            }
            Changed::Unsubscribed { request_id, name, known: Ok(()) } => {
                self.answer(reply::ack(request_id.as_deref(), &name.topic, None));
            }
            Changed::Subscribed { request_id, subscription: Err(error), .. }
            | Changed::Unsubscribed { request_id, known: Err(error), .. } => {
                self.answer(refused(request_id.as_deref(), &error));
            }
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
