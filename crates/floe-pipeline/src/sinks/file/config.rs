//! What can be configured.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;

use crate::sinks::fields::{self, LineFormat};

/// A file of JSON lines.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSpec {
    /// The file that is written; its directory must be there.
    pub path: PathBuf,
    /// What a line holds.
    #[serde(default)]
    pub format: LineFormat,
    /// Before the file would grow beyond this, it is renamed and a new one begun.
    #[serde(default = "default_rotate_bytes", deserialize_with = "fields::size")]
    pub rotate_bytes: u64,
    /// The same when the file is as old as this; looked at when something is written.
    #[serde(default, deserialize_with = "fields::optional_span")]
    pub rotate_every: Option<Duration>,
    /// How many renamed files are kept; all, unless set.
    #[serde(default)]
    pub keep: Option<usize>,
}

const DEFAULT_ROTATE_BYTES: u64 = 128 << 20;

/// A file that is renamed more often than this is a mistake in the configuration.
const ROTATE_EVERY_MIN: Duration = Duration::from_secs(1);

fn default_rotate_bytes() -> u64 {
    DEFAULT_ROTATE_BYTES
}

impl FileSpec {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.path.file_name().is_none() {
            return Err("file: 'path' names no file".to_owned());
        }
        if self.rotate_bytes == 0 {
            return Err("file: 'rotate_bytes' must be above 0".to_owned());
        }
        if self.rotate_every.is_some_and(|every| every < ROTATE_EVERY_MIN) {
            return Err("file: 'rotate_every' must be at least 1s".to_owned());
        }
        Ok(())
    }
}
