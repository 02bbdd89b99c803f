//! What goes wrong, as a client sees it: RFC 9457 documents, and the one table from the broker's errors to them.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use floe_engine::EngineError;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

/// The closed set of `code`s in problem documents, WebSocket errors and the OpenAPI document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    /// The request is malformed.
    BadRequest,
    /// No key, or not a valid one.
    Unauthorized,
    /// Valid credentials that don't reach this far, or a page that may not call here.
    Forbidden,
    /// The user or group has no subscription to the topic.
    NotSubscribed,
    /// No topic of this name.
    TopicNotFound,
    /// Nothing else of this name either.
    NotFound,
    /// A topic of this name is there already.
    TopicExists,
    /// The request contradicts the state of things.
    Conflict,
    /// The offset is not stored, or not any more; `start` and `end` say what is.
    OffsetOutOfRange,
    /// A record or a body is over its limit.
    RecordTooLarge,
    /// A content type or coding that isn't taken here.
    UnsupportedMediaType,
    /// Well-formed, but fails the schema.
    Unprocessable,
    /// Over a rate limit.
    RateLimited,
    /// The disk has no room.
    StorageFull,
    /// A write or sync failed; no more writes until a restart.
    StorageFailed,
    /// Whether it was stored is unknown; safe to repeat with the same `Idempotency-Key`.
    OutcomeUnknown,
    /// A question of the chat will not be answered.
    AnswerFailed,
    /// Too much is waiting.
    Overloaded,
    /// The engine can't be reached, or is stopping.
    Unavailable,
    /// A fault of ours.
    Internal,
}

impl Code {
    /// The code as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The HTTP status that goes with it.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        self.row().1
    }

    const fn title(self) -> &'static str {
        self.row().2
    }

    const fn row(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::BadRequest => ("BAD_REQUEST", StatusCode::BAD_REQUEST, "The request is malformed"),
            Self::Unauthorized => ("UNAUTHORIZED", StatusCode::UNAUTHORIZED, "A valid key is needed"),
            Self::Forbidden => ("FORBIDDEN", StatusCode::FORBIDDEN, "This is not allowed"),
            Self::NotSubscribed => ("NOT_SUBSCRIBED", StatusCode::FORBIDDEN, "There is no subscription"),
            Self::TopicNotFound => ("TOPIC_NOT_FOUND", StatusCode::NOT_FOUND, "The topic does not exist"),
            Self::NotFound => ("NOT_FOUND", StatusCode::NOT_FOUND, "There is nothing here"),
            Self::TopicExists => ("TOPIC_EXISTS", StatusCode::CONFLICT, "The topic already exists"),
            Self::Conflict => ("CONFLICT", StatusCode::CONFLICT, "The request contradicts the current state"),
            Self::OffsetOutOfRange => {
                ("OFFSET_OUT_OF_RANGE", StatusCode::RANGE_NOT_SATISFIABLE, "The offset is not stored")
            }
            Self::RecordTooLarge => {
                ("RECORD_TOO_LARGE", StatusCode::PAYLOAD_TOO_LARGE, "The content is too large")
            }
            Self::UnsupportedMediaType => (
                "UNSUPPORTED_MEDIA_TYPE",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The content type is not taken",
            ),
            Self::Unprocessable => {
                ("UNPROCESSABLE", StatusCode::UNPROCESSABLE_ENTITY, "The content fails its schema")
            }
            Self::RateLimited => ("RATE_LIMITED", StatusCode::TOO_MANY_REQUESTS, "Too many requests"),
            Self::StorageFull => ("STORAGE_FULL", StatusCode::INSUFFICIENT_STORAGE, "The disk is full"),
            Self::StorageFailed => ("STORAGE_FAILED", StatusCode::SERVICE_UNAVAILABLE, "The disk failed"),
            Self::OutcomeUnknown => {
                ("OUTCOME_UNKNOWN", StatusCode::GATEWAY_TIMEOUT, "Whether it was stored is unknown")
            }
            Self::AnswerFailed => ("ANSWER_FAILED", StatusCode::BAD_GATEWAY, "There is no answer"),
            Self::Overloaded => ("OVERLOADED", StatusCode::SERVICE_UNAVAILABLE, "The server is overloaded"),
            Self::Unavailable => {
                ("UNAVAILABLE", StatusCode::SERVICE_UNAVAILABLE, "The engine is unavailable")
            }
            Self::Internal => ("INTERNAL", StatusCode::INTERNAL_SERVER_ERROR, "An internal error"),
        }
    }
}

/// A request's failure, as its client will read it.
#[derive(Clone, Debug)]
pub struct ApiError {
    code: Code,
    status: StatusCode,
    detail: Cow<'static, str>,
    retry_after_seconds: Option<u16>,
    close: bool,
    errors: Vec<FieldFault>,
    /// Of an offset that isn't stored: the first that is, and the one behind the newest.
    stored: Option<(i64, i64)>,
}

/// One way in which content fails its schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldFault {
    /// Where, as a JSON pointer (RFC 6901).
    #[schema(example = "/data/amount")]
    pub pointer: String,
    /// What would be right.
    pub detail: String,
}

impl ApiError {
    /// A failure with its code's own status. `detail` says what was wrong, where, and what would be right.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            status: code.status(),
            detail: detail.into(),
            retry_after_seconds: None,
            close: false,
            errors: Vec::new(),
            stored: None,
        }
    }

    /// `BAD_REQUEST`, the most frequent one.
    pub fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::BadRequest, detail)
    }

    /// `BAD_REQUEST` under a more exact status of HTTP's own (408, 414, 421, 431, …).
    pub fn protocol(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, ..Self::bad_request(detail) }
    }

    /// `UNPROCESSABLE`: well-formed content that fails its schema, in these places.
    pub fn unprocessable(detail: impl Into<Cow<'static, str>>, errors: Vec<FieldFault>) -> Self {
        Self { errors, ..Self::new(Code::Unprocessable, detail) }
    }

    /// Tells when to try again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u16) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    /// Ends the connection with this answer: what follows on it can't be trusted or wasn't read.
    #[must_use]
    pub fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    /// The same failure, its detail behind the place in which it was found (`line 500`, `records[3]`).
    #[must_use]
    pub fn at(mut self, place: &str) -> Self {
        self.detail = format!("{place}: {}", self.detail).into();
        self
    }

    /// The same failure under another code.
    #[must_use]
    pub fn recode(mut self, code: Code) -> Self {
        self.code = code;
        self.status = code.status();
        self
    }

    /// The same failure under another status.
    #[must_use]
    pub fn restatus(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// What fails the schema, and where.
    #[must_use]
    pub fn faults(&self) -> &[FieldFault] {
        &self.errors
    }

    /// Of an offset that isn't stored: the first that is, and the one behind the newest.
    #[must_use]
    pub fn stored(&self) -> Option<(i64, i64)> {
        self.stored
    }

    /// Its code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// Its detail.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

/// The document that every failed request is answered with.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// A name for this kind of problem.
    #[serde(rename = "type")]
    #[schema(example = "urn:floe:problem:TOPIC_NOT_FOUND")]
    pub kind: String,
    /// The same for all problems of this kind.
    pub title: &'static str,
    /// The HTTP status.
    #[schema(example = 404)]
    pub status: u16,
    /// What was wrong, where, and what would be right.
    #[schema(value_type = String)]
    pub detail: Cow<'static, str>,
    /// For programs.
    pub code: Code,
    /// With `UNPROCESSABLE`: what fails the schema, and where.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldFault>,
    /// With an offset that isn't stored: the first that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<i64>,
    /// With an offset that isn't stored: the one behind the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<i64>,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let problem = Problem {
            kind: format!("urn:floe:problem:{}", self.code.as_str()),
            title: self.code.title(),
            status: self.status.as_u16(),
            detail: self.detail,
            code: self.code,
            errors: self.errors,
            start: self.stored.map(|(start, _)| start),
            end: self.stored.map(|(_, end)| end),
        };
        // A document of strings and a number can't fail to serialise; an empty body would still carry the status.
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = Response::new(body.into());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Seconds after which a client may try again what was refused for load.
const OVERLOAD_RETRY_SECONDS: u16 = 1;

/// The table: which code each of the broker's errors has, and after how many seconds it makes sense to try again.
/// Sockets use it too.
#[must_use]
pub fn code_of(error: &EngineError) -> (Code, Option<u16>) {
    use EngineError as E;
    match error {
        E::TopicNotFound { .. } => (Code::TopicNotFound, None),
        E::TopicExists { .. } => (Code::TopicExists, None),
        E::InternalTopic { .. } => (Code::Forbidden, None),
        E::InvalidTopicName { .. }
        | E::PartitionNotFound { .. }
        | E::InvalidPartitions { .. }
        | E::InvalidConfig { .. }
        | E::InvalidBatch { .. }
        | E::OffsetOutOfRange { .. }
        | E::ForeignCursor { .. }
        | E::InvalidGroup { .. } => (Code::BadRequest, None),
        E::RecordTooLarge { .. } => (Code::RecordTooLarge, None),
        E::IdempotencyConflict { .. }
        | E::GroupActive { .. }
        | E::DeliveryNotOpen { .. }
        | E::MemberUnknown { .. } => (Code::Conflict, None),
        E::GroupNotFound { .. } => (Code::NotFound, None),
        E::NotSubscribed { .. } => (Code::NotSubscribed, None),
        E::StorageFull => (Code::StorageFull, None),
        E::StorageFailed => (Code::StorageFailed, None),
        E::Overloaded { .. } | E::LimitReached { .. } => (Code::Overloaded, Some(OVERLOAD_RETRY_SECONDS)),
        E::Damaged { .. } | E::ReadFailed => (Code::Internal, None),
        E::Unavailable { .. } | E::Stopping => (Code::Unavailable, Some(OVERLOAD_RETRY_SECONDS)),
        E::OutcomeUnknown => (Code::OutcomeUnknown, None),
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        let (code, retry_after_seconds) = code_of(&error);
        let stored = match &error {
            EngineError::OffsetOutOfRange { start, end, .. } => Some((*start, *end)),
            _ => None,
        };
        Self { retry_after_seconds, stored, ..Self::new(code, error.to_string()) }
    }
}

/// The answer for a path that leads nowhere.
pub(crate) async fn unknown_path() -> ApiError {
    ApiError::new(Code::NotFound, "no such path; GET /openapi.json lists all of them, /docs shows them")
}

/// The answer for a method that the path doesn't take; the router adds `Allow`.
pub(crate) async fn wrong_method(method: http::Method) -> ApiError {
    let detail = format!("{method} is not taken here; the header Allow names the methods that are");
    ApiError::protocol(StatusCode::METHOD_NOT_ALLOWED, detail)
}

#[cfg(test)]
mod tests {
    use floe_engine::TopicNameError;
    use http_body_util::BodyExt;

    use super::*;

    async fn shown(error: ApiError) -> (u16, String, Option<String>) {
        let (parts, body) = error.into_response().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem["status"], parts.status.as_u16());
        assert_eq!(problem["type"], format!("urn:floe:problem:{}", problem["code"].as_str().unwrap()));
        assert!(!problem["detail"].as_str().unwrap().is_empty());
        let retry = parts.headers.get(header::RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned());
        (parts.status.as_u16(), problem["code"].as_str().unwrap().to_owned(), retry)
    }

    #[tokio::test]
    async fn every_error_of_the_broker_has_its_code() {
        use EngineError as E;
        let topic = || "t".to_owned();
        let group = || "g".to_owned();
        for (error, status, code) in [
            (E::TopicNotFound { topic: topic() }, 404, "TOPIC_NOT_FOUND"),
            (E::TopicExists { topic: topic() }, 409, "TOPIC_EXISTS"),
            (E::InvalidTopicName { topic: topic(), why: TopicNameError::Dots }, 400, "BAD_REQUEST"),
            (E::InternalTopic { topic: topic() }, 403, "FORBIDDEN"),
            (E::PartitionNotFound { topic: topic(), partition: 9, count: 3 }, 400, "BAD_REQUEST"),
            (E::InvalidPartitions { asked: 0, why: "1 to 10000" }, 400, "BAD_REQUEST"),
            (E::RecordTooLarge { topic: topic(), size: 2, limit: 1 }, 413, "RECORD_TOO_LARGE"),
            (E::InvalidBatch { why: "empty" }, 400, "BAD_REQUEST"),
            (E::IdempotencyConflict { topic: topic(), key: "k".into() }, 409, "CONFLICT"),
            (E::ForeignCursor { topic: topic() }, 400, "BAD_REQUEST"),
            (E::GroupNotFound { group: group() }, 404, "NOT_FOUND"),
            (E::InvalidGroup { max: 249 }, 400, "BAD_REQUEST"),
            (E::GroupActive { group: group(), members: 1, leases: 0 }, 409, "CONFLICT"),
            (E::NotSubscribed { group: group(), topic: topic() }, 403, "NOT_SUBSCRIBED"),
            (E::DeliveryNotOpen { group: group(), delivery: "d".into() }, 409, "CONFLICT"),
            (E::StorageFull, 507, "STORAGE_FULL"),
            (E::StorageFailed, 503, "STORAGE_FAILED"),
            (E::ReadFailed, 500, "INTERNAL"),
            (E::OutcomeUnknown, 504, "OUTCOME_UNKNOWN"),
        ] {
            assert_eq!(shown(error.into()).await, (status, code.to_owned(), None));
        }
        for (error, status, code) in [
            (E::Overloaded { queued_bytes: 1 }, 503, "OVERLOADED"),
            (E::LimitReached { what: "topics", limit: 1 }, 503, "OVERLOADED"),
            (E::Unavailable { why: "no answer".into() }, 503, "UNAVAILABLE"),
            (E::Stopping, 503, "UNAVAILABLE"),
        ] {
            assert_eq!(shown(error.into()).await, (status, code.to_owned(), Some("1".to_owned())));
        }
    }

    #[tokio::test]
    async fn an_answer_may_end_its_connection() {
        let response = ApiError::protocol(StatusCode::URI_TOO_LONG, "too long").closing().into_response();
        assert_eq!(response.headers()[header::CONNECTION], "close");
    }

    #[tokio::test]
    async fn what_fails_a_schema_is_pointed_at() {
        let fault = FieldFault { pointer: "/data/amount".into(), detail: "a number is expected".into() };
        let response = ApiError::unprocessable("the event fails its schema", vec![fault]).into_response();
        assert_eq!(response.status(), 422);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem["errors"][0]["pointer"], "/data/amount");
    }

    #[test]
    fn codes_are_written_alike_everywhere() {
        for code in [Code::BadRequest, Code::TopicNotFound, Code::UnsupportedMediaType, Code::OutcomeUnknown]
        {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
