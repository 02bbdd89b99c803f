//! How much of each segment is still needed: what decides which one to recycle and which to empty first.

use std::{collections::BTreeMap, sync::atomic::Ordering};

use crate::{BatchRef, Journal, PartitionId, Position, ReadError, journal::Shared};

/// One sealed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentUsage {
    /// Position of its first byte.
    pub base: Position,
    /// Position behind its last byte.
    pub end: Position,
    /// Bytes of its frame region.
    pub bytes: u64,
    /// Bytes of batches that are still kept, about.
    pub live_bytes: u64,
}

pub(crate) fn of(shared: &Shared, log_start: &dyn Fn(PartitionId) -> Option<i64>) -> Vec<SegmentUsage> {
    let bytes = shared.segment_bytes();
    let mut live: BTreeMap<Position, u64> = BTreeMap::new();
    for (partition, runs) in shared.index.all() {
        let Some(start) = log_start(partition) else { continue };
        let runs = runs.lock();
        for run in runs.sealed.iter().filter(|run| run.last_offset >= start) {
            let kept = run.live_bytes(start);
            *live.entry(run.segment.base).or_default() += kept;
        }
    }
    let segments = shared.segments.read();
    segments
        .iter()
        .filter(|(_, segment)| {
            segment.sealed.load(Ordering::Acquire) && !segment.given_up.load(Ordering::Acquire)
        })
        .map(|(base, _)| SegmentUsage {
            base: *base,
            end: base + bytes,
            bytes,
            live_bytes: live.get(base).copied().unwrap_or(0),
        })
        .collect()
}

impl Journal {
    /// The batches of a sealed segment that are still kept, for writing them again elsewhere.
    pub fn live_batches(
        &self,
        segment_base: Position,
        log_start: &dyn Fn(PartitionId) -> Option<i64>,
    ) -> Result<Vec<(PartitionId, BatchRef)>, ReadError> {
        let mut live = Vec::new();
        for (partition, runs) in self.shared.index.all() {
            let Some(start) = log_start(partition) else { continue };
            let runs: Vec<_> = {
                let runs = runs.lock();
                let here = runs
                    .sealed
                    .iter()
                    .filter(|run| run.segment.base == segment_base && run.last_offset >= start);
                here.cloned().collect()
            };
            for run in runs {
                let list = self.shared.lists.load(partition, &run, self.shared.meta)?;
                let kept = list.iter().filter(|entry| entry.last_offset() >= start);
                live.extend(
                    kept.map(|entry| (partition, BatchRef { segment: run.segment.clone(), entry: *entry })),
                );
            }
        }
        live.sort_by_key(|(_, batch)| batch.entry.position);
        Ok(live)
    }
}
