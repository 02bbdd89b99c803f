//! Single records that wait together for the same partition become one batch.

use std::{collections::HashMap, sync::Arc};

use floe_journal::FrameBuilder;

use super::Effect;
use crate::{
    NewRecord, Topic,
    batch::{BatchBuilder, BatchHeader, TimestampType},
    limits::MAX_MERGED_BATCH_BYTES,
};

/// Mark of a journal entry whose batch was built by this program.
pub(super) const BUILT_HERE: u8 = 1;

/// The batches in the making.
#[derive(Debug, Default)]
pub(super) struct Merge {
    open: Vec<OpenBatch>,
    /// Journal partition → place in `open`.
    by_partition: HashMap<u64, usize>,
}

#[derive(Debug)]
struct OpenBatch {
    topic: Arc<Topic>,
    partition: u32,
    base_offset: i64,
    builder: BatchBuilder,
}

impl Merge {
    /// Adds a record and answers its offset. The caller has checked its size.
    pub(super) fn push(
        &mut self,
        topic: &Arc<Topic>,
        partition: u32,
        record: &NewRecord,
        now_ms: i64,
        target: &mut Target<'_>,
    ) -> i64 {
        let id = topic.journal_id(partition);
        let known = self.by_partition.get(&id).copied();
        if let Some(at) = known
            && self.open[at].builder.size() + record.weight()
                > MAX_MERGED_BATCH_BYTES.min(topic.config().max_message_bytes())
        {
            self.close(id, target);
        }
        let at = *self.by_partition.entry(id).or_insert_with(|| {
            let mut builder = BatchBuilder::new();
            if topic.config().timestamp_type() == TimestampType::LogAppend {
                builder.set_log_append_time(now_ms);
            }
            let base_offset = i64::MIN;
            self.open.push(OpenBatch { topic: topic.clone(), partition, base_offset, builder });
            self.open.len() - 1
        });
        let offset = target.take_offset(topic, partition);
        let batch = &mut self.open[at];
        if batch.builder.is_empty() {
            batch.base_offset = offset;
        }
        batch.builder.push_record(record, now_ms);
        offset
    }

    /// Finishes the partition's batch, so that another one may follow it.
    pub(super) fn close(&mut self, journal_id: u64, target: &mut Target<'_>) {
        if let Some(at) = self.by_partition.remove(&journal_id) {
            self.open[at].finish(target);
        }
    }

    /// Finishes all batches.
    pub(super) fn close_all(mut self, target: &mut Target<'_>) {
        for batch in &mut self.open {
            batch.finish(target);
        }
    }
}

impl OpenBatch {
    fn finish(&mut self, target: &mut Target<'_>) {
        if self.builder.is_empty() {
            return;
        }
        let bytes = std::mem::take(&mut self.builder).finish(self.base_offset);
        target.records(&self.topic, self.partition, BUILT_HERE, &bytes);
    }
}

/// The frame being filled, and what will be visible when it is durable.
#[derive(Debug)]
pub(super) struct Target<'a> {
    pub(super) frame: &'a mut FrameBuilder,
    pub(super) effects: &'a mut Vec<Effect>,
    /// The time of the append.
    pub(super) now_ms: i64,
}

impl Target<'_> {
    #[expect(clippy::unused_self, reason = "offsets are taken by who fills the frame, and by nobody else")]
    fn take_offset(&self, topic: &Topic, partition: u32) -> i64 {
        topic.partition(partition).map_or(0, |partition| partition.take_offsets(1))
    }

    /// Adds a finished batch.
    pub(super) fn records(&mut self, topic: &Arc<Topic>, partition: u32, flags: u8, bytes: &[u8]) {
        let header = BatchHeader::parse(bytes).expect("a batch that was built or checked here");
        let last_delta =
            u32::try_from(header.last_offset() - header.base_offset).expect("a batch's offsets fit");
        let entry = self.frame.entries();
        let offsets = (header.base_offset, last_delta);
        // retention counts from the append when that is later than what the records say: what a client dates to the
        // past is not gone at once; for look-ups by time it is a bound from above
        let newest_ms = header.max_timestamp.max(self.now_ms);
        self.frame.records(topic.journal_id(partition), flags, offsets, newest_ms, bytes);
        self.effects.push(Effect::Appended {
            topic: topic.clone(),
            partition,
            end: header.last_offset() + 1,
            entry,
        });
    }
}
