//! What can go wrong, one enum per verb.

use std::io;

use crate::Position;

/// Why a journal could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The operating system refused.
    #[error("{doing} '{file}' failed: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file of the data directory.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// The data was written by a newer format.
    #[error("the data has journal format {found}, this program reads up to {known}")]
    NewerFormat {
        /// The version found.
        found: u8,
        /// The newest this program knows.
        known: u8,
    },
    /// A configured size isn't one that works.
    #[error("segment size {asked}: it must be a power of two from 64 KiB to 1 GiB")]
    SegmentSize {
        /// What was asked for.
        asked: u32,
    },
    /// There are segments, but nothing in the directory says to which journal they belong.
    #[error("'{file}' is unreadable and no segment holds a readable frame to restore it from")]
    Unidentified {
        /// The file that should say.
        file: String,
    },
}

/// Why a frame was not appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// No room on the disk. Nothing was written; the same frame may be tried again later.
    #[error("no space left on the disk")]
    Full,
    /// The frame is larger than a frame may be. Nothing was written.
    #[error("a frame of {bytes} bytes is over the limit of {limit}")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// This write, or an earlier write or sync, failed: the journal takes nothing until it is opened anew.
    #[error("a write or sync failed earlier")]
    Failed,
}

/// Why a stored batch could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The bytes on disk are not those that were written.
    #[error("the bytes at {position} are damaged")]
    Damaged {
        /// Where they are.
        position: Position,
    },
    /// The batch was removed while it was looked up; look again.
    #[error("removed meanwhile")]
    Gone,
    /// The operating system refused.
    #[error("reading failed: {0}")]
    Io(#[from] io::Error),
}
