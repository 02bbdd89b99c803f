//! `floe check floe.toml`.

use std::path::Path;

use super::{ConfigErrors, combine, file};

/// Checks one file by itself, without environment and flags.
pub(crate) fn check(path: &Path) -> Result<(), ConfigErrors> {
    let given = file::read(path).map_err(|error| ConfigErrors(vec![error]))?;
    combine([given]).map(drop)
}
