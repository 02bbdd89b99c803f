//! What the routes answer elsewhere and can't here: the function has no database, and one of its processes doesn't know what
//! another has accepted.

use axum::{
    extract::Request,
    http::Uri,
    middleware::Next,
    response::{IntoResponse, Response},
};
use floe_gateway::{ApiError, Code};

const WAIT_STORED: &str = "wait=stored can't be had here: this function has no database and doesn't see when an event is \
                           stored; without it the answer is 202 once Kafka has the event";
const EVENT_ID: &str = "event_id can't be asked for here: this function has no database and remembers no events; a Floe server \
                        of the same cluster can tell";

pub(crate) async fn refuse(request: Request, next: Next) -> Response {
    match refusal(request.uri()) {
        Some(why) => ApiError::new(Code::Unavailable, why).into_response(),
        None => next.run(request).await,
    }
}

fn refusal(uri: &Uri) -> Option<&'static str> {
    let asks_for = |what| uri.query().unwrap_or_default().split('&').any(|pair| pair.starts_with(what));
    match uri.path() {
        "/v1/event" if asks_for("wait=stored") => Some(WAIT_STORED),
        "/get_status" if asks_for("event_id=") => Some(EVENT_ID),
        _ => None,
    }
}
