//! The decision: where the journal ends, what is corrupt, what is cut.

use super::scan::{Item, ScannedFrame};
use crate::{
    Position,
    frame::{HEADER_BYTES, sequence_ahead, sequence_behind, sequence_fits, sequence_of_next_start},
};

/// One segment as it was found, in the order of positions.
#[derive(Debug)]
pub(super) enum Piece {
    /// With its footer: all of it is durable, and so is the next one's first frame.
    Sealed { base: Position, end: Position, sequences: (u64, u64) },
    /// Read frame by frame.
    Scanned { base: Position, items: Vec<Item> },
}

impl Piece {
    fn base(&self) -> Position {
        match self {
            Self::Sealed { base, .. } | Self::Scanned { base, .. } => *base,
        }
    }
}

/// What is kept of a scanned segment.
#[derive(Debug)]
pub(super) struct KeptSegment {
    pub(super) base: Position,
    pub(super) frames: Vec<ScannedFrame>,
    /// Where the last frame kept ends.
    pub(super) end: Position,
    /// The sequence of the frame behind the last one kept.
    pub(super) next_sequence: u64,
}

/// What counts and what doesn't.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Where the journal goes on.
    pub(super) end: Position,
    /// The sequence of the next frame.
    pub(super) next_sequence: u64,
    /// D: everything before was known to be on disk.
    pub(super) durable_through: Position,
    /// What the frames kept, footers and the snapshot vouch for: at most D.
    pub(super) vouched: Position,
    /// When the last frame kept was written.
    pub(super) written_at_ms: i64,
    /// Scanned segments with the frames that count.
    pub(super) kept: Vec<KeptSegment>,
    /// Stretches below D in which no frame is readable.
    pub(super) corrupt: Vec<(Position, Position)>,
    /// Valid frames that don't count: from here to there.
    pub(super) discarded: Vec<(Position, Position)>,
    /// Something, valid or not, was cut at the end.
    pub(super) is_cut: bool,
}

/// A segment is sealed when the first frame of the next one is durable.
fn vouched_by_footer(base: Position, segment_bytes: u64) -> Position {
    base + segment_bytes + HEADER_BYTES as u64
}

/// The position known durable: the largest that any valid frame, footer or snapshot vouches for.
fn durable_through(pieces: &[Piece], segment_bytes: u64, snapshot: Position) -> Position {
    let vouched = pieces.iter().flat_map(|piece| -> Box<dyn Iterator<Item = Position> + '_> {
        match piece {
            Piece::Sealed { base, .. } => Box::new(std::iter::once(vouched_by_footer(*base, segment_bytes))),
            Piece::Scanned { items, .. } => Box::new(items.iter().filter_map(|item| match item {
                Item::Frame(frame) => Some(frame.header.durable_through),
                Item::Hole { .. } => None,
            })),
        }
    });
    vouched.max().unwrap_or(0).max(snapshot)
}

/// Decides over what was found. `start` is where the journal begins when nothing was found.
pub(super) fn decide(pieces: Vec<Piece>, segment_bytes: u64, snapshot: Position, start: Position) -> Verdict {
    let mut verdict = Verdict {
        end: start,
        next_sequence: 1,
        vouched: snapshot,
        durable_through: durable_through(&pieces, segment_bytes, snapshot),
        ..Verdict::default()
    };
    let mut previous_base = None;
    let mut newest = 0;
    for piece in pieces {
        // behind a segment that was given up (or is missing) the count goes on somewhere else
        let contiguous = previous_base.is_some_and(|previous| previous + segment_bytes == piece.base());
        previous_base = Some(piece.base());
        match piece {
            Piece::Sealed { base, end, sequences } => {
                if contiguous && !sequence_fits(verdict.next_sequence, sequences.0) {
                    verdict.corrupt.push((verdict.end, base));
                }
                (verdict.end, verdict.next_sequence) = (end, sequences.1);
                verdict.vouched = verdict.vouched.max(vouched_by_footer(base, segment_bytes));
                newest = newest.max(sequences.1);
            }
            Piece::Scanned { base, items } => {
                newest = items.iter().map(Item::sequence).fold(newest, u64::max);
                verdict.walk(base, items, contiguous);
            }
        }
    }
    if verdict.end < verdict.durable_through {
        // the last frames before D are unreadable: what D vouches for is lost, and its place isn't used again
        let (from, to) = (verdict.end, verdict.durable_through);
        verdict.corrupt.push((from, to));
        verdict.end = to;
        verdict.next_sequence = sequence_ahead(verdict.next_sequence, to);
    }
    // frames of this start can't be mixed up with those of an earlier one that stood in the same place
    verdict.next_sequence = sequence_of_next_start(verdict.next_sequence, newest);
    verdict
}

impl Verdict {
    /// Where the last frame starts that nothing kept has to vouch for; the end, when no frame stands right before it.
    pub(super) fn last_start(&self) -> Position {
        let mut frames = self.kept.iter().flat_map(|kept| kept.frames.last());
        let last = frames.rfind(|frame| frame.header.end() == self.end);
        last.map_or(self.end, |frame| frame.header.position)
    }

    fn walk(&mut self, base: Position, items: Vec<Item>, contiguous: bool) {
        let mut kept = KeptSegment { base, frames: Vec::new(), end: base, next_sequence: self.next_sequence };
        let mut gap = None;
        let mut counted = contiguous;
        for item in items {
            let frame = match item {
                Item::Hole { from } => {
                    gap.get_or_insert(from);
                    continue;
                }
                Item::Frame(frame) => frame,
            };
            if self.is_cut {
                self.discarded.push((frame.header.position, frame.header.end()));
                continue;
            }
            if counted && gap.is_none() && !sequence_fits(self.next_sequence, frame.header.sequence) {
                gap = Some(self.end);
            }
            counted = true;
            if let Some(from) = gap.take() {
                if frame.header.position <= self.durable_through {
                    if from < frame.header.position {
                        self.corrupt.push((from, frame.header.position));
                    }
                } else {
                    self.cut(&frame);
                    continue;
                }
            }
            if frame.header.position >= self.durable_through && !frame.is_whole() {
                self.cut(&frame);
                continue;
            }
            self.end = frame.header.end();
            self.next_sequence = sequence_behind(frame.header.sequence);
            self.vouched = self.vouched.max(frame.header.durable_through);
            self.written_at_ms = frame.header.written_at_ms;
            kept.end = self.end;
            kept.next_sequence = self.next_sequence;
            kept.frames.push(frame);
        }
        self.kept.push(kept);
    }

    /// Ends the journal in front of a frame: behind the last one kept, but not below D.
    fn cut(&mut self, frame: &ScannedFrame) {
        if self.durable_through > self.end {
            self.corrupt.push((self.end, self.durable_through));
            self.end = self.durable_through;
            self.next_sequence = sequence_ahead(self.next_sequence, self.end);
        }
        self.is_cut = true;
        self.discarded.push((frame.header.position, frame.header.end()));
    }
}
