//! A random run over everything the journal can do.

use floe_journal::{FrameBuilder, PartitionId, Position};
use rand::{RngExt, rngs::StdRng};

use crate::rig::{Draft, Rig};

pub(crate) const PARTITIONS: u64 = 4;

impl Rig {
    /// One random step.
    pub(crate) fn step(&mut self, random: &mut StdRng) {
        match random.random_range(0..100) {
            0..55 => {
                let most = [200, 1_500, 6_000][random.random_range(0..3)];
                if self.send_random(random, PARTITIONS, most).unwrap() && random.random_bool(0.8) {
                    self.snapshot();
                }
            }
            55..75 => drop(self.sync().unwrap()),
            75..85 => self.work(),
            85..88 => {
                self.send(Draft::default(), true).unwrap();
            }
            88..90 => self.snapshot(),
            90..95 => self.raise_start(random),
            _ => self.clean(random),
        }
    }

    /// Moves a partition's first offset up, durably.
    pub(crate) fn raise_start(&mut self, random: &mut StdRng) {
        let partition = random.random_range(1..=PARTITIONS);
        let (start, next) = (self.model.start(partition), self.model.next_offset(partition));
        let mut draft = Draft::default();
        draft.state(self.state_body(random));
        self.send(draft, true).unwrap();
        self.sync().unwrap();
        let new = random.random_range(start..=next);
        self.model.starts.insert(partition, new);
    }

    /// Gives the emptiest segment back, after moving what lives in it.
    pub(crate) fn clean(&mut self, random: &mut StdRng) {
        let starts = self.model.starts.clone();
        let log_start = move |partition: PartitionId| Some(starts.get(&partition).copied().unwrap_or(0));
        let snapshot = self.journal().snapshot_position();
        let usage = self.journal().usage(&log_start);
        let done = usage.iter().filter(|segment| segment.end <= snapshot);
        let Some(least) = done.min_by_key(|segment| segment.live_bytes).copied() else { return };
        if least.live_bytes > 40 << 10 {
            return;
        }
        let live = self.journal().live_batches(least.base, &log_start).unwrap();
        for chunk in live.chunks(random.random_range(1..5)) {
            let mut builder = FrameBuilder::default();
            for (partition, batch) in chunk {
                let body = self.journal().read(batch).unwrap();
                let delta = u32::try_from(batch.last_offset() - batch.base_offset()).unwrap();
                let offsets = (batch.base_offset(), delta);
                let (flags, timestamp) = (batch.flags(), batch.max_timestamp());
                builder.moved(*partition, flags, offsets, timestamp, batch.origin(), &body);
            }
            self.send(Draft { builder, ..Draft::default() }, true).unwrap();
        }
        self.retire(least.base);
    }

    pub(crate) fn retire(&mut self, base: Position) {
        let mut builder = FrameBuilder::default();
        builder.retired(base);
        self.send(Draft { builder, ..Draft::default() }, true).unwrap();
        self.sync().unwrap();
        self.journal().recycle(base);
    }
}
