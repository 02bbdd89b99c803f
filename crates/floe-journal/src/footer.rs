//! Footers: a sealed segment's own index, behind its frame region. Byte tables are in `docs/journal-format.md`.

use crate::{
    PartitionId, Position,
    crc::crc,
    frame::{EntryHead, EntryKind},
    index::IndexEntry,
};

const MAGIC: [u8; 8] = *b"FLOEFOOT";
/// Length of the trailer, the last bytes of the file.
pub(crate) const TRAILER_BYTES: usize = 68;
const DIRECTORY_ENTRY_BYTES: usize = 64;

/// One run as the footer's directory has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DirectoryEntry {
    pub(crate) partition: PartitionId,
    pub(crate) first_offset: i64,
    pub(crate) last_offset: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) first_origin: Position,
    pub(crate) bytes: u64,
    pub(crate) list_at: u32,
    pub(crate) list_bytes: u32,
    pub(crate) entries: u32,
    /// CRC-32C of the list.
    pub(crate) list_crc: u32,
}

/// A state or retirement entry, in the order of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StateEntry {
    pub(crate) kind: EntryKind,
    pub(crate) position: Position,
    pub(crate) length: u32,
    pub(crate) body_crc: u32,
    /// For a retirement: the base of the segment given up.
    pub(crate) retired: Position,
}

impl StateEntry {
    /// The entry of a frame, as a footer lists it.
    pub(crate) fn new(head: &EntryHead, position: Position) -> Self {
        Self {
            kind: head.kind,
            position,
            length: head.length,
            body_crc: head.body_crc,
            retired: if head.kind == EntryKind::Retired { head.base_offset.cast_unsigned() } else { 0 },
        }
    }
}

/// What a footer says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) journal_id: u64,
    pub(crate) base: Position,
    /// Where the last frame ends.
    pub(crate) end: Position,
    /// Sequence of the first frame, and of the one behind the last.
    pub(crate) sequences: (u64, u64),
    pub(crate) directory: Vec<DirectoryEntry>,
    pub(crate) states: Vec<StateEntry>,
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn zigzag(value: i64) -> u64 {
    (value.wrapping_shl(1) ^ (value >> 63)).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// Writes a run's entries, each relative to the one before.
pub(crate) fn encode_list(entries: &[IndexEntry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(entries.len() * 14);
    let (mut offset, mut position, mut timestamp) = (0i64, 0u64, 0i64);
    for entry in entries {
        put_varint(&mut out, zigzag(entry.base_offset.wrapping_sub(offset)));
        put_varint(&mut out, u64::from(entry.last_offset_delta));
        put_varint(&mut out, entry.position.wrapping_sub(position));
        put_varint(&mut out, u64::from(entry.length));
        put_varint(&mut out, zigzag(entry.max_timestamp.wrapping_sub(timestamp)));
        out.push(entry.flags);
        put_varint(&mut out, if entry.origin == entry.position { 0 } else { entry.origin });
        out.extend_from_slice(&entry.body_crc.to_le_bytes());
        (offset, position, timestamp) =
            (entry.last_offset().wrapping_add(1), entry.position, entry.max_timestamp);
    }
    out
}

/// Reads a run's entries; `None` when the bytes aren't such a list.
pub(crate) fn decode_list(mut bytes: &[u8], count: u32) -> Option<Vec<IndexEntry>> {
    let mut entries = Vec::with_capacity(bytes.len().min(count as usize));
    let (mut offset, mut position, mut timestamp) = (0i64, 0u64, 0i64);
    for _ in 0..count {
        let base_offset = offset.wrapping_add(unzigzag(take_varint(&mut bytes)?));
        let last_offset_delta = u32::try_from(take_varint(&mut bytes)?).ok()?;
        position = position.wrapping_add(take_varint(&mut bytes)?);
        let length = u32::try_from(take_varint(&mut bytes)?).ok()?;
        timestamp = timestamp.wrapping_add(unzigzag(take_varint(&mut bytes)?));
        let (flags, rest) = bytes.split_first()?;
        bytes = rest;
        let origin = match take_varint(&mut bytes)? {
            0 => position,
            origin => origin,
        };
        let (body_crc, rest) = bytes.split_first_chunk::<4>()?;
        bytes = rest;
        let entry = IndexEntry {
            base_offset,
            position,
            origin,
            max_timestamp: timestamp,
            last_offset_delta,
            length,
            body_crc: u32::from_le_bytes(*body_crc),
            flags: *flags,
        };
        offset = entry.last_offset().wrapping_add(1);
        entries.push(entry);
    }
    Some(entries)
}

impl Footer {
    /// The footer as it goes behind the frame region: `lists` are the runs' encoded entries, one behind the other.
    pub(crate) fn encode(&self, lists: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(lists.len() + self.directory.len() * DIRECTORY_ENTRY_BYTES + 256);
        out.extend_from_slice(lists);
        for run in &self.directory {
            for word in [
                run.partition,
                run.first_offset.cast_unsigned(),
                run.last_offset.cast_unsigned(),
                run.max_timestamp.cast_unsigned(),
                run.first_origin,
                run.bytes,
            ] {
                out.extend_from_slice(&word.to_le_bytes());
            }
            for word in [run.list_at, run.list_bytes, run.entries, run.list_crc] {
                out.extend_from_slice(&word.to_le_bytes());
            }
        }
        for state in &self.states {
            out.push(state.kind as u8);
            put_varint(&mut out, state.position);
            put_varint(&mut out, u64::from(state.length));
            put_varint(&mut out, state.retired);
            out.extend_from_slice(&state.body_crc.to_le_bytes());
        }
        out.extend_from_slice(&(lists.len() as u64).to_le_bytes());
        let checksum = crc(&out);
        let mut trailer = Vec::with_capacity(TRAILER_BYTES);
        trailer.extend_from_slice(&MAGIC);
        for word in [self.journal_id, self.base, self.end, self.sequences.0, self.sequences.1] {
            trailer.extend_from_slice(&word.to_le_bytes());
        }
        for word in [
            u32::try_from(self.directory.len()).expect("a segment's runs fit"),
            u32::try_from(self.states.len()).expect("a segment's states fit"),
            u32::try_from(out.len()).expect("a footer is smaller than 4 GiB"),
            checksum,
        ] {
            trailer.extend_from_slice(&word.to_le_bytes());
        }
        let trailer_crc = crc(&trailer);
        trailer.extend_from_slice(&trailer_crc.to_le_bytes());
        out.extend_from_slice(&trailer);
        out
    }

    /// Length of the whole footer, from its trailer; `None` when that isn't one.
    pub(crate) fn length(trailer: &[u8; TRAILER_BYTES]) -> Option<usize> {
        if trailer[..8] != MAGIC || crc(&trailer[..64]).to_le_bytes() != trailer[64..] {
            return None;
        }
        Some(u32_at(trailer, 56) as usize + TRAILER_BYTES)
    }

    /// Reads a whole footer, trailer included; `None` when anything in it is off.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (content, trailer) = bytes.split_last_chunk::<TRAILER_BYTES>()?;
        if Self::length(trailer)? != bytes.len() || crc(content) != u32_at(trailer, 60) {
            return None;
        }
        let (directory_count, states_count) = (u32_at(trailer, 48) as usize, u32_at(trailer, 52) as usize);
        let mut footer = Self {
            journal_id: u64_at(trailer, 8),
            base: u64_at(trailer, 16),
            end: u64_at(trailer, 24),
            sequences: (u64_at(trailer, 32), u64_at(trailer, 40)),
            directory: Vec::new(),
            states: Vec::new(),
        };
        let lists_end = Self::lists_end(content, directory_count)?;
        let directory_end = lists_end + directory_count * DIRECTORY_ENTRY_BYTES;
        footer.directory = content[lists_end..directory_end]
            .chunks_exact(DIRECTORY_ENTRY_BYTES)
            .map(directory_entry)
            .collect();
        let mut states = &content[directory_end..];
        for _ in 0..states_count {
            footer.states.push(take_state(&mut states)?);
        }
        Some(footer)
    }

    /// Where the lists end: the last word before the trailer says so.
    fn lists_end(content: &[u8], directory_count: usize) -> Option<usize> {
        let (_, last) = content.split_last_chunk::<8>()?;
        let lists_end = usize::try_from(u64::from_le_bytes(*last)).ok()?;
        let directory = directory_count.checked_mul(DIRECTORY_ENTRY_BYTES)?;
        (lists_end.checked_add(directory)? <= content.len() - 8).then_some(lists_end)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn directory_entry(bytes: &[u8]) -> DirectoryEntry {
    DirectoryEntry {
        partition: u64_at(bytes, 0),
        first_offset: u64_at(bytes, 8).cast_signed(),
        last_offset: u64_at(bytes, 16).cast_signed(),
        max_timestamp: u64_at(bytes, 24).cast_signed(),
        first_origin: u64_at(bytes, 32),
        bytes: u64_at(bytes, 40),
        list_at: u32_at(bytes, 48),
        list_bytes: u32_at(bytes, 52),
        entries: u32_at(bytes, 56),
        list_crc: u32_at(bytes, 60),
    }
}

fn take_state(bytes: &mut &[u8]) -> Option<StateEntry> {
    let (kind, rest) = bytes.split_first()?;
    *bytes = rest;
    let kind = match kind {
        3 => EntryKind::State,
        4 => EntryKind::Retired,
        _ => return None,
    };
    let position = take_varint(bytes)?;
    let length = u32::try_from(take_varint(bytes)?).ok()?;
    let retired = take_varint(bytes)?;
    let (body_crc, rest) = bytes.split_first_chunk::<4>()?;
    *bytes = rest;
    Some(StateEntry { kind, position, length, retired, body_crc: u32::from_le_bytes(*body_crc) })
}
