//! One data directory, one process.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, Write},
    path::Path,
};

use rustix::fs::FlockOperation;

/// Name of the lock file in the data directory.
pub(crate) const LOCK_FILE: &str = "floe.lock";

/// Holds a data directory for this process; given back when dropped or when the process ends, however it ends.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

/// Why a data directory could not be held.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("the data directory is in use by process {}", .pid.map_or("?".to_owned(), |pid| pid.to_string()))]
    Held {
        /// Its id, when it could be read.
        pid: Option<u32>,
    },
    /// The operating system refused.
    #[error("locking the data directory failed: {0}")]
    Io(#[from] io::Error),
}

impl DirectoryLock {
    /// Takes the lock of `directory`, which must exist. The file's content is the holder's process id; whether it is
    /// held is the kernel's lock on it, so a file left by a dead process is no obstacle.
    pub fn take(directory: &Path) -> Result<Self, LockError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(directory.join(LOCK_FILE))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut text = String::new();
                let read = Read::take(&mut file, 32).read_to_string(&mut text);
                return Err(LockError::Held { pid: read.ok().and_then(|_| text.trim().parse().ok()) });
            }
            Err(error) => return Err(io::Error::from(error).into()),
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Self { _file: file })
    }
}
