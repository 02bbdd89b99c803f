//! Places in a whole topic, across its partitions: everything up to and including one record.
//!
//! Two kinds of log, two kinds of place. A Floe node's journal orders all partitions of the node, so one number is a place
//! in all of them. A log without such an order (Apache Kafka's) has a place in each partition.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use crate::StoredRecord;

/// A place in a whole topic. It stays good for as long as the topic exists.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Cursor {
    /// In a node's journal. Of two such places one is always the later.
    Journal(JournalCursor),
    /// In each partition by itself. Of two such places each may be ahead of the other somewhere.
    Offsets(OffsetsCursor),
}

/// A place in a node's journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JournalCursor {
    /// The topic's id: a topic that was deleted and made again has another one.
    pub topic_id: u64,
    /// Journal position at which the record's batch was first written.
    pub position: u64,
    /// How many records of that batch are behind the cursor.
    pub records: u32,
}

/// The offset at which reading goes on, for each partition. Cloning is cheap, and the places behind the records of one
/// page share their memory.
#[derive(Clone, Debug)]
pub struct OffsetsCursor {
    topic_id: u64,
    page: Arc<Page>,
    /// How many steps of the page were made.
    made: usize,
}

/// A place, and the steps from it, each to the next offset of one partition.
#[derive(Debug)]
struct Page {
    start: Vec<i64>,
    steps: Vec<(u32, i64)>,
}

impl Cursor {
    /// The topic's id: a topic that was deleted and made again has another one.
    #[must_use]
    pub fn topic_id(&self) -> u64 {
        match self {
            Self::Journal(cursor) => cursor.topic_id,
            Self::Offsets(cursor) => cursor.topic_id,
        }
    }

    /// Whether it lies nowhere before `other`: all that is behind `other` is behind this one too.
    #[must_use]
    pub fn reaches(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Journal(this), Self::Journal(other)) => this >= other,
            (Self::Offsets(this), Self::Offsets(other)) => {
                let partitions = this.partitions().max(other.partitions());
                (0..partitions).all(|partition| this.next_offset(partition) >= other.next_offset(partition))
            }
            (Self::Journal(_), Self::Offsets(_)) | (Self::Offsets(_), Self::Journal(_)) => false,
        }
    }

    /// Whether this record is behind it.
    #[must_use]
    pub fn covers(&self, record: &StoredRecord) -> bool {
        match (self, &record.cursor) {
            (Self::Journal(this), Self::Journal(record)) => record <= this,
            (Self::Offsets(this), _) => record.offset < this.next_offset(record.partition),
            (Self::Journal(_), Self::Offsets(_)) => false,
        }
    }

    /// The place behind which is all that is behind one of the two.
    #[must_use]
    pub fn or_later(self, other: &Self) -> Self {
        self.merged(other, i64::max, JournalCursor::max)
    }

    /// The place behind which is only what is behind both.
    #[must_use]
    pub fn or_earlier(self, other: &Self) -> Self {
        self.merged(other, i64::min, JournalCursor::min)
    }

    fn merged(
        self,
        other: &Self,
        of_offsets: fn(i64, i64) -> i64,
        of_positions: fn(JournalCursor, JournalCursor) -> JournalCursor,
    ) -> Self {
        match (self, other) {
            (Self::Journal(this), Self::Journal(other)) => Self::Journal(of_positions(this, *other)),
            (Self::Offsets(this), Self::Offsets(other)) => {
                let partitions = this.partitions().max(other.partitions());
                let offsets = (0..partitions)
                    .map(|partition| of_offsets(this.next_offset(partition), other.next_offset(partition)));
                Self::Offsets(OffsetsCursor::new(this.topic_id, offsets.collect()))
            }
            // places in different logs have nothing in common
            (this, _) => this,
        }
    }
}

impl OffsetsCursor {
    /// The place at which each partition, by number, goes on with this offset.
    #[must_use]
    pub fn new(topic_id: u64, next_offsets: Vec<i64>) -> Self {
        let page = Arc::new(Page { start: next_offsets, steps: Vec::new() });
        Self { topic_id, page, made: 0 }
    }

    /// The places behind the records of a page that starts at `self`: `read` has partition and offset of each.
    #[must_use]
    pub fn behind_each(&self, read: impl Iterator<Item = (u32, i64)>) -> Vec<Self> {
        let steps: Vec<_> = read.map(|(partition, offset)| (partition, offset + 1)).collect();
        let count = steps.len();
        let page = Arc::new(Page { start: self.next_offsets(), steps });
        let place = |made| Self { topic_id: self.topic_id, page: Arc::clone(&page), made };
        (1..=count).map(place).collect()
    }

    /// The topic's id.
    #[must_use]
    pub fn topic_id(&self) -> u64 {
        self.topic_id
    }

    /// Where a partition goes on. Of partitions that were added later, that is their start.
    #[must_use]
    pub fn next_offset(&self, partition: u32) -> i64 {
        let made = self.page.steps[..self.made].iter().rev();
        made.into_iter()
            .find(|(stepped, _)| *stepped == partition)
            .map(|(_, next)| *next)
            .or_else(|| self.page.start.get(partition as usize).copied())
            .unwrap_or(0)
    }

    /// Where each partition goes on, by number.
    #[must_use]
    pub fn next_offsets(&self) -> Vec<i64> {
        let mut offsets = self.page.start.clone();
        for &(partition, next) in &self.page.steps[..self.made] {
            let at = partition as usize;
            if at >= offsets.len() {
                offsets.resize(at + 1, 0);
            }
            offsets[at] = next;
        }
        offsets
    }

    fn partitions(&self) -> u32 {
        let stepped = self.page.steps[..self.made].iter().map(|(partition, _)| partition + 1).max();
        let started = u32::try_from(self.page.start.len()).unwrap_or(u32::MAX);
        stepped.unwrap_or(0).max(started)
    }
}

impl PartialEq for OffsetsCursor {
    fn eq(&self, other: &Self) -> bool {
        self.topic_id == other.topic_id && self.next_offsets() == other.next_offsets()
    }
}

impl Eq for OffsetsCursor {}

impl Hash for OffsetsCursor {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.topic_id.hash(state);
        self.next_offsets().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(partition: u32, offset: i64, cursor: &OffsetsCursor) -> StoredRecord {
        let cursor = Cursor::Offsets(cursor.clone());
        StoredRecord { partition, offset, timestamp: 0, key: None, value: None, headers: Vec::new(), cursor }
    }

    #[test]
    fn each_record_of_a_page_has_the_place_behind_it() {
        let start = OffsetsCursor::new(1, vec![5, 7]);
        let places = start.behind_each([(1, 7), (0, 5), (1, 9), (2, 0)].into_iter());
        let offsets: Vec<_> = places.iter().map(OffsetsCursor::next_offsets).collect();
        assert_eq!(offsets, [vec![5, 8], vec![6, 8], vec![6, 10], vec![6, 10, 1]]);
        assert_eq!(places[2], OffsetsCursor::new(1, vec![6, 10]));
        assert_ne!(places[2], OffsetsCursor::new(2, vec![6, 10]));
        let place = Cursor::Offsets(places[1].clone());
        assert!(place.covers(&record(1, 7, &start)) && place.covers(&record(0, 5, &start)));
        assert!(!place.covers(&record(1, 8, &start)) && !place.covers(&record(2, 0, &start)));
    }

    #[test]
    fn places_may_be_ahead_of_each_other() {
        let place = |offsets: &[i64]| Cursor::Offsets(OffsetsCursor::new(1, offsets.to_vec()));
        let (left, right) = (place(&[3, 9]), place(&[4, 2]));
        assert!(!left.reaches(&right) && !right.reaches(&left) && left.reaches(&left));
        assert_eq!(left.clone().or_later(&right), place(&[4, 9]));
        assert_eq!(left.clone().or_earlier(&right), place(&[3, 2]));
        assert!(place(&[4, 9]).reaches(&left) && left.reaches(&place(&[3, 2])));
        assert!(place(&[3, 9, 1]).reaches(&left) && !left.reaches(&place(&[3, 9, 1])), "one was added");
    }
}
