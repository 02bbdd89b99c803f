//! Clients that read by offset: a bounded set, lent to one read at a time.
//!
//! A client that stands where the next read starts goes on from what it fetched ahead; any other is sent there first. So a
//! reader that goes through a topic page by page costs one request for all of its pages.

use std::{collections::HashMap, sync::Arc, time::Instant};

use parking_lot::Mutex;
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{Consumer, StreamConsumer},
    error::KafkaError,
    message::{BorrowedMessage, Headers},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    catalog::KafkaTopic,
    client::{KafkaConfig, Told, drop_apart},
    error::unavailable,
    keys::ATTEMPT,
    limits::{MAX_READERS, READER_IDLE},
};
use crate::{Cursor, EngineError, StoredRecord};
use floe_broker::{Header, OffsetsCursor};

/// A client that was used less than this long ago will probably be wanted again where it stands.
const KEEP_PLACE: std::time::Duration = std::time::Duration::from_secs(1);

/// The set.
#[derive(Debug)]
pub(super) struct Readers {
    config: KafkaConfig,
    idle: Arc<Mutex<Vec<Idle>>>,
    lent: Arc<Semaphore>,
}

#[derive(Debug)]
struct Idle {
    client: Client,
    since: Instant,
}

/// A client and where it stands.
struct Client {
    consumer: StreamConsumer<Told>,
    topic_id: u64,
    /// The next offset of each partition that it reads.
    places: Vec<(u32, i64)>,
    /// Topics it has read, with their ids: one that was made again is not read by a client that knew the old one.
    known: HashMap<Arc<str>, u64>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("places", &self.places).finish_non_exhaustive()
    }
}

/// A client that is lent. It goes back when dropped.
#[derive(Debug)]
pub(super) struct Reader {
    client: Option<Client>,
    /// It was sent to its place for this read: an end that it tells of now is not one of before.
    is_fresh: bool,
    idle: Arc<Mutex<Vec<Idle>>>,
    _lent: OwnedSemaphorePermit,
}

/// What came from a client.
pub(super) enum Came {
    Record(StoredRecord),
    /// Everything of a partition that is visible came.
    End(u32),
}

impl Readers {
    pub(super) fn new(config: KafkaConfig) -> Self {
        Self { config, idle: Arc::default(), lent: Arc::new(Semaphore::new(MAX_READERS)) }
    }

    /// A client that goes on with these offsets of a topic's partitions. Waits while too many are lent.
    pub(super) async fn lend(
        &self,
        topic: &KafkaTopic,
        places: &[(u32, i64)],
    ) -> Result<Reader, EngineError> {
        let lent = Arc::clone(&self.lent).acquire_owned().await.map_err(|_| EngineError::Stopping)?;
        let found = self.take_idle(topic, places);
        if found.as_ref().is_some_and(|client| client.stands_at(topic.id, places)) {
            let idle = Arc::clone(&self.idle);
            return Ok(Reader { client: found, is_fresh: false, idle, _lent: lent });
        }
        let config = self.config.clone();
        let (name, topic_id, places) = (topic.name.clone(), topic.id, places.to_vec());
        let sent = tokio::task::spawn_blocking(move || {
            let mut client = match found {
                Some(client) => client,
                None => Client::new(&config)?,
            };
            client.send_to(&name, topic_id, places)?;
            Ok(client)
        });
        let client = sent
            .await
            .map_err(|_| EngineError::Stopping)?
            .map_err(|error: KafkaError| unavailable("reading", &error))?;
        Ok(Reader { client: Some(client), is_fresh: true, idle: Arc::clone(&self.idle), _lent: lent })
    }

    /// The idle client that suits best; none if a new one is better.
    fn take_idle(&self, topic: &KafkaTopic, places: &[(u32, i64)]) -> Option<Client> {
        let mut idle = self.idle.lock();
        let (old, kept): (Vec<_>, Vec<_>) = idle.drain(..).partition(|idle| {
            idle.since.elapsed() > READER_IDLE || idle.client.knew_another(&topic.name, topic.id)
        });
        *idle = kept;
        if !old.is_empty() {
            drop_apart(old);
        }
        if let Some(at) = idle.iter().position(|idle| idle.client.stands_at(topic.id, places)) {
            return Some(idle.swap_remove(at).client);
        }
        let oldest = (0..idle.len()).min_by_key(|at| idle[*at].since)?;
        let full = idle.len() + MAX_READERS - self.lent.available_permits() > MAX_READERS;
        (full || idle[oldest].since.elapsed() > KEEP_PLACE).then(|| idle.swap_remove(oldest).client)
    }

    /// Gives all idle clients up.
    pub(super) fn close(&self) {
        drop_apart(std::mem::take(&mut *self.idle.lock()));
    }
}

impl Client {
    fn new(config: &KafkaConfig) -> Result<Self, KafkaError> {
        let consumer = config.reader().create_with_context(Told)?;
        Ok(Self { consumer, topic_id: 0, places: Vec::new(), known: HashMap::new() })
    }

    fn stands_at(&self, topic_id: u64, places: &[(u32, i64)]) -> bool {
        self.topic_id == topic_id && self.places == places
    }

    fn knew_another(&self, topic: &str, topic_id: u64) -> bool {
        self.known.get(topic).is_some_and(|known| *known != topic_id)
    }

    fn send_to(
        &mut self,
        topic: &Arc<str>,
        topic_id: u64,
        places: Vec<(u32, i64)>,
    ) -> Result<(), KafkaError> {
        self.consumer.assign(&assignment(topic, &places)?)?;
        (self.topic_id, self.places) = (topic_id, places);
        self.known.insert(topic.clone(), topic_id);
        Ok(())
    }
}

/// Partitions of a topic with the offsets to start at.
pub(super) fn assignment(topic: &str, places: &[(u32, i64)]) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(places.len());
    for (partition, offset) in places {
        list.add_partition_offset(topic, partition.cast_signed(), Offset::Offset(*offset))?;
    }
    Ok(list)
}

impl Reader {
    /// What comes next; waits for it. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Came, EngineError> {
        let Some(client) = &mut self.client else { return Err(EngineError::Stopping) };
        loop {
            match client.consumer.recv().await {
                Ok(message) => {
                    let record = stored(&message, client.topic_id);
                    let place =
                        client.places.iter_mut().find(|(partition, _)| *partition == record.partition);
                    let Some((_, next)) = place else { continue };
                    // left over from where the client stood before
                    if record.offset < *next {
                        continue;
                    }
                    *next = record.offset + 1;
                    return Ok(Came::Record(record));
                }
                Err(KafkaError::PartitionEOF(partition)) => {
                    return Ok(Came::End(partition.unsigned_abs()));
                }
                Err(error) if is_over(&error) => return Err(unavailable("reading", &error)),
                // librdkafka goes on by itself
                Err(error) => tracing::debug!(target: "floe::kafka", %error, "reading is interrupted"),
            }
        }
    }

    /// Whether an end that it tells of is that of now, and not of a read before.
    pub(super) fn is_fresh(&self) -> bool {
        self.is_fresh
    }

    /// Begins anew where it stands: what it tells from now on is fresh.
    pub(super) async fn refresh(&mut self, topic: &Arc<str>) -> Result<(), EngineError> {
        let Some(mut client) = self.client.take() else { return Err(EngineError::Stopping) };
        let topic = topic.clone();
        let sent = tokio::task::spawn_blocking(move || {
            let (topic_id, places) = (client.topic_id, std::mem::take(&mut client.places));
            client.send_to(&topic, topic_id, places).map(|()| client)
        });
        let sent = sent.await.map_err(|_| EngineError::Stopping)?;
        self.client = Some(sent.map_err(|error| unavailable("reading", &error))?);
        self.is_fresh = true;
        Ok(())
    }

    /// A partition's place is known to be here: nothing lies between.
    pub(super) fn moved_to(&mut self, partition: u32, offset: i64) {
        let places = self.client.iter_mut().flat_map(|client| client.places.iter_mut());
        for (_, next) in places.filter(|(number, next)| *number == partition && *next < offset) {
            *next = offset;
        }
    }
}

/// Whether the client will not go on by itself.
pub(super) fn is_over(error: &KafkaError) -> bool {
    use rdkafka::error::RDKafkaErrorCode as Code;
    matches!(error, KafkaError::MessageConsumptionFatal(_))
        || matches!(
            error.rdkafka_error_code(),
            Some(
                Code::UnknownTopicOrPartition
                    | Code::UnknownTopic
                    | Code::UnknownPartition
                    | Code::OffsetOutOfRange
            )
        )
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            self.idle.lock().push(Idle { client, since: Instant::now() });
        }
    }
}

/// A message as a record, without what the engine adds for itself; its cursor is set once its page is known.
pub(super) fn stored(message: &BorrowedMessage<'_>, topic_id: u64) -> StoredRecord {
    let copy = bytes::Bytes::copy_from_slice;
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        headers
            .iter()
            .filter(|header| header.key != ATTEMPT)
            .map(|header| Header { name: header.key.to_owned().into(), value: header.value.map(copy) })
            .collect()
    });
    StoredRecord {
        partition: message.partition().unsigned_abs(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis().unwrap_or(-1),
        key: message.key().map(copy),
        value: message.payload().map(copy),
        headers,
        cursor: Cursor::Offsets(OffsetsCursor::new(topic_id, Vec::new())),
    }
}

/// Gives each record of a page that starts at `start` its cursor. Answers the place behind them all.
pub(super) fn place_each(records: &mut [StoredRecord], start: &OffsetsCursor) -> OffsetsCursor {
    let places = start.behind_each(records.iter().map(|record| (record.partition, record.offset)));
    let end = places.last().cloned().unwrap_or_else(|| start.clone());
    for (record, place) in records.iter_mut().zip(places) {
        record.cursor = Cursor::Offsets(place);
    }
    end
}
