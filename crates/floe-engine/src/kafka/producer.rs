//! The producer: idempotent, acknowledged by all in-sync replicas, with a bound on what is on its way.
//!
//! A record that is not acknowledged in time is *unknown* once it may have been sent, and *not stored* before that;
//! librdkafka knows which (`rd_kafka_message_status`).

use std::sync::Arc;

use floe_broker::NewRecord;
use parking_lot::RwLock;
use rdkafka::{
    ClientContext, Message,
    client::Client,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    message::{DeliveryResult, Header, OwnedHeaders},
    producer::{BaseRecord, NoCustomPartitioner, Producer as _, ProducerContext, ThreadedProducer},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{
    client::{KafkaConfig, KafkaConfigError, Told, drop_apart},
    cluster::refused,
    error::{about_topic, unavailable},
    limits::{DELIVERY_LIMIT_MS, MAX_UNACKNOWLEDGED_BYTES, MAX_UNACKNOWLEDGED_RECORDS, TOPIC_MISSED_MS},
    native,
};
use crate::{EngineError, Placement};

/// Batches of records that wait together.
pub(super) const BATCH_BYTES: usize = 512 << 10;
/// What a record weighs beside its parts.
const RECORD_OVERHEAD_BYTES: usize = 128;

/// A record's way to its acknowledgement.
pub(super) type Pending = oneshot::Receiver<Result<Placement, NotStored>>;

/// Why a record has no acknowledgement.
#[derive(Debug)]
pub(super) struct NotStored {
    code: Option<RDKafkaErrorCode>,
    may_be_stored: bool,
    fatal: bool,
}

/// Sends records. Cheap to share.
pub(super) struct Producer {
    config: KafkaConfig,
    kind: Kind,
    /// Made anew when librdkafka gives one up for good.
    inner: RwLock<Inner>,
    room: Arc<Semaphore>,
}

/// What a producer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Records that wait together share batches.
    Batches,
    /// Each record is a batch: for topics that take no larger ones. (librdkafka has one size of batches for all topics, and
    /// doesn't split those that a broker refuses.)
    Singles,
}

type Inner = Arc<ThreadedProducer<Acknowledgements>>;

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("waiting_bytes", &self.waiting_bytes()).finish_non_exhaustive()
    }
}

/// Brings each acknowledgement to who waits for it.
pub(super) struct Acknowledgements(Told);

pub(super) struct Waiter {
    answer: oneshot::Sender<Result<Placement, NotStored>>,
    _room: Option<OwnedSemaphorePermit>,
}

impl ClientContext for Acknowledgements {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }
}

impl ProducerContext for Acknowledgements {
    type DeliveryOpaque = Box<Waiter>;

    fn delivery(&self, result: &DeliveryResult<'_>, waiter: Self::DeliveryOpaque) {
        let answer = match result {
            Ok(message) => Ok(Placement {
                partition: u32::try_from(message.partition()).unwrap_or(0),
                offset: message.offset(),
                timestamp: message.timestamp().to_millis().unwrap_or(-1),
            }),
            Err((error, message)) => Err(NotStored {
                code: error.rdkafka_error_code(),
                may_be_stored: native::may_be_stored(message),
                fatal: error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal),
            }),
        };
        // whoever no longer waits doesn't need the answer
        let _ = waiter.answer.send(answer);
    }
}

impl NotStored {
    /// As the engine says it.
    pub(super) fn error(&self, topic: &str) -> EngineError {
        match self.code {
            Some(
                code @ (RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition),
            ) => about_topic(topic, code),
            Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize) => {
                EngineError::RecordTooLarge { topic: topic.to_owned(), size: 0, limit: 0 }
            }
            Some(RDKafkaErrorCode::InvalidTimestamp) => EngineError::InvalidBatch {
                why: "the topic refuses its timestamp (message.timestamp.before.max.ms, message.timestamp.after.max.ms)",
            },
            _ if self.may_be_stored => EngineError::OutcomeUnknown,
            code => EngineError::Unavailable {
                why: code.map_or_else(|| "the record was not sent".to_owned(), |code| code.to_string()),
            },
        }
    }
}

impl Producer {
    pub(super) fn new(config: KafkaConfig, kind: Kind) -> Result<Self, KafkaConfigError> {
        let inner = RwLock::new(connect(&config, kind).map_err(|error| refused(&error))?);
        let room = Arc::new(Semaphore::new(MAX_UNACKNOWLEDGED_BYTES));
        Ok(Self { config, kind, inner, room })
    }

    pub(super) fn waiting_bytes(&self) -> usize {
        MAX_UNACKNOWLEDGED_BYTES - self.room.available_permits()
    }

    fn client(&self) -> Inner {
        Arc::clone(&self.inner.read())
    }

    /// Room for these records, or the refusal.
    pub(super) fn reserve<'a>(
        &self,
        records: impl Iterator<Item = &'a NewRecord>,
    ) -> Result<OwnedSemaphorePermit, EngineError> {
        let weight: usize = records.map(weight).sum();
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        Arc::clone(&self.room)
            .try_acquire_many_owned(weight)
            .map_err(|_| EngineError::Overloaded { queued_bytes: self.waiting_bytes() })
    }

    /// Sends one record to a partition. `room` is given back with its acknowledgement.
    pub(super) fn send(
        &self,
        topic: &str,
        partition: u32,
        record: &NewRecord,
        timestamp_ms: i64,
        room: Option<OwnedSemaphorePermit>,
    ) -> Result<Pending, EngineError> {
        let (answer, pending) = oneshot::channel();
        let mut sent: BaseRecord<'_, [u8], [u8], _> =
            BaseRecord::with_opaque_to(topic, Box::new(Waiter { answer, _room: room }))
                .partition(partition.cast_signed())
                // 0 would be "now" to librdkafka
                .timestamp(if timestamp_ms == 0 { 1 } else { timestamp_ms });
        if let Some(key) = &record.key {
            sent = sent.key(key);
        }
        if let Some(value) = &record.value {
            sent = sent.payload(value);
        }
        if !record.headers.is_empty() {
            let headers = record.headers.iter().fold(
                OwnedHeaders::new_with_capacity(record.headers.len()),
                |headers, header| {
                    headers.insert(Header { key: &header.name, value: header.value.as_deref() })
                },
            );
            sent = sent.headers(headers);
        }
        match self.client().send(sent) {
            Ok(()) => Ok(pending),
            Err((error, _)) => Err(match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::QueueFull) => {
                    EngineError::Overloaded { queued_bytes: self.waiting_bytes() }
                }
                Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
                    let size = weight(record);
                    EngineError::RecordTooLarge { topic: topic.to_owned(), size, limit: 0 }
                }
                Some(code @ (RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownPartition)) => {
                    about_topic(topic, code)
                }
                _ => {
                    self.renew_if_fatal();
                    unavailable("sending a record", &error)
                }
            }),
        }
    }

    /// Waits for an acknowledgement.
    pub(super) async fn acknowledged(&self, topic: &str, pending: Pending) -> Result<Placement, EngineError> {
        match pending.await {
            Ok(Ok(placement)) => Ok(placement),
            Ok(Err(not_stored)) => {
                if not_stored.fatal {
                    self.renew_if_fatal();
                }
                Err(not_stored.error(topic))
            }
            Err(_) => Err(EngineError::OutcomeUnknown),
        }
    }

    /// Replaces a client that librdkafka has given up: it sends nothing any more.
    fn renew_if_fatal(&self) {
        let mut inner = self.inner.write();
        let Some((code, why)) = inner.client().fatal_error() else { return };
        match connect(&self.config, self.kind) {
            Ok(new) => {
                tracing::warn!(%code, why, "the producer was given up by the cluster's client, and is made anew");
                drop_apart(std::mem::replace(&mut *inner, new));
            }
            Err(error) => tracing::error!(%error, "the producer can't be made anew"),
        }
    }

    /// Waits until everything that was sent is acknowledged or given up. Blocks.
    pub(super) fn flush(&self) {
        let limit = std::time::Duration::from_millis(DELIVERY_LIMIT_MS);
        if let Err(error) = self.client().flush(limit) {
            tracing::warn!(%error, "not all records were acknowledged before the end");
        }
    }
}

fn connect(config: &KafkaConfig, kind: Kind) -> Result<Inner, KafkaError> {
    let mut client = config.base();
    client
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("message.timeout.ms", DELIVERY_LIMIT_MS.to_string())
        // a topic that was deleted is missed after this, and one that was just made known by then
        .set("topic.metadata.propagation.max.ms", TOPIC_MISSED_MS.to_string())
        .set("linger.ms", "1")
        .set("queue.buffering.max.kbytes", (2 * MAX_UNACKNOWLEDGED_BYTES / 1024).to_string())
        .set("queue.buffering.max.messages", MAX_UNACKNOWLEDGED_RECORDS.to_string())
        .set("message.max.bytes", (16 << 20).to_string())
        .set("batch.size", BATCH_BYTES.to_string())
        // what is in flight when a connection breaks is sent again at once
        .set("retry.backoff.ms", "50");
    for (name, value) in config.properties.iter().filter(|(name, _)| name.starts_with("compression.")) {
        client.set(name, value);
    }
    match kind {
        Kind::Batches => {}
        Kind::Singles => drop(client.set("batch.num.messages", "1")),
    }
    let made: ThreadedProducer<Acknowledgements, NoCustomPartitioner> =
        client.create_with_context(Acknowledgements(Told))?;
    let _: &Client<Acknowledgements> = made.client();
    Ok(Arc::new(made))
}

/// Bytes of a record while it is on its way.
pub(super) fn weight(record: &NewRecord) -> usize {
    let part = |part: &Option<bytes::Bytes>| part.as_ref().map_or(0, bytes::Bytes::len);
    let headers = record.headers.iter().map(|header| header.name.len() + part(&header.value) + 16);
    part(&record.key) + part(&record.value) + headers.sum::<usize>() + RECORD_OVERHEAD_BYTES
}
