//! What became of dead letters: records of the internal topic `__dead_letters`, one for each that was redriven or
//! discarded. Key: `<dead-letter topic>/<partition>-<offset>`; value: [`Mark`] as JSON. The newest counts.

use std::collections::{BTreeMap, HashMap};

use floe_engine::{Engine, EngineError, OffsetSpec, PartitionRead, StoredRecord};
use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::{DeadLetterState, parse_id};
use crate::{
    LogError,
    limits::{OWN_READ_BYTES, OWN_READ_RECORDS},
    log::append_own,
    moment::now_ms,
};

const TOPIC: &str = "__dead_letters";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Became {
    Redriven,
    Discarded,
}

#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    /// A dead-letter topic that was deleted and made again is another one.
    topic_id: u64,
    state: Became,
    /// Milliseconds since the epoch.
    at: i64,
}

/// All marks in memory: an entry for each mark whose dead letter is still kept.
#[derive(Debug, Default)]
pub(super) struct Marks {
    next: i64,
    /// By id of the dead-letter topic.
    topics: HashMap<u64, TopicMarks>,
}

#[derive(Debug, Default)]
struct TopicMarks {
    redriven: u64,
    discarded: u64,
    partitions: HashMap<u32, BTreeMap<i64, Became>>,
}

impl Marks {
    /// Reads on to the end of the marks.
    pub(super) async fn catch_up(&mut self, engine: &Engine) -> Result<(), LogError> {
        loop {
            let read = PartitionRead {
                topic: TOPIC.to_owned(),
                partition: 0,
                from: OffsetSpec::Offset(self.next),
                max_records: OWN_READ_RECORDS,
                max_bytes: OWN_READ_BYTES,
                wait: Duration::ZERO,
            };
            let page = match engine.read(read).await {
                Ok(page) => page,
                Err(EngineError::TopicNotFound { .. }) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            page.records.iter().for_each(|record| self.apply(record));
            self.next = page.next_offset;
            if self.next >= page.high_watermark {
                return Ok(());
            }
        }
    }

    fn apply(&mut self, record: &StoredRecord) {
        let mark = record.value.as_deref().and_then(|value| serde_json::from_slice::<Mark>(value).ok());
        let key = record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
        let place = key.and_then(|key| parse_id(key.rsplit_once('/')?.1));
        if let (Some(mark), Some((partition, offset))) = (mark, place) {
            self.set(mark.topic_id, partition, offset, mark.state);
        }
    }

    fn set(&mut self, topic_id: u64, partition: u32, offset: i64, became: Became) {
        let topic = self.topics.entry(topic_id).or_default();
        let before = topic.partitions.entry(partition).or_default().insert(offset, became);
        if before.is_none() {
            match became {
                Became::Redriven => topic.redriven += 1,
                Became::Discarded => topic.discarded += 1,
            }
        }
    }

    /// Writes marks on dead letters of one topic; durable on `Ok`.
    pub(super) async fn write(
        &mut self,
        engine: &Engine,
        topic: (&str, u64),
        ids: &[String],
        state: Became,
    ) -> Result<(), LogError> {
        if ids.is_empty() {
            return Ok(());
        }
        let (name, topic_id) = topic;
        let value = serde_json::to_vec(&Mark { topic_id, state, at: now_ms() })
            .map_err(|error| LogError::Refused(error.to_string()))?;
        let records = ids.iter().map(|id| (format!("{name}/{id}"), value.clone())).collect();
        append_own(engine, TOPIC, records).await?;
        self.catch_up(engine).await
    }

    /// What became of a dead letter.
    pub(super) fn state(&self, topic_id: u64, partition: u32, offset: i64) -> DeadLetterState {
        let became =
            self.topics.get(&topic_id).and_then(|topic| topic.partitions.get(&partition)?.get(&offset));
        match became {
            None => DeadLetterState::Open,
            Some(Became::Redriven) => DeadLetterState::Redriven,
            Some(Became::Discarded) => DeadLetterState::Discarded,
        }
    }

    /// The first offset from `offset` on without a mark.
    pub(super) fn next_open(&self, topic_id: u64, partition: u32, offset: i64) -> i64 {
        let marks = self.topics.get(&topic_id).and_then(|topic| topic.partitions.get(&partition));
        let Some(marks) = marks else { return offset };
        let run = marks.range(offset..).zip(offset..).take_while(|((marked, _), at)| *marked == at);
        offset + i64::try_from(run.count()).unwrap_or(0)
    }

    /// Redriven and discarded ever.
    pub(super) fn counts(&self, topic_id: u64) -> (u64, u64) {
        self.topics.get(&topic_id).map_or((0, 0), |topic| (topic.redriven, topic.discarded))
    }

    /// How many dead letters of a partition from `start` on have a mark. Forgets those before: they are gone.
    pub(super) fn marked_from(&mut self, topic_id: u64, partition: u32, start: i64) -> u64 {
        let topic = self.topics.get_mut(&topic_id);
        let Some(marks) = topic.and_then(|topic| topic.partitions.get_mut(&partition)) else { return 0 };
        if marks.first_key_value().is_some_and(|(first, _)| *first < start) {
            *marks = marks.split_off(&start);
        }
        marks.len() as u64
    }
}
