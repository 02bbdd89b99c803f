//! Consumer groups: deliveries for doors without a session, membership for those with one.

use std::time::Duration;

use bytes::Bytes;
use floe_broker::StoredRecord;

/// Asks for the next records of a group. No member has to be created or kept alive.
#[derive(Clone, Debug)]
pub struct Poll {
    /// The group; made on first use.
    pub group: String,
    /// The topics to take from.
    pub topics: Vec<String>,
    /// Only this partition (of the one topic named).
    pub partition: Option<u32>,
    /// At most this many records.
    pub max_records: usize,
    /// At most about this many bytes.
    pub max_bytes: usize,
    /// How long to wait when there is nothing yet.
    pub wait: Duration,
    /// When the group's position moves.
    pub mode: DeliveryMode,
    /// Fail with `NotSubscribed` when the group has no position on a topic, instead of starting at its earliest record.
    pub require_subscription: bool,
}

/// When a delivery moves the group's committed position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryMode {
    /// Before the answer, durably: each record is given out at most once.
    Commit,
    /// When the delivery is acknowledged; after this time without that, it is given out again.
    Lease(Duration),
}

/// Records handed to a group. No two open deliveries of a group hold the same record.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The token to acknowledge it with; `None` when there is nothing to acknowledge.
    pub id: Option<String>,
    /// The records with their topics; in order within a partition.
    pub records: Vec<(String, StoredRecord)>,
    /// Where the group reads on, per topic and partition that the records came from.
    pub next_offsets: Vec<(String, u32, i64)>,
}

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSummary {
    /// Its name.
    pub group: String,
    /// Its state.
    pub state: GroupState,
    /// Members it has now.
    pub members: usize,
}

/// Whether somebody reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupState {
    /// Members or open deliveries.
    Stable,
    /// Neither; positions are kept.
    Empty,
}

/// A group in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its name.
    pub group: String,
    /// Its state.
    pub state: GroupState,
    /// Rises with every change of membership.
    pub generation: u64,
    /// Its members.
    pub members: Vec<MemberDescription>,
    /// Its positions.
    pub partitions: Vec<GroupLag>,
}

/// One member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberDescription {
    /// The id it was given.
    pub id: String,
    /// The name it gave itself.
    pub client_id: String,
    /// Topic and partition of all it owns.
    pub assignment: Vec<(String, u32)>,
    /// Milliseconds since it was last heard of.
    pub last_seen_ms: u64,
    /// What it last said of itself with a heartbeat, for others to read; empty if nothing. Kept in memory only.
    pub status: Bytes,
}

/// A group's position in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupLag {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The next offset the group will read.
    pub committed: i64,
    /// The offset behind the newest visible record.
    pub end: i64,
    /// `end - committed`, never below 0.
    pub lag: u64,
}

/// What a member is told when it joins and at each heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The member's id.
    pub member: String,
    /// The generation its assignment belongs to.
    pub generation: u64,
    /// Topic and partition of all it owns in this generation; nobody else does.
    pub assignment: Vec<(String, u32)>,
}
