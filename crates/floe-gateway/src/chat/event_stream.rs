//! An answer as Server-Sent Events, while it is written.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use floe_chat::{ChatEvent, Outcome, Seat, Told};
use futures_util::stream;
use http::{HeaderName, HeaderValue, header};
use serde_json::{Value, json};
use tokio::{sync::watch, time::timeout};

use crate::gateway::Gateway;

/// How often a stream without events shows that it is alive.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);

/// One client's stream.
struct Answering {
    seat: Seat,
    request_id: String,
    opening: Option<Bytes>,
    is_over: bool,
    stopping: watch::Receiver<bool>,
}

/// The answer to one question from a seat that was taken before it was asked; `known` is what had become of it right after that.
pub(super) fn answer(
    gateway: &Arc<Gateway>,
    seat: Seat,
    session: &str,
    request_id: String,
    known: Option<Outcome>,
) -> Response {
    let mut opening = event("ack", &json!({"request_id": request_id, "session_id": session}));
    let end = match known {
        Some(Outcome::Answered(turn)) => Some(event(
            "answer",
            &json!({"request_id": request_id, "content": turn.answer, "sources": turn.sources, "status": turn.status}),
        )),
        Some(Outcome::Failed { code, detail }) => {
            Some(event("error", &json!({"request_id": request_id, "code": code, "detail": detail})))
        }
        Some(Outcome::Running) | None => None,
    };
    let is_over = end.is_some();
    opening.extend(end.unwrap_or_default());
    let answering =
        Answering { seat, request_id, opening: Some(opening.into()), is_over, stopping: gateway.stopping() };
    let chunks = stream::unfold(answering, |mut answering| async move {
        let chunk = answering.next().await?;
        Some((Ok::<_, std::convert::Infallible>(chunk), answering))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

impl Answering {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(opening) = self.opening.take() {
            return Some(opening);
        }
        while !self.is_over {
            let told = tokio::select! {
                biased;
                _ = self.stopping.wait_for(|stopping| *stopping) => {
                    self.is_over = true;
                    return Some(Bytes::from_static(b": the server is stopping\n\n"));
                }
                told = timeout(HEARTBEAT_EVERY, self.seat.next()) => told,
            };
            match told {
                Err(_) => return Some(Bytes::from_static(b": heartbeat\n\n")),
                // the client is told to look for the answer itself
                Ok(Told::Missed) => self.is_over = true,
                Ok(Told::Event(told)) => {
                    if let Some(chunk) = self.chunk(&told) {
                        return Some(chunk);
                    }
                }
            }
        }
        None
    }

    /// What this client hears of an event.
    fn chunk(&mut self, told: &ChatEvent) -> Option<Bytes> {
        let (name, of) = match told {
            ChatEvent::Query { .. } => return None,
            ChatEvent::Delta { request_id, .. } => ("delta", request_id),
            ChatEvent::Restart { request_id } => ("restart", request_id),
            ChatEvent::Answer { request_id, .. } => ("answer", request_id),
            ChatEvent::Error { request_id, .. } => ("error", request_id),
        };
        if *of != self.request_id {
            return None;
        }
        self.is_over = matches!(told, ChatEvent::Answer { .. } | ChatEvent::Error { .. });
        let mut data = serde_json::to_value(told).unwrap_or_default();
        if let Value::Object(fields) = &mut data {
            fields.remove("type");
        }
        Some(event(name, &data).into())
    }
}

fn event(name: &str, data: &Value) -> Vec<u8> {
    format!("event: {name}\ndata: {data}\n\n").into_bytes()
}
