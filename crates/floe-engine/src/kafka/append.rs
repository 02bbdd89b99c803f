//! Appending: every record checked before the first is sent, so that a refusal stores nothing.

use std::{sync::Arc, time::Instant};

use floe_broker::{Acks, NewRecord, batch::BatchBuilder, partition_for_key};

use super::{
    Kafka,
    agreed::new_id,
    catalog::{KafkaTopic, TopicSettings},
    once::{self, Keyed},
    producer::{BATCH_BYTES, Pending, Producer},
};
use crate::{Append, Appended, EngineError, Placement};

/// Records of an append that wait for their acknowledgements.
pub(super) struct Sent {
    pending: Vec<Pending>,
}

/// Where a record goes, and its time.
pub(super) type Target = (u32, i64);

impl Kafka {
    pub(crate) async fn append(&self, append: Append) -> Result<Appended, EngineError> {
        let began = Instant::now();
        self.check_open()?;
        let topic = self.cluster.topic(&append.topic).await?;
        let settings = self.settings(&topic).await?;
        let mut records = append.records;
        let keyed = append.idempotency.map(|key| (new_id(), key));
        if let Some((id, _)) = &keyed {
            // what is added to the records counts for their sizes, too
            once::mark(&mut records, id);
        }
        let targets = self.targets(&topic, &settings, &records)?;
        let producer = if takes_batches(&settings) { &self.producer } else { &self.singles };
        if let Some((id, key)) = keyed {
            let producer = Arc::clone(producer);
            return self.once.append(Keyed { id, topic, records, targets, key, producer, began }).await;
        }
        let sent = send(producer, &topic, &records, &targets)?;
        if append.acks.unwrap_or(settings.floe.acks()) == Acks::None {
            let unpromised = |(partition, timestamp)| Placement { partition, offset: -1, timestamp };
            return Ok(Appended {
                placements: targets.into_iter().map(unpromised).collect(),
                replayed: false,
            });
        }
        match acknowledged(producer, &topic, sent, &targets).await {
            Ok(placements) => Ok(Appended { placements, replayed: false }),
            Err(error) => Err(self.as_of_now(&topic, error).await),
        }
    }

    /// A topic that was deleted a moment ago at another process takes nothing more, which shows as records that get no answer.
    async fn as_of_now(&self, topic: &KafkaTopic, error: EngineError) -> EngineError {
        let is_unanswered = matches!(error, EngineError::Unavailable { .. } | EngineError::OutcomeUnknown);
        if !is_unanswered || !self.reach.is_good() {
            return error;
        }
        match self.cluster.look_up(&topic.name).await {
            Err(EngineError::TopicNotFound { topic }) => EngineError::TopicNotFound { topic },
            Ok(_) | Err(_) => error,
        }
    }

    /// Where each record goes. Refuses the append if one of them can't be stored.
    pub(super) fn targets(
        &self,
        topic: &KafkaTopic,
        settings: &TopicSettings,
        records: &[NewRecord],
    ) -> Result<Vec<Target>, EngineError> {
        let (now_ms, sticky) = (self.cluster.config.clock.now_ms(), topic.sticky());
        let mut targets = Vec::with_capacity(records.len());
        for record in records {
            let partition = match (record.partition, &record.key) {
                (Some(partition), _) => partition,
                (None, Some(key)) => partition_for_key(key, topic.partition_count()),
                (None, None) => sticky,
            };
            topic.check_partition(partition)?;
            let (size, limit) =
                (BatchBuilder::new().size_with_record(record, now_ms), settings.max_message_bytes);
            if size > limit {
                return Err(EngineError::RecordTooLarge { topic: topic.name.to_string(), size, limit });
            }
            targets.push((partition, record.timestamp.unwrap_or(now_ms)));
        }
        Ok(targets)
    }
}

/// Whether a topic takes batches as large as the producers make them.
fn takes_batches(settings: &TopicSettings) -> bool {
    settings.max_message_bytes >= 2 * BATCH_BYTES
}

/// Sends all records of an append.
pub(super) fn send<'a>(
    producer: &Producer,
    topic: &KafkaTopic,
    records: impl IntoIterator<Item = &'a NewRecord, IntoIter: Clone>,
    targets: &[Target],
) -> Result<Sent, EngineError> {
    let records = records.into_iter();
    let mut room = producer.reserve(records.clone())?;
    let mut pending = Vec::with_capacity(targets.len());
    for (record, (partition, timestamp)) in records.zip(targets) {
        let mine = room.split(super::producer::weight(record));
        match producer.send(&topic.name, *partition, record, *timestamp, mine) {
            Ok(sent) => pending.push(sent),
            // nothing is taken back that was sent before
            Err(error) if pending.is_empty() => return Err(error),
            Err(error) => {
                tracing::warn!(topic = %topic.name, %error, sent = pending.len(), "an append was sent in part");
                return Err(EngineError::OutcomeUnknown);
            }
        }
    }
    Ok(Sent { pending })
}

/// What came of each record.
pub(super) async fn each_acknowledged(
    producer: &Producer,
    topic: &KafkaTopic,
    sent: Sent,
    targets: &[Target],
) -> Vec<Result<Placement, EngineError>> {
    let mut all = Vec::with_capacity(sent.pending.len());
    for (pending, (_, timestamp)) in sent.pending.into_iter().zip(targets) {
        let told = producer.acknowledged(&topic.name, pending).await;
        all.push(told.map(|placement| match placement.timestamp {
            ..0 => Placement { timestamp: *timestamp, ..placement },
            _ => placement,
        }));
    }
    all
}

async fn acknowledged(
    producer: &Producer,
    topic: &KafkaTopic,
    sent: Sent,
    targets: &[Target],
) -> Result<Vec<Placement>, EngineError> {
    let (mut placements, mut failed) = (Vec::with_capacity(targets.len()), None);
    for placement in each_acknowledged(producer, topic, sent, targets).await {
        match placement {
            Ok(placement) => placements.push(placement),
            Err(error) => drop(failed.get_or_insert(error)),
        }
    }
    match failed {
        None => Ok(placements),
        Some(error) if placements.is_empty() => Err(error),
        // some are stored and some are not
        Some(_) => Err(EngineError::OutcomeUnknown),
    }
}
