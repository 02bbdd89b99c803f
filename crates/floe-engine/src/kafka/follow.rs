//! Following a topic's end: one client for all who watch it in this process.

use std::sync::Arc;

use floe_broker::OffsetsCursor;
use futures_util::FutureExt;
use rdkafka::{
    Message,
    consumer::{Consumer, StreamConsumer},
    error::{KafkaError, KafkaResult},
    message::BorrowedMessage,
};
use tokio::{
    sync::watch,
    time::{Instant, Interval, MissedTickBehavior, interval_at},
};

use super::{
    Kafka,
    catalog::KafkaTopic,
    client::{Told, drop_apart, open_at},
    limits::{TAIL_CHECK, TAIL_RECORDS},
    native::OffsetQuery,
    readers::{assignment, place_each, stored},
};
use crate::{Cursor, EngineError, StoredRecord, Tail, TailEnd};

/// The Kafka engine's tail. What nobody takes waits in the client, which fetches no more than a bounded amount ahead.
pub(crate) struct KafkaTail {
    kafka: Arc<Kafka>,
    topic: Arc<KafkaTopic>,
    consumer: Option<StreamConsumer<Told>>,
    /// Behind the last record given out.
    place: OffsetsCursor,
    /// Partitions that are followed.
    partitions: u32,
    gone: watch::Receiver<bool>,
    stopping: watch::Receiver<bool>,
    check: Interval,
}

impl std::fmt::Debug for KafkaTail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaTail").field("topic", &self.topic.name).finish_non_exhaustive()
    }
}

/// What woke a tail.
enum Woken {
    Records(Vec<StoredRecord>),
    Gone,
    Stopping,
    Check,
}

impl Kafka {
    pub(crate) async fn tail(self: &Arc<Self>, topic: &str) -> Result<Tail, EngineError> {
        self.check_open()?;
        let topic = self.cluster.look_up(topic).await?;
        let partitions = topic.partition_count();
        let ends = self.cluster.offsets(&topic, 0..partitions, OffsetQuery::Latest).await?;
        let place = OffsetsCursor::new(topic.id, ends.clone());
        let places = assignment(&topic.name, &(0..).zip(ends).collect::<Vec<_>>());
        let consumer = open_at(self.cluster.config.reader(), places, "following a topic").await?;
        let mut check = interval_at(Instant::now() + TAIL_CHECK, TAIL_CHECK);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (gone, stopping) = (topic.gone(), self.stopping());
        let after = Cursor::Offsets(place.clone());
        let kafka = Arc::clone(self);
        let tail =
            KafkaTail { kafka, topic, consumer: Some(consumer), place, partitions, gone, stopping, check };
        Ok(Tail::kafka(after, tail))
    }
}

impl Drop for KafkaTail {
    fn drop(&mut self) {
        if let Some(consumer) = self.consumer.take() {
            drop_apart(consumer);
        }
    }
}

impl KafkaTail {
    /// The next records. Cancel-safe: what was taken is given out before the next wait.
    pub(crate) async fn next(&mut self) -> Result<Vec<StoredRecord>, TailEnd> {
        loop {
            match self.woken().await {
                Woken::Records(records) if records.is_empty() => {}
                Woken::Records(mut records) => {
                    self.place = place_each(&mut records, &self.place);
                    return Ok(records);
                }
                Woken::Gone => return Err(TailEnd::Deleted),
                Woken::Stopping => return Err(TailEnd::Stopped),
                Woken::Check => self.look_at_topic().await,
            }
        }
    }

    async fn woken(&mut self) -> Woken {
        let Some(consumer) = &self.consumer else { return Woken::Stopping };
        let taking = Taking { topic_id: self.topic.id, place: &self.place };
        tokio::select! {
            // what came before the end comes before the end is told
            biased;
            message = consumer.recv() => Woken::Records(taking.take(consumer, message)),
            _ = self.gone.wait_for(|gone| *gone) => Woken::Gone,
            _ = self.stopping.wait_for(|stopping| *stopping) => Woken::Stopping,
            _ = self.check.tick() => Woken::Check,
        }
    }

    /// Notices a topic that was deleted or made again elsewhere, and follows partitions that were added.
    async fn look_at_topic(&mut self) {
        let Ok(now) = self.kafka.cluster.topic(&self.topic.name).await else { return };
        let added: Vec<_> =
            (self.partitions..now.partition_count()).map(|partition| (partition, 0)).collect();
        if now.id != self.topic.id || added.is_empty() {
            return;
        }
        let Some(consumer) = &self.consumer else { return };
        let assigned =
            assignment(&self.topic.name, &added).and_then(|list| consumer.incremental_assign(&list));
        match assigned {
            Ok(()) => self.partitions = now.partition_count(),
            Err(error) => {
                tracing::warn!(topic = %self.topic.name, %error, "added partitions can't be followed yet");
            }
        }
    }
}

/// Takes what a client has, without waiting.
struct Taking<'a> {
    topic_id: u64,
    place: &'a OffsetsCursor,
}

impl Taking<'_> {
    fn take(
        &self,
        consumer: &StreamConsumer<Told>,
        first: KafkaResult<BorrowedMessage<'_>>,
    ) -> Vec<StoredRecord> {
        let mut records = Vec::new();
        let mut next = Some(first);
        while let Some(message) = next.take() {
            match message {
                Ok(message)
                    if message.offset() >= self.place.next_offset(message.partition().unsigned_abs()) =>
                {
                    records.push(stored(&message, self.topic_id));
                }
                Ok(_) | Err(KafkaError::PartitionEOF(_)) => {}
                // librdkafka goes on by itself; a topic that is gone is noticed by its id
                Err(error) => {
                    tracing::debug!(target: "floe::kafka", %error, "following a topic is interrupted");
                    break;
                }
            }
            if records.len() < TAIL_RECORDS {
                next = consumer.recv().now_or_never();
            }
        }
        records
    }
}
