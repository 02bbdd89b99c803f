//! Looking for the records of an attempt in the partitions that they may be in.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use rdkafka::{
    Message,
    consumer::StreamConsumer,
    error::KafkaError,
    message::{BorrowedMessage, Headers},
};
use tokio::time::{Instant, timeout_at};

use super::{
    catalog::KafkaTopic,
    client::{KafkaConfig, Told, drop_apart, open_at},
    error::unavailable,
    keys::{ATTEMPT, Attempt, Placed},
    readers::{assignment, is_over},
};
use crate::EngineError;

/// How long a search may take.
const LIMIT: Duration = Duration::from_secs(5);
/// How long it goes on at the end of the partitions: a broker that answers again after a while may still be storing what it
/// had received before.
const SETTLE: Duration = Duration::from_secs(1);

/// What is stored of an attempt: where each record went, by its number.
pub(super) type Found = BTreeMap<usize, Placed>;

/// Reads from where the attempt began to the end, and answers what there is of it.
pub(super) async fn find(
    config: &KafkaConfig,
    topic: &KafkaTopic,
    attempt: &Attempt,
) -> Result<Found, EngineError> {
    let limit = Instant::now() + LIMIT;
    let mut config = config.reader();
    // to the very end, also where somebody else's transaction is open
    config.set("isolation.level", "read_uncommitted");
    let places = assignment(&topic.name, &attempt.floors);
    let consumer = open_at(config, places, "looking for records").await?;
    let found = read(&consumer, attempt, limit).await;
    drop_apart(consumer);
    found
}

async fn read(
    consumer: &StreamConsumer<Told>,
    attempt: &Attempt,
    limit: Instant,
) -> Result<Found, EngineError> {
    let mut found = Found::new();
    let mut open: BTreeSet<u32> = attempt.floors.iter().map(|(partition, _)| *partition).collect();
    let mut until = limit;
    loop {
        match timeout_at(until, consumer.recv()).await {
            Ok(Ok(message)) => {
                if let Some(number) = number_in(&message, &attempt.id) {
                    let partition = message.partition().unsigned_abs();
                    let time = message.timestamp().to_millis().unwrap_or(-1);
                    found.entry(number).or_insert((partition, message.offset(), time));
                }
            }
            Ok(Err(KafkaError::PartitionEOF(partition))) => {
                if open.remove(&partition.unsigned_abs()) && open.is_empty() {
                    until = limit.min(Instant::now() + SETTLE);
                }
            }
            Ok(Err(error)) if is_over(&error) => return Err(unavailable("looking for records", &error)),
            // librdkafka goes on by itself
            Ok(Err(_)) => {}
            Err(_) if open.is_empty() => return Ok(found),
            Err(_) => {
                let why = format!("the topic could not be read to its end within {} s", LIMIT.as_secs());
                return Err(EngineError::Unavailable { why });
            }
        }
    }
}

/// The number of a record, if it is one of this attempt.
fn number_in(message: &BorrowedMessage<'_>, attempt: &str) -> Option<usize> {
    let header = message.headers()?.iter().find(|header| header.key == ATTEMPT)?;
    let (of, number) = std::str::from_utf8(header.value?).ok()?.rsplit_once('.')?;
    (of == attempt).then(|| number.parse().ok()).flatten()
}
