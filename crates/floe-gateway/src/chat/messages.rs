//! `/messages`: the producer's door and the consumer's.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use floe_chat::{MessageType, Source, new_id};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;

use super::{chat, failure};
use crate::{
    gateway::Gateway,
    json::{JsonBody, answer},
    limits::{WAIT_MS_MAX, WAIT_SLICE},
    params::{Params, RawParams, wait_of},
    problem::{ApiError, Code, Problem},
};

/// The group of those who name none.
const GROUP: &str = "messages";

/// A message to be stored.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewMessage {
    /// `query`, `prompt` or `answer`.
    #[serde(rename = "type")]
    #[schema(example = "query")]
    kind: String,
    /// A new one if absent.
    session_id: Option<String>,
    user_id: Option<String>,
    content: String,
}

/// A message that was stored.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MessageStored {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    session_id: String,
    partition: u32,
    offset: i64,
}

/// A message that was taken.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MessageTaken {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    session_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    content: String,
    created_at: String,
    offset: i64,
    /// Of a query: whether the profanity filter found something.
    #[serde(skip_serializing_if = "Option::is_none")]
    filtered: Option<bool>,
    /// Of a query: whether its content is held back for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    sources: Vec<Source>,
}

/// Post a message
///
/// Stored in the topic of its type. A `query` is answered like one that was asked at `/chat`.
#[utoipa::path(
    post,
    path = "/messages",
    tag = "chat (seed 002)",
    request_body = NewMessage,
    responses(
        (status = 201, description = "Stored, on disk", body = MessageStored),
        (status = 400, description = "Not JSON, or another type", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "An id or the content is not as it should be", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn post_message(
    State(gateway): State<Arc<Gateway>>,
    params: RawParams,
    JsonBody(new): JsonBody<NewMessage>,
) -> Result<Response, ApiError> {
    params.only(&[])?;
    let chat = chat(&gateway)?;
    let kind = kind_of(&new.kind)?;
    let mut message = chat.message(kind, &new.session_id.unwrap_or_else(new_id), new.content);
    message.user_id = new.user_id;
    let posted = chat.post(message).await.map_err(failure)?;
    let stored = MessageStored {
        id: posted.message.id,
        kind: kind.topic(),
        session_id: posted.message.session_id,
        partition: posted.placement.partition,
        offset: posted.placement.offset,
    };
    Ok(answer(StatusCode::CREATED, stored))
}

/// Take the next message
///
/// The next one that the group has not had, in the order of storing: each once, whoever asks at the same time. The group's
/// position is behind it, on disk, before the answer.
#[utoipa::path(
    get,
    path = "/messages",
    tag = "chat (seed 002)",
    params(
        ("type" = String, Query, description = "`query`, `prompt` or `answer`"),
        ("group" = Option<String>, Query, description = "Whose position; `messages` if absent"),
        ("wait_ms" = Option<u64>, Query, description = "How long to wait for one, 0 to 60000; 0 if absent"),
    ),
    responses(
        (status = 200, description = "The message", body = MessageTaken),
        (status = 204, description = "There is none"),
        (status = 400, description = "A parameter that isn't taken", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "A page of another origin", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn take_message(
    State(gateway): State<Arc<Gateway>>,
    params: RawParams,
    headers: http::HeaderMap,
) -> Result<Response, ApiError> {
    gateway.guard().refuse_other_pages(&headers)?;
    let params = params.only(&["type", "group", "wait_ms"])?;
    let kind =
        params.text("type").ok_or_else(|| ApiError::bad_request("the query parameter 'type' is missing"))?;
    let kind = kind_of(kind)?;
    let group = params.text("group").unwrap_or(GROUP);
    if group.starts_with("chat.") {
        let detail = format!("the group '{}' is the chat's own: take another name", group.escape_debug());
        return Err(ApiError::new(Code::Forbidden, detail));
    }
    let until = Instant::now() + wait(&params)?;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        // in slices: a server that stops, or a client that leaves, waits for one of them at most
        let taken = chat(&gateway)?.take(kind, group, left.min(WAIT_SLICE)).await;
        let taken = match taken.map_err(failure) {
            // the first message of all makes the topic
            Err(error) if error.code() == Code::TopicNotFound => None,
            taken => taken?,
        };
        let Some(taken) = taken else {
            if left.is_zero() || gateway.is_stopping() {
                return Ok(StatusCode::NO_CONTENT.into_response());
            }
            continue;
        };
        let is_query = kind == MessageType::Query;
        let message = taken.message;
        return Ok(answer(
            StatusCode::OK,
            MessageTaken {
                id: message.id,
                kind: kind.topic(),
                session_id: message.session_id,
                user_id: message.user_id,
                content: message.content,
                created_at: message.created_at,
                offset: taken.offset,
                filtered: is_query.then_some(taken.filtered),
                rejected: (is_query && taken.rejected).then_some(true),
                sources: message.sources,
            },
        ));
    }
}

fn wait(params: &Params) -> Result<Duration, ApiError> {
    Ok(wait_of(params.number("wait_ms", 0..=WAIT_MS_MAX)?))
}

fn kind_of(name: &str) -> Result<MessageType, ApiError> {
    MessageType::named(name).ok_or_else(|| {
        let name: String = name.escape_debug().take(40).collect();
        ApiError::bad_request(format!("type: '{name}' is not one of query, prompt, answer"))
    })
}
