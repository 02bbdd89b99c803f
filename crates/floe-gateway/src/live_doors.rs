//! Where the sockets and streams of live topics come in, and what the OpenAPI document says of them.

use std::sync::Arc;

use axum::{
    extract::{Path, Request, State},
    response::Response,
};

use crate::{
    gateway::Gateway,
    params::InPath,
    problem::{ApiError, Problem},
    sse, ws,
};

/// Live topics over a WebSocket
///
/// JSON text frames. To the server: `subscribe`, `unsubscribe`, `publish`, `ping`; from it: `ack`, `event`, `error`,
/// `pong`, `info`.
#[utoipa::path(
    get,
    path = "/ws",
    tag = "live",
    responses(
        (status = 101, description = "The socket is open"),
        (status = 403, description = "A page of another origin", body = Problem, content_type = "application/problem+json"),
        (status = 426, description = "Not a WebSocket handshake", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn web_socket(state: State<Arc<Gateway>>, request: Request) -> Response {
    ws::upgrade(state, request).await
}

/// Follow a topic by Server-Sent Events
///
/// `id:` is a cursor, `data:` the record as in a read. `Last-Event-ID` or `from` resumes with nothing lost.
#[utoipa::path(
    get,
    path = "/topics/{topic}/stream",
    tag = "live",
    params(
        ("topic" = String, Path, description = "The topic"),
        ("from" = Option<String>, Query, description = "`earliest`, `latest` (default), a cursor, or an RFC 3339 time"),
        ("Last-Event-ID" = Option<String>, Header, description = "The cursor of the last event received"),
    ),
    responses(
        (status = 200, description = "Events as they become visible", body = String, content_type = "text/event-stream"),
        (status = 404, description = "No such topic", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn event_stream(
    state: State<Arc<Gateway>>,
    InPath(topic): InPath<String>,
    request: Request,
) -> Result<Response, ApiError> {
    sse::stream(state, Path(topic), request).await
}
