//! One append-only journal for a whole node.
//!
//! Everything that must survive goes into one sequence of frames: record batches of any partition, and state of the
//! broker as opaque entries. One sync covers all that waits, whatever it belongs to. The bytes are laid out as
//! `docs/journal-format.md` says. No runtime, no network, no clock and no topic names in here.

pub mod check;
mod crc;
mod damage;
mod error;
mod footer;
pub mod frame;
mod index;
mod journal;
mod keeper;
pub mod limits;
mod lists;
mod lock;
mod meta;
mod recovery;
mod scrub;
mod segment;
mod snapshot;
mod space;
mod storage;
mod tail_cache;
mod usage;
mod writer;

pub use damage::{Damage, DamageKind};
pub use error::{AppendError, OpenError, ReadError};
pub use frame::{EntryKind, FrameBuilder, PartitionId, Position};
pub use index::BatchRef;
pub use journal::{Journal, JournalConfig, Opened};
pub use keeper::Keeper;
pub use lock::{DirectoryLock, LockError};
pub use recovery::{RecoveryReport, Replay, open};
pub use storage::{DiskStorage, Storage, StorageFile};
pub use usage::SegmentUsage;
pub use writer::{Appender, EntryPlace, Syncer, Written};
