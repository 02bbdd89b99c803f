//! The data directory before anything is opened in it: there, ours, and nobody else's to write.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

use crate::{
    config::settings::{Settings, StorageMode},
    output::shown,
};

/// Permission bit: everybody may write.
const WORLD_WRITABLE: u32 = 0o002;

/// A directory that may be used.
#[derive(Debug)]
pub(super) enum DataDirectory {
    /// Kept.
    Kept(PathBuf),
    /// Made for this process; the engine removes it when it closes.
    Ephemeral(PathBuf),
}

impl DataDirectory {
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Kept(path) | Self::Ephemeral(path) => path,
        }
    }

    pub(super) fn is_ephemeral(&self) -> bool {
        matches!(self, Self::Ephemeral(_))
    }

    /// The directory for people.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Kept(path) => shown(&path.display().to_string()),
            Self::Ephemeral(_) => {
                "in a temporary directory: gone when the server ends (--ephemeral)".to_owned()
            }
        }
    }
}

/// Makes the directory if it is missing, and refuses one that isn't safe to use.
pub(super) fn prepare(settings: &Settings) -> anyhow::Result<DataDirectory> {
    match settings.storage {
        StorageMode::Ephemeral => {
            let directory = tempfile::Builder::new().prefix("floe-").tempdir();
            Ok(DataDirectory::Ephemeral(directory.context("cannot make a temporary data directory")?.keep()))
        }
        StorageMode::Kept => {
            check(&settings.data_dir)?;
            Ok(DataDirectory::Kept(settings.data_dir.clone()))
        }
    }
}

fn check(path: &Path) -> anyhow::Result<()> {
    let name = shown(&path.display().to_string());
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
            made.with_context(|| format!("cannot make the data directory {name}"))?;
            fs::metadata(path)
        }
        found => found,
    };
    let metadata = metadata.with_context(|| format!("cannot use the data directory {name}"))?;
    if !metadata.is_dir() {
        bail!("the data directory {name} is a file");
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & WORLD_WRITABLE != 0 {
        bail!(
            "the data directory {name} is writable by everybody (mode {mode:04o}): take that away with chmod o-w, or use another one"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_directory_is_made_for_its_owner_only() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b");
        check(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn what_is_unsafe_or_no_directory_is_refused_in_a_sentence() {
        let root = tempfile::tempdir().unwrap();
        let open = root.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o1777)).unwrap();
        assert!(check(&open).unwrap_err().to_string().contains("writable by everybody (mode 1777)"));

        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(check(&file).unwrap_err().to_string().contains("is a file"));
        assert!(check(&file.join("below")).unwrap_err().to_string().contains("cannot use"));

        let loops = root.path().join("loops");
        std::os::unix::fs::symlink(&loops, &loops).unwrap();
        assert!(check(&loops).unwrap_err().to_string().contains("cannot use"));
    }
}
