//! JSON bodies: content type, text and shape are checked in that order, each with its own answer.

use std::sync::Arc;

use axum::{
    Json,
    extract::{FromRequest, Request},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    body,
    gateway::Gateway,
    json_text,
    problem::{ApiError, Code},
};

/// A request's body as a JSON object of known shape.
#[derive(Debug)]
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<Gateway>> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, gateway: &Arc<Gateway>) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        require_json(&parts.headers)?;
        let received = body::receive(gateway, &parts.headers, body).await?;
        object(&received.bytes).map(Self)
    }
}

/// An answer in JSON.
pub(crate) fn answer<T: Serialize>(status: StatusCode, value: T) -> Response {
    (status, Json(value)).into_response()
}

/// An answer whose JSON was written by hand.
pub(crate) fn written(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The media type of a body in lower case, without parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// Whether the header is exactly what nearly every client sends, told without taking it apart.
pub(crate) fn is_plain_json(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes() == b"application/json")
}

/// Refuses a body that isn't said to be JSON: a page elsewhere can post a form or plain text without being asked,
/// JSON it can't.
pub(crate) fn require_json(headers: &HeaderMap) -> Result<(), ApiError> {
    if is_plain_json(headers) {
        return Ok(());
    }
    match media_type(headers) {
        Some(kind)
            if kind == "application/json"
                || (kind.starts_with("application/") && kind.ends_with("+json")) =>
        {
            Ok(())
        }
        other => Err(unsupported(other.as_deref(), "application/json")),
    }
}

/// The answer to a content type that isn't taken.
pub(crate) fn unsupported(given: Option<&str>, expected: &str) -> ApiError {
    let detail = match given {
        Some(given) => {
            format!("the content type '{}' is not taken here; send {expected}", given.escape_debug())
        }
        None => format!("the header Content-Type is missing; send {expected}"),
    };
    ApiError::new(Code::UnsupportedMediaType, detail)
}

/// Parses a JSON object of known shape. A field given twice, of the wrong type or missing is named.
pub(crate) fn object<T: DeserializeOwned>(text: &[u8]) -> Result<T, ApiError> {
    require_object(text)?;
    json_text::inspect(text)?;
    let mut parser = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(&mut parser).map_err(|error| {
        let path = error.path().to_string();
        let fault = syntax(error.inner());
        if path == "." { fault } else { fault.at(&path) }
    })?;
    parser.end().map_err(|error| syntax(&error))?;
    Ok(value)
}

/// Refuses text that doesn't begin an object: the parser would take an array's items for the fields of a struct.
pub(crate) fn require_object(text: &[u8]) -> Result<(), ApiError> {
    let Some(at) = text.iter().position(|byte| !byte.is_ascii_whitespace()) else {
        return Err(ApiError::bad_request("the body is empty at line 1 column 1; a JSON object is expected"));
    };
    let found = match text[at] {
        b'{' => return Ok(()),
        b'[' => "an array",
        b'"' => "a string",
        b'n' => "null or not JSON",
        b't' | b'f' => "a boolean or not JSON",
        b'-' | b'0'..=b'9' => "a number",
        0xef | 0xfe | 0xff | 0 => {
            return json_text::inspect(text).and_then(|()| Err(not_an_object("not JSON", at)));
        }
        _ => "not JSON",
    };
    Err(not_an_object(found, at))
}

fn not_an_object(found: &str, at: usize) -> ApiError {
    ApiError::bad_request(format!("a JSON object is expected, this is {found}, at byte {at}"))
}

/// The parser's finding with its position.
pub(crate) fn syntax(error: &serde_json::Error) -> ApiError {
    ApiError::bad_request(format!("the JSON is not as expected: {error}"))
}

/// The same for text of one line: the column is enough.
pub(crate) fn syntax_in_line(error: &serde_json::Error) -> ApiError {
    let text = error.to_string();
    let (what, _) = text.rsplit_once(" at line ").unwrap_or((&text, ""));
    ApiError::bad_request(format!("the JSON is not as expected: {what} at column {}", error.column()))
}
