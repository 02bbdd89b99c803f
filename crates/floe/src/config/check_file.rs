//! `floe check floe.toml`.

use std::path::Path;

use super::{ConfigErrors, Loaded, combine, file};

/// Checks one file by itself, without environment and flags.
pub(crate) fn check(path: &Path) -> Result<Loaded, ConfigErrors> {
    let contents = file::read(path).map_err(|error| ConfigErrors(vec![error]))?;
    combine(contents, [])
}
