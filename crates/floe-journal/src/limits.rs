//! Every bound of the journal, with its unit in its name.

/// Size of a segment's frame region unless configured.
pub const DEFAULT_SEGMENT_BYTES: u32 = 128 << 20;
/// Smallest and largest segment that can be configured; always a power of two.
pub const MIN_SEGMENT_BYTES: u32 = 64 << 10;
/// See [`MIN_SEGMENT_BYTES`].
pub const MAX_SEGMENT_BYTES: u32 = 1 << 30;
/// The newest frames kept in memory for readers at the tail, unless configured.
pub const DEFAULT_TAIL_CACHE_BYTES: usize = 32 << 20;
/// A frame takes at most this share of a segment (divisor), so that a roll never wastes more than that.
pub const MAX_FRAME_SEGMENT_SHARE: u32 = 2;
/// Entries of one frame.
pub const MAX_FRAME_ENTRIES: usize = 65_536;
/// Bytes that may be written and not yet synced: behind a tear, recovery looks this far for frames.
pub const MAX_UNSYNCED_BYTES: u64 = 32 << 20;
/// A frame, at most; less in small segments.
pub const MAX_FRAME_BYTES: u64 = 16 << 20;
/// How long the keeper rests between two chunks of zeros, so that commits hardly notice, milliseconds.
pub const PREPARE_REST_MS: u64 = 10;
/// While frames of this size and more are written no zeros are: what they would save is less than they cost.
pub const UNPREPARED_FRAME_BYTES: u64 = 64 << 10;
/// The next segment is prepared when this share of the one being written is used (divisor).
pub const PREPARE_NEXT_SHARE: u64 = 4;
/// Zeros written in one go while preparing.
pub const PREPARE_CHUNK_BYTES: u64 = 1 << 20;
/// In a segment with no successor prepared, this much stays free for positions and deletions.
pub const RESERVE_BYTES: u64 = 1 << 20;
/// Bytes thrown away by recovery that are kept aside, at most.
pub const MAX_CUT_KEPT_BYTES: u64 = 64 << 20;
/// Files of cut bytes that are kept.
pub const MAX_CUT_FILES: usize = 8;
/// Snapshots kept.
pub const SNAPSHOTS_KEPT: usize = 2;
/// Entry lists of sealed segments kept decoded, in entries.
pub const LIST_CACHE_ENTRIES: usize = 500_000;
/// Damage reports kept; the newest win.
pub const MAX_DAMAGE_REPORTS: usize = 1_000;
/// Recycled segments kept ready beyond the next one.
pub const MAX_SPARE_SEGMENTS: usize = 1;
