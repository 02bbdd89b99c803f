//! Following a topic's end.

use floe_broker::{Cursor, StoredRecord};

use crate::{embedded::EmbeddedTail, kafka::KafkaTail};

/// A topic's new records from the moment it was opened.
///
/// Everything up to [`Tail::after`] is in the log; everything behind it comes through [`Tail::next`], each once: in the
/// order of storing, or where the log has none across partitions, those of a partition in their order. A tail that isn't read costs a bounded amount of memory: what no longer fits is read from
/// the log instead.
#[derive(Debug)]
pub struct Tail {
    after: Cursor,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Embedded(EmbeddedTail),
    Kafka(Box<KafkaTail>),
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
        Self { after, source: Source::Embedded(source) }
    }

    pub(crate) fn kafka(after: Cursor, source: KafkaTail) -> Self {
        Self { after, source: Source::Kafka(Box::new(source)) }
    }

    /// Where it starts: right behind this.
    #[must_use]
    pub fn after(&self) -> Cursor {
        self.after.clone()
    }

    /// The next records, at least one; waits for them. Cancel-safe.
    pub async fn next(&mut self) -> Result<Vec<StoredRecord>, TailEnd> {
        match &mut self.source {
            Source::Embedded(tail) => tail.next().await,
            Source::Kafka(tail) => tail.next().await,
        }
    }
}
