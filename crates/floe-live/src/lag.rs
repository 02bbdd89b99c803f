//! What a subscriber skipped, and how it is named.

use std::collections::BTreeMap;

use floe_engine::{Cursor, StoredRecord};

use crate::limits::{SKIPPED_RANGES, TRACKED_PARTITIONS};

/// A subscriber was moved forward: its socket was blocked and it was further behind than the topic allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lagged {
    /// How many records were skipped.
    pub dropped: u64,
    /// Where they lie, by partition; at most one range each.
    pub skipped: Vec<Skipped>,
    /// The last record before the first skipped one: reading on from here gives what was skipped.
    pub after: Cursor,
}

/// The skipped offsets of one partition: no skipped record lies outside. A notice about several skips may
/// span records that were delivered between them, and of a partition the subscriber had nothing from so far the range
/// may start earlier than the skip did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The partition.
    pub partition: u32,
    /// First offset.
    pub from: i64,
    /// Last offset.
    pub to: i64,
}

impl Lagged {
    /// Adds a later skip of the same episode.
    pub(crate) fn extend(&mut self, later: &Self) {
        self.dropped += later.dropped;
        let mut ranges = Ranges::default();
        self.skipped
            .iter()
            .chain(&later.skipped)
            .for_each(|range| ranges.cover(range.partition, range.from, range.to));
        self.skipped = ranges.finish();
    }
}

/// Offset ranges by partition, as they come together.
#[derive(Debug, Default)]
pub(crate) struct Ranges(BTreeMap<u32, (i64, i64)>);

impl Ranges {
    /// Makes the partition's range reach from `from` to `to` at least.
    pub(crate) fn cover(&mut self, partition: u32, from: i64, to: i64) {
        let range = self.0.entry(partition).or_insert((from, to));
        *range = (range.0.min(from), range.1.max(to));
    }

    /// The partition's range.
    pub(crate) fn get(&self, partition: u32) -> Option<(i64, i64)> {
        self.0.get(&partition).copied()
    }

    /// All ranges by partition.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, i64, i64)> {
        self.0.iter().map(|(&partition, &(from, to))| (partition, from, to))
    }

    /// The ranges to tell; [`SKIPPED_RANGES`] at most.
    pub(crate) fn finish(self) -> Vec<Skipped> {
        self.0
            .into_iter()
            .take(SKIPPED_RANGES)
            .map(|(partition, (from, to))| Skipped { partition, from, to })
            .collect()
    }
}

/// A subscriber's place by partition: the offset behind the last record it was given.
#[derive(Debug, Default)]
pub(crate) struct Places(Vec<(u32, i64)>);

impl Places {
    /// The places of somebody who has everything that `ranges` cover.
    pub(crate) fn behind(ranges: &Ranges) -> Self {
        Self(ranges.iter().take(TRACKED_PARTITIONS).map(|(partition, _, to)| (partition, to + 1)).collect())
    }

    /// Notes a record as given.
    pub(crate) fn pass(&mut self, record: &StoredRecord) {
        match self.0.binary_search_by_key(&record.partition, |&(partition, _)| partition) {
            Ok(at) => self.0[at].1 = record.offset + 1,
            Err(at) if self.0.len() < TRACKED_PARTITIONS => {
                self.0.insert(at, (record.partition, record.offset + 1));
            }
            Err(_) => {}
        }
    }

    /// Notes ranges as passed over.
    pub(crate) fn skip(&mut self, skipped: &[Skipped]) {
        for range in skipped {
            if let Ok(at) = self.0.binary_search_by_key(&range.partition, |&(partition, _)| partition) {
                self.0[at].1 = range.to + 1;
            }
        }
    }

    /// The offset behind the last record given of a partition, when one is remembered.
    pub(crate) fn next_offset(&self, partition: u32) -> Option<i64> {
        self.0.binary_search_by_key(&partition, |&(partition, _)| partition).ok().map(|at| self.0[at].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skips_of_one_episode_add_up_to_one_range_per_partition() {
        let after = Cursor::Journal(floe_engine::JournalCursor { topic_id: 1, position: 9, records: 1 });
        let skip = |dropped, ranges: &[(u32, i64, i64)]| Lagged {
            dropped,
            skipped: ranges.iter().map(|&(partition, from, to)| Skipped { partition, from, to }).collect(),
            after: after.clone(),
        };
        let mut lagged = skip(3, &[(0, 5, 7)]);
        lagged.extend(&skip(4, &[(0, 10, 11), (2, 0, 1)]));
        assert_eq!(lagged, skip(7, &[(0, 5, 11), (2, 0, 1)]));
    }
}
