//! `POST /v1/event` and `POST /v1/events`: in.

use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};

use axum::{
    extract::{Request, State},
    response::Response,
};
use bytes::Bytes;
use floe_engine::{Append, Appended, EngineError};
use floe_store::StoredEvent;
use http::{HeaderMap, StatusCode};
use utoipa::ToSchema;

use super::{
    super::{
        events_topic::{self, EVENTS_TOPIC, EventId, recall_ids},
        ingest::says_lines,
    },
    event::{self, Batch},
    service,
};
use crate::{
    body,
    gateway::Gateway,
    idempotency, json,
    limits::{STORED_WAIT_MS_DEFAULT, WAIT_MS_MAX},
    params::{Params, write_failure},
    problem::{ApiError, Problem},
    records::{write_number, write_str},
    timestamp,
};

/// An activity event.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes to the OpenAPI document what is read by hand")]
pub(crate) struct ActivityEvent {
    /// 1 to 255 bytes; `type` is taken for it.
    #[schema(example = "login")]
    event_type: String,
    /// 1 to 255 bytes.
    #[schema(example = "u1")]
    user_id: String,
    /// `{}` if absent; kept as the text that was sent.
    #[schema(value_type = Option<Object>)]
    data: Option<()>,
    /// RFC 3339; now if absent.
    timestamp: Option<String>,
    /// A new UUIDv7 if absent. The same id twice is stored once.
    id: Option<String>,
}

/// An event that was accepted, or, if that was waited for, stored.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes to the OpenAPI document what is written by hand")]
pub(crate) struct Tracked {
    id: String,
    /// `accepted` or `stored`.
    status: String,
    partition: u32,
    offset: i64,
    /// Once stored.
    stored_at: Option<String>,
    /// Once stored: its place in the order of storing.
    cursor: Option<i64>,
}

/// Events that were accepted.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes to the OpenAPI document what is written by hand")]
pub(crate) struct TrackedBatch {
    #[schema(example = "accepted")]
    status: String,
    accepted: u32,
    /// `[{id, partition, offset}]`, in their order.
    #[schema(value_type = Vec<Object>)]
    events: (),
}

/// Track an event
///
/// Checked against what every event has and the JSON Schema of its type, then accepted, durably. It is stored soon after;
/// `wait=stored` waits for that.
#[utoipa::path(
    post,
    path = "/v1/event",
    tag = "activity (seed 003)",
    params(
        ("wait" = Option<String>, Query, description = "`stored`: answer 201 once it is in the store; 202 if that takes longer than `wait_ms`"),
        ("wait_ms" = Option<u32>, Query, description = "0 to 60000; 10000 if absent"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeat returns the first answer"),
    ),
    request_body = ActivityEvent,
    responses(
        (status = 201, description = "Stored", body = Tracked),
        (status = 202, description = "Accepted, on disk", body = Tracked),
        (status = 400, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The Idempotency-Key was used for other content", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON by its content type", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field is missing or fails its schema; `errors` points at it", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Overloaded, the disk failed, or the log can't be reached", body = Problem, content_type = "application/problem+json"),
        (status = 504, description = "`OUTCOME_UNKNOWN`: it may be stored or not; with the same Idempotency-Key a repeat is safe", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "The disk is full", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn track_event(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let params = Params::parse(parts.uri.query(), &["wait", "wait_ms"])?;
    let wait = wait_for(&gateway, &params)?;
    json::require_json(&parts.headers)?;
    let received = body::receive(&gateway, &parts.headers, body).await?;
    let schemas = gateway.events().map(|events| Arc::clone(&events.schemas));
    let batch = body::parse(&received.bytes, move |body| event::parse_one(body, schemas.as_deref())).await?;
    let Some(wait) = wait else {
        let (ids, appended) = append(&gateway, &parts.headers, &received.bytes, batch).await?;
        return Ok(tracked(&ids, &appended, None));
    };
    let id = batch.ids.first().map(|id| id.text.clone()).unwrap_or_default();
    let mut stored = Box::pin(service(&gateway)?.store.stored(&id));
    // Looked at once before it is appended: from then on nothing is missed.
    let early = poll_fn(|context| Poll::Ready(stored.as_mut().poll(context))).await;
    let (ids, appended) = append(&gateway, &parts.headers, &received.bytes, batch).await?;
    let event = match early {
        Poll::Ready(event) => Some(event),
        // A repeat has the id of the first time.
        Poll::Pending if ids.first().is_some_and(|first| first.text != id) => {
            // One that isn't polled may hold what the store needs.
            drop(stored);
            let first = ids.first().map(|id| id.text.clone()).unwrap_or_default();
            until_stored(&gateway, service(&gateway)?.store.stored(&first), wait).await
        }
        Poll::Pending => until_stored(&gateway, stored, wait).await,
    };
    Ok(tracked(&ids, &appended, event.as_ref()))
}

/// Track events
///
/// An array, `{events: […]}`, or one per line (`application/x-ndjson`): accepted whole or not at all.
#[utoipa::path(
    post,
    path = "/v1/events",
    tag = "activity (seed 003)",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "A repeat returns the first answer"),
    ),
    request_body(
        content(
            (Vec<ActivityEvent> = "application/json"),
            (String = "application/x-ndjson"),
        ),
    ),
    responses(
        (status = 202, description = "Accepted, on disk", body = TrackedBatch),
        (status = 400, description = "Not JSON, or no events", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The Idempotency-Key was used for other content", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON by its content type", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field is missing or fails its schema; `errors` points at it by the event's index", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Overloaded, the disk failed, or the log can't be reached", body = Problem, content_type = "application/problem+json"),
        (status = 504, description = "`OUTCOME_UNKNOWN`: it may be stored or not; with the same Idempotency-Key a repeat is safe", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "The disk is full", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn track_events(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    Params::parse(parts.uri.query(), &[])?;
    let in_lines = says_lines(&parts.headers)?;
    let received = body::receive(&gateway, &parts.headers, body).await?;
    let schemas = gateway.events().map(|events| Arc::clone(&events.schemas));
    let parse = move |body: &Bytes| event::parse_several(body, in_lines, schemas.as_deref());
    let batch = body::parse(&received.bytes, parse).await?;
    let (ids, appended) = append(&gateway, &parts.headers, &received.bytes, batch).await?;
    Ok(tracked_batch(&ids, &appended))
}

/// How long to wait for the store, if it is waited for.
fn wait_for(gateway: &Gateway, params: &Params) -> Result<Option<Duration>, ApiError> {
    let wait_ms = params.number("wait_ms", 0..=WAIT_MS_MAX)?;
    match params.text("wait") {
        None if wait_ms.is_some() => {
            Err(ApiError::bad_request("wait_ms goes with wait=stored; without that nothing is waited for"))
        }
        None => Ok(None),
        Some("stored") => {
            service(gateway)?;
            Ok(Some(Duration::from_millis(wait_ms.unwrap_or(STORED_WAIT_MS_DEFAULT))))
        }
        Some(other) => Err(ApiError::bad_request(format!("wait={} is not 'stored'", other.escape_debug()))),
    }
}

/// Waits for an event to be stored, at most so long and not once the server stops.
async fn until_stored(
    gateway: &Gateway,
    stored: impl Future<Output = StoredEvent>,
    wait: Duration,
) -> Option<StoredEvent> {
    tokio::select! {
        stored = tokio::time::timeout(wait, stored) => stored.ok(),
        () = gateway.stopped() => None,
    }
}

async fn append(
    gateway: &Gateway,
    headers: &HeaderMap,
    body: &[u8],
    batch: Batch,
) -> Result<(Vec<EventId>, Appended), ApiError> {
    let Batch { records, mut ids, .. } = batch;
    let engine = gateway.engine();
    if let Err(EngineError::TopicNotFound { .. }) = engine.topic_summary(EVENTS_TOPIC).await {
        events_topic::make(engine).await?;
    }
    let idempotency = idempotency::of(headers, &[b"v1", body])?;
    let append = Append { topic: EVENTS_TOPIC.to_owned(), records, acks: gateway.acks(None), idempotency };
    let appended = engine.append(append).await.map_err(write_failure)?;
    if appended.replayed {
        recall_ids(engine, EVENTS_TOPIC, &mut ids, &appended.placements).await;
    }
    let known = ids.iter().zip(&appended.placements).filter(|(_, placement)| placement.offset >= 0);
    gateway.receipts().note(EVENTS_TOPIC, known.map(|(id, placement)| (id.text.as_str(), *placement)));
    Ok((ids, appended))
}

fn tracked(ids: &[EventId], appended: &Appended, stored: Option<&StoredEvent>) -> Response {
    let mut out = Vec::with_capacity(192);
    out.push(b'{');
    for (id, placement) in ids.iter().zip(&appended.placements) {
        write_place(&mut out, id, placement);
    }
    out.extend_from_slice(b",\"status\":");
    let status = match stored {
        None => {
            out.extend_from_slice(b"\"accepted\"}");
            StatusCode::ACCEPTED
        }
        Some(event) => {
            out.extend_from_slice(b"\"stored\",\"stored_at\":");
            timestamp::write_json(&mut out, event.stored_at);
            out.extend_from_slice(b",\"cursor\":");
            write_number(&mut out, event.seq);
            out.push(b'}');
            StatusCode::CREATED
        }
    };
    respond(status, out, appended.replayed)
}

fn tracked_batch(ids: &[EventId], appended: &Appended) -> Response {
    let mut out = Vec::with_capacity(64 + 96 * ids.len());
    out.extend_from_slice(b"{\"status\":\"accepted\",\"accepted\":");
    write_number(&mut out, ids.len());
    out.extend_from_slice(b",\"events\":[");
    for (at, (id, placement)) in ids.iter().zip(&appended.placements).enumerate() {
        out.extend_from_slice(if at == 0 { b"{" } else { b",{" });
        write_place(&mut out, id, placement);
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    respond(StatusCode::ACCEPTED, out, appended.replayed)
}

fn write_place(out: &mut Vec<u8>, id: &EventId, placement: &floe_engine::Placement) {
    out.extend_from_slice(b"\"id\":");
    write_str(out, &id.text);
    out.extend_from_slice(b",\"partition\":");
    write_number(out, placement.partition);
    out.extend_from_slice(b",\"offset\":");
    write_number(out, placement.offset);
}

fn respond(status: StatusCode, body: Vec<u8>, replayed: bool) -> Response {
    let mut response = json::written(status, body);
    idempotency::mark(response.headers_mut(), replayed);
    response
}
