//! A directory in memory that forgets, fails and fills up as disks do.
//!
//! It keeps apart what a program sees (the page cache) and what a power cut leaves (the disk): writes reach the disk
//! by a sync of their file, names by a sync of the directory. A failed sync is as treacherous as on Linux: what it
//! should have written may be lost for good, is still shown to readers, and the next sync says that all is well.

mod crash;
mod damage;
mod disk;
mod plan;
mod storage;

pub use crash::Choice;
pub use plan::{FaultError, Operation};
pub use storage::FaultyStorage;
