//! Verifying a data directory without changing it.

use crate::{
    Damage, DamageKind, OpenError, Position, Storage,
    damage::DamageLog,
    frame::{EntryHead, FrameHeader},
    meta::Meta,
    recovery::{Item, Scanner, surveyed_segments},
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
    if let Some(snapshot) = Snapshot::newest(storage, &files, meta.journal_id, &damage)? {
        visit(Seen::Snapshot(snapshot.position, &snapshot.state));
    }
    for (segment, footer) in surveyed_segments(storage, &files, meta, &damage)? {
        summary.segments += 1;
        let batches_before = summary.batches;
        let items = Scanner::new(&segment, meta).scan(true, 0)?;
        for item in &items {
            summary.see(item, &segment.name(), &damage, visit);
        }
        if let Some(listed) = footer {
            summary.sealed += 1;
            if listed != summary.batches - batches_before {
                let position = segment.base + meta.segment_bytes();
                damage.report(Damage { file: segment.name(), position, bytes: 0, kind: DamageKind::Footer });
            }
        }
    }
    summary.damage = damage.all();
    Ok(Some(summary))
}

impl Summary {
    fn see(&mut self, item: &Item, file: &str, damage: &DamageLog, visit: &mut dyn FnMut(Seen<'_>)) {
        let frame = match item {
            Item::Frame(frame) => frame,
            Item::Hole { from } => {
                damage.report(Damage {
                    file: file.to_owned(),
                    position: *from,
                    bytes: 0,
                    kind: DamageKind::Frames,
                });
                return;
            }
        };
        self.frames += 1;
        self.end = frame.header.end();
        self.durable_through = self.durable_through.max(frame.header.durable_through);
        visit(Seen::Frame(&frame.header));
        if frame.repaired {
            let (position, bytes) = (frame.header.position, u64::from(frame.header.length));
            damage.report(Damage { file: file.to_owned(), position, bytes, kind: DamageKind::Repaired });
        }
        for entry in &frame.entries {
            let head = &entry.head;
            let mut kind = DamageKind::State;
            if head.kind.is_records() {
                self.batches += 1;
                self.batch_bytes += u64::from(head.length);
                kind = DamageKind::Records {
                    partition: head.partition,
                    from: head.base_offset,
                    to: head.last_offset(),
                };
            } else {
                self.states += 1;
            }
            if !entry.intact {
                let (position, bytes) = (entry.position, u64::from(head.length));
                damage.report(Damage { file: file.to_owned(), position, bytes, kind });
            }
            visit(Seen::Entry(head, entry.position, entry.intact, entry.state.as_deref()));
        }
    }
}
