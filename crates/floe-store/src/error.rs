//! What can go wrong with a database, sorted by what to do about it.

use sqlx::{error::DatabaseError, postgres::PgDatabaseError};

/// Why something could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It can't be reached or is too busy right now: the same may work later.
    #[error("the database can't be reached: {0}")]
    Unavailable(String),
    /// It was reached and will go on refusing: wrong password, missing table or column, not a database.
    #[error("the database refuses: {0}")]
    Refused(String),
}

/// Why a write was not done. Nothing of it is in the database then; only after `Unavailable` it may be, and the same
/// write made again finds that out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// May work later.
    Unavailable(String),
    /// These rows (by place in the batch) will never be taken; the others would be, or are found the next time.
    Rejected(Vec<(usize, String)>),
    /// Somebody else has claimed the partition since: give it up.
    Fenced,
    /// Needs a person.
    Refused(String),
}

/// Why a statement failed.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// The connection is gone or the database is busy; what became of an open transaction is unknown.
    Unavailable(String),
    /// A row can't be stored.
    Data(String),
    /// It would fail again.
    Refused(String),
}

impl Failure {
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Unavailable(text) | Self::Data(text) | Self::Refused(text) => text,
        }
    }

    pub(crate) fn too_slow(what: &str) -> Self {
        Self::Unavailable(format!("{what} took too long"))
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unavailable(text) => Self::Unavailable(text),
            Failure::Data(text) | Failure::Refused(text) => Self::Refused(text),
        }
    }
}

impl From<Failure> for WriteError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unavailable(text) => Self::Unavailable(text),
            Failure::Data(text) | Failure::Refused(text) => Self::Refused(text),
        }
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => match database.try_downcast_ref::<PgDatabaseError>() {
                Some(error) => from_sqlstate(error.code(), error.message().to_owned()),
                None => from_sqlite(database.as_ref()),
            },
            sqlx::Error::Tls(_) | sqlx::Error::Configuration(_) => Self::Refused(error.to_string()),
            // The library tells how many bytes it missed, which helps nobody.
            sqlx::Error::Io(io) if io.kind() == std::io::ErrorKind::UnexpectedEof => {
                Self::Unavailable("the database closed the connection".to_owned())
            }
            sqlx::Error::Io(io) => Self::Unavailable(io.to_string()),
            sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::Decode(_)
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::TypeNotFound { .. } => Self::Refused(error.to_string()),
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

/// By the class of PostgreSQL's error codes (appendix A of its manual).
fn from_sqlstate(code: &str, message: String) -> Failure {
    match code.as_bytes() {
        // Nothing that a row could be blamed for, though its class says so: the table isn't as it was thought to be.
        b"42P10" => Failure::Refused(format!("{message}; the key's columns need a unique index")),
        // Invalid data, a violated constraint, or more than an index or the parser takes.
        // Or what a trigger raised.
        [b'2', b'1' | b'2' | b'3', ..] | [b'5', b'4', ..] | [b'4', b'4', ..] | [b'P', b'0', ..] => {
            Failure::Data(message)
        }
        [b'0', b'8', ..] | [b'4', b'0', ..] | [b'5', b'3' | b'5' | b'7' | b'8', ..] => {
            Failure::Unavailable(message)
        }
        // A server that is read-only has become a standby, and may be the primary again.
        b"25006" | b"25P03" => Failure::Unavailable(message),
        _ => Failure::Refused(message),
    }
}

/// By SQLite's primary result code, which is the extended one's low byte.
fn from_sqlite(error: &dyn DatabaseError) -> Failure {
    let code = error.code().and_then(|code| code.parse::<u32>().ok()).unwrap_or(1) & 0xff;
    let message = error.message().to_owned();
    match code {
        // CONSTRAINT, MISMATCH, TOOBIG
        18..=20 => Failure::Data(message),
        // BUSY, LOCKED, NOMEM, INTERRUPT, IOERR, FULL, PROTOCOL, SCHEMA
        5..=7 | 9 | 10 | 13 | 15 | 17 => Failure::Unavailable(message),
        _ => Failure::Refused(message),
    }
}
