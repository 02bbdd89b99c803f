//! What an error of Redis means for the records.

use redis::{ErrorKind, RedisError, ServerError};

use crate::sinks::{DeliveryError, printable};

/// Codes with which a server says "not now": full, loading, failing over, a replica.
const NOT_NOW: [&str; 9] =
    ["OOM", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "READONLY", "BUSY", "NOREPLICAS", "MISCONF"];

/// A command was answered with an error; `delivered` records before it are done.
pub(super) fn of_command(error: &ServerError, delivered: usize) -> DeliveryError {
    let text = told(error.code(), error.details());
    if !NOT_NOW.contains(&error.code()) {
        return DeliveryError::Fatal(format!("Redis refuses: {text}"));
    }
    if delivered == 0 {
        return DeliveryError::Unavailable(format!("Redis takes nothing now: {text}"));
    }
    DeliveryError::Retry { delivered, error: format!("Redis takes nothing now: {text}"), after: None }
}

/// Connecting or sending failed.
pub(super) fn of_connection(error: &RedisError) -> DeliveryError {
    let text = match (error.code(), error.detail()) {
        (None, None) => printable(&error.to_string()),
        (code, detail) => told(code.unwrap_or(error.category()), detail),
    };
    let full = error.detail().is_some_and(|detail| detail.contains("max number of clients"));
    let not_now = full || error.code().is_some_and(|code| NOT_NOW.contains(&code));
    let refused = matches!(
        error.kind(),
        ErrorKind::AuthenticationFailed
            | ErrorKind::InvalidClientConfig
            | ErrorKind::Server(_)
            | ErrorKind::Extension
    );
    if refused && !not_now {
        return DeliveryError::Fatal(format!("Redis refuses: {text}"));
    }
    DeliveryError::Unavailable(format!("Redis can't be reached: {text}"))
}

fn told(code: &str, detail: Option<&str>) -> String {
    printable(&format!("{code} {}", detail.unwrap_or_default()))
}
