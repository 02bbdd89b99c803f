//! The database behind pipelines: SQLite in the data directory, or PostgreSQL.
//!
//! Rows and the position of the log that they came from are written in one transaction, and positions are guarded by an
//! epoch that each new owner raises. So every record becomes a row exactly once, whatever fails and whoever is slow.

mod clock;
mod connection;
mod database;
mod error;
mod events;
mod limits;
mod link;
mod migrations;
mod notices;
mod positions;
mod postgres;
mod sqlite;
mod table;
mod url;
mod writer;

pub use database::Database;
pub use error::{StoreError, WriteError};
pub use events::{
    CountBy, EventCount, EventFilter, EventPage, EventStore, Followed, FollowedEvent, ListOrder, NewEvent,
    StoredEvent,
};
pub use link::ConnectionState;
pub use positions::{Claim, PositionKey};
pub use table::{Cell, ColumnType, Row, TableShape, TableWriter};
pub use url::DatabaseUrl;
