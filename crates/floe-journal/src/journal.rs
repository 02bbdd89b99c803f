//! The journal's shared state, and reading from it.

use std::collections::BTreeMap;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use crate::{
    BatchRef, Damage, PartitionId, Position, ReadError, SegmentUsage, Storage,
    crc::crc,
    damage::{DamageKind, DamageLog},
    index::{Index, IndexEntry, OpenRun, Run},
    keeper::{Inbox, Keeper},
    limits::{DEFAULT_SEGMENT_BYTES, DEFAULT_TAIL_CACHE_BYTES},
    lists::Lists,
    meta::Meta,
    recovery::RecoveryReport,
    segment::Segment,
    tail_cache::TailCache,
    writer::{Appender, Syncer},
};

/// How a journal is laid out and what it keeps in memory.
#[derive(Clone, Debug)]
pub struct JournalConfig {
    /// Size of a new journal's segments, bytes; a power of two. An existing journal keeps its own.
    pub segment_bytes: u32,
    /// The newest bytes kept in memory for readers at the tail.
    pub tail_cache_bytes: usize,
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self { segment_bytes: DEFAULT_SEGMENT_BYTES, tail_cache_bytes: DEFAULT_TAIL_CACHE_BYTES }
    }
}

/// An opened journal: the shared handle and its three single owners, each meant for a thread of its own.
#[derive(Debug)]
pub struct Opened {
    /// Reads, and knows how things are.
    pub journal: Journal,
    /// Writes frames.
    pub appender: Appender,
    /// Makes what was written durable.
    pub syncer: Syncer,
    /// Prepares, seals, stores snapshots, recycles.
    pub keeper: Keeper,
    /// What recovery found and did.
    pub report: RecoveryReport,
}

/// What all parts of a journal share.
///
/// `durable ≤ written`: everything before `durable` is on disk; what lies between may be lost by a crash.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) meta: Meta,
    pub(crate) index: Index,
    pub(crate) lists: Lists,
    pub(crate) cache: TailCache,
    pub(crate) damage: DamageLog,
    pub(crate) segments: RwLock<BTreeMap<Position, Arc<Segment>>>,
    pub(crate) written: AtomicU64,
    pub(crate) durable: AtomicU64,
    pub(crate) failed: AtomicBool,
    pub(crate) full: AtomicBool,
    /// Up to here the last two stored snapshots hold the broker's state.
    pub(crate) snapshot: AtomicU64,
    pub(crate) unsynced: Mutex<Unsynced>,
    pub(crate) inbox: Inbox,
}

/// What the next sync has to cover.
#[derive(Debug, Default)]
pub(crate) struct Unsynced {
    pub(crate) through: Position,
    pub(crate) segments: Vec<Arc<Segment>>,
}

impl Shared {
    pub(crate) fn segment_bytes(&self) -> u64 {
        self.meta.segment_bytes()
    }

    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::Release);
    }
}

/// Reads stored batches. Cloning is cheap and shares it.
#[derive(Clone, Debug)]
pub struct Journal {
    pub(crate) shared: Arc<Shared>,
}

/// What a batch is looked up by.
#[derive(Clone, Copy)]
enum Target {
    Offset(i64),
    Origin(Position),
}

impl Target {
    /// Whether the entry is at or behind the target.
    fn reached_by(self, entry: &IndexEntry) -> bool {
        match self {
            Self::Offset(offset) => entry.last_offset() >= offset,
            Self::Origin(origin) => entry.origin >= origin,
        }
    }
}

enum Found {
    Sealed(Run),
    Open(OpenRunPart),
}

/// Enough of an open run to go on without its lock.
struct OpenRunPart {
    segment: Arc<Segment>,
    entries: Vec<IndexEntry>,
}

/// Repeats a look-up whose segment was given up under it: the index has forgotten that segment by then, and knows what
/// was kept of it elsewhere.
fn look_again<T>(look: impl Fn() -> Result<T, ReadError>) -> Result<T, ReadError> {
    loop {
        match look() {
            Err(ReadError::Gone) => {}
            found => return found,
        }
    }
}

/// Entries copied out of an open run in one look-up.
const OPEN_LOOKUP_ENTRIES: usize = 256;

impl Journal {
    /// Drawn at random when the journal was made; every frame carries it.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.shared.meta.journal_id
    }

    /// Everything before this position is on disk.
    #[must_use]
    pub fn durable(&self) -> Position {
        self.shared.durable.load(Ordering::Acquire)
    }

    /// Everything before this position is written, if not yet on disk.
    #[must_use]
    pub fn written(&self) -> Position {
        self.shared.written.load(Ordering::Acquire)
    }

    /// Whether a write or sync failed: nothing more is taken.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        self.shared.failed.load(Ordering::Acquire)
    }

    /// Whether the disk had no room at the last try.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.shared.full.load(Ordering::Acquire)
    }

    /// What was found damaged, newest last.
    #[must_use]
    pub fn damage(&self) -> Vec<Damage> {
        self.shared.damage.all()
    }

    /// Bytes of all segments on disk.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.shared.segments.read().len() as u64 * self.shared.segment_bytes()
    }

    /// The state up to here is in the last two stored snapshots, so that one of them may get lost: segments before it
    /// hold no state that is still needed.
    #[must_use]
    pub fn snapshot_position(&self) -> Position {
        self.shared.snapshot.load(Ordering::Acquire)
    }

    /// The lowest and highest offset that a partition has in the journal.
    #[must_use]
    pub fn range(&self, partition: PartitionId) -> Option<(i64, i64)> {
        self.shared.index.get(partition)?.lock().range()
    }

    /// Bytes of a partition's batches from `offset` on; of a run that starts before, the share that is behind it.
    #[must_use]
    pub fn bytes_from(&self, partition: PartitionId, offset: i64) -> u64 {
        let Some(runs) = self.shared.index.get(partition) else { return 0 };
        let runs = runs.lock();
        let sealed = runs.sealed.iter().map(|run| run.live_bytes(offset));
        let open =
            runs.open.iter().flat_map(|run| &run.entries).filter(|entry| entry.last_offset() >= offset);
        sealed.sum::<u64>() + open.map(|entry| u64::from(entry.length)).sum::<u64>()
    }

    /// Forgets a partition that was deleted: its space is free.
    pub fn forget(&self, partition: PartitionId) {
        self.shared.index.forget(partition);
    }

    /// The partition's batches from the one that holds `offset` (or the next there is) on: at least one if there is
    /// any, then as many more as fit into `max_bytes` without another look-up.
    pub fn locate(
        &self,
        partition: PartitionId,
        offset: i64,
        max_bytes: usize,
    ) -> Result<Vec<BatchRef>, ReadError> {
        self.find(partition, Target::Offset(offset), max_bytes)
    }

    /// The same from the first batch on that was first written at or behind `origin`.
    pub fn locate_origin(
        &self,
        partition: PartitionId,
        origin: Position,
        max_bytes: usize,
    ) -> Result<Vec<BatchRef>, ReadError> {
        let mut found = self.find(partition, Target::Origin(origin), max_bytes)?;
        // while batches are being moved, two runs overlap and the first hit may lie before the target
        while let Some(last) = found.last().filter(|batch| batch.origin() < origin) {
            found = self.find(partition, Target::Offset(last.last_offset() + 1), max_bytes)?;
        }
        found.retain(|batch| batch.origin() >= origin);
        Ok(found)
    }

    /// The first batch at or behind `from_offset` whose largest timestamp is at or after `timestamp`.
    pub fn locate_time(
        &self,
        partition: PartitionId,
        from_offset: i64,
        timestamp: i64,
    ) -> Result<Option<BatchRef>, ReadError> {
        look_again(|| self.find_time(partition, from_offset, timestamp))
    }

    fn find_time(
        &self,
        partition: PartitionId,
        from_offset: i64,
        timestamp: i64,
    ) -> Result<Option<BatchRef>, ReadError> {
        let Some(runs) = self.shared.index.get(partition) else { return Ok(None) };
        let fits =
            |entry: &&IndexEntry| entry.last_offset() >= from_offset && entry.max_timestamp >= timestamp;
        let (sealed, open) = {
            let runs = runs.lock();
            let sealed = runs
                .sealed
                .iter()
                .filter(|run| run.last_offset >= from_offset && run.max_timestamp >= timestamp);
            let in_run = |run: &OpenRun| {
                let entry = *run.entries.iter().find(fits)?;
                Some(BatchRef { segment: run.segment.clone(), entry })
            };
            let open = runs.open.iter().filter_map(in_run).min_by_key(BatchRef::base_offset);
            (sealed.cloned().collect::<Vec<Run>>(), open)
        };
        for run in sealed {
            if open.as_ref().is_some_and(|open| open.base_offset() <= run.first_offset) {
                break;
            }
            let list = self.shared.lists.load(partition, &run, self.shared.meta)?;
            if let Some(entry) = list.iter().find(fits) {
                let sealed = BatchRef { segment: run.segment, entry: *entry };
                return Ok(Some(match open {
                    Some(open) if open.base_offset() < sealed.base_offset() => open,
                    _ => sealed,
                }));
            }
        }
        Ok(open)
    }

    fn find(
        &self,
        partition: PartitionId,
        target: Target,
        max_bytes: usize,
    ) -> Result<Vec<BatchRef>, ReadError> {
        look_again(|| self.find_in_run(partition, target, max_bytes))
    }

    fn find_in_run(
        &self,
        partition: PartitionId,
        target: Target,
        max_bytes: usize,
    ) -> Result<Vec<BatchRef>, ReadError> {
        let Some(found) = self.find_run(partition, target) else { return Ok(Vec::new()) };
        let list;
        let (segment, entries) = match &found {
            Found::Sealed(run) => {
                list = self.shared.lists.load(partition, run, self.shared.meta)?;
                (&run.segment, list.as_slice())
            }
            Found::Open(part) => (&part.segment, part.entries.as_slice()),
        };
        let start = entries.partition_point(|entry| !target.reached_by(entry));
        if start == entries.len() {
            // the target lies behind this run: the next one starts with it
            return match entries.last() {
                Some(last) => self.find(partition, Target::Offset(last.last_offset() + 1), max_bytes),
                None => Ok(Vec::new()),
            };
        }
        let mut bytes = 0;
        let mut batches = Vec::new();
        for entry in &entries[start..] {
            bytes += entry.length as usize;
            if !batches.is_empty() && bytes > max_bytes {
                break;
            }
            batches.push(BatchRef { segment: segment.clone(), entry: *entry });
        }
        Ok(batches)
    }

    fn find_run(&self, partition: PartitionId, target: Target) -> Option<Found> {
        let runs = self.shared.index.get(partition)?;
        let runs = runs.lock();
        let before = |first_offset: i64, first_origin: Position| match target {
            Target::Offset(offset) => first_offset <= offset,
            Target::Origin(origin) => first_origin <= origin,
        };
        let holds = |last_offset: i64| match target {
            Target::Offset(offset) => last_offset >= offset,
            // a run's last origin isn't kept; when the target lies behind the run, the caller goes on to the next
            Target::Origin(_) => true,
        };
        let open_part = |run: &OpenRun| {
            let start = run.entries.partition_point(|entry| !target.reached_by(entry));
            let start = start.min(run.entries.len() - 1);
            let end = (start + OPEN_LOOKUP_ENTRIES).min(run.entries.len());
            Found::Open(OpenRunPart {
                segment: run.segment.clone(),
                entries: run.entries[start..end].to_vec(),
            })
        };
        let open = runs
            .open
            .iter()
            .filter(|run| before(run.first_offset(), run.entries[0].origin) && holds(run.last_offset()))
            .max_by_key(|run| run.first_offset());
        let at = runs.sealed.partition_point(|run| before(run.first_offset, run.first_origin));
        // usually the last one; while batches are moved, several overlap
        let within = runs.sealed[..at].iter().rev().find(|run| holds(run.last_offset));
        match (within, open) {
            (Some(sealed), Some(open)) if open.first_offset() < sealed.first_offset => {
                return Some(Found::Sealed(sealed.clone()));
            }
            (_, Some(open)) => return Some(open_part(open)),
            (Some(sealed), None) => return Some(Found::Sealed(sealed.clone())),
            (None, None) => {}
        }
        let next_open = runs
            .open
            .iter()
            .filter(|run| !before(run.first_offset(), run.entries[0].origin))
            .min_by_key(|run| run.first_offset());
        match (runs.sealed.get(at), next_open) {
            (Some(sealed), Some(open)) if open.first_offset() < sealed.first_offset => Some(open_part(open)),
            (Some(sealed), _) => Some(Found::Sealed(sealed.clone())),
            (None, Some(open)) => Some(open_part(open)),
            (None, None) => None,
        }
    }

    /// A stored batch's bytes if they are still in memory: never touches the disk.
    #[must_use]
    pub fn cached(&self, batch: &BatchRef) -> Option<Bytes> {
        self.shared.cache.get(batch.entry.position, batch.length())
    }

    /// A stored batch's bytes, as they were appended. May read from disk; what comes from there is checked first.
    pub fn read(&self, batch: &BatchRef) -> Result<Bytes, ReadError> {
        if let Some(bytes) = self.cached(batch) {
            return Ok(bytes);
        }
        let entry = &batch.entry;
        let mut bytes = vec![0; batch.length()];
        let read = batch.segment.file.read_at(&mut bytes, entry.position - batch.segment.base)?;
        if read == bytes.len() && crc(&bytes) == entry.body_crc {
            return Ok(bytes.into());
        }
        if batch.segment.retired.load(Ordering::Acquire) {
            return Err(ReadError::Gone);
        }
        Err(ReadError::Damaged { position: entry.position })
    }

    /// Notes that a partition's batch turned out to be damaged.
    pub fn report_damaged(&self, partition: PartitionId, batch: &BatchRef) {
        self.shared.damage.report(Damage {
            file: batch.segment.name(),
            position: batch.entry.position,
            bytes: u64::from(batch.entry.length),
            kind: DamageKind::Records { partition, from: batch.base_offset(), to: batch.last_offset() },
        });
    }

    /// How much of each sealed segment is still needed. `log_start` tells the first offset kept of a partition, `None`
    /// for one that is deleted.
    #[must_use]
    pub fn usage(&self, log_start: &dyn Fn(PartitionId) -> Option<i64>) -> Vec<SegmentUsage> {
        crate::usage::of(&self.shared, log_start)
    }

    /// Gives the broker's state at `position` to be stored as a snapshot once the journal is durable up to there.
    pub fn store_snapshot(&self, position: Position, state: Vec<u8>) {
        self.shared.inbox.snapshot(position, state);
    }

    /// Gives a segment's file back for reuse. Its retirement must be durable in the journal.
    pub fn recycle(&self, segment_base: Position) {
        self.shared.inbox.recycle(segment_base);
    }

    /// Wakes the keeper for good: its `run` returns.
    pub fn stop_keeper(&self) {
        self.shared.inbox.stop();
    }
}
