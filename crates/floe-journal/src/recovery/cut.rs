//! Settling the journal's end: what doesn't count is taken away, after keeping it aside.

use std::{collections::BTreeMap, io, sync::Arc};

use super::{
    io_error,
    scan::ScannedFrame,
    verdict::{KeptSegment, Verdict},
};
use crate::{
    OpenError, Position, Storage,
    frame::{FrameBuilder, FrameHeader, HEADER_BYTES, Stamp, sequence_behind},
    keeper::is_full,
    limits::{MAX_CUT_FILES, MAX_CUT_KEPT_BYTES},
    meta::Meta,
    segment::Segment,
};

const SUFFIX: &str = ".cut";

/// Whether a file holds bytes kept aside.
pub(super) fn is_cut(name: &str) -> bool {
    name.ends_with(SUFFIX)
}

/// What was taken away.
#[derive(Debug, Default)]
pub(super) struct Cut {
    pub(super) bytes: u64,
    pub(super) frames: u64,
    pub(super) file: Option<String>,
}

type Segments = BTreeMap<Position, Arc<Segment>>;

/// Keeps frames that don't count aside and overwrites them with zeros, so that they can't be taken for the
/// continuation of new ones. Before that the journal's end is settled: an empty frame vouches for all in front of it,
/// since the frames that did so until now may be among those that go.
pub(super) fn settle(
    storage: &dyn Storage,
    meta: Meta,
    verdict: &mut Verdict,
    segments: &Segments,
) -> Result<Cut, OpenError> {
    let file = keep_aside(storage, verdict, segments)?;
    vouch(meta, verdict, segments)?;
    let cut = Cut {
        bytes: verdict.discarded.iter().map(|(from, to)| to - from).sum(),
        frames: verdict.discarded.len() as u64,
        file,
    };
    let end = verdict.end;
    let mut ranges: Vec<(Position, Position)> = verdict.discarded.clone();
    // a torn header right at the end could be completed by the first bytes of the next frame
    ranges.push((end, end + HEADER_BYTES as u64));
    let mut touched = Vec::new();
    for (from, to) in ranges {
        let Some(segment) = holder(segments, from, meta) else { continue };
        let (from, to) = (from.max(end), to.min(segment.base + meta.segment_bytes()));
        if from < to && clear(segment, from, to).map_err(io_error("writing", segment.name()))? {
            touched.push(segment);
        }
    }
    for segment in touched {
        segment.file.sync().map_err(io_error("syncing", segment.name()))?;
    }
    if cut.frames > 0 {
        tracing::warn!(
            file = cut.file,
            position = end,
            bytes = cut.bytes,
            frames = cut.frames,
            "an unfinished group was cut from the journal's end; nobody was told that it was stored"
        );
    }
    Ok(cut)
}

fn holder(segments: &Segments, at: Position, meta: Meta) -> Option<&Arc<Segment>> {
    let (base, segment) = segments.range(..=at).next_back()?;
    (at < base + meta.segment_bytes()).then_some(segment)
}

/// Writes zeros where there is something else; answers whether there was.
fn clear(segment: &Segment, from: Position, to: Position) -> io::Result<bool> {
    let mut content = vec![0; usize::try_from(to - from).map_err(io::Error::other)?];
    segment.file.read_at(&mut content, from - segment.base)?;
    if content.iter().all(|byte| *byte == 0) {
        return Ok(false);
    }
    content.fill(0);
    segment.file.write_at(&[&content], from - segment.base)?;
    Ok(true)
}

/// Copies the frames that go to a file. Without room for it they go all the same: a full disk must not keep a node
/// from starting.
fn keep_aside(
    storage: &dyn Storage,
    verdict: &Verdict,
    segments: &Segments,
) -> Result<Option<String>, OpenError> {
    if verdict.discarded.is_empty() {
        return Ok(None);
    }
    let name = make_room(storage, verdict.end)?;
    match write_aside(storage, &name, verdict, segments) {
        Ok(()) => Ok(Some(name)),
        Err(error) if is_full(&error) => {
            tracing::warn!(file = name, %error, "what is cut could not be kept aside");
            Ok(None)
        }
        Err(error) => Err(io_error("writing", name)(error)),
    }
}

fn write_aside(storage: &dyn Storage, name: &str, verdict: &Verdict, segments: &Segments) -> io::Result<()> {
    let aside = storage.create(name)?;
    let mut kept = 0;
    for (from, to) in &verdict.discarded {
        let Some((_, segment)) = segments.range(..=from).next_back() else { continue };
        let length = to - from;
        if kept + length <= MAX_CUT_KEPT_BYTES {
            let mut content = vec![0; usize::try_from(length).map_err(io::Error::other)?];
            segment.file.read_at(&mut content, from - segment.base)?;
            aside.write_at(&[&content], kept)?;
            kept += length;
        }
    }
    aside.sync()?;
    storage.sync_directory()
}

/// Removes the oldest files of cut bytes beyond the number that is kept; answers the name for a new one.
fn make_room(storage: &dyn Storage, end: Position) -> Result<String, OpenError> {
    let files = storage.list().map_err(io_error("listing", "."))?;
    let mut cuts: Vec<String> = files.into_iter().map(|(name, _)| name).filter(|name| is_cut(name)).collect();
    cuts.sort_unstable();
    let excess = (cuts.len() + 1).saturating_sub(MAX_CUT_FILES);
    for name in cuts.drain(..excess) {
        storage.remove(&name).map_err(io_error("removing", &name))?;
    }
    // the same place may have been cut before
    let names = (0..=MAX_CUT_FILES).map(|number| format!("{end:020}.{number}{SUFFIX}"));
    let free = names.into_iter().find(|name| !cuts.contains(name));
    Ok(free.unwrap_or_else(|| format!("{end:020}{SUFFIX}")))
}

/// Writes an empty frame at the end, unless what is kept vouches for itself already.
fn vouch(meta: Meta, verdict: &mut Verdict, segments: &Segments) -> Result<(), OpenError> {
    if verdict.vouched >= verdict.last_start() {
        return Ok(());
    }
    let length = HEADER_BYTES as u64;
    let size = meta.segment_bytes();
    let left = size - verdict.end % size;
    let position = if left >= length { verdict.end } else { verdict.end + left };
    let Some(segment) = holder(segments, position, meta) else { return Ok(()) };
    let encoded = FrameBuilder::default().encode(Stamp {
        segment_shift: meta.segment_shift,
        position,
        durable_through: position,
        journal_id: meta.journal_id,
        sequence: verdict.next_sequence,
        written_at_ms: verdict.written_at_ms,
    });
    let at = position - segment.base;
    let written = segment
        .file
        .allocate(size)
        .and_then(|()| segment.file.write_at(&[&encoded.front], at))
        .and_then(|()| segment.file.sync());
    match written {
        Ok(()) => {}
        Err(error) if is_full(&error) => return Ok(()),
        Err(error) => return Err(io_error("writing", segment.name())(error)),
    }
    let header: [u8; HEADER_BYTES] = encoded.front.as_slice().try_into().expect("a header alone");
    let Ok(header) = FrameHeader::decode(&header) else { return Ok(()) };
    verdict.end = header.end();
    verdict.vouched = position;
    verdict.next_sequence = sequence_behind(header.sequence);
    let frame = ScannedFrame { header, entries: Vec::new(), repaired: false };
    let base = segment.base;
    let next_sequence = verdict.next_sequence;
    if let Some(kept) = verdict.kept.iter_mut().find(|kept| kept.base == base) {
        kept.frames.push(frame);
        (kept.end, kept.next_sequence) = (verdict.end, next_sequence);
    } else {
        verdict.kept.push(KeptSegment { base, frames: vec![frame], end: verdict.end, next_sequence });
    }
    Ok(())
}
