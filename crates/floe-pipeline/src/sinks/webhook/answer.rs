//! What a receiver's answer means for the record.

use std::time::Duration;

use reqwest::{Response, StatusCode, header::HeaderMap};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

use crate::sinks::printable;

/// How much of an answer is read: it is only told, and a connection with more is not worth keeping.
const BODY_BYTES_MAX: usize = 64 << 10;

/// The longest wait that a receiver may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// What became of a request that was answered, or timed out.
#[derive(Debug)]
pub(super) enum Verdict {
    Taken,
    Later { error: String, after: Option<Duration> },
    Never(String),
    Gone(String),
}

/// Reads the answer to its end (bounded) and judges it.
pub(super) async fn judge(mut response: Response) -> Verdict {
    let status = response.status();
    let after = retry_after(response.headers(), OffsetDateTime::now_utc());
    let mut body = Vec::new();
    while body.len() < BODY_BYTES_MAX
        // The status has been said; an answer that breaks off changes nothing.
        && let Ok(Some(chunk)) = response.chunk().await
    {
        body.extend_from_slice(&chunk[..chunk.len().min(BODY_BYTES_MAX - body.len())]);
    }
    if status.is_success() {
        return Verdict::Taken;
    }
    let said = printable(&String::from_utf8_lossy(&body));
    let said = if said.is_empty() { said } else { format!(": {said}") };
    match status {
        StatusCode::GONE => Verdict::Gone(format!("the receiver says it is gone (410){said}")),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            Verdict::Later { error: format!("the receiver answered {status}{said}"), after }
        }
        _ if status.is_server_error() => {
            Verdict::Later { error: format!("the receiver answered {status}{said}"), after }
        }
        _ if status.is_redirection() => {
            Verdict::Never(format!("the receiver answered {status}; redirects are not followed{said}"))
        }
        _ => Verdict::Never(format!("the receiver answered {status}{said}")),
    }
}

/// Seconds, or a date.
fn retry_after(headers: &HeaderMap, now: OffsetDateTime) -> Option<Duration> {
    let text = headers.get(reqwest::header::RETRY_AFTER)?.to_str().ok()?.trim();
    let after = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = OffsetDateTime::parse(text, &Rfc2822).ok()?;
            // A date that is past asks for no wait.
            Duration::try_from(date - now).unwrap_or_default()
        }
    };
    Some(after.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_asked_for_in_seconds_or_by_date_and_bounded() {
        let now = OffsetDateTime::from_unix_timestamp(784_111_770).unwrap();
        let asked = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("retry-after", text.parse().unwrap());
            retry_after(&headers, now)
        };
        assert_eq!(asked("7"), Some(Duration::from_secs(7)));
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(7)));
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:00 GMT"), Some(Duration::ZERO));
        assert_eq!(asked("99999999"), Some(RETRY_AFTER_MAX));
        assert_eq!(asked("Sun, 06 Nov 2094 08:49:37 GMT"), Some(RETRY_AFTER_MAX));
        assert_eq!(asked("soon"), None);
        assert_eq!(asked("-1"), None);
    }
}
