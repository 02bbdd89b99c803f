//! The bounds of every queue, transaction and wait.

use std::time::Duration;

/// How long a connection may take to open.
pub(crate) const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long a transaction may take before its connection is given up.
pub(crate) const TRANSACTION_LIMIT: Duration = Duration::from_secs(60);
/// How long a question of a reader may take.
pub(crate) const READ_LIMIT: Duration = Duration::from_secs(30);
/// How long a reader waits for one of the connections.
pub(crate) const READER_WAIT: Duration = Duration::from_secs(5);
/// Connections for questions, per database.
pub(crate) const READERS: usize = 4;
/// A connection that was not used for so long is tried before it is used.
pub(crate) const IDLE_UNTRIED: Duration = Duration::from_secs(1);
/// How often a server that nobody asks anything is tried.
pub(crate) const WATCH_PERIOD: Duration = Duration::from_secs(2);
/// The first wait after a failed attempt to connect; doubled each time, and spread by up to a half of it more. Above
/// 200 ms, so that there are fewer than five attempts in a second.
pub(crate) const BACK_OFF_FIRST: Duration = Duration::from_millis(250);
/// The longest wait between attempts, without what it is spread by.
pub(crate) const BACK_OFF_LAST: Duration = Duration::from_secs(2);
/// How long SQLite waits for another process's transaction.
pub(crate) const BUSY_LIMIT: Duration = Duration::from_secs(10);

/// Writes that wait for one table's writer; a further one waits for room.
pub(crate) const QUEUED_WRITES: usize = 256;
/// Rows in one transaction; a single larger batch has one of its own.
pub(crate) const GROUP_ROWS: usize = 16_384;
/// Bytes in one transaction, roughly; a single larger batch has one of its own.
pub(crate) const GROUP_BYTES: usize = 8 << 20;
/// Bad rows that are looked for at once; the others are found when the rest is written.
pub(crate) const REJECTED_AT_ONCE: usize = 256;

/// Bytes of an event's id, type or user: they are in indexes, and PostgreSQL's take no more than 2,704.
pub(crate) const NAME_BYTES: usize = 1_024;

/// Events that are kept in memory for those who follow.
pub(crate) const RING_EVENTS: usize = 8_192;
/// Bytes of events that are kept in memory for those who follow.
pub(crate) const RING_BYTES: usize = 16 << 20;
/// Events that a follower gets at once.
pub(crate) const FOLLOW_PAGE: usize = 256;
/// Events that are read from the table at once for those who follow.
pub(crate) const PAGE_EVENTS: usize = 512;
/// Bytes of events that are read from the table at once for those who follow; the last of them may go beyond.
pub(crate) const PAGE_BYTES: usize = 4 << 20;
/// How often the table is looked into for what other processes stored, while somebody follows.
pub(crate) const FEED_POLL: Duration = Duration::from_millis(500);
/// How long the feed goes on after the last follower has left.
pub(crate) const FEED_LINGER: Duration = Duration::from_secs(5);
/// How often one who waits for an event looks into the table, beside being told.
pub(crate) const STORED_POLL: Duration = Duration::from_secs(1);

/// Groups of frames on their way to Redis; what finds no room is left out, and followers elsewhere find it in the table.
pub(crate) const QUEUED_NOTICES: usize = 64;
/// Frames published in one go.
pub(crate) const PUBLISHED_AT_ONCE: usize = 1_024;
/// How long Redis may take to answer.
pub(crate) const REDIS_LIMIT: Duration = Duration::from_secs(2);
/// How often an idle connection to Redis is tried.
pub(crate) const REDIS_TRIED: Duration = Duration::from_secs(5);

/// Events that a listing answers at most.
pub(crate) const LIST_MAX: usize = 10_000;
/// Lines that counting answers at most.
pub(crate) const COUNTS_MAX: i64 = 10_000;
