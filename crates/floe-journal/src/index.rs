//! Where each partition's batches are.
//!
//! A partition's batches form *runs*: consecutive offsets within one segment. Runs of sealed segments are kept as
//! one line each, their entries stay in the segment's footer; runs of segments not sealed yet keep their entries
//! in memory. So memory grows with segments and partitions, not with records.

use std::{collections::HashMap, sync::Arc};

use parking_lot::{Mutex, RwLock};

use crate::{PartitionId, Position, footer::DirectoryEntry, frame::EntryHead, segment::Segment};

/// One batch in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    pub(crate) base_offset: i64,
    pub(crate) position: Position,
    /// Where it was written first; equal to `position` unless it was moved.
    pub(crate) origin: Position,
    pub(crate) max_timestamp: i64,
    pub(crate) last_offset_delta: u32,
    pub(crate) length: u32,
    pub(crate) body_crc: u32,
    pub(crate) flags: u8,
}

impl IndexEntry {
    pub(crate) fn new(head: &EntryHead, position: Position) -> Self {
        Self {
            base_offset: head.base_offset,
            position,
            origin: if head.origin == 0 { position } else { head.origin },
            max_timestamp: head.max_timestamp,
            last_offset_delta: head.last_offset_delta,
            length: head.length,
            body_crc: head.body_crc,
            flags: head.flags,
        }
    }

    pub(crate) fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }
}

/// A stored batch, found.
#[derive(Clone, Debug)]
pub struct BatchRef {
    pub(crate) segment: Arc<Segment>,
    pub(crate) entry: IndexEntry,
}

impl BatchRef {
    /// First offset.
    #[must_use]
    pub fn base_offset(&self) -> i64 {
        self.entry.base_offset
    }

    /// Last offset.
    #[must_use]
    pub fn last_offset(&self) -> i64 {
        self.entry.last_offset()
    }

    /// Where the batch was first written: orders all batches of the node for ever.
    #[must_use]
    pub fn origin(&self) -> Position {
        self.entry.origin
    }

    /// Largest timestamp in the batch, milliseconds since the epoch.
    #[must_use]
    pub fn max_timestamp(&self) -> i64 {
        self.entry.max_timestamp
    }

    /// Its length in bytes.
    #[must_use]
    pub fn length(&self) -> usize {
        self.entry.length as usize
    }

    /// The broker's mark.
    #[must_use]
    pub fn flags(&self) -> u8 {
        self.entry.flags
    }
}

/// A run of a sealed segment.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) first_offset: i64,
    pub(crate) last_offset: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) first_origin: Position,
    pub(crate) bytes: u64,
    pub(crate) segment: Arc<Segment>,
    /// Where the run's entries are in the footer, and how long they are there.
    pub(crate) list_at: u32,
    pub(crate) list_bytes: u32,
    pub(crate) list_crc: u32,
    pub(crate) entries: u32,
}

impl Run {
    pub(crate) fn from_directory(entry: &DirectoryEntry, segment: &Arc<Segment>) -> Self {
        Self {
            first_offset: entry.first_offset,
            last_offset: entry.last_offset,
            max_timestamp: entry.max_timestamp,
            first_origin: entry.first_origin,
            bytes: entry.bytes,
            segment: segment.clone(),
            list_at: entry.list_at,
            list_bytes: entry.list_bytes,
            list_crc: entry.list_crc,
            entries: entry.entries,
        }
    }
}

impl Run {
    /// Bytes of the batches that hold `start` or later offsets, about: batches are taken for equally large.
    pub(crate) fn live_bytes(&self, start: i64) -> u64 {
        if self.last_offset < start {
            return 0;
        }
        if self.first_offset >= start {
            return self.bytes;
        }
        let all = u128::from(self.first_offset.abs_diff(self.last_offset)) + 1;
        let left = u128::from(start.abs_diff(self.last_offset)) + 1;
        u64::try_from(u128::from(self.bytes) * left / all).unwrap_or(self.bytes).max(1)
    }
}

/// A run of a segment that isn't sealed.
#[derive(Clone, Debug)]
pub(crate) struct OpenRun {
    pub(crate) segment: Arc<Segment>,
    pub(crate) entries: Vec<IndexEntry>,
}

impl OpenRun {
    pub(crate) fn first_offset(&self) -> i64 {
        self.entries[0].base_offset
    }

    pub(crate) fn last_offset(&self) -> i64 {
        self.entries[self.entries.len() - 1].last_offset()
    }

    pub(crate) fn max_timestamp(&self) -> i64 {
        self.entries.iter().map(|entry| entry.max_timestamp).max().unwrap_or(i64::MIN)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.entries.iter().map(|entry| u64::from(entry.length)).sum()
    }
}

/// One partition's runs.
///
/// `sealed` is sorted by first offset. When a batch was moved, its old run and its new one cover the same offsets
/// until the old segment goes; either may be read.
#[derive(Debug, Default)]
pub(crate) struct PartitionRuns {
    pub(crate) sealed: Vec<Run>,
    pub(crate) open: Vec<OpenRun>,
}

impl PartitionRuns {
    fn push(&mut self, segment: &Arc<Segment>, entry: IndexEntry) {
        if let Some(run) = self.open.iter_mut().rev().find(|run| {
            run.segment.base == segment.base && run.last_offset().checked_add(1) == Some(entry.base_offset)
        }) {
            run.entries.push(entry);
        } else {
            self.open.push(OpenRun { segment: segment.clone(), entries: vec![entry] });
        }
    }

    /// Lowest first offset and highest last offset, if there is anything.
    pub(crate) fn range(&self) -> Option<(i64, i64)> {
        let ranges = || {
            let sealed = self.sealed.iter().map(|run| (run.first_offset, run.last_offset));
            sealed.chain(self.open.iter().map(|run| (run.first_offset(), run.last_offset())))
        };
        Some((ranges().map(|range| range.0).min()?, ranges().map(|range| range.1).max()?))
    }
}

/// All partitions' runs.
#[derive(Debug, Default)]
pub(crate) struct Index {
    partitions: RwLock<HashMap<PartitionId, Arc<Mutex<PartitionRuns>>>>,
}

impl Index {
    pub(crate) fn get(&self, partition: PartitionId) -> Option<Arc<Mutex<PartitionRuns>>> {
        self.partitions.read().get(&partition).cloned()
    }

    fn get_or_insert(&self, partition: PartitionId) -> Arc<Mutex<PartitionRuns>> {
        if let Some(runs) = self.get(partition) {
            return runs;
        }
        self.partitions.write().entry(partition).or_default().clone()
    }

    /// Notes a batch of a segment that isn't sealed.
    pub(crate) fn push(&self, partition: PartitionId, segment: &Arc<Segment>, entry: IndexEntry) {
        self.get_or_insert(partition).lock().push(segment, entry);
    }

    /// Notes a run of a sealed segment.
    pub(crate) fn push_sealed(&self, partition: PartitionId, run: Run) {
        let runs = self.get_or_insert(partition);
        let mut runs = runs.lock();
        let at = runs.sealed.partition_point(|known| known.first_offset <= run.first_offset);
        runs.sealed.insert(at, run);
    }

    /// Turns a segment's open runs into sealed ones.
    pub(crate) fn seal(&self, base: Position, runs: Vec<(PartitionId, Run)>) {
        let mut sealed_of: HashMap<PartitionId, Vec<Run>> = HashMap::new();
        for (partition, run) in runs {
            sealed_of.entry(partition).or_default().push(run);
        }
        for (partition, new) in sealed_of {
            // forgotten meanwhile: it stays so
            let Some(runs) = self.get(partition) else { continue };
            let mut runs = runs.lock();
            runs.open.retain(|run| run.segment.base != base);
            runs.sealed.extend(new);
            runs.sealed.sort_by_key(|run| run.first_offset);
        }
    }

    /// The open runs of one segment.
    pub(crate) fn open_runs_of(&self, base: Position) -> Vec<(PartitionId, OpenRun)> {
        let mut found = Vec::new();
        for (id, runs) in self.all() {
            for run in runs.lock().open.iter().filter(|run| run.segment.base == base) {
                found.push((id, run.clone()));
            }
        }
        found
    }

    /// Forgets all runs of a segment.
    pub(crate) fn forget_segment(&self, base: Position) {
        for (_, runs) in self.all() {
            let mut runs = runs.lock();
            runs.sealed.retain(|run| run.segment.base != base);
            runs.open.retain(|run| run.segment.base != base);
        }
    }

    /// Forgets a partition.
    pub(crate) fn forget(&self, partition: PartitionId) {
        self.partitions.write().remove(&partition);
    }

    pub(crate) fn all(&self) -> Vec<(PartitionId, Arc<Mutex<PartitionRuns>>)> {
        self.partitions.read().iter().map(|(id, runs)| (*id, runs.clone())).collect()
    }
}
