//! `/v1/events`: what is in the store: list, find, count, erase.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use floe_pipeline::units::span;
use floe_store::{CountBy, EventCount, EventFilter, FollowedEvent, ListOrder, StoredEvent};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::{service, store_failure};
use crate::{
    gateway::Gateway,
    json::{answer, written},
    limits::{COUNT_SPAN_MIN, STORED_EVENTS_DEFAULT, STORED_EVENTS_MAX},
    params::{InPath, Params, RawParams},
    problem::{ApiError, Code, Problem},
    records::write_number,
    timestamp,
};

/// An event as it is stored.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes to the OpenAPI document what is written by hand")]
pub(crate) struct StoredEventView {
    id: String,
    event_type: Option<String>,
    user_id: Option<String>,
    #[schema(value_type = Object)]
    data: (),
    timestamp: String,
    stored_at: String,
    /// Its place in the order of storing; `cursor=` and `after=` go on behind it.
    cursor: i64,
}

/// Stored events.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes to the OpenAPI document what is written by hand")]
pub(crate) struct StoredEventList {
    events: Vec<StoredEventView>,
    /// What `cursor` is for the next page. Newest first it is null at the end; oldest first it never is once there are
    /// events, and leads to those that come.
    next: Option<i64>,
}

/// Counts of stored events.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventCounts {
    /// `event_type` or `user_id`.
    by: &'static str,
    counts: Vec<CountView>,
}

#[derive(Debug, Serialize, ToSchema)]
struct CountView {
    /// The type, or the user; null for events without.
    name: Option<String>,
    /// With `every`, the start of the span.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    count: u64,
}

/// List stored events
#[utoipa::path(
    get,
    path = "/v1/events",
    tag = "activity (seed 003)",
    params(
        ("event_type" = Option<String>, Query, description = "Only of this type"),
        ("user_id" = Option<String>, Query, description = "Only of this user"),
        ("since" = Option<String>, Query, description = "Only those that happened at or after this RFC 3339 time"),
        ("until" = Option<String>, Query, description = "Only those that happened before this RFC 3339 time"),
        ("limit" = Option<u32>, Query, description = "At most so many, 1 to 1000; 100 if absent"),
        ("cursor" = Option<String>, Query, description = "Go on where an earlier answer said"),
        ("order" = Option<String>, Query, description = "`newest` (default) or `oldest` first, in the order of storing"),
    ),
    responses(
        (status = 200, description = "In the order of storing", body = StoredEventList),
        (status = 400, description = "A parameter that isn't taken", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The store can't be reached", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list_events(
    State(gateway): State<Arc<Gateway>>,
    params: RawParams,
) -> Result<Response, ApiError> {
    let params = params.only(&["event_type", "user_id", "since", "until", "limit", "cursor", "order"])?;
    let limit = params.number("limit", 1..=STORED_EVENTS_MAX)?.unwrap_or(STORED_EVENTS_DEFAULT);
    let cursor = place(&params, "cursor")?;
    let order = match params.text("order") {
        None | Some("newest") => ListOrder::NewestFirst,
        Some("oldest") => ListOrder::OldestFirst,
        Some(other) => {
            let detail = format!("order={} is not one of newest, oldest", other.escape_debug());
            return Err(ApiError::bad_request(detail));
        }
    };
    let filter = filter(&params)?;
    let page = service(&gateway)?.store.page(&filter, order, cursor, limit).await.map_err(store_failure)?;
    let last = page.events.last().map(|event| event.seq);
    let next = match order {
        ListOrder::OldestFirst => last.or(cursor),
        ListOrder::NewestFirst => last.filter(|_| !page.whole),
    };
    Ok(print(page.events, next))
}

/// Find a stored event
#[utoipa::path(
    get,
    path = "/v1/events/{id}",
    tag = "activity (seed 003)",
    params(("id" = String, Path, description = "Its id")),
    responses(
        (status = 200, description = "The event", body = StoredEventView),
        (status = 404, description = "No such event is stored", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The store can't be reached", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn find_event(
    State(gateway): State<Arc<Gateway>>,
    InPath(id): InPath<String>,
    params: RawParams,
) -> Result<Response, ApiError> {
    params.only(&[])?;
    let found = service(&gateway)?.store.get(&id).await.map_err(store_failure)?;
    let event = found.ok_or_else(|| not_stored(&id))?;
    Ok(written(StatusCode::OK, FollowedEvent::from(event).frame.to_vec()))
}

/// Erase a stored event
///
/// Its row is gone, durably, and doesn't come back. The topic `events` keeps the record until its retention removes it.
#[utoipa::path(
    delete,
    path = "/v1/events/{id}",
    tag = "activity (seed 003)",
    params(("id" = String, Path, description = "Its id")),
    responses(
        (status = 204, description = "Gone"),
        (status = 404, description = "No such event is stored", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The store can't be reached", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn erase_event(
    State(gateway): State<Arc<Gateway>>,
    InPath(id): InPath<String>,
    params: RawParams,
) -> Result<StatusCode, ApiError> {
    params.only(&[])?;
    match service(&gateway)?.store.delete(&id).await.map_err(store_failure)? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(not_stored(&id)),
    }
}

/// Count stored events
#[utoipa::path(
    get,
    path = "/v1/events/counts",
    tag = "activity (seed 003)",
    params(
        ("by" = Option<String>, Query, description = "`event_type` (default) or `user_id`"),
        ("every" = Option<String>, Query, description = "Per span of time, by when they happened: `1s` or longer, such as `1m`, `1h`, `1d`"),
        ("event_type" = Option<String>, Query, description = "Only of this type"),
        ("user_id" = Option<String>, Query, description = "Only of this user"),
        ("since" = Option<String>, Query, description = "Only those that happened at or after this RFC 3339 time"),
        ("until" = Option<String>, Query, description = "Only those that happened before this RFC 3339 time"),
    ),
    responses(
        (status = 200, description = "Those above zero", body = EventCounts),
        (status = 400, description = "A parameter that isn't taken", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The store can't be reached", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn count_events(
    State(gateway): State<Arc<Gateway>>,
    params: RawParams,
) -> Result<Response, ApiError> {
    let params = params.only(&["by", "every", "event_type", "user_id", "since", "until"])?;
    let (by, name) = match params.text("by") {
        None | Some("event_type") => (CountBy::EventType, "event_type"),
        Some("user_id") => (CountBy::UserId, "user_id"),
        Some(other) => {
            let detail = format!("by={} is not one of event_type, user_id", other.escape_debug());
            return Err(ApiError::bad_request(detail));
        }
    };
    let every = every(&params)?;
    let filter = filter(&params)?;
    let counts = service(&gateway)?.store.counts(&filter, by, every).await.map_err(store_failure)?;
    let view = |count: EventCount| CountView {
        name: count.name,
        from: count.from.and_then(timestamp::format),
        count: count.count,
    };
    let counts = counts.into_iter().map(view).collect();
    Ok(answer(StatusCode::OK, EventCounts { by: name, counts }))
}

/// Which events are asked for.
pub(super) fn filter(params: &Params) -> Result<EventFilter, ApiError> {
    let time = |name: &str| {
        let Some(text) = params.text(name) else { return Ok(None) };
        timestamp::parse(text).map(Some).ok_or_else(|| {
            ApiError::bad_request(format!("{name}={} is not an RFC 3339 time", text.escape_debug()))
        })
    };
    Ok(EventFilter {
        event_type: params.text("event_type").map(str::to_owned),
        user_id: params.text("user_id").map(str::to_owned),
        since: time("since")?,
        until: time("until")?,
    })
}

/// A place in the order of storing.
pub(super) fn place(params: &Params, name: &str) -> Result<Option<i64>, ApiError> {
    let Some(text) = params.text(name) else { return Ok(None) };
    text.parse().ok().filter(|seq| *seq >= 0).map(Some).ok_or_else(|| {
        ApiError::bad_request(format!(
            "{name}={} is not a cursor that an event or a list had",
            text.escape_debug()
        ))
    })
}

fn every(params: &Params) -> Result<Option<Duration>, ApiError> {
    let Some(text) = params.text("every") else { return Ok(None) };
    match span::parse(text) {
        Some(every) if every >= COUNT_SPAN_MIN => Ok(Some(every)),
        _ => {
            let detail = format!("every={} is not a span of 1s or longer, such as 1m", text.escape_debug());
            Err(ApiError::bad_request(detail))
        }
    }
}

fn not_stored(id: &str) -> ApiError {
    let id: String = id.chars().take(64).collect();
    let detail = format!(
        "no event '{}' is stored; GET /get_status?event_id= says whether one was accepted",
        id.escape_debug()
    );
    ApiError::new(Code::NotFound, detail)
}

/// Events are printed as those who follow get them.
fn print(events: Vec<StoredEvent>, next: Option<i64>) -> Response {
    let mut out = Vec::with_capacity(64 + 320 * events.len());
    out.extend_from_slice(b"{\"events\":[");
    for (at, event) in events.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&FollowedEvent::from(event).frame);
    }
    out.extend_from_slice(b"],\"next\":");
    match next {
        Some(seq) => write_number(&mut out, seq),
        None => out.extend_from_slice(b"null"),
    }
    out.push(b'}');
    written(StatusCode::OK, out)
}
