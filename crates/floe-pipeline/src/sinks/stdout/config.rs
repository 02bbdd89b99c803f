//! What can be configured.

use serde::Deserialize;

use crate::sinks::fields::LineFormat;

/// Standard output, a line per record.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StdoutSpec {
    /// What a line holds.
    #[serde(default)]
    pub format: LineFormat,
}
