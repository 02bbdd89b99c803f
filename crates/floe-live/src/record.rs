//! A record on its way to many subscribers.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use floe_engine::{Cursor, Header, StoredRecord};

use crate::limits::RECORD_OVERHEAD_BYTES;

/// The forms a record is sent in; each is encoded at most once per record of a ring, whoever asks first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The pub/sub WebSocket's `event` frame.
    WebSocket,
    /// The event stream's block.
    EventStream,
    /// The activity door's frame.
    Activity,
}

/// How many [`Dialect`]s there are.
const DIALECTS: usize = 3;

/// A record, and its encoded forms once somebody has asked for them.
#[derive(Debug)]
pub struct LiveRecord {
    record: StoredRecord,
    encoded: [OnceLock<Bytes>; DIALECTS],
}

impl LiveRecord {
    /// Wraps a record as it came from the engine.
    pub(crate) fn new(record: StoredRecord) -> Arc<Self> {
        Arc::new(Self { record, encoded: Default::default() })
    }

    /// Wraps a copy of a record that owns its bytes. What the engine hands out are slices of whole batches; kept for
    /// long, a small record would keep its big batch alive, and a ring's byte limit would not be true.
    pub(crate) fn detached(record: &StoredRecord) -> Arc<Self> {
        let copy = |bytes: &Option<Bytes>| bytes.as_deref().map(Bytes::copy_from_slice);
        let header = |header: &Header| Header { name: header.name.clone(), value: copy(&header.value) };
        Self::new(StoredRecord {
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key: copy(&record.key),
            value: copy(&record.value),
            headers: record.headers.iter().map(header).collect(),
            cursor: record.cursor.clone(),
        })
    }

    /// The record.
    #[must_use]
    pub fn record(&self) -> &StoredRecord {
        &self.record
    }

    /// Where reading goes on after it.
    #[must_use]
    pub fn cursor(&self) -> &Cursor {
        &self.record.cursor
    }

    /// The record in a dialect: `encode` runs the first time, later calls share what it made.
    pub fn encoded(&self, dialect: Dialect, encode: impl FnOnce(&StoredRecord) -> Bytes) -> Bytes {
        self.encoded[dialect as usize].get_or_init(|| encode(&self.record)).clone()
    }

    /// The bytes of key, value and headers.
    pub(crate) fn payload_bytes(&self) -> usize {
        let bytes = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let headers: usize =
            self.record.headers.iter().map(|header| header.name.len() + bytes(&header.value)).sum();
        bytes(&self.record.key) + bytes(&self.record.value) + headers
    }

    /// What it counts for in a ring: itself and about one encoded form.
    pub(crate) fn weight_bytes(&self) -> usize {
        RECORD_OVERHEAD_BYTES + 2 * self.payload_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialect_is_encoded_once_and_dialects_dont_mix() {
        let record = LiveRecord::new(StoredRecord {
            partition: 0,
            offset: 1,
            timestamp: 2,
            key: None,
            value: Some(Bytes::from_static(b"v")),
            headers: Vec::new(),
            cursor: Cursor::Journal(floe_engine::JournalCursor { topic_id: 1, position: 1, records: 1 }),
        });
        let first = record.encoded(Dialect::WebSocket, |_| Bytes::from_static(b"ws"));
        let again = record.encoded(Dialect::WebSocket, |_| unreachable!("encoded before"));
        assert_eq!((&first[..], &again[..]), (&b"ws"[..], &b"ws"[..]));
        assert_eq!(&record.encoded(Dialect::EventStream, |_| Bytes::from_static(b"sse"))[..], b"sse");
    }
}
