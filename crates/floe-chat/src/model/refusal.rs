//! What a response means that is no answer.

use std::time::Duration;

use reqwest::{
    Response, StatusCode,
    header::{HeaderMap, RETRY_AFTER},
};
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc2822};
use tokio::time::{Instant, timeout_at};

use super::{
    chunk,
    error::ModelError,
    limits::{REFUSAL_BYTES_MAX, REFUSAL_WAIT},
    reception::Reception,
};

/// Reads the response (bounded, and not for long: its status has said the most) and judges it. The reception is borrowed
/// alone because whom it hands out to can't be shared between threads.
pub(super) async fn read(mut response: Response, reception: &mut Reception<'_>) -> ModelError {
    let status = response.status();
    if status.is_redirection() {
        return of(status.as_u16(), "redirects are not followed".to_owned(), None);
    }
    let after = retry_after(response.headers(), OffsetDateTime::now_utc());
    let mut body = Vec::new();
    let until = Instant::now() + REFUSAL_WAIT;
    let whole = loop {
        match reception.clock.wait(timeout_at(until, response.chunk())).await {
            Ok(Ok(Ok(Some(chunk)))) => body.extend_from_slice(&chunk),
            Ok(Ok(Ok(None))) => break true,
            Ok(Ok(Err(_)) | Err(_)) | Err(_) => break false,
        }
        if body.len() > REFUSAL_BYTES_MAX {
            body.truncate(REFUSAL_BYTES_MAX);
            break false;
        }
    };
    if !whole && let Some(key) = reception.key() {
        // The end may be half of the key, which nobody would know it by.
        body.truncate(body.len().saturating_sub(key.expose().len()));
    }
    let body = String::from_utf8_lossy(&body);
    of(status.as_u16(), reception.told(&words(&body)), after)
}

/// A status and the reason given with it.
pub(super) fn of(status: u16, said: String, retry_after: Option<Duration>) -> ModelError {
    let passes = [StatusCode::REQUEST_TIMEOUT, StatusCode::CONFLICT, StatusCode::TOO_MANY_REQUESTS];
    if status >= 500 || passes.iter().any(|passing| passing.as_u16() == status) {
        ModelError::Unavailable { status, said, retry_after }
    } else {
        ModelError::Refused { status, said }
    }
}

/// The reason in a body: what its JSON says, or the whole of it.
fn words(body: &str) -> String {
    match serde_json::from_str::<Value>(body) {
        Ok(json) => chunk::failure(json.get("error").unwrap_or(&json)).words,
        Err(_) => body.to_owned(),
    }
}

/// Seconds, or a date.
fn retry_after(headers: &HeaderMap, now: OffsetDateTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            let date = OffsetDateTime::parse(text, &Rfc2822).ok()?;
            // A date that is past asks for no wait.
            Some(Duration::try_from(date - now).unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_whether_it_passes() {
        let temporary = |status| of(status, String::new(), None).is_temporary();
        assert!([408, 409, 429, 500, 502, 503, 529].into_iter().all(temporary));
        assert!(![301, 400, 401, 403, 404, 413, 422].into_iter().any(temporary));
    }

    #[test]
    fn a_wait_is_asked_for_in_seconds_or_by_date() {
        let now = OffsetDateTime::from_unix_timestamp(784_111_770).unwrap();
        let asked = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers, now)
        };
        assert_eq!(asked("7"), Some(Duration::from_secs(7)));
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(7)));
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:00 GMT"), Some(Duration::ZERO));
        assert_eq!(asked("soon"), None);
        assert_eq!(asked("-1"), None);
    }

    #[test]
    fn the_reason_is_found_where_servers_put_it() {
        assert_eq!(words(r#"{"error":{"message":"no such model"}}"#), "no such model");
        assert_eq!(words(r#"{"error":"no such model"}"#), "no such model");
        assert_eq!(words(r#"{"detail":"not found"}"#), "not found");
        assert_eq!(words("<h1>Bad gateway</h1>"), "<h1>Bad gateway</h1>");
    }
}
