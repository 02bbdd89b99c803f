//! Finding dead letters by the record they came from.

use std::collections::{HashMap, VecDeque};

use floe_engine::{Engine, EngineError, TopicSummary};

use super::{DeadLetterState, Origin, TOPIC_PREFIX, headers, scan};
use crate::{
    LogError,
    limits::{ORIGINS_KEPT, OWN_READ_RECORDS},
};

/// Where a dead letter is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) topic: String,
    pub(super) topic_id: u64,
    pub(super) partition: u32,
    pub(super) offset: i64,
}

/// Key: topic, partition and offset of the origin.
type Key = (String, u32, i64);

/// The newest dead letters by their origin. Filled by reading on when somebody asks.
#[derive(Debug, Default)]
pub(super) struct Origins {
    /// Where to read on: by id and partition of the dead-letter topic.
    next: HashMap<(u64, u32), i64>,
    newest: VecDeque<(Key, Place)>,
    places: HashMap<Key, Vec<Place>>,
}

impl Origins {
    /// Reads on to the end of every dead-letter topic.
    pub(super) async fn catch_up(&mut self, engine: &Engine) -> Result<(), LogError> {
        let topics: Vec<TopicSummary> =
            engine.topics().await?.into_iter().filter(|topic| topic.name.starts_with(TOPIC_PREFIX)).collect();
        self.next.retain(|(id, _), _| topics.iter().any(|topic| topic.id == *id));
        for topic in topics {
            match self.catch_up_topic(engine, &topic).await {
                // deleted meanwhile
                Ok(()) | Err(EngineError::TopicNotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn catch_up_topic(&mut self, engine: &Engine, topic: &TopicSummary) -> Result<(), EngineError> {
        let described = engine.describe_topic(&topic.name).await?;
        for bounds in described.partitions {
            let oldest = bounds.start.max(bounds.end - i64::try_from(ORIGINS_KEPT).unwrap_or(i64::MAX));
            let known = self.next.get(&(topic.id, bounds.partition)).copied().unwrap_or(0);
            let mut from = known.max(oldest);
            while from < bounds.end {
                let page = scan::read(engine, &topic.name, bounds.partition, from, OWN_READ_RECORDS).await;
                let (records, next) = match page {
                    Err(EngineError::OffsetOutOfRange { start, .. }) if start > from => (Vec::new(), start),
                    page => page?,
                };
                for record in records {
                    let (partition, offset) = (record.partition, record.offset);
                    let place = Place { topic: topic.name.clone(), topic_id: topic.id, partition, offset };
                    if let Some(origin) = headers::decode(record, DeadLetterState::Open).origin {
                        self.note((origin.topic, origin.partition, origin.offset), place);
                    }
                }
                from = next;
                self.next.insert((topic.id, bounds.partition), from);
            }
        }
        Ok(())
    }

    fn note(&mut self, key: Key, place: Place) {
        self.places.entry(key.clone()).or_default().push(place.clone());
        self.newest.push_back((key, place));
        if self.newest.len() > ORIGINS_KEPT
            && let Some((key, place)) = self.newest.pop_front()
            && let Some(places) = self.places.get_mut(&key)
        {
            places.retain(|known| *known != place);
            if places.is_empty() {
                self.places.remove(&key);
            }
        }
    }

    /// Where the dead letters of a record are.
    pub(super) fn of(&self, origin: &Origin) -> Vec<Place> {
        let key = (origin.topic.clone(), origin.partition, origin.offset);
        self.places.get(&key).cloned().unwrap_or_default()
    }
}
