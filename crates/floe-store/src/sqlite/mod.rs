//! SQLite: a file that is its own database.

pub(crate) mod events;
pub(crate) mod positions;
pub(crate) mod rows;

use std::path::Path;

use sqlx::{
    ConnectOptions as _,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use crate::{connection::Connection, database::Role, error::Failure, limits::BUSY_LIMIT};

/// Pages in the write-ahead log before they are moved into the database: 16 MiB at 4 KiB each.
const CHECKPOINT_PAGES: &str = "4096";

/// Opens the file. A commit is on disk when it is answered (`synchronous=FULL`), and what is deleted is overwritten.
pub(crate) async fn connect(path: &Path, role: Role) -> Result<Connection, Failure> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(role == Role::Writer)
        .busy_timeout(BUSY_LIMIT)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("trusted_schema", "OFF")
        .pragma("secure_delete", "ON")
        .pragma("cache_size", "-16384")
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        .disable_statement_logging();
    let mut connection = Connection::Sqlite(Box::new(options.connect().await?));
    if role == Role::Reader {
        connection.run("PRAGMA query_only = ON").await?;
    }
    Ok(connection)
}
