//! The newest records of a topic: what a ring holds. No locks, no tasks; the arithmetic of positions is here.
//!
//! Two measures of place. A **sequence number** counts the records that came into this window, so distance is a
//! subtraction. A [`Cursor`] is the place in the log, so that a subscriber can cross from the log into the window and
//! back. `floor` is the cursor of everything before the first slot: `floor < slots[0].cursor < slots[1].cursor < …`.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use floe_engine::Cursor;

use crate::{
    lag::{Places, Ranges, Skipped},
    limits::{LIVE_MAX_BYTES, RING_MAX_BYTES},
    record::LiveRecord,
};

/// The weight of all windows' records together.
#[derive(Debug, Default)]
pub(crate) struct Budget(AtomicUsize);

impl Budget {
    fn is_over(&self) -> bool {
        self.0.load(Ordering::Relaxed) > LIVE_MAX_BYTES
    }

    /// What is used.
    pub(crate) fn used_bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// The newest records of a topic, bounded in number and weight.
#[derive(Debug)]
pub(crate) struct Window {
    slots: VecDeque<Arc<LiveRecord>>,
    /// Sequence number of the first slot.
    first: u64,
    /// Cursor of everything before the first slot.
    floor: Cursor,
    weight_bytes: usize,
    max_records: usize,
    budget: Arc<Budget>,
    /// Offsets that came in, by partition.
    came: Ranges,
    /// Offsets that went out at the old end, by partition.
    went: Ranges,
}

impl Window {
    /// An empty window right behind `floor`.
    pub(crate) fn new(floor: Cursor, max_records: usize, budget: Arc<Budget>) -> Self {
        Self {
            slots: VecDeque::new(),
            first: 0,
            floor,
            weight_bytes: 0,
            max_records,
            budget,
            came: Ranges::default(),
            went: Ranges::default(),
        }
    }

    /// Makes room for at least this many records.
    pub(crate) fn grow_to(&mut self, max_records: usize) {
        self.max_records = self.max_records.max(max_records);
    }

    /// Adds the newest record; the oldest go when there is no room.
    pub(crate) fn push(&mut self, record: Arc<LiveRecord>) {
        // A record at or before the newest would break the order that every search here relies on.
        if self.newest_cursor().covers(record.record()) {
            return;
        }
        let weight = record.weight_bytes();
        self.weight_bytes += weight;
        self.budget.0.fetch_add(weight, Ordering::Relaxed);
        self.came.cover(record.record().partition, record.record().offset, record.record().offset);
        self.slots.push_back(record);
        while self.slots.len() > 1 && self.is_over() {
            self.evict();
        }
    }

    fn is_over(&self) -> bool {
        self.slots.len() > self.max_records || self.weight_bytes > RING_MAX_BYTES || self.budget.is_over()
    }

    fn evict(&mut self) {
        let Some(record) = self.slots.pop_front() else { return };
        let weight = record.weight_bytes();
        self.weight_bytes -= weight;
        self.budget.0.fetch_sub(weight, Ordering::Relaxed);
        self.first += 1;
        self.floor = record.cursor().clone();
        self.went.cover(record.record().partition, record.record().offset, record.record().offset);
    }

    /// Sequence number of the next record to come.
    pub(crate) fn head(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    /// Sequence number of the oldest record held.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// Sequence number of the oldest record held once `records` more have come, as far as their number decides.
    pub(crate) fn first_after(&self, records: usize) -> u64 {
        (self.head() + records as u64).saturating_sub(self.max_records as u64).max(self.first)
    }

    /// Cursor of everything before the oldest record held.
    pub(crate) fn floor(&self) -> &Cursor {
        &self.floor
    }

    fn newest_cursor(&self) -> &Cursor {
        self.slots.back().map_or(&self.floor, |record| record.cursor())
    }

    /// The sequence number to read on from after `cursor`; `None` when records behind it are no longer held. Of a log
    /// without an order across partitions, records that the cursor covers may come behind it once more.
    pub(crate) fn locate(&self, cursor: &Cursor) -> Option<u64> {
        cursor.reaches(&self.floor).then(|| self.first + self.covered(cursor) as u64)
    }

    /// How many of the oldest records held are behind the cursor.
    fn covered(&self, cursor: &Cursor) -> usize {
        match cursor {
            Cursor::Journal(_) => self.slots.partition_point(|record| cursor.covers(record.record())),
            Cursor::Offsets(_) => {
                self.slots.iter().take_while(|record| cursor.covers(record.record())).count()
            }
        }
    }

    /// The cursor right before the newest `records`, when that many are held up to `end`.
    pub(crate) fn before_newest(&self, records: usize, end: &Cursor) -> Option<Cursor> {
        let upto = self.covered(end);
        // Past the newest held there may be records that the log has and the feeding task has not brought yet; then
        // the newest of the window are not the newest of the topic.
        if !self.newest_cursor().reaches(end) {
            return None;
        }
        Some(self.cursor_before(self.first + upto.checked_sub(records)? as u64).clone())
    }

    /// The cursor of everything before a sequence number that is held, or the next to come.
    pub(crate) fn cursor_before(&self, seq: u64) -> &Cursor {
        match seq.checked_sub(self.first + 1) {
            None => &self.floor,
            Some(at) => self
                .slots
                .get(usize::try_from(at).unwrap_or(usize::MAX))
                .map_or(self.newest_cursor(), |r| r.cursor()),
        }
    }

    /// The records from a sequence number on.
    pub(crate) fn from(&self, seq: u64) -> impl Iterator<Item = &Arc<LiveRecord>> {
        let at = usize::try_from(seq.saturating_sub(self.first)).unwrap_or(usize::MAX).min(self.slots.len());
        self.slots.range(at..)
    }

    /// The places of a subscriber that has everything up to the head.
    pub(crate) fn places_at_head(&self) -> Places {
        Places::behind(&self.came)
    }

    /// The offsets of the records from `from` (held or gone) up to, not including, `to` (held).
    pub(crate) fn skipped(&self, from: u64, to: u64, places: &Places) -> Vec<Skipped> {
        let mut ranges = Ranges::default();
        if from < self.first {
            for (partition, first, last) in self.went.iter() {
                let next = places.next_offset(partition).unwrap_or(first);
                if next <= last {
                    ranges.cover(partition, next, last);
                }
            }
        }
        let held = to.saturating_sub(from.max(self.first));
        for record in self.from(from).take(usize::try_from(held).unwrap_or(usize::MAX)) {
            let (partition, offset) = (record.record().partition, record.record().offset);
            let known = ranges.get(partition).is_some();
            // The first skipped offset may lie before the first skipped record that is held.
            let from =
                if known { offset } else { places.next_offset(partition).unwrap_or(offset).min(offset) };
            ranges.cover(partition, from, offset);
        }
        ranges.finish()
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.budget.0.fetch_sub(self.weight_bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use floe_engine::{JournalCursor, StoredRecord};

    use super::*;

    fn cursor(position: u64) -> Cursor {
        Cursor::Journal(JournalCursor { topic_id: 7, position, records: 1 })
    }

    fn record(partition: u32, offset: i64, position: u64, value_bytes: usize) -> Arc<LiveRecord> {
        LiveRecord::new(StoredRecord {
            partition,
            offset,
            timestamp: 0,
            key: None,
            value: Some(Bytes::from(vec![b'x'; value_bytes])),
            headers: Vec::new(),
            cursor: cursor(position),
        })
    }

    /// Positions 10, 20, …; partitions in turn.
    fn filled(max_records: usize, records: u64, partitions: u64) -> Window {
        let mut window = Window::new(cursor(5), max_records, Arc::default());
        for n in 0..records {
            let partition = u32::try_from(n % partitions).unwrap();
            window.push(record(partition, i64::try_from(n / partitions).unwrap(), 10 * (n + 1), 1));
        }
        window
    }

    #[test]
    fn a_place_in_the_log_is_found_in_the_window_or_known_to_be_gone() {
        let window = filled(4, 6, 1);
        assert_eq!((window.first(), window.head(), window.floor()), (2, 6, &cursor(20)));
        assert_eq!(window.locate(&cursor(19)), None);
        assert_eq!(window.locate(&cursor(20)), Some(2));
        assert_eq!(window.locate(&cursor(35)), Some(3), "between two records: the later one is next");
        assert_eq!(window.locate(&cursor(60)), Some(6));
        assert_eq!(window.locate(&cursor(999)), Some(6), "ahead of the window: wait at its head");
        assert_eq!(window.cursor_before(2), &cursor(20));
        assert_eq!(window.cursor_before(4), &cursor(40));
        assert_eq!(window.cursor_before(6), &cursor(60));
    }

    #[test]
    fn an_empty_window_starts_right_behind_its_floor() {
        let window = filled(4, 0, 1);
        assert_eq!(window.locate(&cursor(4)), None);
        assert_eq!(window.locate(&cursor(5)), Some(0));
        assert_eq!(window.before_newest(0, &cursor(5)), Some(cursor(5)));
        assert_eq!(window.before_newest(1, &cursor(5)), None);
    }

    #[test]
    fn the_newest_n_come_from_the_window_only_when_it_has_them_and_is_up_to_date() {
        let window = filled(4, 6, 1);
        assert_eq!(window.before_newest(4, &cursor(60)), Some(cursor(20)));
        assert_eq!(window.before_newest(5, &cursor(60)), None);
        assert_eq!(window.before_newest(2, &cursor(70)), None, "the log already has more than the window");
        assert_eq!(
            window.before_newest(2, &cursor(50)),
            Some(cursor(30)),
            "more came since the end was asked for"
        );
    }

    #[test]
    fn a_record_that_is_not_newer_is_refused() {
        let mut window = filled(4, 3, 1);
        window.push(record(0, 0, 30, 1));
        window.push(record(0, 0, 10, 1));
        assert_eq!(window.head(), 3);
    }

    #[test]
    fn weight_is_bounded_and_given_back() {
        let budget = Arc::new(Budget::default());
        let mut window = Window::new(cursor(0), 1000, Arc::clone(&budget));
        for n in 1..=40u64 {
            window.push(record(0, i64::try_from(n).unwrap(), n, 1 << 20));
        }
        assert!(window.head() - window.first() < 9, "at two weights a mebibyte, seven or eight fit");
        assert!(budget.used_bytes() <= RING_MAX_BYTES);
        window.push(record(0, 41, 41, 32 << 20));
        assert_eq!(window.head() - window.first(), 1, "one record fits whatever its size");
        drop(window);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn skipped_offsets_are_named_by_partition_also_when_they_are_gone() {
        let window = filled(4, 20, 2);
        let mut places = Places::default();
        places.pass(record(0, 1, 30, 1).record());
        // Given so far: partition 0 up to offset 1, nothing of partition 1; moved to sequence number 18.
        assert_eq!(
            window.skipped(3, 18, &places),
            [Skipped { partition: 0, from: 2, to: 8 }, Skipped { partition: 1, from: 0, to: 8 }]
        );
        places.pass(record(1, 1, 40, 1).record());
        assert_eq!(
            window.skipped(4, 17, &places),
            [Skipped { partition: 0, from: 2, to: 8 }, Skipped { partition: 1, from: 2, to: 7 }]
        );
    }

    #[test]
    fn a_subscriber_at_the_head_is_not_told_of_what_went_before_it_came() {
        let mut window = filled(4, 20, 2);
        let places = window.places_at_head();
        for n in 20..30u64 {
            window.push(record(0, i64::try_from(n - 10).unwrap(), 10 * (n + 1), 1));
        }
        assert_eq!(window.skipped(20, 28, &places), [Skipped { partition: 0, from: 10, to: 17 }]);
    }
}
