//! What goes in, and what comes back.

use floe_broker::{Acks, NewRecord};

/// Records for one topic, stored whole or not at all.
#[derive(Clone, Debug)]
pub struct Append {
    /// The topic; it must exist.
    pub topic: String,
    /// At least one. Records without partition and key of one append go to the same partition.
    pub records: Vec<NewRecord>,
    /// The promise the answer waits for; `None` takes the topic's own (`floe.acks`, durable unless set).
    pub acks: Option<Acks>,
    /// Makes a repeat of the same append return the first answer.
    pub idempotency: Option<IdempotencyKey>,
}

/// A client's key for one write (header `Idempotency-Key`), and what it was used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// 1 to 255 visible ASCII characters.
    pub key: String,
    /// A digest of the request's content: the same key with another digest is refused.
    pub fingerprint: u64,
}

/// The answer to an [`Append`]: its promise holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Where each record went, in the order they were given.
    pub placements: Vec<Placement>,
    /// The idempotency key had been used before: these are the places of that first time.
    pub replayed: bool,
}

/// Where one record went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The partition.
    pub partition: u32,
    /// The offset, or -1 with `Acks::None`.
    pub offset: i64,
    /// Its timestamp, milliseconds since the epoch.
    pub timestamp: i64,
}
