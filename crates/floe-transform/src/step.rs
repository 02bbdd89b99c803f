//! Steps as they are configured, and what goes through them.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

/// One step, as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A jq program: a record goes on if its first output is neither `false` nor `null` (and there is one).
    Filter(String),
    /// A jq program: each output is a record of its own; none drops the record.
    Map(String),
    /// The value must fulfil a JSON Schema.
    Schema(SchemaSet),
}

/// Which schema a value is checked against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaSet {
    /// How the schema is chosen.
    pub choice: SchemaChoice,
    /// Whether a value for which there is no schema is refused.
    pub strict: bool,
}

/// How a schema is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaChoice {
    /// One for all: its JSON text.
    One(Arc<str>),
    /// By the text at a member of the value (`event_type`): JSON text of each.
    By {
        /// The members, tried in order; the first that is a string counts.
        members: Vec<String>,
        /// By that text.
        schemas: BTreeMap<String, Arc<str>>,
    },
}

/// Why steps can't be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("step {step}: {why}")]
pub struct TransformError {
    /// Counted from 1.
    pub step: usize,
    /// What is wrong and where in the text.
    pub why: String,
}

/// A record on its way in. Beside `.` (the value), programs see `$topic`, `$partition`, `$offset`, `$timestamp`
/// (milliseconds), `$key` (text or null) and `$headers` (an object; of repeated names the last).
#[derive(Clone, Debug)]
pub struct Input {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: u32,
    /// The offset.
    pub offset: i64,
    /// Milliseconds since the epoch.
    pub timestamp: i64,
    /// The key's bytes.
    pub key: Option<Bytes>,
    /// The value's bytes: JSON, or the record is poison (unless there are no steps). Steps see a tombstone as `null`.
    pub value: Option<Bytes>,
    /// Names and values.
    pub headers: Vec<(String, Option<Bytes>)>,
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It goes on, as these values (the same bytes if nothing changed them). More than one came out of a map.
    Values(Vec<Option<Bytes>>),
    /// A filter left it out, or a map had no output.
    Dropped,
    /// It can't be processed, whoever tries: this is why.
    Poison(String),
}
