//! What clients did and saw, and whether a correct log could have shown them that.
//!
//! Clients write a [`History`]: what they sent, read, committed and were shown live, and how each of it ended.
//! [`check`] then names what no correct log does. The kinds are those of Jepsen's `tests/kafka.clj`, as far as one node
//! without transactions has them.

mod check;
mod event;
mod groups;
mod live;
mod order;
mod report;
mod stored;
mod value;

pub use check::check;
pub use event::{End, Event, FinalLog, FinalPlace, History, OpId, Place, Sent};
pub use report::{Kind, Report, Violation};
pub use value::Value;
