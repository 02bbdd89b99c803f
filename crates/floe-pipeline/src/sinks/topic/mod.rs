//! Another topic of the same log: keys and headers go along, the timestamp is the time of the writing.
//!
//! At least once. An append carries an idempotency key made of where its records came from and what they are, so that the
//! same batch sent again within the log's window (a day) isn't stored again. After a crash the batches may be cut
//! differently; then records can be there twice.

mod config;

use std::sync::Arc;

use floe_engine::{Acks, Append, IdempotencyKey, NewRecord};
use floe_store::PositionKey;
use sha2::{Digest, Sha256};

pub use config::TopicSpec;

use super::{Batch, DeliveryError, Outgoing, printable};
use crate::{Log, LogError, Services};

/// Bytes of one append, well below what a topic takes at once unless it is set lower.
const APPEND_BYTES_MAX: usize = 512 << 10;

/// What a record costs beside its parts.
const RECORD_OVERHEAD_BYTES: usize = 64;

#[derive(Clone, Debug)]
pub(crate) struct TopicSink {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    spec: TopicSpec,
    pipeline: Arc<str>,
    log: Log,
}

#[derive(Debug)]
pub(crate) struct TopicHold {
    key: PositionKey,
    shared: Arc<Shared>,
}

impl TopicSink {
    pub(crate) fn open(spec: &TopicSpec, pipeline: &Arc<str>, services: &Services) -> Result<Self, String> {
        spec.check()?;
        let shared = Shared { spec: spec.clone(), pipeline: Arc::clone(pipeline), log: services.log.clone() };
        Ok(Self { shared: Arc::new(shared) })
    }

    pub(crate) fn label(&self) -> String {
        format!("topic {}", self.shared.spec.topic)
    }

    pub(crate) async fn claim(&self, key: &PositionKey) -> Result<TopicHold, DeliveryError> {
        let TopicSpec { topic, partitions } = &self.shared.spec;
        if *key.topic == **topic {
            let why = format!("the pipeline reads topic '{topic}' and would write to it again, without end");
            return Err(DeliveryError::Fatal(why));
        }
        if let Some(partitions) = *partitions {
            let made = self.shared.log.ensure_topic(topic, partitions, &[]).await;
            made.map_err(|error| self.shared.failed(&error))?;
        }
        Ok(TopicHold { key: key.clone(), shared: Arc::clone(&self.shared) })
    }
}

impl TopicHold {
    pub(crate) async fn deliver(&mut self, batch: &Batch) -> Result<(), DeliveryError> {
        let mut delivered = 0;
        while delivered < batch.records.len() {
            let rest = &batch.records[delivered..];
            let done = self.append_some(&rest[..fitting(rest)]).await.map_err(|error| match error {
                // Places count from the batch's first record.
                DeliveryError::Poison { records, .. } => DeliveryError::Poison {
                    delivered,
                    records: records.into_iter().map(|(place, why)| (delivered + place, why)).collect(),
                },
                DeliveryError::Unavailable(error) if delivered > 0 => {
                    DeliveryError::Retry { delivered, error, after: None }
                }
                other => other,
            })?;
            delivered += done;
        }
        Ok(())
    }

    /// Appends these, or fewer if they are refused together. Answers how many; a single one that is refused is poison.
    async fn append_some(&self, records: &[Outgoing]) -> Result<usize, DeliveryError> {
        let mut count = records.len();
        loop {
            match self.append(&records[..count]).await {
                Ok(()) => return Ok(count),
                Err(LogError::Refused(_)) if count > 1 => count /= 2,
                Err(LogError::Refused(why)) => {
                    return Err(DeliveryError::Poison { delivered: 0, records: vec![(0, printable(&why))] });
                }
                Err(error) => return Err(self.shared.failed(&error)),
            }
        }
    }

    async fn append(&self, records: &[Outgoing]) -> Result<(), LogError> {
        let new = |record: &Outgoing| NewRecord {
            key: record.key.clone(),
            value: record.value.clone(),
            headers: record.headers.clone(),
            partition: None,
            timestamp: None,
        };
        let append = Append {
            topic: self.shared.spec.topic.clone(),
            records: records.iter().map(new).collect(),
            acks: Some(Acks::Durable),
            idempotency: self.idempotency(records),
        };
        self.shared.log.append(append).await.map(drop)
    }

    /// The digest stands in the key itself: after a change of the pipeline's steps the same offsets are another write.
    fn idempotency(&self, records: &[Outgoing]) -> Option<IdempotencyKey> {
        let (first, last) = (records.first()?, records.last()?);
        let fingerprint = fingerprint(records);
        let PositionKey { log, topic_id, partition, .. } = &self.key;
        let pipeline = &self.shared.pipeline;
        let key = format!(
            "to:{pipeline}:{log}:{topic_id:x}:{partition}:{}.{}:{}.{}:{fingerprint:016x}",
            first.offset, first.index, last.offset, last.index
        );
        Some(IdempotencyKey { key, fingerprint })
    }
}

impl Shared {
    fn failed(&self, error: &LogError) -> DeliveryError {
        match error {
            LogError::NoTopic { topic } => DeliveryError::Unavailable(format!(
                "topic '{topic}' does not exist: make it, or let the sink do so with 'partitions'"
            )),
            LogError::Refused(why) => DeliveryError::Fatal(printable(why)),
            other => DeliveryError::Unavailable(printable(&other.to_string())),
        }
    }
}

/// How many of the first records go into one append: at least one.
fn fitting(records: &[Outgoing]) -> usize {
    let mut bytes = 0;
    let size = |record: &Outgoing| {
        let headers: usize = record
            .headers
            .iter()
            .map(|header| header.name.len() + header.value.as_ref().map_or(0, bytes::Bytes::len))
            .sum();
        let of = |part: &Option<bytes::Bytes>| part.as_ref().map_or(0, bytes::Bytes::len);
        RECORD_OVERHEAD_BYTES + of(&record.key) + of(&record.value) + headers
    };
    let fit = records.iter().take_while(|record| {
        bytes += size(record);
        bytes <= APPEND_BYTES_MAX
    });
    fit.count().max(1)
}

/// A digest of all that is stored, the same in every process and release.
fn fingerprint(records: &[Outgoing]) -> u64 {
    let mut hash = Sha256::new();
    let mut part = |bytes: Option<&[u8]>| {
        // A length that no part has stands for one that is not there.
        let length = bytes.map_or(u64::MAX, |bytes| u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        hash.update(length.to_be_bytes());
        hash.update(bytes.unwrap_or_default());
    };
    for record in records {
        part(record.key.as_deref());
        part(record.value.as_deref());
        for header in &record.headers {
            part(Some(header.name.as_bytes()));
            part(header.value.as_deref());
        }
    }
    hash.finalize().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}
