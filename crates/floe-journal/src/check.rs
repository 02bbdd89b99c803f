//! Verifying a data directory without changing it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Damage, DamageKind, EntryKind, OpenError, PartitionId, Position, Storage,
    damage::DamageLog,
    frame::{EntryHead, FrameHeader},
    meta::Meta,
    recovery::{Item, Scanner, missing, surveyed_segments},
    snapshot::Snapshot,
};

/// What a visitor is shown, in the order of the journal.
#[derive(Debug)]
pub enum Seen<'a> {
    /// The newest intact snapshot's position and state; comes first, if there is one.
    Snapshot(Position, &'a [u8]),
    /// A frame.
    Frame(&'a FrameHeader),
    /// One of its entries, where its body is, whether it is intact, and the body of a state entry.
    Entry(&'a EntryHead, Position, bool, Option<&'a [u8]>),
}

/// What a data directory holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Segments, and how many of them have their footer.
    pub segments: usize,
    /// See `segments`.
    pub sealed: usize,
    /// Frames.
    pub frames: u64,
    /// Record batches and their bytes.
    pub batches: u64,
    /// See `batches`.
    pub batch_bytes: u64,
    /// State entries.
    pub states: u64,
    /// Where the last frame ends.
    pub end: Position,
    /// The largest position that a frame vouches for as durable.
    pub durable_through: Position,
    /// All that is not what was written. What lies at or behind `durable_through` is the end of an unfinished group:
    /// it is listed here too, and cut at the next start.
    pub damage: Vec<Damage>,
}

/// Reads every frame, footer and snapshot. `None` when there is no journal in `storage`.
pub fn check(storage: &dyn Storage, visit: &mut dyn FnMut(Seen<'_>)) -> Result<Option<Summary>, OpenError> {
    let files =
        storage.list().map_err(|source| OpenError::Io { doing: "listing", file: ".".to_owned(), source })?;
    let Some((meta, _)) = Meta::load(storage, &files)? else { return Ok(None) };
    let damage = DamageLog::default();
    let mut summary = Summary::default();
    let (mut known, mut snapshot_position) = (Vec::new(), 0);
    if let Some(snapshot) = Snapshot::newest(storage, &files, meta.journal_id, &damage)? {
        visit(Seen::Snapshot(snapshot.position, &snapshot.state));
        (known, snapshot_position) = (snapshot.segments, snapshot.position);
    }
    let (mut here, mut retired) = (BTreeSet::new(), BTreeSet::new());
    for (segment, footer) in surveyed_segments(storage, &files, meta, &damage)? {
        summary.segments += 1;
        here.insert(segment.base);
        let items = Scanner::new(&segment, meta).scan(true, 0)?;
        for item in &items {
            summary.see(item, &segment.name(), &damage, visit);
        }
        let entries = || items.iter().flat_map(Item::entries);
        let given_up = entries().filter(|entry| entry.head.kind == EntryKind::Retired);
        retired.extend(given_up.map(|entry| entry.head.base_offset.cast_unsigned()));
        if let Some(listed) = footer {
            summary.sealed += 1;
            // partitions that were deleted before the segment was sealed aren't listed
            let mut found: BTreeMap<PartitionId, u64> = BTreeMap::new();
            for entry in entries().filter(|entry| entry.head.kind.is_records()) {
                *found.entry(entry.head.partition).or_default() += 1;
            }
            if listed.iter().any(|(partition, batches)| found.get(partition) != Some(batches)) {
                let position = segment.base + meta.segment_bytes();
                damage.report(Damage { file: segment.name(), position, bytes: 0, kind: DamageKind::Footer });
            }
        }
    }
    let reached = (snapshot_position, summary.durable_through);
    missing(&here, &known, &retired, meta, reached, &damage);
    summary.damage = damage.all();
    Ok(Some(summary))
}

impl Summary {
    fn see(&mut self, item: &Item, file: &str, damage: &DamageLog, visit: &mut dyn FnMut(Seen<'_>)) {
        for (position, bytes, kind) in item.damage() {
            damage.report(Damage { file: file.to_owned(), position, bytes, kind });
        }
        let Item::Frame(frame) = item else { return };
        self.frames += 1;
        self.end = frame.header.end();
        self.durable_through = self.durable_through.max(frame.header.durable_through);
        visit(Seen::Frame(&frame.header));
        for entry in &frame.entries {
            let head = &entry.head;
            if head.kind.is_records() {
                self.batches += 1;
                self.batch_bytes += u64::from(head.length);
            } else {
                self.states += 1;
            }
            visit(Seen::Entry(head, entry.position, entry.intact, entry.state.as_deref()));
        }
    }
}
