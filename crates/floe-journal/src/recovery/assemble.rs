//! From what counts to a running journal.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::{Mutex, RwLock};

use super::{
    RecoveryReport, io_error,
    survey::Surveyed,
    verdict::{KeptSegment, Verdict},
};
use crate::{
    JournalConfig, OpenError, Opened, Position, Storage,
    damage::DamageLog,
    footer::StateEntry,
    index::{Index, IndexEntry, Run},
    journal::{Journal, Shared, Unsynced},
    keeper::{Inbox, Keeper, SealJob, is_full},
    lists::Lists,
    meta::Meta,
    segment::Segment,
    space::Space,
    tail_cache::TailCache,
    writer::{Appender, Syncer},
};

/// All that recovery found.
pub(super) struct Found {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) meta: Meta,
    pub(super) damage: DamageLog,
    pub(super) found: Vec<Surveyed>,
    pub(super) verdict: Verdict,
    pub(super) retired: BTreeSet<Position>,
    pub(super) spares: Vec<String>,
    pub(super) snapshot_position: Position,
}

/// The segments in use, the one being written, and what is still to be done for the finished ones.
#[derive(Default)]
struct Layout {
    segments: BTreeMap<Position, Arc<Segment>>,
    seals: VecDeque<SealJob>,
    writing: Option<Arc<Segment>>,
    first_sequence: u64,
    states: Vec<StateEntry>,
    next: Option<Arc<Segment>>,
}

pub(super) fn assemble(
    found: Found,
    config: &JournalConfig,
    report: RecoveryReport,
) -> Result<Opened, OpenError> {
    let Found { storage, meta, damage, found, verdict, retired, spares, snapshot_position } = found;
    let index = Index::default();
    let end = verdict.end;
    let next_sequence = verdict.next_sequence;
    let space = Space::new(spares);
    let mut layout = Layout::default();
    for surveyed in found {
        let base = surveyed.segment.base;
        if retired.contains(&base) {
            // it was given up before the stop, only its file is still there
            space
                .give_back(storage.as_ref(), &surveyed.segment, meta.segment_bytes())
                .map_err(io_error("recycling", surveyed.segment.name()))?;
        } else if surveyed.footer.is_some() {
            layout.take_sealed(&index, surveyed);
        } else {
            let kept = verdict.kept.iter().find(|kept| kept.base == base);
            layout.take_scanned(&index, surveyed, kept, &verdict, meta.segment_bytes())?;
        }
    }
    space.set_found(layout.writing.as_ref().map(|segment| segment.base), layout.next);
    let shared = Arc::new(Shared {
        storage,
        meta,
        index,
        lists: Lists::default(),
        cache: TailCache::new(config.tail_cache_bytes),
        damage,
        segments: RwLock::new(layout.segments),
        written: AtomicU64::new(end),
        durable: AtomicU64::new(end),
        failed: AtomicBool::new(false),
        full: AtomicBool::new(false),
        snapshot: AtomicU64::new(snapshot_position),
        unsynced: Mutex::new(Unsynced { through: end, segments: Vec::new() }),
        inbox: Inbox::new(space, layout.seals),
    });
    let first_sequence = if layout.first_sequence == 0 { next_sequence } else { layout.first_sequence };
    Ok(Opened {
        journal: Journal { shared: shared.clone() },
        appender: Appender {
            shared: shared.clone(),
            segment: layout.writing,
            at: end,
            sequence: next_sequence,
            first_sequence,
            states: layout.states,
        },
        syncer: Syncer { shared: shared.clone() },
        keeper: Keeper { shared },
        report,
    })
}

impl Layout {
    fn take_sealed(&mut self, index: &Index, surveyed: Surveyed) {
        let segment = surveyed.segment;
        segment.sealed.store(true, Ordering::Release);
        for entry in surveyed.footer.iter().flat_map(|footer| &footer.directory) {
            index.push_sealed(entry.partition, Run::from_directory(entry, &segment));
        }
        self.segments.insert(segment.base, segment);
    }

    fn take_scanned(
        &mut self,
        index: &Index,
        surveyed: Surveyed,
        kept: Option<&KeptSegment>,
        verdict: &Verdict,
        segment_bytes: u64,
    ) -> Result<(), OpenError> {
        let segment = surveyed.segment;
        let base = segment.base;
        let written = kept.is_some_and(|kept| !kept.frames.is_empty());
        let holds_end =
            (base..base + segment_bytes).contains(&verdict.end) && (written || verdict.end > base);
        if surveyed.file_bytes < segment_bytes {
            match segment.file.allocate(segment_bytes) {
                Ok(()) => {}
                // a full disk must not keep a node from starting: what is missing is zeros nobody needs yet
                Err(error) if is_full(&error) => {
                    tracing::warn!(file = segment.name(), "no room to give a segment its full length");
                    if !written && !holds_end {
                        return Ok(());
                    }
                }
                Err(error) => return Err(io_error("allocating", segment.name())(error)),
            }
        }
        if !written && !holds_end {
            // prepared and never written, or cut away whole; the nearest one behind the end comes next
            if base >= verdict.end && self.next.is_none() {
                segment.file.sync().map_err(io_error("syncing", segment.name()))?;
                if segment.has_prepared_mark(segment_bytes).map_err(io_error("reading", segment.name()))? {
                    segment.set_used(segment_bytes);
                }
                self.next = Some(segment);
            }
            return Ok(());
        }
        let mut states = Vec::new();
        for entry in kept.iter().flat_map(|kept| &kept.frames).flat_map(|frame| &frame.entries) {
            if entry.head.kind.is_records() {
                index.push(entry.head.partition, &segment, IndexEntry::new(&entry.head, entry.position));
            } else {
                states.push(StateEntry::new(&entry.head, entry.position));
            }
        }
        let sequences = kept.map(|kept| {
            let first = kept.frames.first().map_or(kept.next_sequence, |frame| frame.header.sequence);
            (first, kept.next_sequence)
        });
        self.segments.insert(base, segment.clone());
        let prepared = !holds_end
            || segment.has_prepared_mark(segment_bytes).map_err(io_error("reading", segment.name()))?;
        segment.set_used(if prepared { segment_bytes } else { verdict.end - base });
        if holds_end {
            self.writing = Some(segment);
            self.first_sequence = sequences.map_or(verdict.next_sequence, |sequences| sequences.0);
            self.states = states;
        } else {
            let hit = |(from, to): &(Position, Position)| *from < base + segment_bytes && *to > base;
            if verdict.corrupt.iter().any(hit) {
                // a footer would hide what is missing: without one, every start tells it
                return Ok(());
            }
            let end = kept.map_or(base, |kept| kept.end);
            self.seals.push_back(SealJob { segment, end, sequences: sequences.unwrap_or((0, 0)), states });
        }
        Ok(())
    }
}
