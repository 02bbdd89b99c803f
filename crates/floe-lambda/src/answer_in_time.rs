//! An answer while there is somebody to take it: before API Gateway gives up, and before Lambda ends the process with all its
//! connections because the function's time is over.

use std::time::{Duration, SystemTime};

use axum::{
    extract::Request,
    http::{HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use floe_gateway::{ApiError, Code};
use lambda_http::RequestExt;

use crate::limits::{ANSWER_LIMIT, ANSWER_RESERVE};

pub(crate) async fn answer_in_time(request: Request, next: Next) -> Response {
    let limit = time_left(&request).min(ANSWER_LIMIT);
    let is_write = request.method() == Method::POST;
    let answered = tokio::time::timeout(limit, next.run(request)).await;
    let mut response = answered.unwrap_or_else(|_| too_late(is_write).into_response());
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// What Lambda leaves to this invocation.
fn time_left(request: &Request) -> Duration {
    let Some(context) = request.extensions().lambda_context_ref() else { return ANSWER_LIMIT };
    let left = context.deadline().duration_since(SystemTime::now()).unwrap_or_default();
    left.saturating_sub(ANSWER_RESERVE)
}

fn too_late(is_write: bool) -> ApiError {
    if is_write {
        ApiError::new(
            Code::OutcomeUnknown,
            "Kafka has not acknowledged it within the function's time: it may be stored or not; with the same \
             Idempotency-Key a repeat is safe",
        )
    } else {
        ApiError::new(Code::Unavailable, "Kafka has not answered within the function's time").retry_after(1)
    }
}
