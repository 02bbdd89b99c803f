//! Fan-out of a topic's tail.
//!
//! A topic that somebody watches has one ring of its newest visible records, fed by one task that follows the
//! engine's tail. A subscriber is a cursor into that ring, not a queue of its own: publishing costs the same with one
//! subscriber or ten thousand, except for waking them. What a subscriber wants that the ring no longer (or not yet)
//! holds, it reads from the log, page by page; so replay, resume and live are one path with no gap and no repeat.

mod feeder;
mod lag;
mod limits;
mod live;
mod record;
mod ring;
mod settings;
mod signal;
mod subscription;
mod window;

pub use lag::{Lagged, Skipped};
pub use limits::{
    DEFAULT_HISTORY_RECORDS, DEFAULT_QUEUE_RECORDS, LAG_PATIENCE, LIVE_MAX_BYTES, MAX_HISTORY_RECORDS,
    MAX_QUEUE_RECORDS, RING_MAX_BYTES, RING_MIN_RECORDS,
};
pub use live::Live;
pub use record::{Dialect, LiveRecord};
pub use settings::{HISTORY_SIZE, POLICY, Policy, QUEUE_SIZE, Settings};
pub use signal::Signal;
pub use subscription::{Blocked, End, Room, Subscription, Taken};
