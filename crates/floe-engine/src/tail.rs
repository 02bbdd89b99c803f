//! Following a topic's end.

use floe_broker::{Cursor, StoredRecord};

use crate::embedded::EmbeddedTail;

/// A topic's new records from the moment it was opened.
///
/// Everything up to [`Tail::after`] is in the log; everything behind it comes through [`Tail::next`], in the order
/// of storing, each once. A tail that isn't read costs a bounded amount of memory: what no longer fits is read from
/// the log instead.
#[derive(Debug)]
pub struct Tail {
    after: Cursor,
    source: EmbeddedTail,
}

/// Why a tail has no more records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TailEnd {
    /// The topic was deleted.
    Deleted,
    /// The engine is stopping.
    Stopped,
}

impl Tail {
    pub(crate) fn embedded(after: Cursor, source: EmbeddedTail) -> Self {
        Self { after, source }
    }

    /// Where it starts: right behind this.
    #[must_use]
    pub fn after(&self) -> Cursor {
        self.after
    }

    /// The next records, at least one; waits for them. Cancel-safe.
    pub async fn next(&mut self) -> Result<Vec<StoredRecord>, TailEnd> {
        self.source.next().await
    }
}
