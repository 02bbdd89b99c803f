//! Appending: every record checked before the first is sent, so that a refusal stores nothing.

use floe_broker::{Acks, NewRecord, batch::BatchBuilder, partition_for_key};

use super::{
    Kafka,
    catalog::{KafkaTopic, TopicSettings},
    once::Keyed,
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
        self.check_open()?;
        let topic = self.cluster.topic(&append.topic).await?;
        let settings = self.settings(&topic).await?;
        let targets = self.targets(&topic, &settings, &append.records)?;
        if let Some(key) = append.idempotency {
            let transactions =
                if takes_batches(&settings) { &self.transactions } else { &self.single_transactions };
            let keyed = Keyed { topic: &topic, records: append.records, targets, key, transactions };
            return self.append_once(keyed).await;
        }
        let producer = if takes_batches(&settings) { &*self.producer } else { &self.singles };
        let sent = send(producer, &topic, &append.records, &targets)?;
        if append.acks.unwrap_or(settings.floe.acks()) == Acks::None {
            let unpromised = |(partition, timestamp)| Placement { partition, offset: -1, timestamp };
            return Ok(Appended {
                placements: targets.into_iter().map(unpromised).collect(),
                replayed: false,
            });
        }
        let placements = acknowledged(producer, &topic, sent, &targets).await?;
        Ok(Appended { placements, replayed: false })
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
fn send(
    producer: &Producer,
    topic: &KafkaTopic,
    records: &[NewRecord],
    targets: &[Target],
) -> Result<Sent, EngineError> {
    let mut room = producer.reserve(records)?;
    let mut pending = Vec::with_capacity(records.len());
    for (record, (partition, timestamp)) in records.iter().zip(targets) {
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

async fn acknowledged(
    producer: &Producer,
    topic: &KafkaTopic,
    sent: Sent,
    targets: &[Target],
) -> Result<Vec<Placement>, EngineError> {
    let (mut placements, mut failed) = (Vec::with_capacity(sent.pending.len()), Vec::new());
    for (pending, (_, timestamp)) in sent.pending.into_iter().zip(targets) {
        match producer.acknowledged(&topic.name, pending).await {
            Ok(placement) if placement.timestamp < 0 => {
                placements.push(Placement { timestamp: *timestamp, ..placement });
            }
            Ok(placement) => placements.push(placement),
            Err(error) => failed.push(error),
        }
    }
    match failed.into_iter().next() {
        None => Ok(placements),
        Some(error) if placements.is_empty() => Err(error),
        // some are stored and some are not
        Some(_) => Err(EngineError::OutcomeUnknown),
    }
}
