//! A journal on faulty storage beside its model; the keeper works when told to.

use std::sync::Arc;

use floe_journal::{
    AppendError, BatchRef, DamageKind, FrameBuilder, Journal, JournalConfig, OpenError, Opened, PartitionId,
    Position, Replay,
};
use floe_testkit::faulty::FaultyStorage;
use rand::{RngExt, rngs::StdRng};

use crate::model::{Batch, Model, Sent};

pub(crate) const SEGMENT_BYTES: u32 = 64 << 10;
const JOURNAL_ID: u64 = 0x0123_4567_89ab_cdef;

pub(crate) fn config() -> JournalConfig {
    JournalConfig { segment_bytes: SEGMENT_BYTES, tail_cache_bytes: 8 << 10 }
}

/// The state that recovery gave back.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Replayed {
    /// How many state entries the snapshot stands for.
    pub(crate) in_snapshot: usize,
    pub(crate) behind: Vec<Vec<u8>>,
}

pub(crate) fn open(storage: &FaultyStorage) -> Result<(Opened, Replayed), OpenError> {
    open_with(storage, &config())
}

pub(crate) fn open_with(
    storage: &FaultyStorage,
    config: &JournalConfig,
) -> Result<(Opened, Replayed), OpenError> {
    let mut replayed = Replayed::default();
    let opened =
        floe_journal::open(Arc::new(storage.clone()), config, JOURNAL_ID, &mut |replay| match replay {
            Replay::Snapshot(state) => {
                replayed.in_snapshot =
                    usize::try_from(u64::from_le_bytes(state[..8].try_into().unwrap())).unwrap();
            }
            Replay::State(state) => replayed.behind.push(state.to_vec()),
        })?;
    Ok((opened, replayed))
}

/// All batches of a partition from `offset` on, by repeated look-ups.
pub(crate) fn walk(journal: &Journal, partition: PartitionId, offset: i64) -> Vec<BatchRef> {
    let mut found: Vec<BatchRef> = Vec::new();
    let mut from = offset;
    loop {
        let batches = journal.locate(partition, from, 16 << 10).unwrap();
        let Some(last) = batches.last() else { return found };
        assert!(last.last_offset() >= from, "a look-up went back");
        from = last.last_offset() + 1;
        found.extend(batches);
    }
}

/// A batch as the journal has it.
pub(crate) fn stored(journal: &Journal, partition: PartitionId, batch: &BatchRef) -> Batch {
    Batch {
        partition,
        base_offset: batch.base_offset(),
        last_offset: batch.last_offset(),
        max_timestamp: batch.max_timestamp(),
        flags: batch.flags(),
        body: journal.read(batch).unwrap().to_vec(),
        origin: batch.origin(),
    }
}

pub(crate) struct Rig {
    pub(crate) storage: FaultyStorage,
    pub(crate) opened: Opened,
    pub(crate) model: Model,
    next_state: u64,
}

/// A frame in the making, on both sides.
#[derive(Default)]
pub(crate) struct Draft {
    pub(crate) builder: FrameBuilder,
    pub(crate) batches: Vec<Batch>,
    pub(crate) states: Vec<Vec<u8>>,
}

impl Draft {
    pub(crate) fn batch(&mut self, partition: PartitionId, base_offset: i64, records: u32, body: Vec<u8>) {
        let max_timestamp = base_offset * 10;
        let flags = body.first().copied().unwrap_or(0);
        self.builder.records(partition, flags, (base_offset, records - 1), max_timestamp, &body);
        let last_offset = base_offset + i64::from(records) - 1;
        self.batches.push(Batch {
            partition,
            base_offset,
            last_offset,
            max_timestamp,
            flags,
            body,
            origin: 0,
        });
    }

    pub(crate) fn state(&mut self, body: Vec<u8>) {
        self.builder.state(&body);
        self.states.push(body);
    }
}

pub(crate) fn random_body(random: &mut StdRng, most: usize) -> Vec<u8> {
    let mut body = vec![0; random.random_range(1..=most)];
    random.fill(&mut body[..]);
    body
}

impl Rig {
    pub(crate) fn new(seed: u64) -> Self {
        Self::on(FaultyStorage::new(seed))
    }

    pub(crate) fn on(storage: FaultyStorage) -> Self {
        let (opened, replayed) = open(&storage).unwrap();
        assert_eq!(replayed, Replayed::default());
        Self { storage, opened, model: Model::default(), next_state: 0 }
    }

    /// Goes on with what a crash left, and with a model cut to match.
    pub(crate) fn adopt(&mut self, storage: FaultyStorage, opened: Opened) {
        self.model = self.model.cut_at(opened.report.end);
        // what recovery kept is on disk
        self.model.acked = self.model.frames.len();
        self.storage = storage;
        self.opened = opened;
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.opened.journal
    }

    pub(crate) fn send(&mut self, draft: Draft, essential: bool) -> Result<bool, AppendError> {
        let Draft { builder, mut batches, states } = draft;
        let written = self.opened.appender.append(builder, 1_000, essential)?;
        for (batch, place) in batches.iter_mut().zip(written.entries()) {
            batch.origin = place.position;
            assert_eq!(batch.body, place.body);
        }
        self.model.frames.push(Sent { end: written.end, batches, states });
        Ok(written.rolled)
    }

    /// One batch of one partition.
    pub(crate) fn send_batch(
        &mut self,
        partition: PartitionId,
        records: u32,
        body: Vec<u8>,
    ) -> Result<bool, AppendError> {
        let mut draft = Draft::default();
        draft.batch(partition, self.model.next_offset(partition), records, body);
        self.send(draft, false)
    }

    pub(crate) fn state_body(&mut self, random: &mut StdRng) -> Vec<u8> {
        self.next_state += 1;
        let mut body = self.next_state.to_le_bytes().to_vec();
        body.extend(random_body(random, 200));
        body
    }

    /// A frame of batches of several partitions, and perhaps state.
    pub(crate) fn send_random(
        &mut self,
        random: &mut StdRng,
        partitions: u64,
        most: usize,
    ) -> Result<bool, AppendError> {
        let mut draft = Draft::default();
        for partition in 1..=partitions {
            if random.random_bool(0.5) {
                let records = random.random_range(1..=5);
                draft.batch(partition, self.model.next_offset(partition), records, random_body(random, most));
            }
        }
        if random.random_bool(0.4) {
            draft.state(self.state_body(random));
        }
        self.send(draft, false)
    }

    pub(crate) fn sync(&mut self) -> Result<Position, AppendError> {
        let durable = self.opened.syncer.sync()?;
        self.model.ack(durable);
        Ok(durable)
    }

    pub(crate) fn snapshot(&mut self) {
        let count = self.model.states().len() as u64;
        self.opened.journal.store_snapshot(self.opened.appender.position(), count.to_le_bytes().to_vec());
    }

    pub(crate) fn work(&mut self) {
        self.opened.keeper.work().unwrap();
    }

    /// Stops as a killed process does, and starts again: what was written is still in the page cache.
    pub(crate) fn restart(&mut self) {
        let (opened, replayed) = open(&self.storage).unwrap();
        self.verify(&opened, &replayed);
        let storage = self.storage.clone();
        self.adopt(storage, opened);
    }

    /// Compares a freshly opened journal with the model: whole frames, in order, none of the acknowledged missing.
    pub(crate) fn verify(&self, opened: &Opened, replayed: &Replayed) {
        let left = self.model.cut_at(opened.report.end);
        assert!(
            left.frames.len() >= self.model.acked,
            "{} frames were acknowledged, {} are left; {:?}",
            self.model.acked,
            left.frames.len(),
            opened.report
        );
        // a write torn within one byte looks like a flipped bit, and is put right like one
        let mut damage = opened.journal.damage();
        damage.retain(|damage| damage.kind != DamageKind::Repaired);
        assert_eq!(damage, [], "a crash is no damage");
        assert_eq!(opened.journal.durable(), opened.appender.position(), "what recovery keeps is on disk");
        let states = left.states();
        assert!(replayed.in_snapshot <= states.len(), "the snapshot is ahead of the journal");
        let number = |state: &[u8]| u64::from_le_bytes(state[..8].try_into().unwrap());
        assert!(
            states[replayed.in_snapshot..] == replayed.behind,
            "state entries {:?}, replayed {:?}; {:?}",
            states[replayed.in_snapshot..].iter().map(|state| number(state)).collect::<Vec<_>>(),
            replayed.behind.iter().map(|state| number(state)).collect::<Vec<_>>(),
            opened.report
        );
        for partition in self.model.partitions() {
            verify_partition(&opened.journal, &left, partition);
        }
    }

    /// The open journal against the model.
    pub(crate) fn verify_live(&self) {
        for partition in self.model.partitions() {
            verify_partition(self.journal(), &self.model, partition);
        }
    }
}

fn verify_partition(journal: &Journal, model: &Model, partition: PartitionId) {
    let expected = model.kept(partition);
    let found = walk(journal, partition, model.start(partition));
    let offsets = |found: &[BatchRef]| found.iter().map(BatchRef::base_offset).collect::<Vec<_>>();
    assert_eq!(
        offsets(&found),
        expected.iter().map(|batch| batch.base_offset).collect::<Vec<_>>(),
        "offsets of partition {partition}"
    );
    for (batch, expected) in found.iter().zip(expected) {
        assert!(
            stored(journal, partition, batch) == *expected,
            "batch {expected:?} of partition {partition}"
        );
    }
}
