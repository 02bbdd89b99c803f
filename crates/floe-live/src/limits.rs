//! What live delivery may hold at most. Full never means "wait" for a publisher: a ring forgets its oldest record, and
//! who still wanted that one reads it from the log or is told that it was skipped.

use std::time::Duration;

/// Records a ring keeps at least room for, whatever the topic's settings: with less, a burst would send every
/// subscriber to the log for the same records.
pub const RING_MIN_RECORDS: usize = 4096;

/// Weight of one ring's records: see [`RECORD_OVERHEAD_BYTES`] for what a record weighs. One record always fits.
pub const RING_MAX_BYTES: usize = 16 << 20;

/// Weight of all rings' records together. Above it a ring that grows gives up its oldest records first.
pub const LIVE_MAX_BYTES: usize = 128 << 20;

/// What a record weighs beside its bytes, which count twice: once as stored and once as encoded for a dialect.
pub(crate) const RECORD_OVERHEAD_BYTES: usize = 512;

/// `floe.live.queue.size` when the topic doesn't say.
pub const DEFAULT_QUEUE_RECORDS: usize = 100;

/// The largest `floe.live.queue.size`.
pub const MAX_QUEUE_RECORDS: usize = 100_000;

/// `floe.live.history.size` when the topic doesn't say.
pub const DEFAULT_HISTORY_RECORDS: usize = 100;

/// The largest `floe.live.history.size`.
pub const MAX_HISTORY_RECORDS: usize = 100_000;

/// Records the feeding task puts into a ring before it wakes the subscribers and lets them run. Far below
/// [`RING_MIN_RECORDS`], so that a burst reaches subscribers in pieces instead of overrunning them.
pub(crate) const FEED_RECORDS: usize = 256;

/// How long the feeding task waits before it looks again whether subscribers have taken what it is about to give up.
pub(crate) const PACE_STEP: Duration = Duration::from_millis(1);

/// How many such steps it waits. Then it goes on, and who is still behind reads the log.
pub(crate) const PACE_STEPS_MAX: usize = 100;

/// Partitions of which a subscriber remembers its place, to name what it skipped. A topic with more of them still
/// counts what was skipped; the range then may start earlier than the skip did.
pub(crate) const TRACKED_PARTITIONS: usize = 256;

/// Skipped ranges named in one notice, one per partition.
pub(crate) const SKIPPED_RANGES: usize = 256;

/// How long a subscriber's socket may be full, in all, while it is more than `queue_size` behind, before it is moved
/// forward. Longer than a busy reader is away, shorter than a person notices.
pub const LAG_PATIENCE: Duration = Duration::from_millis(250);
