//! How far each partition of each pipeline is in a table, and who owns it.
//!
//! The row of a position is locked in the transaction that writes the partition's rows. So a claim waits for a
//! transaction of the former owner that is still under way, and afterwards sees what became of it.

use std::sync::Arc;

use crate::{connection::Connection, error::Failure, postgres, sqlite};

/// What a claim is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PositionKey {
    /// The log's id: another log's offsets mean something else.
    pub log: Arc<str>,
    /// The pipeline.
    pub pipeline: Arc<str>,
    /// The topic.
    pub topic: Arc<str>,
    /// The topic's id: a topic made again starts at 0 again.
    pub topic_id: u64,
    /// The partition.
    pub partition: u32,
}

/// One owner's hold on one partition of one pipeline.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Rises with each claim; only the newest may write.
    pub epoch: i64,
    /// Behind the last record whose rows are stored; `None` if nothing was ever written.
    pub next_offset: Option<i64>,
}

/// Raises the epoch: whoever held it before can't write any more. Durable on `Ok`.
pub(crate) async fn claim(
    connection: &mut Connection,
    target: &str,
    key: &PositionKey,
    owner: &str,
) -> Result<Claim, Failure> {
    match connection {
        Connection::Sqlite(sqlite) => sqlite::positions::claim(sqlite, target, key, owner).await,
        Connection::Postgres(postgres) => postgres::positions::claim(postgres, target, key, owner).await,
    }
}

/// Locks these positions until the transaction ends, in an order that is the same for all, and reads them.
pub(crate) async fn lock(
    connection: &mut Connection,
    target: &str,
    keys: &[&PositionKey],
) -> Result<Vec<Option<Claim>>, Failure> {
    match connection {
        // The transaction began with the lock of the whole file.
        Connection::Sqlite(sqlite) => sqlite::positions::read(sqlite, target, keys).await,
        Connection::Postgres(postgres) => postgres::positions::lock(postgres, target, keys).await,
    }
}

/// Moves positions that the transaction has locked.
pub(crate) async fn advance(
    connection: &mut Connection,
    target: &str,
    moved: &[(&PositionKey, i64)],
) -> Result<(), Failure> {
    match connection {
        Connection::Sqlite(sqlite) => sqlite::positions::advance(sqlite, target, moved).await,
        Connection::Postgres(postgres) => postgres::positions::advance(postgres, target, moved).await,
    }
}
