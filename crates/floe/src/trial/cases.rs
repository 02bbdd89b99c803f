//! A file of cases: sample records and what is expected of them.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use floe_transform::Input;
use serde::Deserialize;
use serde_json::Value;

use crate::config::{line_of, pipelines::RawSchema};

/// A file of cases; a larger one is not one.
const MAX_FILE_BYTES: u64 = 16 << 20;
/// The time of a record that has none of its own: 2026-01-01T00:00:00Z, milliseconds since the epoch.
const DEFAULT_TIMESTAMP: i64 = 1_767_225_600_000;
/// What stands for "a filter left it out".
const DROPPED: &str = "dropped";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrialFile {
    /// A pipeline of a configuration, or the steps themselves.
    pub(super) pipeline: Option<String>,
    /// The configuration, relative to this file.
    pub(super) config: Option<PathBuf>,
    pub(super) schema: Option<RawSchema>,
    pub(super) filter: Option<String>,
    pub(super) map: Option<String>,
    pub(super) case: Vec<Case>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    pub(super) name: String,
    input: RawInput,
    expect: Option<RawExpected>,
    /// The same as JSON texts, for what TOML can't say (`null`).
    expect_json: Option<Vec<String>>,
    expect_error: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawInput {
    value: Option<Value>,
    /// The value as its text, for what TOML can't say, and for what isn't JSON at all.
    text: Option<String>,
    key: Option<String>,
    topic: Option<String>,
    #[serde(default)]
    partition: u32,
    #[serde(default)]
    offset: i64,
    timestamp: Option<i64>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a list of values, or \"dropped\"")]
enum RawExpected {
    Values(Vec<Value>),
    Word(String),
}

/// What a case expects.
#[derive(Debug, PartialEq)]
pub(super) enum Expected {
    Values(Vec<Value>),
    Dropped,
    /// Poison, for a reason that has this text in it.
    Error(String),
}

/// Reads a file of cases.
pub(super) fn read(path: &Path) -> Result<TrialFile, String> {
    let name = path.display().to_string();
    let fail = |why: String| format!("{}: {why}", name.escape_debug());
    let mut text = String::new();
    let file = File::open(path).map_err(|error| fail(format!("cannot be opened: {error}")))?;
    file.take(MAX_FILE_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| fail(format!("cannot be read: {error}")))?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(fail(format!("has more than {MAX_FILE_BYTES} bytes")));
    }
    let trial: TrialFile = toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text.as_bytes(), span.start));
        let why: Vec<_> = error.message().lines().collect();
        format!("{}, line {line}: {}", name.escape_debug(), why.join(", ").replace('`', "'"))
    })?;
    if trial.case.is_empty() { Err(fail("has no [[case]]".to_owned())) } else { Ok(trial) }
}

impl Case {
    /// The record and what is expected of it.
    pub(super) fn take_apart(self) -> Result<(Input, Expected), String> {
        let name = self.name.escape_debug().to_string();
        let fail = |why: String| format!("case '{name}': {why}");
        let expected = match (self.expect, self.expect_json, self.expect_error) {
            (Some(RawExpected::Values(values)), None, None) => Expected::Values(values),
            (Some(RawExpected::Word(word)), None, None) if word == DROPPED => Expected::Dropped,
            (Some(RawExpected::Word(word)), None, None) => {
                let word = word.escape_debug();
                return Err(fail(format!(
                    "expect = \"{word}\": expected a list of values, or \"{DROPPED}\""
                )));
            }
            (None, Some(texts), None) => {
                let values = texts.iter().map(|text| serde_json::from_str(text)).collect::<Result<_, _>>();
                Expected::Values(values.map_err(|error| fail(format!("expect_json: {error}")))?)
            }
            (None, None, Some(text)) => Expected::Error(text),
            _ => {
                return Err(fail("say one of: expect, expect_json, expect_error".to_owned()));
            }
        };
        let RawInput { value, text, key, topic, partition, offset, timestamp, headers } = self.input;
        let value = match (value, text) {
            (Some(value), None) => Some(Bytes::from(value.to_string())),
            (None, text) => text.map(Bytes::from),
            (Some(_), Some(_)) => return Err(fail("input has a value and a text: leave one out".to_owned())),
        };
        let input = Input {
            topic: Arc::from(topic.as_deref().unwrap_or("test")),
            partition,
            offset,
            timestamp: timestamp.unwrap_or(DEFAULT_TIMESTAMP),
            key: key.map(Bytes::from),
            value,
            headers: headers.into_iter().map(|(name, value)| (name, Some(Bytes::from(value)))).collect(),
        };
        Ok((input, expected))
    }
}
