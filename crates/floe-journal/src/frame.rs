//! Frames: the unit that is written and recovered whole. Byte tables are in `docs/journal-format.md`.

use crate::crc::{crc, repair_one_bit};

/// A byte position in the journal: rises for ever, over all segments.
pub type Position = u64;

/// A partition of some topic; the broker knows which. Never used again for another one.
pub type PartitionId = u64;

/// First bytes of a frame: `FLOE`.
pub const MAGIC: [u8; 4] = *b"FLOE";
/// The format this program writes, and the newest it reads.
pub const FORMAT: u8 = 1;
/// Length of a frame's header.
pub const HEADER_BYTES: usize = 64;
/// Length of an entry's head.
pub const HEAD_BYTES: usize = 48;
/// Frames start at multiples of this.
pub const ALIGNMENT: u64 = 8;

/// The part of a sequence that counts frames; what is above counts starts.
const SEQUENCE_COUNT: u64 = (1 << 40) - 1;

/// The sequence behind this one.
pub(crate) fn sequence_behind(sequence: u64) -> u64 {
    (sequence & !SEQUENCE_COUNT) | (sequence.wrapping_add(1) & SEQUENCE_COUNT)
}

/// How many frames lie between two sequences.
pub(crate) fn frames_between(first: u64, behind: u64) -> u64 {
    behind.wrapping_sub(first) & SEQUENCE_COUNT
}

/// Whether a frame with sequence `found` can stand where `expected` is due: no frame is missing between, and it isn't
/// one of an earlier start that was cut.
pub(crate) fn sequence_fits(expected: u64, found: u64) -> bool {
    frames_between(expected, found) == 0 && found >= expected
}

/// The same place in the count, in the start behind the one that `newest` belongs to.
pub(crate) fn sequence_of_next_start(sequence: u64, newest: u64) -> u64 {
    ((newest & !SEQUENCE_COUNT).wrapping_add(SEQUENCE_COUNT + 1)) | (sequence & SEQUENCE_COUNT)
}

/// A place in the count that none of the frames before `end` can have had.
pub(crate) fn sequence_ahead(sequence: u64, end: Position) -> u64 {
    let count = (sequence & SEQUENCE_COUNT).max(end / HEADER_BYTES as u64) + 1;
    (sequence & !SEQUENCE_COUNT) | (count & SEQUENCE_COUNT)
}

/// What an entry holds. The numbers are on disk: never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EntryKind {
    /// A record batch, appended to its partition.
    Records = 1,
    /// A record batch written again under its old offsets, so that its old segment can be recycled.
    Moved = 2,
    /// State of the broker.
    State = 3,
    /// A segment is given up (its base is in `base_offset`).
    Retired = 4,
}

impl EntryKind {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Records,
            2 => Self::Moved,
            3 => Self::State,
            4 => Self::Retired,
            _ => return None,
        })
    }

    /// Whether the entry is a record batch.
    #[must_use]
    pub fn is_records(self) -> bool {
        matches!(self, Self::Records | Self::Moved)
    }
}

/// The fixed part of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Base-2 logarithm of the segment size.
    pub segment_shift: u8,
    /// Where the frame starts.
    pub position: Position,
    /// Everything before this was on disk when the frame was written.
    pub durable_through: Position,
    /// Whole length, with header, heads and padding.
    pub length: u32,
    /// Number of entries.
    pub entries: u32,
    /// The journal it belongs to: a random number, so that neither another journal's frames nor bytes inside a
    /// record can be taken for a frame.
    pub journal_id: u64,
    /// Counts frames without gap in its lower 40 bits; the upper ones count the starts of the journal.
    pub sequence: u64,
    /// Wall clock when it was written, milliseconds since the epoch.
    pub written_at_ms: i64,
    heads_crc: u32,
}

/// The fixed part of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryHead {
    /// What it holds.
    pub kind: EntryKind,
    /// The broker's own mark, kept with the entry.
    pub flags: u8,
    /// Length of the body.
    pub length: u32,
    /// For record batches.
    pub partition: PartitionId,
    /// First offset of a record batch.
    pub base_offset: i64,
    /// Largest timestamp of a record batch, milliseconds since the epoch.
    pub max_timestamp: i64,
    /// Last offset minus first offset.
    pub last_offset_delta: u32,
    /// CRC-32C of the body.
    pub body_crc: u32,
    /// Where the batch was written first; 0 when that is here.
    pub origin: Position,
}

impl EntryHead {
    /// Last offset of a record batch.
    #[must_use]
    pub fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAFrame {
    /// No frame of this journal starts here.
    Absent,
    /// A frame starts here in a format newer than this program's.
    Newer(u8),
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

impl FrameHeader {
    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..4].copy_from_slice(&MAGIC);
        bytes[4] = FORMAT;
        bytes[5] = self.segment_shift;
        bytes[8..16].copy_from_slice(&self.position.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.durable_through.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.length.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.entries.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.journal_id.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.written_at_ms.to_le_bytes());
        bytes[56..60].copy_from_slice(&self.heads_crc.to_le_bytes());
        let header_crc = crc(&bytes[..60]);
        bytes[60..64].copy_from_slice(&header_crc.to_le_bytes());
        bytes
    }

    /// Reads a header whose checksum holds; says nothing about where it ought to be.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, NotAFrame> {
        if crc(&bytes[..60]) != u32_at(bytes, 60) {
            return Err(NotAFrame::Absent);
        }
        Self::decode_checked(bytes)
    }

    /// Reads a header after putting at most one flipped bit right; the second value says whether one was.
    pub fn decode_repaired(bytes: &[u8; HEADER_BYTES]) -> Result<Self, NotAFrame> {
        let mut bytes = *bytes;
        let stored = u32_at(&bytes, 60);
        if !repair_one_bit(&mut bytes[..60], stored) {
            return Err(NotAFrame::Absent);
        }
        Self::decode_checked(&bytes)
    }

    fn decode_checked(bytes: &[u8; HEADER_BYTES]) -> Result<Self, NotAFrame> {
        if bytes[0..4] != MAGIC {
            return Err(NotAFrame::Absent);
        }
        if bytes[4] > FORMAT {
            return Err(NotAFrame::Newer(bytes[4]));
        }
        let header = Self {
            segment_shift: bytes[5],
            position: u64_at(bytes, 8),
            durable_through: u64_at(bytes, 16),
            length: u32_at(bytes, 24),
            entries: u32_at(bytes, 28),
            journal_id: u64_at(bytes, 32),
            sequence: u64_at(bytes, 40),
            written_at_ms: i64_at(bytes, 48),
            heads_crc: u32_at(bytes, 56),
        };
        let smallest = HEADER_BYTES as u64 + u64::from(header.entries) * HEAD_BYTES as u64;
        if u64::from(header.length) < smallest || !u64::from(header.length).is_multiple_of(ALIGNMENT) {
            return Err(NotAFrame::Absent);
        }
        Ok(header)
    }

    /// Where the frame ends.
    #[must_use]
    pub fn end(&self) -> Position {
        self.position + u64::from(self.length)
    }

    /// Length of all entries' heads together.
    #[must_use]
    pub fn heads_length(&self) -> usize {
        self.entries as usize * HEAD_BYTES
    }

    /// Reads the entries' heads with the position of each body; `None` when they aren't what was written. One flipped
    /// bit is put right: the second value says so.
    #[must_use]
    pub fn decode_heads(&self, bytes: &mut [u8]) -> Option<(Vec<(EntryHead, Position)>, bool)> {
        let intact = crc(bytes) == self.heads_crc;
        if !intact && !repair_one_bit(bytes, self.heads_crc) {
            return None;
        }
        let mut body = self.position + (HEADER_BYTES + bytes.len()) as u64;
        let mut heads = Vec::with_capacity(bytes.len() / HEAD_BYTES);
        for head in bytes.chunks_exact(HEAD_BYTES) {
            let head = EntryHead::decode(head)?;
            heads.push((head, body));
            body += u64::from(head.length);
        }
        (body <= self.end()).then_some((heads, !intact))
    }
}

impl EntryHead {
    fn encode_into(&self, out: &mut Vec<u8>) {
        out.push(self.kind as u8);
        out.push(self.flags);
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&self.length.to_le_bytes());
        out.extend_from_slice(&self.partition.to_le_bytes());
        out.extend_from_slice(&self.base_offset.to_le_bytes());
        out.extend_from_slice(&self.max_timestamp.to_le_bytes());
        out.extend_from_slice(&self.last_offset_delta.to_le_bytes());
        out.extend_from_slice(&self.body_crc.to_le_bytes());
        out.extend_from_slice(&self.origin.to_le_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            kind: EntryKind::from_byte(bytes[0])?,
            flags: bytes[1],
            length: u32_at(bytes, 4),
            partition: u64_at(bytes, 8),
            base_offset: i64_at(bytes, 16),
            max_timestamp: i64_at(bytes, 24),
            last_offset_delta: u32_at(bytes, 32),
            body_crc: u32_at(bytes, 36),
            origin: u64_at(bytes, 40),
        })
    }
}

/// What of a frame is known only when it is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    pub(crate) segment_shift: u8,
    pub(crate) position: Position,
    pub(crate) durable_through: Position,
    pub(crate) journal_id: u64,
    pub(crate) sequence: u64,
    pub(crate) written_at_ms: i64,
}

/// A frame in the making.
#[derive(Debug, Default)]
pub struct FrameBuilder {
    heads: Vec<EntryHead>,
    bodies: Vec<u8>,
}

impl FrameBuilder {
    /// An empty frame with room for bodies of this size.
    #[must_use]
    pub fn with_capacity(body_bytes: usize) -> Self {
        Self { heads: Vec::new(), bodies: Vec::with_capacity(body_bytes) }
    }

    /// Adds a record batch.
    pub fn records(
        &mut self,
        partition: PartitionId,
        flags: u8,
        offsets: (i64, u32),
        max_timestamp: i64,
        body: &[u8],
    ) {
        self.push(EntryKind::Records, flags, partition, offsets, max_timestamp, 0, body);
    }

    /// Adds a record batch that was first written at `origin` and is written again under its old offsets.
    pub fn moved(
        &mut self,
        partition: PartitionId,
        flags: u8,
        offsets: (i64, u32),
        max_timestamp: i64,
        origin: Position,
        body: &[u8],
    ) {
        self.push(EntryKind::Moved, flags, partition, offsets, max_timestamp, origin, body);
    }

    /// Adds state of the broker.
    pub fn state(&mut self, body: &[u8]) {
        self.push(EntryKind::State, 0, 0, (0, 0), 0, 0, body);
    }

    /// Notes that a segment is given up.
    pub fn retired(&mut self, segment_base: Position) {
        self.push(EntryKind::Retired, 0, 0, (segment_base.cast_signed(), 0), 0, 0, &[]);
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the fields of an entry's head, named by the public methods"
    )]
    fn push(
        &mut self,
        kind: EntryKind,
        flags: u8,
        partition: PartitionId,
        (base_offset, last_offset_delta): (i64, u32),
        max_timestamp: i64,
        origin: Position,
        body: &[u8],
    ) {
        let length = u32::try_from(body.len()).expect("bodies are bounded far below 4 GiB");
        let body_crc = crc(body);
        self.bodies.extend_from_slice(body);
        self.heads.push(EntryHead {
            kind,
            flags,
            length,
            partition,
            base_offset,
            max_timestamp,
            last_offset_delta,
            body_crc,
            origin,
        });
    }

    /// How many entries it has.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.heads.len()
    }

    /// Bytes the frame takes in the journal.
    #[must_use]
    pub fn frame_bytes(&self) -> u64 {
        ((HEADER_BYTES + self.heads.len() * HEAD_BYTES + self.bodies.len()) as u64)
            .next_multiple_of(ALIGNMENT)
    }

    /// Turns it into bytes: header with heads, and bodies with padding.
    pub(crate) fn encode(mut self, stamp: Stamp) -> Encoded {
        let length = self.frame_bytes();
        let mut front = Vec::with_capacity(HEADER_BYTES + self.heads.len() * HEAD_BYTES);
        front.extend_from_slice(&[0; HEADER_BYTES]);
        for head in &self.heads {
            head.encode_into(&mut front);
        }
        let header = FrameHeader {
            segment_shift: stamp.segment_shift,
            position: stamp.position,
            durable_through: stamp.durable_through,
            length: u32::try_from(length).expect("frames are smaller than segments"),
            entries: u32::try_from(self.heads.len()).expect("entries are bounded"),
            journal_id: stamp.journal_id,
            sequence: stamp.sequence,
            written_at_ms: stamp.written_at_ms,
            heads_crc: crc(&front[HEADER_BYTES..]),
        };
        front[..HEADER_BYTES].copy_from_slice(&header.encode());
        let length = usize::try_from(length).expect("frames are smaller than segments");
        self.bodies.resize(length - front.len(), 0);
        // the bodies stay in memory for readers at the tail: room that was taken in vain must not stay with them
        if self.bodies.capacity() > self.bodies.len() + self.bodies.len() / 4 {
            self.bodies.shrink_to_fit();
        }
        Encoded { front, heads: self.heads, bodies: self.bodies }
    }
}

/// A frame as bytes.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) front: Vec<u8>,
    pub(crate) heads: Vec<EntryHead>,
    pub(crate) bodies: Vec<u8>,
}
