//! Reading: one partition by offset, a topic by cursor. Blocking, or only what is in memory.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use floe_journal::{BatchRef, Journal, Position, ReadError};

use crate::{
    Broker, BrokerError, Cursor, JournalCursor, OffsetSpec, StoredRecord, Topic,
    batch::{BatchPlace, StoredRecords},
};

/// How much to read.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimits {
    /// Records.
    pub records: usize,
    /// Bytes of the batches they come from; one batch is always read.
    pub bytes: usize,
    /// Whether the disk may be touched; if not and it would have to be, the answer is `None`.
    pub disk: bool,
}

/// Records of one partition.
#[derive(Debug, Default)]
pub struct PartitionRecords {
    /// In the order of offsets.
    pub records: Vec<StoredRecord>,
    /// Where to read on.
    pub next_offset: i64,
    /// Offsets passed over because they are damaged: first and last.
    pub gaps: Vec<(i64, i64)>,
}

/// Records across a topic.
#[derive(Debug)]
pub struct TopicRecords {
    /// In the order in which they were stored.
    pub records: Vec<StoredRecord>,
    /// Where to read on.
    pub next: JournalCursor,
    /// Offsets passed over because they are damaged: partition, first and last.
    pub gaps: Vec<(u32, i64, i64)>,
}

/// Batches asked for in one look-up of the journal.
const LOOKUP_BYTES: usize = 1 << 20;
/// The same per partition when several are read together.
const MERGE_LOOKUP_BYTES: usize = 64 << 10;

enum Fetched {
    Bytes(Bytes),
    Damaged,
    Gone,
    NeedsDisk,
}

fn fetch(journal: &Journal, id: u64, batch: &BatchRef, disk: bool) -> Result<Fetched, BrokerError> {
    if let Some(bytes) = journal.cached(batch) {
        return Ok(Fetched::Bytes(bytes));
    }
    if !disk {
        return Ok(Fetched::NeedsDisk);
    }
    match journal.read(batch) {
        Ok(bytes) => Ok(Fetched::Bytes(bytes)),
        Err(ReadError::Damaged { .. }) => {
            journal.report_damaged(id, batch);
            Ok(Fetched::Damaged)
        }
        Err(ReadError::Gone) => Ok(Fetched::Gone),
        Err(ReadError::Io(error)) => {
            tracing::error!(%error, "reading a stored batch failed");
            Err(BrokerError::ReadFailed)
        }
    }
}

fn located<T>(result: Result<T, ReadError>) -> Result<T, BrokerError> {
    result.map_err(|error| {
        tracing::error!(%error, "looking a batch up failed");
        BrokerError::ReadFailed
    })
}

impl Broker {
    /// Reads one partition from `offset` on.
    pub fn read_partition(
        &self,
        topic: &Topic,
        partition: u32,
        offset: i64,
        limits: ReadLimits,
    ) -> Result<Option<PartitionRecords>, BrokerError> {
        let bounds = topic.partition(partition)?;
        let (start, end) = (bounds.start(), bounds.end());
        if offset < start || offset > end {
            let topic = topic.name.to_string();
            return Err(BrokerError::OffsetOutOfRange { topic, partition, offset, start, end });
        }
        let journal = &self.shared.journal;
        let id = topic.journal_id(partition);
        let mut read = PartitionRecords { next_offset: offset, ..PartitionRecords::default() };
        let mut bytes = 0;
        while read.next_offset < end && read.records.len() < limits.records {
            let wanted = limits.bytes.saturating_sub(bytes).min(LOOKUP_BYTES);
            let batches = located(journal.locate(id, read.next_offset, wanted))?;
            if batches.first().is_none_or(|batch| batch.base_offset() >= end) {
                read.gaps.push((read.next_offset, end - 1));
                read.next_offset = end;
                break;
            }
            // the journal knows batches that are not yet on disk; those are nobody's to see
            for batch in batches.into_iter().take_while(|batch| batch.base_offset() < end) {
                if bytes > 0 && bytes + batch.length() > limits.bytes || read.records.len() >= limits.records
                {
                    return Ok(Some(read));
                }
                match fetch(journal, id, &batch, limits.disk)? {
                    Fetched::NeedsDisk if read.records.is_empty() => return Ok(None),
                    Fetched::NeedsDisk => return Ok(Some(read)),
                    // moved meanwhile: looked up anew
                    Fetched::Gone => break,
                    Fetched::Damaged => {
                        read.gaps.push((read.next_offset, batch.last_offset()));
                        read.next_offset = batch.last_offset() + 1;
                    }
                    Fetched::Bytes(stored) => {
                        bytes += stored.len();
                        read.take(topic.id, partition, &batch, stored, limits.records);
                    }
                }
            }
        }
        refuse_deleted(topic, !read.gaps.is_empty())?;
        Ok(Some(read))
    }

    /// The offset that a place stands for.
    pub fn resolve_offset(&self, topic: &Topic, partition: u32, at: OffsetSpec) -> Result<i64, BrokerError> {
        let bounds = topic.partition(partition)?;
        let (start, end) = (bounds.start(), bounds.end());
        match at {
            OffsetSpec::Earliest => Ok(start),
            OffsetSpec::Latest => Ok(end),
            OffsetSpec::Offset(offset) if (start..=end).contains(&offset) => Ok(offset),
            OffsetSpec::Offset(offset) => Err(BrokerError::OffsetOutOfRange {
                topic: topic.name.to_string(),
                partition,
                offset,
                start,
                end,
            }),
            OffsetSpec::Time(time) => {
                let first = self.first_at(topic, partition, time)?;
                Ok(first.map_or(end, |record| record.offset))
            }
        }
    }

    /// The first visible record of a partition whose timestamp is at or after `time`.
    fn first_at(
        &self,
        topic: &Topic,
        partition: u32,
        time: i64,
    ) -> Result<Option<StoredRecord>, BrokerError> {
        let bounds = topic.partition(partition)?;
        let id = topic.journal_id(partition);
        let mut from = bounds.start();
        loop {
            let Some(batch) = located(self.shared.journal.locate_time(id, from, time))? else {
                return Ok(None);
            };
            if batch.base_offset() >= bounds.end() {
                return Ok(None);
            }
            match fetch(&self.shared.journal, id, &batch, true)? {
                Fetched::Bytes(stored) => {
                    let place = BatchPlace { topic_id: topic.id, partition, position: batch.origin() };
                    let records = StoredRecords::new(stored, place, from);
                    let found =
                        records.into_iter().flatten().flatten().find(|record| record.timestamp >= time);
                    if let Some(found) = found {
                        return Ok(Some(found));
                    }
                }
                // moved meanwhile: looked up anew
                Fetched::Gone => continue,
                Fetched::Damaged | Fetched::NeedsDisk => {}
            }
            from = batch.last_offset() + 1;
        }
    }

    /// A cursor in front of all records that are kept.
    #[must_use]
    pub fn earliest(&self, topic: &Topic) -> JournalCursor {
        JournalCursor { topic_id: topic.id, position: 0, records: 0 }
    }

    /// A cursor behind all records that are visible.
    #[must_use]
    pub fn latest(&self, topic: &Topic) -> JournalCursor {
        JournalCursor {
            topic_id: topic.id,
            position: self.shared.visible().saturating_sub(1),
            records: u32::MAX,
        }
    }

    /// A cursor before which no record has this time or a later one.
    pub fn at_time(&self, topic: &Topic, time: i64) -> Result<JournalCursor, BrokerError> {
        let mut first = self.latest(topic);
        for partition in 0..topic.partition_count() {
            if let Some(record) = self.first_at(topic, partition, time)? {
                let Cursor::Journal(found) = record.cursor else { continue };
                first = first.min(JournalCursor { records: found.records - 1, ..found });
            }
        }
        Ok(first)
    }

    /// A cursor with `count` visible records behind it, or as many as there are. With `before`, only records up to that
    /// cursor are counted: what became visible later follows in addition.
    pub fn newest(
        &self,
        topic: &Topic,
        count: usize,
        before: Option<JournalCursor>,
    ) -> Result<JournalCursor, BrokerError> {
        let most = i64::try_from(count).unwrap_or(i64::MAX);
        if most == 0 {
            return Ok(before.unwrap_or_else(|| self.latest(topic)));
        }
        let mut batches: Vec<(Position, i64, i64)> = Vec::new();
        for (partition, number) in topic.partitions().iter().zip(0u32..) {
            let id = topic.journal_id(number);
            let end = match before {
                Some(before) => partition.end().min(self.end_at(id, before)?),
                None => partition.end(),
            };
            let mut from = partition.start().max(end.saturating_sub(most));
            while from < end {
                let found = located(self.shared.journal.locate(id, from, MERGE_LOOKUP_BYTES))?;
                let Some(last) = found.last().map(BatchRef::last_offset) else { break };
                // up to the ends alone: they move on while this goes from partition to partition, and records that a
                // common bound left out would be missing from the count
                let seen = found.iter().filter(|batch| batch.base_offset() < end);
                batches.extend(seen.map(|batch| {
                    (
                        batch.origin(),
                        from.max(batch.base_offset()) - batch.base_offset(),
                        (batch.last_offset() + 1).min(end) - batch.base_offset(),
                    )
                }));
                from = last + 1;
            }
        }
        batches.sort_unstable_by_key(|(origin, ..)| Reverse(*origin));
        let mut left = most;
        for (origin, skipped, records) in batches {
            let here = records - skipped;
            if here >= left {
                let records = u32::try_from(records - left).unwrap_or(u32::MAX);
                return Ok(JournalCursor { topic_id: topic.id, position: origin, records });
            }
            left -= here;
        }
        Ok(self.earliest(topic))
    }

    /// The first offset of a partition that lies behind a cursor; the largest there can be if none does yet.
    fn end_at(&self, id: u64, cursor: JournalCursor) -> Result<i64, BrokerError> {
        let found = located(self.shared.journal.locate_origin(id, cursor.position, MERGE_LOOKUP_BYTES))?;
        let behind = found.iter().find(|batch| batch.origin() != cursor.position || has_more(batch, cursor));
        if let Some(batch) = behind {
            let taken = if batch.origin() == cursor.position { i64::from(cursor.records) } else { 0 };
            return Ok(batch.base_offset() + taken);
        }
        match found.last() {
            Some(last) => {
                let next = located(self.shared.journal.locate(id, last.last_offset() + 1, 1))?;
                Ok(next.first().map_or(i64::MAX, BatchRef::base_offset))
            }
            None => Ok(i64::MAX),
        }
    }

    /// Reads across a topic from right behind `after`.
    pub fn read_topic(
        &self,
        topic: &Topic,
        after: JournalCursor,
        limits: ReadLimits,
    ) -> Result<Option<TopicRecords>, BrokerError> {
        if after.topic_id != topic.id {
            return Err(BrokerError::ForeignCursor { topic: topic.name.to_string() });
        }
        loop {
            if let Some(read) = self.try_read_topic(topic, after, limits)? {
                return Ok(read);
            }
            // the segment of the first batch was given up between look-up and read: it is known elsewhere by now
        }
    }

    /// `None` when what was looked up is no longer there.
    fn try_read_topic(
        &self,
        topic: &Topic,
        after: JournalCursor,
        limits: ReadLimits,
    ) -> Result<Option<Option<TopicRecords>>, BrokerError> {
        let visible = self.shared.visible();
        let mut merge = Merge::new(self, topic, after, visible)?;
        let mut read = TopicRecords { records: Vec::new(), next: after, gaps: Vec::new() };
        let mut bytes = 0;
        while let Some((partition, batch)) = merge.peek() {
            if bytes > 0 && bytes + batch.length() > limits.bytes || read.records.len() >= limits.records {
                break;
            }
            let id = topic.journal_id(partition);
            match fetch(&self.shared.journal, id, &batch, limits.disk)? {
                Fetched::NeedsDisk if read.records.is_empty() => return Ok(Some(None)),
                Fetched::Gone if read.records.is_empty() && read.gaps.is_empty() => return Ok(None),
                Fetched::NeedsDisk | Fetched::Gone => break,
                Fetched::Damaged => {
                    read.gaps.push((partition, batch.base_offset(), batch.last_offset()));
                    read.next =
                        JournalCursor { topic_id: topic.id, position: batch.origin(), records: u32::MAX };
                }
                Fetched::Bytes(stored) => {
                    bytes += stored.len();
                    let skip = if batch.origin() == after.position { i64::from(after.records) } else { 0 };
                    let start = topic.partition(partition)?.start();
                    let from = (batch.base_offset() + skip).max(start);
                    read.take(topic.id, partition, &batch, stored, from, limits.records);
                }
            }
            merge.advance()?;
        }
        refuse_deleted(topic, !read.gaps.is_empty())?;
        Ok(Some(Some(read)))
    }
}

impl PartitionRecords {
    fn take(&mut self, topic_id: u64, partition: u32, batch: &BatchRef, stored: Bytes, limit: usize) {
        let place = BatchPlace { topic_id, partition, position: batch.origin() };
        if batch.base_offset() > self.next_offset {
            self.gaps.push((self.next_offset, batch.base_offset() - 1));
        }
        match StoredRecords::new(stored, place, self.next_offset) {
            Ok(records) => {
                for record in records {
                    match record {
                        Ok(_) if self.records.len() >= limit => return,
                        Ok(record) => {
                            self.next_offset = record.offset + 1;
                            self.records.push(record);
                        }
                        Err(_) => break,
                    }
                }
                // what could not be read as records (or was compacted away) is passed over
                if self.next_offset <= batch.last_offset() {
                    self.gaps.push((self.next_offset, batch.last_offset()));
                    self.next_offset = batch.last_offset() + 1;
                }
            }
            Err(_) => {
                self.gaps.push((self.next_offset, batch.last_offset()));
                self.next_offset = batch.last_offset() + 1;
            }
        }
    }
}

impl TopicRecords {
    fn take(
        &mut self,
        topic_id: u64,
        partition: u32,
        batch: &BatchRef,
        stored: Bytes,
        from: i64,
        limit: usize,
    ) {
        let place = BatchPlace { topic_id, partition, position: batch.origin() };
        let mut clean = false;
        if let Ok(records) = StoredRecords::new(stored, place, from) {
            clean = true;
            for record in records {
                match record {
                    Ok(_) if self.records.len() >= limit => return,
                    Ok(record) => {
                        if let Cursor::Journal(cursor) = record.cursor {
                            self.next = cursor;
                        }
                        self.records.push(record);
                    }
                    Err(_) => clean = false,
                }
            }
        }
        if !clean {
            self.gaps.push((partition, from, batch.last_offset()));
        }
        self.next = JournalCursor { topic_id, position: batch.origin(), records: u32::MAX };
    }
}

/// The visible batches of all partitions in the order of storing.
struct Merge<'a> {
    broker: &'a Broker,
    topic: &'a Topic,
    visible: Position,
    /// Per partition with something left: its next batches.
    lanes: Vec<Lane>,
    /// Lanes by the origin of their next batch.
    heap: BinaryHeap<Reverse<(Position, usize)>>,
}

struct Lane {
    partition: u32,
    end: i64,
    batches: VecDeque<BatchRef>,
}

impl<'a> Merge<'a> {
    fn new(
        broker: &'a Broker,
        topic: &'a Topic,
        after: JournalCursor,
        visible: Position,
    ) -> Result<Self, BrokerError> {
        let partitions: Arc<[_]> = topic.partitions();
        let lookup = if partitions.len() == 1 { LOOKUP_BYTES } else { MERGE_LOOKUP_BYTES };
        let mut merge = Self { broker, topic, visible, lanes: Vec::new(), heap: BinaryHeap::new() };
        for (partition, number) in partitions.iter().zip(0u32..) {
            let (start, end) = (partition.start(), partition.end());
            if start == end {
                continue;
            }
            let id = topic.journal_id(number);
            let mut found = located(broker.shared.journal.locate_origin(id, after.position, lookup))?;
            if found.first().is_some_and(|first| first.last_offset() < start) {
                // the cursor points before what is still kept
                found = located(broker.shared.journal.locate(id, start, lookup))?;
            }
            let passed = found.last().map(BatchRef::last_offset);
            found.retain(|batch| batch.origin() != after.position || has_more(batch, after));
            if found.is_empty()
                && let Some(passed) = passed.filter(|passed| passed + 1 < end)
            {
                // one batch filled the lookup, and the cursor stands at its end: the lane goes on behind it
                found = located(broker.shared.journal.locate(id, passed + 1, lookup))?;
            }
            if found.is_empty() {
                continue;
            }
            merge.lanes.push(Lane { partition: number, end, batches: found.into() });
            merge.offer(merge.lanes.len() - 1);
        }
        Ok(merge)
    }

    /// Puts a lane's next batch up for choice, if it is visible.
    fn offer(&mut self, lane: usize) {
        let Lane { end, batches, .. } = &self.lanes[lane];
        if let Some(next) =
            batches.front().filter(|next| next.origin() < self.visible && next.base_offset() < *end)
        {
            self.heap.push(Reverse((next.origin(), lane)));
        }
    }

    fn peek(&self) -> Option<(u32, BatchRef)> {
        let Reverse((_, lane)) = self.heap.peek()?;
        let lane = &self.lanes[*lane];
        Some((lane.partition, lane.batches.front()?.clone()))
    }

    fn advance(&mut self) -> Result<(), BrokerError> {
        let Some(Reverse((_, at))) = self.heap.pop() else { return Ok(()) };
        let lane = &mut self.lanes[at];
        let Some(done) = lane.batches.pop_front() else { return Ok(()) };
        if lane.batches.is_empty() && done.last_offset() + 1 < lane.end {
            let id = self.topic.journal_id(lane.partition);
            let found = self.broker.shared.journal.locate(id, done.last_offset() + 1, MERGE_LOOKUP_BYTES);
            lane.batches = located(found)?.into();
        }
        self.offer(at);
        Ok(())
    }
}

/// What a deleted topic no longer has is not damaged.
fn refuse_deleted(topic: &Topic, has_gaps: bool) -> Result<(), BrokerError> {
    if has_gaps && topic.is_deleted() { Err(topic.not_found()) } else { Ok(()) }
}

/// Whether a batch has records behind the cursor that points into it.
fn has_more(batch: &BatchRef, after: JournalCursor) -> bool {
    i64::from(after.records) <= batch.last_offset() - batch.base_offset()
}
