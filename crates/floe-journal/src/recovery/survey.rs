//! Which segments are there, and which of them have their footer.

use std::{collections::BTreeSet, sync::Arc};

use super::{io_error, scan::Scanner, verdict::Piece};
use crate::{
    OpenError, Position, Storage,
    damage::{Damage, DamageKind, DamageLog},
    footer::{Footer, TRAILER_BYTES},
    frame::{FrameHeader, HEADER_BYTES},
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
    let mut found: Vec<Surveyed> = Vec::with_capacity(bases.len());
    let mut unreadable = Vec::new();
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
                unreadable.push((base, file_bytes - meta.segment_bytes()));
            }
            footer
        } else {
            None
        };
        found.push(Surveyed { segment, footer, file_bytes });
    }
    report_footers(&found, &unreadable, meta, damage);
    Ok(found)
}

/// Renames segments that begin with a frame of another journal, so that no segment of this one ever takes their name.
pub(super) fn set_foreign_aside(
    storage: &dyn Storage,
    files: &mut Vec<(String, u64)>,
    meta: Meta,
    damage: &DamageLog,
) -> Result<(), OpenError> {
    let mut foreign = Vec::new();
    for (name, bytes) in files.iter() {
        let Some(position) = segment::base_of(name) else { continue };
        let mut header = [0; HEADER_BYTES];
        let file = storage.open(name).map_err(io_error("opening", name))?;
        let read = file.read_at(&mut header, 0).map_err(io_error("reading", name))?;
        let frame = FrameHeader::decode(&header).ok().filter(|_| read == HEADER_BYTES);
        if frame.is_some_and(|frame| frame.position == position && frame.journal_id != meta.journal_id) {
            let aside = format!("{name}.foreign");
            storage.rename(name, &aside).map_err(io_error("renaming", name))?;
            damage.report(Damage { file: aside, position, bytes: *bytes, kind: DamageKind::ForeignFile });
            foreign.push(name.clone());
        }
    }
    if !foreign.is_empty() {
        storage.sync_directory().map_err(io_error("syncing", "."))?;
        files.retain(|(name, _)| !foreign.contains(name));
    }
    Ok(())
}

/// Segments are sealed in their order: behind the newest good footer, one may have been cut short by a crash. One
/// before it is damaged.
fn report_footers(found: &[Surveyed], unreadable: &[(Position, u64)], meta: Meta, damage: &DamageLog) {
    let newest_sealed = found.iter().rev().find(|surveyed| surveyed.footer.is_some());
    for (base, bytes) in unreadable {
        let file = segment::file_name(*base);
        if newest_sealed.is_none_or(|sealed| sealed.segment.base < *base) {
            tracing::info!(file, "an unfinished footer is written anew");
            continue;
        }
        let position = base + meta.segment_bytes();
        damage.report(Damage { file, position, bytes: *bytes, kind: DamageKind::Footer });
    }
}

pub(crate) fn read_footer(segment: &Segment, meta: Meta, file_bytes: u64) -> std::io::Result<Option<Footer>> {
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
pub(crate) fn missing(
    here: &BTreeSet<Position>,
    known: &[Position],
    retired: &BTreeSet<Position>,
    meta: Meta,
    (snapshot, durable_through): (Position, Position),
    damage: &DamageLog,
) -> Option<Position> {
    let size = meta.segment_bytes();
    let newest = here.last().copied().unwrap_or(0).max(durable_through / size * size);
    let mut expected: BTreeSet<Position> = known.iter().copied().collect();
    // no segment is given up before there is a snapshot
    let from = if known.is_empty() { 0 } else { snapshot / size * size };
    // a position at a segment's very start says nothing about that segment
    if durable_through > newest {
        expected.insert(newest);
    }
    expected.extend((from..newest).step_by(usize::try_from(size).expect("a segment fits into memory")));
    let mut behind = None;
    for base in expected.difference(here).filter(|base| !retired.contains(base)) {
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
