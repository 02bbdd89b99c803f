//! Which segments are there, and which of them have their footer.

use std::{collections::BTreeSet, sync::Arc};

use super::{io_error, scan::Scanner, verdict::Piece};
use crate::{
    OpenError, Position, Storage,
    damage::{Damage, DamageKind, DamageLog},
    footer::{Footer, TRAILER_BYTES},
    meta::Meta,
    segment::{self, Segment},
};

/// A segment that was found.
#[derive(Debug)]
pub(super) struct Surveyed {
    pub(super) segment: Arc<Segment>,
    pub(super) footer: Option<Footer>,
    pub(super) file_bytes: u64,
}

/// Opens all segments, in the order of their positions, and reads their footers.
pub(super) fn segments(
    storage: &dyn Storage,
    files: &[(String, u64)],
    meta: Meta,
    damage: &DamageLog,
) -> Result<Vec<Surveyed>, OpenError> {
    let mut bases: Vec<(Position, u64)> =
        files.iter().filter_map(|(name, length)| Some((segment::base_of(name)?, *length))).collect();
    bases.sort_unstable();
    let mut found = Vec::with_capacity(bases.len());
    for (base, file_bytes) in bases {
        let name = segment::file_name(base);
        if !base.is_multiple_of(meta.segment_bytes()) {
            damage.report(Damage {
                file: name,
                position: base,
                bytes: file_bytes,
                kind: DamageKind::ForeignFile,
            });
            continue;
        }
        let file = storage.open(&name).map_err(io_error("opening", &name))?;
        let segment = Segment::new(base, file, 0);
        let footer = if file_bytes > meta.segment_bytes() {
            let footer = read_footer(&segment, meta, file_bytes).map_err(io_error("reading", &name))?;
            if footer.is_none() {
                damage.report(Damage {
                    file: name,
                    position: base + meta.segment_bytes(),
                    bytes: file_bytes - meta.segment_bytes(),
                    kind: DamageKind::Footer,
                });
            }
            footer
        } else {
            None
        };
        found.push(Surveyed { segment, footer, file_bytes });
    }
    Ok(found)
}

fn read_footer(segment: &Segment, meta: Meta, file_bytes: u64) -> std::io::Result<Option<Footer>> {
    let region = meta.segment_bytes();
    let room = usize::try_from(file_bytes - region).unwrap_or(usize::MAX);
    let mut trailer = [0; TRAILER_BYTES];
    if room < TRAILER_BYTES
        || segment.file.read_at(&mut trailer, file_bytes - TRAILER_BYTES as u64)? < TRAILER_BYTES
    {
        return Ok(None);
    }
    // a footer starts right behind the frame region, so its length is known twice
    if Footer::length(&trailer) != Some(room) {
        return Ok(None);
    }
    let mut bytes = vec![0; room];
    let read = segment.file.read_at(&mut bytes, region)?;
    let footer = (read == room).then(|| Footer::decode(&bytes)).flatten();
    Ok(footer.filter(|footer| footer.journal_id == meta.journal_id && footer.base == segment.base))
}

/// Reads the frames of all segments that have no footer, newest first, so that what the newer ones vouch for decides
/// how far the older ones are searched. The pieces come back in the order of positions.
pub(super) fn pieces(
    found: &[Surveyed],
    meta: Meta,
    snapshot: Position,
) -> Result<(Vec<Piece>, u64), OpenError> {
    let mut pieces = Vec::with_capacity(found.len());
    let mut frames = 0;
    let mut anything_behind = false;
    for surveyed in found.iter().rev() {
        let base = surveyed.segment.base;
        if let Some(footer) = &surveyed.footer {
            anything_behind = true;
            pieces.push(Piece::Sealed { base, end: footer.end, sequences: footer.sequences });
            continue;
        }
        // what another process wrote and never synced must not be taken for what is on disk
        surveyed.segment.file.drop_cache().map_err(io_error("reading", surveyed.segment.name()))?;
        let items = Scanner::new(&surveyed.segment, meta).scan(anything_behind, snapshot)?;
        anything_behind |= !items.is_empty();
        frames += items.len() as u64;
        pieces.push(Piece::Scanned { base, items });
    }
    pieces.reverse();
    Ok((pieces, frames))
}

/// Reports segments that should be there: between those that are, those that the snapshot knew, and neither given up
/// nor ahead of the journal. Answers the position behind the last missing one.
pub(super) fn missing(
    found: &[Surveyed],
    known: &[Position],
    retired: &BTreeSet<Position>,
    meta: Meta,
    snapshot: Position,
    damage: &DamageLog,
) -> Option<Position> {
    let here: BTreeSet<Position> = found.iter().map(|surveyed| surveyed.segment.base).collect();
    let newest = here.last().copied()?;
    let size = meta.segment_bytes();
    let mut expected: BTreeSet<Position> = known.iter().copied().collect();
    // without a snapshot the oldest file is where the journal starts
    let from = if known.is_empty() { here.first().copied()? } else { snapshot / size * size };
    expected.extend((from..newest).step_by(usize::try_from(size).expect("a segment fits into memory")));
    let mut behind = None;
    for base in expected.difference(&here).filter(|base| !retired.contains(base)) {
        damage.report(Damage {
            file: segment::file_name(*base),
            position: *base,
            bytes: size,
            kind: DamageKind::MissingSegment,
        });
        behind = Some(base + size);
    }
    behind
}
