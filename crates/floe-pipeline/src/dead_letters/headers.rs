//! What a dead letter's headers say: ours (names of KIP-1191), and those that Kafka Connect and Spring write.

use bytes::Bytes;
use floe_engine::{Header, StoredRecord};

use super::{DeadLetter, DeadLetterState, Origin};

pub(super) const TOPIC: &str = "__dlq.errors.topic";
pub(super) const PARTITION: &str = "__dlq.errors.partition";
pub(super) const OFFSET: &str = "__dlq.errors.offset";
pub(super) const GROUP: &str = "__dlq.errors.group";
pub(super) const ATTEMPTS: &str = "__dlq.errors.delivery.count";
pub(super) const MESSAGE: &str = "__dlq.errors.message";
/// Milliseconds since the epoch, as decimal text; ours.
pub(super) const FIRST: &str = "__dlq.errors.first.timestamp";
/// See [`FIRST`].
pub(super) const LAST: &str = "__dlq.errors.last.timestamp";
/// How many bytes the value had, when the dead letter had to be written without it; ours.
pub(super) const VALUE_BYTES: &str = "__dlq.errors.value.bytes";
/// How often a record was redriven; stays with the record.
pub(super) const REDRIVES: &str = "floe.redrive.count";

/// Headers with these beginnings tell of the failure, and are not the record's own.
const FAILURE_PREFIXES: [&str; 3] = ["__dlq.", "__connect.errors.", "kafka_dlt-"];

/// A header with text.
pub(super) fn text(name: &'static str, value: impl Into<String>) -> Header {
    Header { name: name.into(), value: Some(Bytes::from(value.into())) }
}

/// How often the record was redriven before.
pub(super) fn redrives(headers: &[Header]) -> u32 {
    Named(headers).number(REDRIVES).unwrap_or(0)
}

/// A record of a dead-letter topic as what it stands for.
pub(super) fn decode(record: StoredRecord, state: DeadLetterState) -> DeadLetter {
    let named = Named(&record.headers);
    let error = named
        .text(MESSAGE)
        .or_else(|| named.text("__connect.errors.exception.message"))
        .or_else(|| named.text("__connect.errors.exception.class.name"))
        .or_else(|| named.text("kafka_dlt-exception-message"))
        .or_else(|| named.text("kafka_dlt-exception-fqcn"));
    DeadLetter {
        id: super::id(record.partition, record.offset),
        state,
        error: error.unwrap_or_else(|| "its headers don't say".to_owned()),
        attempts: named.number(ATTEMPTS).unwrap_or(1),
        first_failure: named.number(FIRST),
        last_failure: named.number(LAST).unwrap_or(record.timestamp),
        origin: named.origin(),
        redrives: redrives(&record.headers),
        headers: own(&record.headers),
        key: record.key,
        value: record.value,
    }
}

/// The record's own headers, as they were in the origin topic.
fn own(headers: &[Header]) -> Vec<Header> {
    let tells = |header: &&Header| !FAILURE_PREFIXES.iter().any(|prefix| header.name.starts_with(prefix));
    headers.iter().filter(tells).cloned().collect()
}

/// Headers by name; of those that repeat, the last counts: whoever writes a dead letter puts theirs behind the record's.
struct Named<'a>(&'a [Header]);

impl Named<'_> {
    fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().rfind(|header| header.name == name)?.value.as_deref()
    }

    fn text(&self, name: &str) -> Option<String> {
        self.bytes(name).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    fn number<N: std::str::FromStr>(&self, name: &str) -> Option<N> {
        std::str::from_utf8(self.bytes(name)?).ok()?.trim().parse().ok()
    }

    /// Kafka's own, Connect's (both text), or Spring's (big-endian integers).
    fn origin(&self) -> Option<Origin> {
        let written = |prefix: &str| {
            Some(Origin {
                topic: self.text(&format!("{prefix}topic"))?,
                partition: self.number(&format!("{prefix}partition"))?,
                offset: self.number(&format!("{prefix}offset"))?,
            })
        };
        let spring = || {
            let partition = self.bytes("kafka_dlt-original-partition")?;
            let offset = self.bytes("kafka_dlt-original-offset")?;
            Some(Origin {
                topic: self.text("kafka_dlt-original-topic")?,
                partition: u32::try_from(i32::from_be_bytes(partition.try_into().ok()?)).ok()?,
                offset: i64::from_be_bytes(offset.try_into().ok()?),
            })
        };
        written("__dlq.errors.").or_else(|| written("__connect.errors.")).or_else(spring)
    }
}
