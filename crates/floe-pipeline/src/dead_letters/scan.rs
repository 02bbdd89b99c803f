//! Going through the dead letters of one topic, oldest first, partition by partition.

use std::{collections::BTreeSet, time::Duration};

use floe_engine::{Engine, EngineError, OffsetSpec, PartitionRead, StoredRecord, TopicDescription};
use tokio::sync::Mutex;

use super::{DeadLetter, DeadLetterState, Selection, headers, marks::Marks, parse_id};
use crate::{
    LogError,
    limits::{LETTER_PAGE_BYTES, OWN_READ_BYTES, OWN_READ_RECORDS},
};

/// A walk through what a dead-letter topic holds when the walk begins: what comes later isn't met, so that records
/// which come back while they are redriven don't make it endless.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    engine: &'a Engine,
    marks: &'a Mutex<Marks>,
    topic: TopicDescription,
    /// Whether those with a mark are met, too.
    all: bool,
    /// Place of the next one to look at.
    next: (u32, i64),
}

impl<'a> Scan<'a> {
    /// `after`: partition and offset to go on behind.
    pub(super) fn new(
        engine: &'a Engine,
        marks: &'a Mutex<Marks>,
        topic: TopicDescription,
        after: Option<(u32, i64)>,
        all: bool,
    ) -> Self {
        let next = after.map_or((0, 0), |(partition, offset)| (partition, offset.saturating_add(1)));
        Self { engine, marks, topic, all, next }
    }

    /// At most `limit` of the next dead letters that are meant; fewer if they are large, none at the end.
    pub(super) async fn page(
        &mut self,
        limit: usize,
        meant: impl Fn(&DeadLetter) -> bool,
    ) -> Result<Vec<DeadLetter>, LogError> {
        let mut letters = Vec::new();
        let mut bytes = 0;
        while letters.len() < limit && bytes < LETTER_PAGE_BYTES {
            let Some((partition, from)) = self.seek().await? else { break };
            let most = (limit - letters.len()).min(OWN_READ_RECORDS);
            let page = match read(self.engine, &self.topic.name, partition, from, most).await {
                // retention was quicker
                Err(EngineError::OffsetOutOfRange { start, .. }) if start > from => {
                    self.next = (partition, start);
                    continue;
                }
                page => page?,
            };
            self.next = (partition, page.1);
            let marks = self.marks.lock().await;
            for record in page.0 {
                let state = marks.state(self.topic.id, partition, record.offset);
                let size = record.value.as_ref().map_or(0, bytes::Bytes::len);
                let letter = headers::decode(record, state);
                if (self.all || state == DeadLetterState::Open) && meant(&letter) {
                    bytes += size;
                    letters.push(letter);
                }
            }
        }
        Ok(letters)
    }

    /// Whether there may be more behind what was met.
    pub(super) async fn more(&mut self) -> Result<bool, LogError> {
        Ok(self.seek().await?.is_some())
    }

    /// Moves to the next place at which there may be one that is meant.
    async fn seek(&mut self) -> Result<Option<(u32, i64)>, LogError> {
        let marks = self.marks.lock().await;
        for bounds in &self.topic.partitions {
            if bounds.partition < self.next.0 {
                continue;
            }
            let from = if bounds.partition == self.next.0 { self.next.1 } else { 0 };
            let from = from.max(bounds.start);
            let from = if self.all { from } else { marks.next_open(self.topic.id, bounds.partition, from) };
            if from < bounds.end {
                self.next = (bounds.partition, from);
                return Ok(Some(self.next));
            }
        }
        Ok(None)
    }
}

/// Records of one partition, and where to read on.
pub(super) async fn read(
    engine: &Engine,
    topic: &str,
    partition: u32,
    from: i64,
    most: usize,
) -> Result<(Vec<StoredRecord>, i64), EngineError> {
    let read = PartitionRead {
        topic: topic.to_owned(),
        partition,
        from: OffsetSpec::Offset(from),
        max_records: most,
        max_bytes: OWN_READ_BYTES,
        wait: Duration::ZERO,
    };
    let page = engine.read(read).await?;
    Ok((page.records, page.next_offset))
}

impl Selection {
    /// The places named, each once; an id that isn't one is told.
    pub(super) fn places(&self) -> Result<BTreeSet<(u32, i64)>, LogError> {
        let place = |id: &String| {
            parse_id(id).ok_or_else(|| {
                let id = crate::excerpt::of(id, 100);
                LogError::Refused(format!(
                    "'{id}' is not the id of a dead letter: expected PARTITION-OFFSET, such as 0-17"
                ))
            })
        };
        self.ids.iter().map(place).collect()
    }

    /// Whether a dead letter has what is asked for, beside the ids.
    pub(super) fn meant(&self, letter: &DeadLetter) -> bool {
        let error = self.error_contains.as_ref().is_none_or(|part| letter.error.contains(part.as_str()));
        let topic = self.topic.as_ref();
        error && topic.is_none_or(|topic| letter.origin.as_ref().is_some_and(|o| o.topic == *topic))
    }
}
