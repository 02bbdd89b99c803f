//! What a consumer group knows while it runs: who holds which records, and who owns which partitions.
//!
//! Nothing here outlives the process. Committed positions do, and are kept elsewhere; after a restart deliveries start
//! again from those, and members join again.

mod assignment;
mod delivery;
mod membership;

/// A partition of a topic: the topic's id and the partition's number.
pub type PartitionKey = (u64, u32);

pub use delivery::{Claim, Deliveries, MAX_OPEN_DELIVERIES, NotOpen, TooManyOpen};
pub use membership::{Assignment, MAX_MEMBERS, MemberView, Members, Membership, MembershipError};
