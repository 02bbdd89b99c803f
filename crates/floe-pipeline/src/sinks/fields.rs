//! Fields that sinks' configurations share: spans of time, sizes, secrets, and the form of a line.

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, de::Error};

use crate::units::{size, span};

/// A text that is never shown: `Debug` and errors have `***` in its place.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes a text in.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What a line of a file or of standard output holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineFormat {
    /// `{topic, partition, offset, timestamp, key, value, headers}`.
    #[default]
    Envelope,
    /// The value alone: its JSON on one line, `{"$base64":"…"}` for other bytes, `null` for a tombstone.
    Value,
}

/// Reads a span of time (`30s`).
pub fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    span::parse(&text)
        .ok_or_else(|| D::Error::custom(format!("'{}' is not {}", text.escape_debug(), span::ACCEPTED)))
}

/// Reads a span of time that need not be there.
pub fn optional_span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    span(deserializer).map(Some)
}

/// Reads a size (`128MiB`, or a number of bytes).
pub fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Size {
        Bytes(u64),
        Text(String),
    }
    match Size::deserialize(deserializer) {
        Ok(Size::Bytes(bytes)) => Ok(bytes),
        Ok(Size::Text(text)) => size::parse(&text)
            .ok_or_else(|| D::Error::custom(format!("'{}' is not {}", text.escape_debug(), size::ACCEPTED))),
        Err(_) => Err(D::Error::custom(format!("expected {}", size::ACCEPTED))),
    }
}
