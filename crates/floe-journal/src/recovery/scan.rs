//! Reading a segment frame by frame, and finding the next frame behind bytes that aren't one.

use std::io;

use crate::{
    OpenError, Position,
    crc::{crc, repair_one_bit},
    frame::{ALIGNMENT, EntryHead, FORMAT, FrameHeader, HEADER_BYTES, MAGIC, NotAFrame},
    limits::MAX_UNSYNCED_BYTES,
    meta::Meta,
    segment::Segment,
};

/// Bytes read at once.
const WINDOW_BYTES: usize = 1 << 20;

/// What stands at one place of a segment.
#[derive(Debug)]
pub(crate) enum Item {
    /// A frame.
    Frame(ScannedFrame),
    /// Bytes between two frames that aren't one.
    Hole { from: Position },
}

impl Item {
    /// The frame's entries; none for a hole.
    pub(crate) fn entries(&self) -> &[ScannedEntry] {
        match self {
            Self::Frame(frame) => &frame.entries,
            Self::Hole { .. } => &[],
        }
    }

    /// The frame's sequence; 0 for a hole.
    pub(crate) fn sequence(&self) -> u64 {
        match self {
            Self::Frame(frame) => frame.header.sequence,
            Self::Hole { .. } => 0,
        }
    }
}

/// A frame that was read.
#[derive(Debug)]
pub(crate) struct ScannedFrame {
    pub(crate) header: FrameHeader,
    pub(crate) entries: Vec<ScannedEntry>,
    /// One bit of its head was put right.
    pub(crate) repaired: bool,
}

/// An entry of a frame that was read.
#[derive(Debug)]
pub(crate) struct ScannedEntry {
    pub(crate) head: EntryHead,
    pub(crate) position: Position,
    /// Its body is what was written.
    pub(crate) intact: bool,
    /// The body, for state only; with one bit put right if that was all.
    pub(crate) state: Option<Vec<u8>>,
}

impl ScannedFrame {
    /// Whether all of it is what was written.
    pub(crate) fn is_whole(&self) -> bool {
        self.entries.iter().all(|entry| entry.intact)
    }
}

/// Reads one segment.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    segment: &'a Segment,
    meta: Meta,
    window: Vec<u8>,
    window_at: Position,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(segment: &'a Segment, meta: Meta) -> Self {
        Self { segment, meta, window: Vec::new(), window_at: segment.base }
    }

    /// All frames of the segment with the holes between them. Behind a place that isn't a frame, the search goes on
    /// to the segment's end if `search_all` or a frame already read says that more was durable; else only as far as
    /// unsynced bytes can reach.
    pub(crate) fn scan(
        mut self,
        search_all: bool,
        durable_through: Position,
    ) -> Result<Vec<Item>, OpenError> {
        let mut items = Vec::new();
        let mut at = self.segment.base;
        let mut durable = durable_through;
        let end = self.segment.base + self.meta.segment_bytes();
        loop {
            match self.frame_at(at)? {
                Some(frame) => {
                    durable = durable.max(frame.header.durable_through);
                    at = frame.header.end();
                    items.push(Item::Frame(frame));
                }
                None => {
                    let limit =
                        if search_all || durable > at { end } else { end.min(at + MAX_UNSYNCED_BYTES) };
                    let Some(next) = self.resync(at, limit)? else { return Ok(items) };
                    items.push(Item::Hole { from: at });
                    at = next;
                }
            }
        }
    }

    /// Bytes at a position; zeros where the file has none.
    fn bytes(&mut self, at: Position, length: usize) -> Result<&mut [u8], OpenError> {
        let within = at >= self.window_at && at + length as u64 <= self.window_at + self.window.len() as u64;
        if !within {
            let file_at = at - self.segment.base;
            let region = usize::try_from(self.meta.segment_bytes() - file_at).unwrap_or(usize::MAX);
            self.window.clear();
            self.window.resize(length.max(WINDOW_BYTES.min(region)), 0);
            self.window_at = at;
            let read: io::Result<usize> = self.segment.file.read_at(&mut self.window, file_at);
            read.map_err(|source| OpenError::Io { doing: "reading", file: self.segment.name(), source })?;
        }
        let from = usize::try_from(at - self.window_at).expect("within the window");
        Ok(&mut self.window[from..from + length])
    }

    fn header_at(&mut self, at: Position, repair: bool) -> Result<Option<(FrameHeader, bool)>, OpenError> {
        let end = self.segment.base + self.meta.segment_bytes();
        if at + HEADER_BYTES as u64 > end {
            return Ok(None);
        }
        let bytes: [u8; HEADER_BYTES] = self.bytes(at, HEADER_BYTES)?.try_into().expect("as asked");
        let decoded = match FrameHeader::decode(&bytes) {
            // a wholly empty place is the usual end: nothing to repair
            Err(NotAFrame::Absent) if repair && bytes.iter().any(|byte| *byte != 0) => {
                FrameHeader::decode_repaired(&bytes).map(|header| (header, true))
            }
            other => other.map(|header| (header, false)),
        };
        match decoded {
            Ok((header, repaired)) => {
                let ours =
                    header.position == at && header.journal_id == self.meta.journal_id && header.end() <= end;
                Ok(ours.then_some((header, repaired)))
            }
            Err(NotAFrame::Absent) => Ok(None),
            Err(NotAFrame::Newer(found)) => Err(OpenError::NewerFormat { found, known: FORMAT }),
        }
    }

    pub(crate) fn frame_at(&mut self, at: Position) -> Result<Option<ScannedFrame>, OpenError> {
        let Some((header, mut repaired)) = self.header_at(at, true)? else { return Ok(None) };
        let mut heads = self.bytes(at + HEADER_BYTES as u64, header.heads_length())?.to_vec();
        let Some((heads, heads_repaired)) = header.decode_heads(&mut heads) else { return Ok(None) };
        repaired |= heads_repaired;
        let mut entries = Vec::with_capacity(heads.len());
        for (head, position) in heads {
            let body = self.bytes(position, head.length as usize)?;
            let mut intact = crc(body) == head.body_crc;
            let mut state = None;
            if !head.kind.is_records() {
                let mut body = body.to_vec();
                if !intact && repair_one_bit(&mut body, head.body_crc) {
                    (intact, repaired) = (true, true);
                }
                state = Some(body);
            }
            entries.push(ScannedEntry { head, position, intact, state });
        }
        Ok(Some(ScannedFrame { header, entries, repaired }))
    }

    /// The next place behind `from` and before `limit` at which a frame starts.
    fn resync(&mut self, from: Position, limit: Position) -> Result<Option<Position>, OpenError> {
        let mut at = from + ALIGNMENT;
        while at < limit {
            let length =
                usize::try_from((limit - at).min(WINDOW_BYTES as u64)).expect("a window fits into memory");
            let window = self.bytes(at, length)?;
            let found = window.chunks_exact(ALIGNMENT as usize).position(|word| word.starts_with(&MAGIC));
            match found {
                Some(words) => {
                    at += words as u64 * ALIGNMENT;
                    // only intact headers here: repairing every word of garbage would find frames that never were
                    if self.header_at(at, false)?.is_some() && self.frame_at(at)?.is_some() {
                        return Ok(Some(at));
                    }
                    at += ALIGNMENT;
                }
                None => at += (length as u64).next_multiple_of(ALIGNMENT),
            }
        }
        Ok(None)
    }
}
