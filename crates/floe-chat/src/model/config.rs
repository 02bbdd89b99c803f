//! What can be configured.

use std::{fmt, time::Duration};

use floe_pipeline::sinks::fields::Secret;
use reqwest::{Url, header::HeaderValue};

use super::limits::{
    ANSWER_BYTES, ANSWER_BYTES_MAX, CONNECT_WAIT, FAILURES_TO_OPEN, FIRST_TOKEN_WAIT, IDLE_WAIT,
    NAME_BYTES_MAX, OPEN_PAUSE, RETRIES, RETRIES_MAX, RETRY_PAUSE, RETRY_PAUSE_MAX, TOTAL_WAIT, WAIT_MAX,
};

/// Which model, where, and how much patience there is with it.
#[derive(Clone)]
pub struct ModelConfig {
    /// The endpoint: a base such as `http://host:11434/v1`, or all of `https://host/v1/chat/completions`.
    pub url: String,
    /// The model's name, as the server knows it.
    pub name: String,
    /// Sent as `Authorization: Bearer`, if the server asks for one.
    pub key: Option<Secret>,
    /// How long the steps of an answer may take.
    pub waits: Waits,
    /// Attempts after the first, as long as nothing of an answer was handed out.
    pub retries: u32,
    /// The longest pause before the second attempt; it doubles with each further one.
    pub retry_pause: Duration,
    /// When a model that keeps failing is left alone.
    pub breaker: BreakerConfig,
    /// Bytes of an answer; a longer one is an error.
    pub max_answer_bytes: usize,
}

/// How long the steps of an answer may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// For connecting.
    pub connect: Duration,
    /// From asking to the first token, for each attempt.
    pub first_token: Duration,
    /// Between two tokens.
    pub idle: Duration,
    /// For an answer, with all attempts and the pauses between them.
    pub total: Duration,
}

/// When a model that keeps failing is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerConfig {
    /// After so many attempts that failed one after the other, of all who ask.
    pub failures: u32,
    /// For so long, before one may try.
    pub pause: Duration,
}

impl ModelConfig {
    /// A model without a key, and with the patience that fits most.
    #[must_use]
    pub fn new(url: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            name: name.into(),
            key: None,
            waits: Waits::default(),
            retries: RETRIES,
            retry_pause: RETRY_PAUSE,
            breaker: BreakerConfig::default(),
            max_answer_bytes: ANSWER_BYTES,
        }
    }

    /// The address of chat completions. Nothing of it is repeated in an error: until it is checked, it may hold a secret.
    pub(super) fn endpoint(&self) -> Result<Url, String> {
        let mut url =
            Url::parse(self.url.trim()).map_err(|why| format!("model: 'url' is not an address: {why}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("model: 'url' must begin with https:// or http://".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("model: 'url' may not hold a user or password; a key goes into 'key'".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("model: 'url' may not hold a query or fragment; a key goes into 'key'".to_owned());
        }
        let is_whole = url.path().trim_end_matches('/').ends_with("/chat/completions");
        let mut segments =
            url.path_segments_mut().map_err(|()| "model: 'url' has no path to ask at".to_owned())?;
        segments.pop_if_empty();
        if !is_whole {
            segments.extend(["chat", "completions"]);
        }
        drop(segments);
        Ok(url)
    }

    /// The header that holds the key.
    pub(super) fn authorization(&self) -> Result<Option<HeaderValue>, String> {
        let Some(key) = &self.key else { return Ok(None) };
        let key = key.expose();
        if key.is_empty() {
            return Err("model: 'key' is empty; leave it out if the server asks for none".to_owned());
        }
        // A line's end at the end is what files of secrets have; to cut it silently would be to guess.
        if key.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err("model: 'key' may not hold blanks or ends of lines".to_owned());
        }
        let mut value = HeaderValue::try_from(format!("Bearer {key}"))
            .map_err(|_| "model: 'key' has characters that a header can't hold".to_owned())?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// All but the address and the key.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.name.trim().is_empty() || self.name.len() > NAME_BYTES_MAX {
            return Err(format!("model: 'name' must have 1 to {NAME_BYTES_MAX} bytes"));
        }
        let waits = [
            ("connect", self.waits.connect, WAIT_MAX),
            ("first_token", self.waits.first_token, WAIT_MAX),
            ("idle", self.waits.idle, WAIT_MAX),
            ("total", self.waits.total, WAIT_MAX),
            ("retry_pause", self.retry_pause, RETRY_PAUSE_MAX),
            ("breaker.pause", self.breaker.pause, WAIT_MAX),
        ];
        for (name, wait, most) in waits {
            if wait.is_zero() || wait > most {
                return Err(format!("model: '{name}' must be above 0 and at most {} s", most.as_secs()));
            }
        }
        if self.retries > RETRIES_MAX {
            return Err(format!("model: 'retries' may be at most {RETRIES_MAX}"));
        }
        if self.breaker.failures == 0 {
            return Err("model: 'breaker.failures' must be at least 1".to_owned());
        }
        if self.max_answer_bytes == 0 || self.max_answer_bytes > ANSWER_BYTES_MAX {
            return Err(format!("model: 'max_answer_bytes' must be 1 to {ANSWER_BYTES_MAX}"));
        }
        Ok(())
    }
}

impl fmt::Debug for ModelConfig {
    /// Without the address: until it is checked, it may hold a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelConfig")
            .field("name", &self.name)
            .field("key", &self.key)
            .field("waits", &self.waits)
            .field("retries", &self.retries)
            .field("retry_pause", &self.retry_pause)
            .field("breaker", &self.breaker)
            .field("max_answer_bytes", &self.max_answer_bytes)
            .finish_non_exhaustive()
    }
}

impl Default for Waits {
    fn default() -> Self {
        Self { connect: CONNECT_WAIT, first_token: FIRST_TOKEN_WAIT, idle: IDLE_WAIT, total: TOTAL_WAIT }
    }
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self { failures: FAILURES_TO_OPEN, pause: OPEN_PAUSE }
    }
}
