//! Records as callers give them and as readers get them.

use std::borrow::Cow;

use bytes::Bytes;

use crate::Cursor;

/// One header of a record. Names may repeat and their order is kept, as Kafka does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The name, UTF-8. Names that the program gives itself cost no copy.
    pub name: Cow<'static, str>,
    /// The value; Kafka allows null.
    pub value: Option<Bytes>,
}

/// A record on its way in: the broker adds partition (when none is asked for), offset and timestamp.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewRecord {
    /// Decides the partition, unless `partition` does.
    pub key: Option<Bytes>,
    /// `None` is a tombstone.
    pub value: Option<Bytes>,
    /// In the order they are to be kept.
    pub headers: Vec<Header>,
    /// The partition asked for; `None` leaves it to the key, or to the broker when there is no key.
    pub partition: Option<u32>,
    /// Milliseconds since the epoch; `None` is the time of the append.
    pub timestamp: Option<i64>,
}

/// A record as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its partition.
    pub partition: u32,
    /// Its offset in the partition.
    pub offset: i64,
    /// Milliseconds since the epoch.
    pub timestamp: i64,
    /// The key's bytes.
    pub key: Option<Bytes>,
    /// The value's bytes; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// In the order they were given.
    pub headers: Vec<Header>,
    /// Where reading the whole topic goes on after this record.
    pub cursor: Cursor,
}

/// The promise behind an acknowledgement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acks {
    /// No promise: the answer comes as soon as the records are queued.
    None,
    /// The log has taken the records, they are not yet on disk.
    Written,
    /// The records are on disk.
    #[default]
    Durable,
}

/// A place to start reading from, or to move a group to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The oldest record still kept.
    Earliest,
    /// Behind the newest visible record.
    Latest,
    /// This offset.
    Offset(i64),
    /// The first record whose timestamp is at or after this time (epoch milliseconds); the end if there is none.
    Time(i64),
}
