//! Every bound of the broker, with its unit in its name.

/// Partitions of one topic.
pub const MAX_PARTITIONS_PER_TOPIC: u32 = 10_000;
/// Partitions of all topics together.
pub const MAX_PARTITIONS: usize = 100_000;
/// Bytes that may wait to be written; more is refused as overload.
pub const MAX_QUEUED_BYTES: usize = 64 << 20;
/// Bytes taken into one group commit, unless a single command is larger.
pub const MAX_GROUP_BYTES: usize = 4 << 20;
/// Entries of one group commit; a frame of the journal holds 65,536.
pub const MAX_GROUP_ENTRIES: usize = 60_000;
/// Batches that one append may be made of.
pub const MAX_APPEND_BATCHES: usize = 20_000;
/// Commands taken into one group commit.
pub const MAX_GROUP_COMMANDS: usize = 8_192;
/// With this much waiting, a group is written while the one before is still on its way to the disk.
pub const WRITE_AHEAD_BYTES: usize = 256 << 10;
/// A batch made of single records that wait together.
pub const MAX_MERGED_BATCH_BYTES: usize = 512 << 10;
/// With no traffic for this long, an empty frame tells the journal's own durable position.
pub const IDLE_FRAME_MS: u64 = 50;
/// Records and bytes that wait in the tap of a follower; beyond, it reads from the log.
pub const MAX_TAP_BYTES: usize = 8 << 20;
/// Group names, in bytes.
pub const MAX_GROUP_NAME_BYTES: usize = 255;
/// Consumer groups.
pub const MAX_GROUPS: usize = 100_000;
/// Partitions looked at in one turn of retention.
pub const RETENTION_PARTITIONS_PER_TURN: usize = 2_000;
/// Topics that keep records for less than this are looked at in every turn of retention, milliseconds.
pub const SHORT_RETENTION_MS: u64 = 3_600_000;
/// Wall clock and monotonic clock may drift apart by this before deletion by time waits, milliseconds.
pub const MAX_CLOCK_DRIFT_MS: i64 = 3_600_000;
/// A segment with less than this share of its bytes alive is emptied by writing the living batches again, percent.
pub const MOSTLY_DEAD_PERCENT: u64 = 25;
/// Bytes of living batches written again in one command.
pub const MOVE_CHUNK_BYTES: usize = 1 << 20;
/// Clients' idempotency keys stay good for this long, milliseconds.
pub const IDEMPOTENCY_WINDOW_MS: i64 = 24 * 3_600_000;
