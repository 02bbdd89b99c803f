//! `GET /v1/ws/events`: each event after it is stored, live and from any place.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};

use super::{
    service,
    stored::{filter, place},
};
use crate::{
    gateway::Gateway,
    params::Params,
    problem::{ApiError, Problem},
    ws,
};

/// Follow stored events over a WebSocket
///
/// One JSON text frame per event, once, in the order of storing and only when its row can be read:
/// `{id, event_type, user_id, data, timestamp, stored_at, cursor}`. `after` replays what was missed since that cursor,
/// then goes on live; without it the socket begins with what is stored from now on. A slow reader loses nothing: it is
/// told from the table, at its own pace. The client has nothing to say.
#[utoipa::path(
    get,
    path = "/v1/ws/events",
    tag = "activity (seed 003)",
    params(
        ("event_type" = Option<String>, Query, description = "Only of this type"),
        ("user_id" = Option<String>, Query, description = "Only of this user"),
        ("after" = Option<String>, Query, description = "The cursor of the last event received; 0 for all that is stored"),
    ),
    responses(
        (status = 101, description = "The socket is open"),
        (status = 400, description = "A parameter that isn't taken", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "A page of another origin", body = Problem, content_type = "application/problem+json"),
        (status = 426, description = "Not a WebSocket handshake", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Nothing stores events here", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn follow_events(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, ApiError> {
    let params = Params::parse(request.uri().query(), &["event_type", "user_id", "after"])?;
    let after = place(&params, "after")?;
    let filter = filter(&params)?;
    let followed = service(&gateway)?.store.follow(after, filter);
    Ok(ws::upgrade_to_talk(gateway, request, followed))
}
