//! Opening a journal: what is on disk, what of it counts, and where to go on.
//!
//! The rule that tells a crash from corruption: every frame says how far the journal was durable when it was
//! written. D is the largest such position in any valid frame. Damage below D hit bytes that were on disk once:
//! corruption, told and kept out, everything around it is served. Damage at or above D is the torn end of a group
//! that nobody was told about: it is cut, with all behind it. (The step is that of "Protocol-Aware Recovery for
//! Consensus-Based Storage", FAST '18.)

mod assemble;
mod cut;
mod scan;
mod survey;
mod verdict;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use assemble::{Found, assemble};
pub(crate) use scan::{Item, ScannedFrame, Scanner};
use survey::Surveyed;
pub(crate) use survey::{missing, read_footer};
use verdict::{KeptSegment, Verdict};

use crate::{
    JournalConfig, OpenError, Opened, PartitionId, Position, Storage,
    crc::{crc, repair_one_bit},
    damage::{Damage, DamageKind, DamageLog},
    footer::StateEntry,
    frame::EntryKind,
    limits::{MAX_SEGMENT_BYTES, MIN_SEGMENT_BYTES},
    lock::LOCK_FILE,
    meta::{META_FILE, Meta},
    segment::{self, Segment},
    snapshot::{self, Snapshot},
    space::is_spare,
};

/// What the broker gets to rebuild its state from, in order.
#[derive(Debug)]
pub enum Replay<'a> {
    /// The whole state at one position; comes first, if there is one.
    Snapshot(&'a [u8]),
    /// One state entry behind it.
    State(&'a [u8]),
}

/// What recovery found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Where the journal ends: the next frame is written here.
    pub end: Position,
    /// Everything before this was known to be on disk.
    pub durable_through: Position,
    /// Bytes of valid frames that were thrown away, none of them acknowledged.
    pub cut_bytes: u64,
    /// How many frames that were.
    pub cut_frames: u64,
    /// The file they were kept in.
    pub cut_file: Option<String>,
    /// Segments read through their footers.
    pub sealed_segments: usize,
    /// Frames and holes read from segments without one.
    pub scanned: u64,
}

fn io_error(doing: &'static str, file: impl Into<String>) -> impl FnOnce(std::io::Error) -> OpenError {
    let file = file.into();
    move |source| OpenError::Io { doing, file, source }
}

/// Opens the journal in `storage`, making a new one (with the random `new_id`) when there is none.
///
/// Every state that a crash can leave opens without help. The broker's state comes through `replay`.
pub fn open(
    storage: Arc<dyn Storage>,
    config: &JournalConfig,
    new_id: u64,
    replay: &mut dyn FnMut(Replay<'_>),
) -> Result<Opened, OpenError> {
    let asked = config.segment_bytes;
    if !asked.is_power_of_two() || !(MIN_SEGMENT_BYTES..=MAX_SEGMENT_BYTES).contains(&asked) {
        return Err(OpenError::SegmentSize { asked });
    }
    // names that a killed process left must be durable before anything is promised that stands under them
    storage.sync_directory().map_err(io_error("syncing", "."))?;
    let mut files = storage.list().map_err(io_error("listing", "."))?;
    let damage = DamageLog::default();
    let shift = u8::try_from(asked.trailing_zeros()).expect("a power of two below 2^31");
    let fresh = Meta { journal_id: new_id, segment_shift: shift };
    let meta = identify(storage.as_ref(), &files, fresh, &damage)?;
    survey::set_foreign_aside(storage.as_ref(), &mut files, meta, &damage)?;
    clear_leftovers(storage.as_ref(), &files)?;
    let snapshot = Snapshot::newest(storage.as_ref(), &files, meta.journal_id, &damage)?;
    let (snapshot_position, known) =
        snapshot.as_ref().map_or((0, &[][..]), |snapshot| (snapshot.position, snapshot.segments.as_slice()));

    let found = survey::segments(storage.as_ref(), &files, meta, &damage)?;
    let (pieces, scanned) = survey::pieces(&found, meta, snapshot_position)?;
    let start = found.first().map_or(0, |surveyed| surveyed.segment.base);
    let mut verdict = verdict::decide(pieces, meta.segment_bytes(), snapshot_position, start);
    report_damage(&verdict, &damage, &found, meta);

    if let Some(snapshot) = &snapshot {
        replay(Replay::Snapshot(&snapshot.state));
    }
    let retired = replay_states(&found, &verdict, snapshot_position, &damage, replay)?;
    let reached = (snapshot_position, verdict.durable_through);
    let here = found.iter().map(|surveyed| surveyed.segment.base).collect();
    if let Some(behind) = missing(&here, known, &retired, meta, reached, &damage) {
        verdict.end = verdict.end.max(behind);
    }
    let by_base: BTreeMap<Position, Arc<Segment>> =
        found.iter().map(|surveyed| (surveyed.segment.base, surveyed.segment.clone())).collect();
    let cut = cut::settle(storage.as_ref(), meta, &mut verdict, &by_base)?;
    let report = RecoveryReport {
        end: verdict.end,
        durable_through: verdict.durable_through,
        cut_bytes: cut.bytes,
        cut_frames: cut.frames,
        cut_file: cut.file,
        sealed_segments: found.iter().filter(|surveyed| surveyed.footer.is_some()).count(),
        scanned,
    };
    let spares = files.iter().map(|(name, _)| name.clone()).filter(|name| is_spare(name)).collect();
    let snapshot_position = Snapshot::second_newest(&files, snapshot_position);
    let found = Found { storage, meta, damage, found, verdict, retired, spares, snapshot_position };
    assemble(found, config, report)
}

/// A segment with the number of batches of each partition that its footer lists, if it has one.
pub(crate) type Listed = (Arc<Segment>, Option<BTreeMap<PartitionId, u64>>);

/// All segments.
pub(crate) fn surveyed_segments(
    storage: &dyn Storage,
    files: &[(String, u64)],
    meta: Meta,
    damage: &DamageLog,
) -> Result<Vec<Listed>, OpenError> {
    let found = survey::segments(storage, files, meta, damage)?;
    let listed = |surveyed: &Surveyed| {
        let footer = surveyed.footer.as_ref()?;
        let mut batches = BTreeMap::new();
        for run in &footer.directory {
            *batches.entry(run.partition).or_default() += u64::from(run.entries);
        }
        Some(batches)
    };
    Ok(found.iter().map(|surveyed| (surveyed.segment.clone(), listed(surveyed))).collect())
}

/// Reads who this journal is, or makes it.
fn identify(
    storage: &dyn Storage,
    files: &[(String, u64)],
    fresh: Meta,
    damage: &DamageLog,
) -> Result<Meta, OpenError> {
    let meta = match Meta::load(storage, files)? {
        Some((meta, true)) => return Ok(meta),
        Some((meta, false)) => {
            damage.report(Damage {
                file: META_FILE.to_owned(),
                position: 0,
                bytes: 0,
                kind: DamageKind::Repaired,
            });
            meta
        }
        None => fresh,
    };
    meta.store(storage).map_err(io_error("writing", META_FILE))?;
    Ok(meta)
}

/// Removes what an interrupted write left under a temporary name; names files that aren't ours.
fn clear_leftovers(storage: &dyn Storage, files: &[(String, u64)]) -> Result<(), OpenError> {
    for (name, _) in files {
        if name.ends_with(".snapshot.tmp") || *name == format!("{META_FILE}.tmp") {
            storage.remove(name).map_err(io_error("removing", name))?;
        } else if segment::base_of(name).is_none()
            && snapshot::position_of(name).is_none()
            && !is_spare(name)
            && !cut::is_cut(name)
            && name != META_FILE
            && name != LOCK_FILE
        {
            tracing::warn!(file = name, "a file that isn't the journal's; it is left alone");
        }
    }
    Ok(())
}

/// Tells all damage that the verdict and the frames kept show.
fn report_damage(verdict: &Verdict, damage: &DamageLog, found: &[Surveyed], meta: Meta) {
    let size = meta.segment_bytes();
    for (from, to) in &verdict.corrupt {
        let file = segment::file_name(from / size * size);
        damage.report(Damage { file, position: *from, bytes: to - from, kind: DamageKind::Frames });
    }
    for kept in &verdict.kept {
        for (position, bytes, kind) in kept.frames.iter().flat_map(ScannedFrame::damage) {
            damage.report(Damage { file: segment::file_name(kept.base), position, bytes, kind });
        }
    }
    report_short_files(verdict, damage, found, size);
}

/// A segment's file has its full length before anything is written to it. Shorter means cut from outside, unless it
/// is the newest and was never written.
fn report_short_files(verdict: &Verdict, damage: &DamageLog, found: &[Surveyed], size: u64) {
    for (at, surveyed) in found.iter().enumerate() {
        let base = surveyed.segment.base;
        let written = verdict.kept.iter().any(|kept| kept.base == base && !kept.frames.is_empty());
        if surveyed.file_bytes < size && (written || at + 1 < found.len()) {
            damage.report(Damage {
                file: surveyed.segment.name(),
                position: base + surveyed.file_bytes,
                bytes: size - surveyed.file_bytes,
                kind: DamageKind::Frames,
            });
        }
    }
}

/// Gives the broker all state behind the snapshot, in order; answers which segments were given up.
fn replay_states(
    found: &[Surveyed],
    verdict: &Verdict,
    snapshot: Position,
    damage: &DamageLog,
    replay: &mut dyn FnMut(Replay<'_>),
) -> Result<BTreeSet<Position>, OpenError> {
    let mut retired = BTreeSet::new();
    for surveyed in found {
        if let Some(footer) = &surveyed.footer {
            for state in &footer.states {
                match state.kind {
                    EntryKind::Retired => drop(retired.insert(state.retired)),
                    _ if state.position < snapshot => {}
                    _ => {
                        if let Some(body) = read_state(&surveyed.segment, state, damage)? {
                            replay(Replay::State(&body));
                        }
                    }
                }
            }
        } else if let Some(kept) = kept_of(verdict, surveyed.segment.base) {
            for entry in kept.frames.iter().flat_map(|frame| &frame.entries) {
                match (&entry.state, entry.head.kind) {
                    (Some(_), EntryKind::Retired) => {
                        retired.insert(entry.head.base_offset.cast_unsigned());
                    }
                    (Some(body), _) if entry.intact && entry.position >= snapshot => {
                        replay(Replay::State(body))
                    }
                    _ => {}
                }
            }
        }
    }
    Ok(retired)
}

fn kept_of(verdict: &Verdict, base: Position) -> Option<&KeptSegment> {
    verdict.kept.iter().find(|kept| kept.base == base)
}

/// Reads a state entry of a sealed segment, with one flipped bit put right.
fn read_state(
    segment: &Segment,
    state: &StateEntry,
    damage: &DamageLog,
) -> Result<Option<Vec<u8>>, OpenError> {
    let mut body = vec![0; state.length as usize];
    let at = state.position - segment.base;
    let read = segment.file.read_at(&mut body, at).map_err(io_error("reading", segment.name()))?;
    if read == body.len() && crc(&body) == state.body_crc {
        return Ok(Some(body));
    }
    let repaired = repair_one_bit(&mut body, state.body_crc);
    let kind = if repaired { DamageKind::Repaired } else { DamageKind::State };
    damage.report(Damage {
        file: segment.name(),
        position: state.position,
        bytes: u64::from(state.length),
        kind,
    });
    Ok(repaired.then_some(body))
}
