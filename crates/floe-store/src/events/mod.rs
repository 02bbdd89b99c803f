//! The event store: the table `events`, questions about it, and those who follow what is stored.

mod event;
mod feed;
mod followed;
mod frame;
mod log;
mod query;
mod ring;
mod store;

pub use event::{CountBy, EventCount, EventFilter, EventPage, ListOrder, NewEvent, StoredEvent};
pub use followed::Followed;
pub use frame::FollowedEvent;
pub use store::EventStore;

pub(crate) use log::{EventLog, Fresh};
