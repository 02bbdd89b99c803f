//! The keeper: prepares segments ahead, seals finished ones, stores snapshots, recycles. Nobody waits for it.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use crate::{
    Position,
    crc::crc,
    damage::{Damage, DamageKind},
    footer::{DirectoryEntry, Footer, StateEntry, encode_list},
    index::Run,
    journal::Shared,
    limits::{PREPARE_CHUNK_BYTES, PREPARE_NEXT_SHARE, PREPARE_REST_MS},
    segment::Segment,
    snapshot::Snapshot,
    space::Space,
};

/// How long the keeper rests after a failure before it tries again.
const RETRY_REST: Duration = Duration::from_secs(1);

/// A finished segment that needs its footer.
#[derive(Debug)]
pub(crate) struct SealJob {
    pub(crate) segment: Arc<Segment>,
    pub(crate) end: Position,
    pub(crate) sequences: (u64, u64),
    pub(crate) states: Vec<StateEntry>,
}

/// What waits for the keeper. Bounded by nature: one seal a segment, the newest snapshot, one recycling a segment.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) space: Space,
    waiting: Mutex<Waiting>,
    ring: Condvar,
    /// Set while something waits for durability, so that each sync needn't take the lock.
    awaits_durable: AtomicBool,
    /// The base of the newest segment that is wholly prepared.
    next_ready: AtomicU64,
    /// That segment was asked for, and is not ready yet.
    preparing: AtomicBool,
}

#[derive(Debug, Default)]
struct Waiting {
    seals: VecDeque<SealJob>,
    snapshot: Option<(Position, Vec<u8>)>,
    recycle: VecDeque<Position>,
    /// The segment being written, whose successor is to be prepared, and whether it is written in bulk.
    writing: Option<(Arc<Segment>, bool)>,
    rung: bool,
    stop: bool,
}

impl Inbox {
    pub(crate) fn new(space: Space, seals: VecDeque<SealJob>) -> Self {
        let awaits_durable = AtomicBool::new(!seals.is_empty());
        let waiting = Mutex::new(Waiting { seals, rung: true, ..Waiting::default() });
        Self {
            space,
            waiting,
            ring: Condvar::new(),
            awaits_durable,
            next_ready: AtomicU64::new(0),
            preparing: AtomicBool::new(false),
        }
    }

    fn put(&self, put: impl FnOnce(&mut Waiting)) {
        let mut waiting = self.waiting.lock();
        put(&mut waiting);
        waiting.rung = true;
        self.ring.notify_one();
    }

    pub(crate) fn seal(&self, job: SealJob) {
        self.put(|waiting| {
            self.awaits_durable.store(true, Ordering::SeqCst);
            waiting.seals.push_back(job);
        });
    }

    pub(crate) fn snapshot(&self, position: Position, state: Vec<u8>) {
        self.put(|waiting| {
            self.awaits_durable.store(true, Ordering::SeqCst);
            waiting.snapshot = Some((position, state));
        });
    }

    pub(crate) fn recycle(&self, base: Position) {
        self.put(|waiting| waiting.recycle.push_back(base));
    }

    pub(crate) fn stop(&self) {
        self.put(|waiting| waiting.stop = true);
    }

    /// The writer is at `end` of `segment`: see to it that the next one is ready in time. While it writes in `bulk` the
    /// file is made without zeros in it.
    pub(crate) fn note_position(&self, segment: &Arc<Segment>, end: Position, region: u64, bulk: bool) {
        let wants_next = end - segment.base > region / PREPARE_NEXT_SHARE
            && self.next_ready.load(Ordering::Acquire) != segment.base + region;
        if wants_next && !self.preparing.swap(true, Ordering::AcqRel) {
            self.put(|waiting| waiting.writing = Some((segment.clone(), bulk)));
        }
    }

    /// Rests, unless something waits or the end has come.
    fn rest(&self, rest: Duration) {
        let mut waiting = self.waiting.lock();
        if !waiting.stop && !waiting.rung {
            self.ring.wait_for(&mut waiting, rest);
        }
    }

    pub(crate) fn note_durable(&self) {
        if self.awaits_durable.load(Ordering::SeqCst) {
            self.put(|_| {});
        }
    }
}

/// Does the journal's background work. Owned by one thread.
#[derive(Debug)]
pub struct Keeper {
    pub(crate) shared: Arc<Shared>,
}

impl Keeper {
    /// Works until [`crate::Journal::stop_keeper`] is called, and finishes what can be finished then.
    pub fn run(&mut self) {
        loop {
            let worked = self.work();
            let mut waiting = self.shared.inbox.waiting.lock();
            if waiting.stop {
                return;
            }
            match worked {
                Ok(()) if waiting.rung => {}
                Ok(()) => self.shared.inbox.ring.wait(&mut waiting),
                Err(error) => {
                    tracing::warn!(%error, "background work on the journal failed; it is tried again");
                    self.shared.inbox.ring.wait_for(&mut waiting, RETRY_REST);
                }
            }
            waiting.rung = false;
        }
    }

    /// Does all that can be done now; what waits for durability stays. One kind of work doesn't wait for another that
    /// fails: the first failure is answered.
    pub fn work(&mut self) -> io::Result<()> {
        // first what gives space back
        let recycled = self.recycle();
        let prepared = self.prepare();
        let sealed = self.seal();
        let stored = self.store_snapshot();
        recycled.and(prepared).and(sealed).and(stored)
    }

    fn prepare(&self) -> io::Result<()> {
        let Some((segment, bulk)) = self.shared.inbox.waiting.lock().writing.take() else { return Ok(()) };
        let prepared = self.prepare_next(&segment, bulk);
        match &prepared {
            Ok(()) => self.shared.inbox.preparing.store(false, Ordering::Release),
            Err(error) => {
                self.fail_unless_full(error);
                self.shared.inbox.waiting.lock().writing.get_or_insert((segment, bulk));
            }
        }
        prepared
    }

    /// The kernel tells a failed write-back once. When it tells the keeper, the writer's own sync of the same file
    /// would answer that all is well.
    fn fail_unless_full(&self, error: &io::Error) {
        if !is_full(error) && !self.shared.failed.load(Ordering::Acquire) {
            tracing::error!(%error, "preparing or sealing a segment failed; nothing more is written");
            self.shared.fail();
        }
    }

    /// All zeros go into a file that nobody syncs for a commit: the next segment is ready long before it is needed.
    fn prepare_next(&self, segment: &Segment, bulk: bool) -> io::Result<()> {
        let region = self.shared.segment_bytes();
        let base = segment.base + region;
        let Some(next) = self.shared.inbox.space.prepare(self.shared.storage.as_ref(), base, region)? else {
            return Ok(());
        };
        let mut at = next.prepared();
        // once the writer is in it, zeros would only be in its way
        while !bulk && at < region && self.shared.written.load(Ordering::Acquire) <= base {
            at = (at + PREPARE_CHUNK_BYTES).min(region);
            next.prepare(at, region)?;
            self.shared.inbox.rest(Duration::from_millis(PREPARE_REST_MS));
        }
        self.shared.inbox.next_ready.store(base, Ordering::Release);
        self.shared.full.store(false, Ordering::Release);
        Ok(())
    }

    fn seal(&self) -> io::Result<()> {
        if self.shared.failed.load(Ordering::Acquire) {
            return Ok(());
        }
        loop {
            let job = {
                let mut waiting = self.shared.inbox.waiting.lock();
                let durable = self.shared.durable.load(Ordering::SeqCst);
                match waiting.seals.front() {
                    // a footer vouches for the next segment's first frame, so that losing that file is noticed
                    Some(job) if job.segment.base + self.shared.segment_bytes() < durable => {
                        waiting.seals.pop_front()
                    }
                    Some(_) => return Ok(()),
                    None => {
                        self.shared.inbox.awaits_durable.store(waiting.snapshot.is_some(), Ordering::SeqCst);
                        return Ok(());
                    }
                }
            };
            let Some(job) = job else { return Ok(()) };
            if let Err(error) = self.seal_one(&job) {
                self.fail_unless_full(&error);
                self.shared.inbox.waiting.lock().seals.push_front(job);
                return Err(error);
            }
        }
    }

    /// Writes a segment's footer and lets go of its entries in memory.
    fn seal_one(&self, job: &SealJob) -> io::Result<()> {
        let mut open = self.shared.index.open_runs_of(job.segment.base);
        open.sort_by_key(|(partition, run)| (*partition, run.first_offset()));
        let mut lists = Vec::new();
        let mut directory = Vec::with_capacity(open.len());
        let mut runs = Vec::with_capacity(open.len());
        for (partition, run) in open {
            let list = encode_list(&run.entries);
            let entry = DirectoryEntry {
                partition,
                first_offset: run.first_offset(),
                last_offset: run.last_offset(),
                max_timestamp: run.max_timestamp(),
                first_origin: run.entries[0].origin,
                bytes: run.bytes(),
                list_at: u32::try_from(lists.len()).map_err(io::Error::other)?,
                list_bytes: u32::try_from(list.len()).map_err(io::Error::other)?,
                entries: u32::try_from(run.entries.len()).map_err(io::Error::other)?,
                list_crc: crc(&list),
            };
            lists.extend_from_slice(&list);
            directory.push(entry);
            runs.push((partition, Run::from_directory(&entry, &job.segment)));
        }
        let footer = Footer {
            journal_id: self.shared.meta.journal_id,
            base: job.segment.base,
            end: job.end,
            sequences: job.sequences,
            directory,
            states: job.states.clone(),
        };
        let (region, footer) = (self.shared.segment_bytes(), footer.encode(&lists));
        job.segment.file.write_at(&[&footer], region)?;
        // a footer is found from the file's end: nothing may stand behind it
        job.segment.file.truncate(region + footer.len() as u64)?;
        job.segment.file.sync()?;
        self.shared.index.seal(job.segment.base, runs);
        job.segment.sealed.store(true, Ordering::Release);
        Ok(())
    }

    fn store_snapshot(&self) -> io::Result<()> {
        let durable = self.shared.durable.load(Ordering::SeqCst);
        let taken = {
            let mut waiting = self.shared.inbox.waiting.lock();
            if waiting.snapshot.as_ref().is_some_and(|(position, _)| *position <= durable) {
                waiting.snapshot.take()
            } else {
                None
            }
        };
        let Some((position, state)) = taken else { return Ok(()) };
        let segments = {
            let all = self.shared.segments.read();
            let expected = all.iter().filter(|(_, segment)| !segment.given_up.load(Ordering::Acquire));
            expected.map(|(base, _)| *base).collect()
        };
        let snapshot = Snapshot { position, segments, state };
        match snapshot.store(self.shared.storage.as_ref(), self.shared.meta.journal_id) {
            Ok(before) => {
                self.shared.snapshot.store(before, Ordering::Release);
                Ok(())
            }
            Err(error) => {
                let mut waiting = self.shared.inbox.waiting.lock();
                waiting.snapshot.get_or_insert((position, snapshot.state));
                Err(error)
            }
        }
    }

    fn recycle(&self) -> io::Result<()> {
        loop {
            let Some(base) = self.shared.inbox.waiting.lock().recycle.pop_front() else { return Ok(()) };
            let Some(segment) = self.shared.segments.write().remove(&base) else { continue };
            self.shared.index.forget_segment(base);
            self.shared.lists.forget_segment(base);
            // after the index, so that whoever is told to look again doesn't find it again; before the file changes
            segment.retired.store(true, Ordering::Release);
            let bytes = self.shared.segment_bytes();
            if let Err(error) =
                self.shared.inbox.space.give_back(self.shared.storage.as_ref(), &segment, bytes)
            {
                // the file stays until the next start, which finds the retirement in the journal
                self.shared.damage.report(Damage {
                    file: segment.name(),
                    position: base,
                    bytes: 0,
                    kind: DamageKind::ForeignFile,
                });
                return Err(error);
            }
        }
    }
}

/// Whether an error says that there is no room.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
