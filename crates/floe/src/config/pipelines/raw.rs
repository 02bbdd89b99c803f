//! `[[pipeline]]` as it is written.

use std::{collections::BTreeMap, time::Duration};

use floe_pipeline::{
    BatchSpec, FuseSpec, RetrySpec, Start,
    sinks::fields::{optional_span, size, span},
};
use serde::Deserialize;

/// A pipeline but for its sinks, which are read one by one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPipeline {
    pub(super) name: String,
    pub(super) from: Names,
    pub(super) group: Option<String>,
    #[serde(default)]
    pub(super) start: RawStart,
    pub(super) schema: Option<RawSchema>,
    pub(super) filter: Option<String>,
    pub(super) map: Option<String>,
    #[serde(default, deserialize_with = "optional_span")]
    pub(super) step_limit: Option<Duration>,
    #[serde(default)]
    pub(super) batch: RawBatch,
    #[serde(default)]
    pub(super) retry: RawRetry,
    #[serde(default)]
    pub(super) fuse: RawFuse,
    pub(super) dead_letter: Option<RawDeadLetter>,
}

/// One name, or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
pub(super) enum Names {
    One(String),
    Many(Vec<String>),
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawStart {
    #[default]
    Earliest,
    Latest,
}

/// Which schema a value has to fulfil.
#[derive(Clone, Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "expected the file of a schema, or { by = \"event_type\", files = { login = \"login.json\" }, strict = true }"
)]
pub(crate) enum RawSchema {
    /// The file of the one for all.
    One(String),
    /// By the text at a member of the value.
    By(RawSchemas),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSchemas {
    pub(super) by: Names,
    pub(super) files: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) strict: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawBatch {
    pub(super) max_records: Option<usize>,
    #[serde(deserialize_with = "optional_size")]
    pub(super) max_bytes: Option<u64>,
    #[serde(deserialize_with = "optional_span")]
    pub(super) max_wait: Option<Duration>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawRetry {
    #[serde(deserialize_with = "span")]
    pub(super) initial: Duration,
    #[serde(deserialize_with = "span")]
    pub(super) max: Duration,
    pub(super) attempts: u32,
    #[serde(deserialize_with = "span")]
    pub(super) elapsed: Duration,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected false, or { share = 0.5, window = 100 }")]
pub(super) enum RawFuse {
    Switch(bool),
    Table(RawFuseTable),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawFuseTable {
    pub(super) share: f64,
    pub(super) window: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDeadLetter {
    pub(super) topic: String,
}

fn optional_size<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    size(deserializer).map(Some)
}

impl Names {
    pub(super) fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(name) => vec![name],
            Self::Many(names) => names,
        }
    }
}

impl From<RawStart> for Start {
    fn from(start: RawStart) -> Self {
        match start {
            RawStart::Earliest => Self::Earliest,
            RawStart::Latest => Self::Latest,
        }
    }
}

impl Default for RawRetry {
    fn default() -> Self {
        let RetrySpec { initial, max, attempts, elapsed } = RetrySpec::default();
        Self { initial, max, attempts, elapsed }
    }
}

impl Default for RawFuseTable {
    fn default() -> Self {
        let FuseSpec { share, window } = FuseSpec::default();
        Self { share, window }
    }
}

impl Default for RawFuse {
    fn default() -> Self {
        Self::Switch(true)
    }
}

impl RawBatch {
    /// With the defaults for what isn't said.
    pub(super) fn spec(&self) -> BatchSpec {
        let default = BatchSpec::default();
        BatchSpec {
            max_records: self.max_records.unwrap_or(default.max_records),
            max_bytes: self
                .max_bytes
                .map_or(default.max_bytes, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
            max_wait: self.max_wait.unwrap_or(default.max_wait),
        }
    }
}
