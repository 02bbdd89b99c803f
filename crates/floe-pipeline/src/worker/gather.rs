//! Reading a batch.

use std::{sync::Arc, time::Duration};

use floe_engine::{OffsetSpec, Page, PartitionRead, StoredRecord};
use floe_transform::Outcome;
use tokio::time::Instant;

use super::{
    Place, Shared,
    partition::{End, Partition},
};
use crate::{BatchSpec, LogError, limits::READ_WAIT};

/// Records of one partition, and where it is read on.
#[derive(Debug)]
pub(super) struct Gathered {
    /// May be empty when there were only gaps.
    pub(super) records: Vec<StoredRecord>,
    pub(super) next_offset: i64,
    /// What the steps made of them, if they have run already.
    pub(super) outcomes: Option<Vec<Outcome>>,
}

impl Gathered {
    fn empty(next_offset: i64) -> Self {
        Self { records: Vec::new(), next_offset, outcomes: None }
    }

    /// Whether no more may be added.
    pub(super) fn is_full(&self, bounds: &BatchSpec) -> bool {
        self.records.len() >= bounds.max_records || self.bytes() >= bounds.max_bytes
    }

    fn bytes(&self) -> usize {
        let size = |record: &StoredRecord| {
            record.key.as_ref().map_or(0, bytes::Bytes::len)
                + record.value.as_ref().map_or(0, bytes::Bytes::len)
        };
        self.records.iter().map(size).sum()
    }
}

/// The batch from `from` on with its steps done, while the one before it is on its way: only when a whole one is there
/// already, so that what comes slowly still makes large batches. Whatever is unusual is left for [`Partition::gather`].
/// A partition holds two batches at most.
pub(super) async fn ahead(shared: Arc<Shared>, place: Arc<Place>, from: i64) -> Option<Gathered> {
    let bounds = shared.spec.batch;
    let read = PartitionRead {
        topic: place.topic.to_string(),
        partition: place.partition,
        from: OffsetSpec::Offset(from),
        max_records: bounds.max_records,
        max_bytes: bounds.max_bytes,
        wait: Duration::ZERO,
    };
    let page = shared.log.read(read).await.ok().filter(|page| page.gaps.is_empty())?;
    let mut gathered = Gathered { records: page.records, next_offset: page.next_offset, outcomes: None };
    if !gathered.is_full(&bounds) {
        return None;
    }
    gathered.outcomes = Some(shared.steps.run(&place.topic, &gathered.records).await.ok()?);
    Some(gathered)
}

impl Partition {
    /// The next batch from `from` on. Comes back with nothing when it is to stand or to end.
    pub(super) async fn gather(&mut self, from: i64) -> Result<Gathered, End> {
        let bounds = self.shared.spec.batch;
        let mut gathered = Gathered::empty(from);
        let mut until: Option<Instant> = None;
        loop {
            let rest = until.map_or(READ_WAIT, |until| until.saturating_duration_since(Instant::now()));
            let room = (
                bounds.max_records.saturating_sub(gathered.records.len()),
                bounds.max_bytes.saturating_sub(gathered.bytes()),
            );
            if until.is_some() && rest.is_zero() || room.0 == 0 || room.1 == 0 {
                return Ok(gathered);
            }
            let page = match self.read(gathered.next_offset, room, rest.min(READ_WAIT)).await {
                None => return Ok(Gathered::empty(from)),
                Some(Ok(page)) => page,
                Some(Err(LogError::OutOfRange { offset, start, end })) => {
                    self.out_of_range(offset, start, end);
                    gathered.next_offset = offset.clamp(start, end.max(start));
                    return Ok(gathered);
                }
                Some(Err(error)) => {
                    self.log_failed(gathered.next_offset, error).await?;
                    continue;
                }
            };
            self.shared.log_outage.reached();
            self.out_of_trouble();
            self.note_gaps(&page);
            gathered.records.extend(page.records);
            gathered.next_offset = page.next_offset;
            if gathered.records.is_empty() {
                return Ok(gathered);
            }
            until.get_or_insert_with(|| Instant::now() + bounds.max_wait);
        }
    }

    /// `None` when it is to stand or to end.
    async fn read(
        &mut self,
        from: i64,
        (max_records, max_bytes): (usize, usize),
        wait: Duration,
    ) -> Option<Result<Page, LogError>> {
        let read = PartitionRead {
            topic: self.key.topic.to_string(),
            partition: self.key.partition,
            from: OffsetSpec::Offset(from),
            max_records,
            max_bytes,
            wait,
        };
        let log = self.shared.log.clone();
        let mut reading = std::pin::pin!(log.read(read));
        loop {
            tokio::select! {
                page = &mut reading => return Some(page),
                () = self.told() => {
                    if self.interrupted() {
                        return None;
                    }
                }
            }
        }
    }

    /// Retention was quicker than the pipeline, or the log has lost its end.
    fn out_of_range(&self, offset: i64, start: i64, end: i64) {
        let error = if offset < start {
            format!("{} records were deleted by retention before they were read", start - offset)
        } else {
            format!("the log ends at {end}, before the position {offset}: reading goes on at its end")
        };
        self.lost(offset, &error);
    }

    fn note_gaps(&self, page: &Page) {
        for gap in &page.gaps {
            let records = gap.to - gap.from + 1;
            self.lost(gap.from, &format!("{records} records are damaged on disk and passed over"));
        }
    }

    fn lost(&self, offset: i64, error: &str) {
        tracing::warn!(
            target: "floe_pipeline", pipeline = &*self.key.pipeline, topic = &*self.key.topic,
            partition = self.key.partition, offset, outcome = "lost", error, "records can't be read"
        );
        self.shared.tally.error(self.place.error(offset, error));
        self.shared.news.notify_one();
    }
}
