//! Cases for both databases.

pub(crate) mod events;
pub(crate) mod feed;
pub(crate) mod migrations;
pub(crate) mod positions;
pub(crate) mod rows;
