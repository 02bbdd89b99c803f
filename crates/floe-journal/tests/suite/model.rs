//! What the journal should hold: a plain list of frames.

use std::collections::BTreeMap;

use floe_journal::{PartitionId, Position};

/// A batch as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) partition: PartitionId,
    pub(crate) base_offset: i64,
    pub(crate) last_offset: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) flags: u8,
    pub(crate) body: Vec<u8>,
    /// Where it was written first.
    pub(crate) origin: Position,
}

/// A frame as it was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) end: Position,
    pub(crate) batches: Vec<Batch>,
    pub(crate) states: Vec<Vec<u8>>,
}

/// All frames sent, and how far they were acknowledged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) frames: Vec<Sent>,
    /// The first frames that were acknowledged as durable.
    pub(crate) acked: usize,
    /// First offsets kept; moved only by what is acknowledged.
    pub(crate) starts: BTreeMap<PartitionId, i64>,
}

impl Model {
    pub(crate) fn start(&self, partition: PartitionId) -> i64 {
        self.starts.get(&partition).copied().unwrap_or(0)
    }

    /// The offset that the partition's next record gets.
    pub(crate) fn next_offset(&self, partition: PartitionId) -> i64 {
        let batches = self.frames.iter().rev().flat_map(|frame| frame.batches.iter().rev());
        batches
            .filter(|batch| batch.partition == partition)
            .map(|batch| batch.last_offset + 1)
            .next()
            .unwrap_or(0)
    }

    /// The batches of a partition that must be readable.
    pub(crate) fn kept(&self, partition: PartitionId) -> Vec<&Batch> {
        let start = self.start(partition);
        let batches = self.frames.iter().flat_map(|frame| &frame.batches);
        batches.filter(|batch| batch.partition == partition && batch.last_offset >= start).collect()
    }

    pub(crate) fn partitions(&self) -> Vec<PartitionId> {
        let mut all: Vec<_> =
            self.frames.iter().flat_map(|frame| &frame.batches).map(|batch| batch.partition).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// All state entries in order.
    pub(crate) fn states(&self) -> Vec<&[u8]> {
        self.frames.iter().flat_map(|frame| &frame.states).map(Vec::as_slice).collect()
    }

    /// Everything before `durable` is acknowledged.
    pub(crate) fn ack(&mut self, durable: Position) {
        self.acked = self.frames.iter().take_while(|frame| frame.end <= durable).count();
    }

    /// What is left when the journal ends at `end`.
    pub(crate) fn cut_at(&self, end: Position) -> Self {
        let kept = self.frames.iter().take_while(|frame| frame.end <= end).cloned().collect();
        Self { frames: kept, acked: self.acked, starts: self.starts.clone() }
    }
}
