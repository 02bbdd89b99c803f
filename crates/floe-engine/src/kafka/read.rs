//! Reading by offset in one partition, and by cursor across a topic.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
    sync::Arc,
    time::Duration,
};

use floe_broker::OffsetsCursor;
use tokio::time::{Instant, timeout_at};

use super::{
    Kafka,
    catalog::KafkaTopic,
    limits::FETCH_LIMIT,
    native::OffsetQuery,
    readers::{Came, Reader, place_each},
};
use crate::{
    Cursor, EngineError, OffsetSpec, Page, PartitionRead, StoredRecord, TopicPage, TopicRead, TopicStart,
};

/// For how long it is waited whether an end that was told is that of a moment ago.
const END_DOUBTED: Duration = Duration::from_millis(150);

/// First offset and end of each partition of a range.
struct Bounds {
    starts: Vec<i64>,
    ends: Vec<i64>,
}

/// How much to read.
#[derive(Clone, Copy)]
struct Room {
    records: usize,
    bytes: usize,
}

/// What a reader brought.
struct Brought {
    records: Vec<StoredRecord>,
    /// The next offset of each partition that was asked for.
    places: Vec<(u32, i64)>,
}

impl Kafka {
    pub(crate) async fn offset_for(
        &self,
        topic: &str,
        partition: u32,
        at: OffsetSpec,
    ) -> Result<i64, EngineError> {
        let topic = self.cluster.topic(topic).await?;
        topic.check_partition(partition)?;
        Ok(self.offsets_for(&topic, partition..partition + 1, at).await?[0])
    }

    /// The offsets that a place stands for in a range of partitions. An offset has to lie within what is kept.
    pub(super) async fn offsets_for(
        &self,
        topic: &KafkaTopic,
        partitions: std::ops::Range<u32>,
        at: OffsetSpec,
    ) -> Result<Vec<i64>, EngineError> {
        let query = match at {
            OffsetSpec::Earliest => OffsetQuery::Earliest,
            OffsetSpec::Latest => OffsetQuery::Latest,
            OffsetSpec::Time(time) => OffsetQuery::Time(time),
            OffsetSpec::Offset(offset) => {
                let bounds = self.bounds(topic, partitions.clone()).await?;
                for ((start, end), partition) in
                    bounds.starts.iter().zip(&bounds.ends).zip(partitions.clone())
                {
                    check_within(topic, partition, offset, *start, *end)?;
                }
                return Ok(partitions.map(|_| offset).collect());
            }
        };
        self.cluster.offsets(topic, partitions, query).await
    }

    async fn bounds(
        &self,
        topic: &KafkaTopic,
        partitions: std::ops::Range<u32>,
    ) -> Result<Bounds, EngineError> {
        let starts = self.cluster.offsets(topic, partitions.clone(), OffsetQuery::Earliest);
        let ends = self.cluster.offsets(topic, partitions, OffsetQuery::Latest);
        let (starts, ends) = tokio::join!(starts, ends);
        Ok(Bounds { starts: starts?, ends: ends? })
    }

    pub(crate) async fn read(&self, read: PartitionRead) -> Result<Page, EngineError> {
        let deadline = Instant::now() + read.wait;
        let topic = self.cluster.topic(&read.topic).await?;
        let partition = read.partition;
        topic.check_partition(partition)?;
        let bounds = self.bounds(&topic, partition..partition + 1).await?;
        let (start, end) = (bounds.starts[0], bounds.ends[0]);
        let from = match read.from {
            OffsetSpec::Earliest => start,
            OffsetSpec::Latest => end,
            OffsetSpec::Offset(offset) => offset,
            OffsetSpec::Time(_) => self.offsets_for(&topic, partition..partition + 1, read.from).await?[0],
        };
        check_within(&topic, partition, from, start, end)?;
        let room = Room { records: read.max_records, bytes: read.max_bytes };
        let brought =
            self.bring(&topic, vec![(partition, from)], vec![(partition, end)], room, deadline).await?;
        let next_offset = brought.places[0].1;
        Ok(Page {
            records: brought.records,
            next_offset,
            log_start: start,
            high_watermark: end.max(next_offset),
            gaps: Vec::new(),
        })
    }

    pub(crate) async fn topic_end(&self, topic: &str) -> Result<Cursor, EngineError> {
        let topic = self.cluster.look_up(topic).await?;
        let ends = self.cluster.offsets(&topic, 0..topic.partition_count(), OffsetQuery::Latest).await?;
        Ok(Cursor::Offsets(OffsetsCursor::new(topic.id, ends)))
    }

    pub(crate) async fn read_topic(&self, read: TopicRead) -> Result<TopicPage, EngineError> {
        let deadline = Instant::now() + read.wait;
        let topic = self.cluster.topic(&read.topic).await?;
        let bounds = self.bounds(&topic, 0..topic.partition_count()).await?;
        let after = self.start(&topic, read.from, &bounds).await?;
        let after: Vec<i64> =
            (0..topic.partition_count()).map(|partition| after.next_offset(partition)).collect();
        // what retention took away is passed over
        let after: Vec<i64> =
            after.into_iter().zip(&bounds.starts).map(|(at, start)| at.max(*start)).collect();
        let start = OffsetsCursor::new(topic.id, after.clone());
        let room = Room { records: read.max_records, bytes: read.max_bytes };
        let mut brought = self.bring(&topic, numbered(after), numbered(bounds.ends), room, deadline).await?;
        brought.records = by_time(brought.records);
        place_each(&mut brought.records, &start);
        let next = brought.places.into_iter().map(|(_, next)| next).collect();
        let next = Cursor::Offsets(OffsetsCursor::new(topic.id, next));
        Ok(TopicPage { records: brought.records, next, gaps: Vec::new() })
    }

    async fn start(
        &self,
        topic: &KafkaTopic,
        from: TopicStart,
        bounds: &Bounds,
    ) -> Result<OffsetsCursor, EngineError> {
        let place = |offsets: Vec<i64>| OffsetsCursor::new(topic.id, offsets);
        match from {
            TopicStart::Earliest => Ok(place(bounds.starts.clone())),
            TopicStart::Latest => Ok(place(bounds.ends.clone())),
            TopicStart::After(cursor) => own(topic, cursor),
            TopicStart::Time(time) => {
                let all = 0..topic.partition_count();
                Ok(place(self.offsets_for(topic, all, OffsetSpec::Time(time)).await?))
            }
            TopicStart::Newest(records) => self.newest(topic, records, bounds, bounds.ends.clone()).await,
            TopicStart::NewestBefore { records, end } => {
                let end = own(topic, end)?;
                let ends = (0..topic.partition_count()).map(|partition| end.next_offset(partition));
                self.newest(topic, records, bounds, ends.collect()).await
            }
        }
    }

    /// The place before the newest `count` records up to `ends`. As many of each partition are looked at; of those, the
    /// newest by time.
    async fn newest(
        &self,
        topic: &KafkaTopic,
        count: usize,
        bounds: &Bounds,
        ends: Vec<i64>,
    ) -> Result<OffsetsCursor, EngineError> {
        if count == 0 {
            return Ok(OffsetsCursor::new(topic.id, ends));
        }
        let mut reach = i64::try_from(count).unwrap_or(i64::MAX);
        loop {
            let from: Vec<i64> = ends
                .iter()
                .zip(&bounds.starts)
                .map(|(end, start)| end.saturating_sub(reach).max(*start))
                .collect();
            let room = Room { records: usize::MAX, bytes: usize::MAX };
            let to = numbered(ends.clone());
            let found = self.bring(topic, numbered(from.clone()), to, room, Instant::now()).await?;
            let mut records = found.records;
            records
                .retain(|record| ends.get(record.partition as usize).is_some_and(|end| record.offset < *end));
            let all = from.iter().zip(&bounds.starts).all(|(from, start)| from <= start);
            // some offsets hold no record: marks of transactions, and what was compacted
            if records.len() < count && !all {
                reach = reach.saturating_mul(2);
                continue;
            }
            let mut records = by_time(records);
            let older = records.len().saturating_sub(count);
            records.truncate(older);
            return Ok(place_each(&mut records, &OffsetsCursor::new(topic.id, from)));
        }
    }

    /// Brings what lies between two places (or as much as there is room for); and if that is nothing, waits for more until
    /// the deadline.
    async fn bring(
        &self,
        topic: &KafkaTopic,
        from: Vec<(u32, i64)>,
        to: Vec<(u32, i64)>,
        room: Room,
        deadline: Instant,
    ) -> Result<Brought, EngineError> {
        let is_there = from.iter().zip(&to).any(|((_, from), (_, to))| from < to);
        if room.records == 0 || (!is_there && Instant::now() >= deadline) {
            return Ok(Brought { records: Vec::new(), places: from });
        }
        let reader = self.readers.lend(topic, &from).await?;
        let mut gathering = Gathering {
            topic: topic.name.clone(),
            reader,
            records: Vec::new(),
            places: from,
            bytes: 0,
            room,
        };
        let mut gone = topic.gone();
        let mut stopping = self.stopping();
        let gather = async {
            if is_there {
                gathering.up_to(&to).await?;
            }
            if gathering.records.is_empty() && Instant::now() < deadline {
                gathering.wait(deadline).await?;
            }
            Ok::<_, EngineError>(())
        };
        tokio::select! {
            gathered = gather => gathered?,
            _ = gone.wait_for(|gone| *gone) => return Err(EngineError::TopicNotFound { topic: topic.name.to_string() }),
            // what is there can be read to the end
            _ = stopping.wait_for(|stopping| *stopping), if !is_there => return Err(EngineError::Stopping),
            () = self.until_deleted(topic) => return Err(EngineError::TopicNotFound { topic: topic.name.to_string() }),
        }
        Ok(Brought { records: gathering.records, places: gathering.places })
    }

    /// Ends when the topic is found to be deleted, by whomever.
    pub(super) async fn until_deleted(&self, topic: &KafkaTopic) {
        loop {
            tokio::time::sleep(super::limits::TAIL_CHECK).await;
            match self.cluster.topic(&topic.name).await {
                Err(EngineError::TopicNotFound { .. }) => return,
                Ok(now) if now.id != topic.id => return,
                Ok(_) | Err(_) => {}
            }
        }
    }
}

/// Records as they come from a reader.
struct Gathering {
    topic: Arc<str>,
    reader: Reader,
    records: Vec<StoredRecord>,
    places: Vec<(u32, i64)>,
    bytes: usize,
    room: Room,
}

impl Gathering {
    /// Takes what lies before these offsets, as far as there is room.
    async fn up_to(&mut self, to: &[(u32, i64)]) -> Result<(), EngineError> {
        let limit = Instant::now() + FETCH_LIMIT;
        let mut doubt = limit;
        while self.has_room() && self.places.iter().zip(to).any(|((_, at), (_, to))| at < to) {
            match timeout_at(limit.min(doubt), self.reader.next()).await {
                Ok(Ok(Came::Record(record))) => self.take(record),
                Ok(Ok(Came::End(partition))) if self.reader.is_fresh() => {
                    // whatever offsets lie between hold no records
                    if let Some((_, to)) = to.iter().find(|(number, _)| *number == partition) {
                        self.pass(partition, *to);
                    }
                }
                // that may have been the end before there was more: then there will be more in a moment
                Ok(Ok(Came::End(_))) => doubt = Instant::now() + END_DOUBTED,
                Err(_) if doubt < limit && !self.reader.is_fresh() => {
                    self.reader.refresh(&self.topic).await?;
                    doubt = limit;
                }
                Ok(Err(error)) if self.records.is_empty() => return Err(error),
                Ok(Err(_)) => return Ok(()),
                Err(_) if self.records.is_empty() => {
                    let why = format!("no records came within {} s", FETCH_LIMIT.as_secs());
                    return Err(EngineError::Unavailable { why });
                }
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    /// Waits for the first record, and takes what came with it.
    async fn wait(&mut self, deadline: Instant) -> Result<(), EngineError> {
        let mut until = deadline;
        while self.has_room() {
            match timeout_at(until, self.reader.next()).await {
                Ok(Ok(Came::Record(record))) => {
                    self.take(record);
                    until = Instant::now();
                }
                Ok(Ok(Came::End(_))) => {}
                Ok(Err(error)) if self.records.is_empty() => return Err(error),
                Ok(Err(_)) | Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    fn has_room(&self) -> bool {
        self.records.is_empty() || self.records.len() < self.room.records && self.bytes < self.room.bytes
    }

    fn take(&mut self, record: StoredRecord) {
        self.bytes += weight(&record);
        self.pass(record.partition, record.offset + 1);
        self.records.push(record);
    }

    fn pass(&mut self, partition: u32, to: i64) {
        if let Some((_, at)) = self.places.iter_mut().find(|(number, at)| *number == partition && *at < to) {
            *at = to;
        }
        self.reader.moved_to(partition, to);
    }
}

/// About how many bytes of a page a record takes.
pub(super) fn weight(record: &StoredRecord) -> usize {
    let part = |part: &Option<bytes::Bytes>| part.as_ref().map_or(0, bytes::Bytes::len);
    part(&record.key) + part(&record.value) + 64
}

/// The cursor, if it is one of this topic.
fn own(topic: &KafkaTopic, cursor: Cursor) -> Result<OffsetsCursor, EngineError> {
    match cursor {
        Cursor::Offsets(cursor) if cursor.topic_id() == topic.id => Ok(cursor),
        Cursor::Offsets(_) | Cursor::Journal(_) => {
            Err(EngineError::ForeignCursor { topic: topic.name.to_string() })
        }
    }
}

fn check_within(
    topic: &KafkaTopic,
    partition: u32,
    offset: i64,
    start: i64,
    end: i64,
) -> Result<(), EngineError> {
    if (start..=end).contains(&offset) {
        return Ok(());
    }
    Err(EngineError::OffsetOutOfRange { topic: topic.name.to_string(), partition, offset, start, end })
}

fn numbered(offsets: Vec<i64>) -> Vec<(u32, i64)> {
    (0..).zip(offsets).collect()
}

/// Records of several partitions put together by time; those of a partition keep their order, whatever their times say.
fn by_time(records: Vec<StoredRecord>) -> Vec<StoredRecord> {
    let mut lanes: BTreeMap<u32, VecDeque<StoredRecord>> = BTreeMap::new();
    let count = records.len();
    for record in records {
        lanes.entry(record.partition).or_default().push_back(record);
    }
    let mut ordered = Vec::with_capacity(count);
    if lanes.len() == 1 {
        ordered.extend(lanes.into_values().flatten());
        return ordered;
    }
    let mut heads: BinaryHeap<_> = lanes
        .iter()
        .filter_map(|(partition, lane)| Some(Reverse((lane.front()?.timestamp, *partition))))
        .collect();
    while let Some(Reverse((_, partition))) = heads.pop() {
        let Some(lane) = lanes.get_mut(&partition) else { continue };
        ordered.extend(lane.pop_front());
        if let Some(next) = lane.front() {
            heads.push(Reverse((next.timestamp, partition)));
        }
    }
    ordered
}
