//! Who sends which record, and when: the open loop.
//!
//! A schedule says at which instant each record is due, whatever the server does. The pacer releases records as they
//! become due; connections take what is released. A connection that is still waiting for an answer takes its next
//! record late, but the record's latency counts from the instant it was due: a slow server can't hide by slowing the
//! client down (coordinated omission).

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{sync::Semaphore, time::Instant};

use crate::{Payloads, Rate, limits::MIN_PACER_PAUSE};

/// The work of a run, shared by its connections.
#[derive(Debug)]
pub(crate) struct Feed {
    rate: Rate,
    /// Records in all; none when only time ends the run.
    total: Option<u64>,
    batch: u64,
    started: Instant,
    stopped: AtomicBool,
    taken: AtomicU64,
    lanes: Lanes,
}

#[derive(Debug)]
enum Lanes {
    /// Whoever is free takes the next record.
    Shared { next: AtomicU64, due: Semaphore },
    /// Each connection has records of its own, so that those of one key keep their order.
    ByKey { lines: u64, owners: Vec<u32>, lanes: Vec<Lane> },
}

#[derive(Debug)]
struct Lane {
    lines: Vec<u32>,
    due: Semaphore,
}

/// One connection's end of the feed.
#[derive(Debug)]
pub(crate) struct Puller {
    feed: Arc<Feed>,
    connection: usize,
    position: u64,
}

/// Records to be sent in one request.
#[derive(Debug)]
pub(crate) struct Work {
    /// Their places in the run.
    pub(crate) indices: Vec<u64>,
    /// The instant at which the last of them was due.
    pub(crate) intended: Instant,
}

impl Feed {
    pub(crate) fn new(
        rate: Rate,
        total: Option<u64>,
        batch: usize,
        connections: usize,
        payloads: &Payloads,
        started: Instant,
    ) -> Arc<Self> {
        let lanes =
            match payloads.are_from_file() && payloads.all().iter().any(|payload| payload.key.is_some()) {
                true => Lanes::by_key(payloads, connections),
                false => Lanes::Shared { next: AtomicU64::new(0), due: Semaphore::new(0) },
            };
        let (stopped, taken) = (AtomicBool::new(false), AtomicU64::new(0));
        Arc::new(Self { rate, total, batch: batch as u64, started, stopped, taken, lanes })
    }

    pub(crate) fn puller(self: &Arc<Self>, connection: usize) -> Puller {
        Puller { feed: Arc::clone(self), connection, position: 0 }
    }

    /// No more records are handed out.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Relaxed);
        match &self.lanes {
            Lanes::Shared { due, .. } => due.close(),
            Lanes::ByKey { lanes, .. } => lanes.iter().for_each(|lane| lane.due.close()),
        }
    }

    /// Records that were due by now or by the end and that nobody has taken.
    pub(crate) fn behind(&self) -> u64 {
        let due = self.rate.due_by(self.started.elapsed()).unwrap_or(0);
        due.min(self.total.unwrap_or(u64::MAX)).saturating_sub(self.taken.load(Relaxed))
    }

    /// Starts the thread that releases records as they become due. A thread and not a task, because the runtime's
    /// timers are a millisecond wide, and that would show in every latency.
    pub(crate) fn start_pacer(self: &Arc<Self>) -> Option<JoinHandle<()>> {
        let feed = Arc::clone(self);
        (self.rate != Rate::Max).then(|| thread::spawn(move || feed.pace()))
    }

    fn pace(&self) {
        let mut released = 0;
        while !self.stopped.load(Relaxed) {
            let elapsed = self.started.elapsed();
            let due = self.rate.due_by(elapsed).unwrap_or(0).min(self.total.unwrap_or(u64::MAX));
            self.release(released..due);
            released = due;
            if Some(released) == self.total {
                self.release_waiting();
                return;
            }
            let next = self.rate.due_at(released).unwrap_or_default();
            thread::park_timeout(
                next.saturating_sub(elapsed).clamp(MIN_PACER_PAUSE, Duration::from_millis(50)),
            );
        }
    }

    fn release(&self, records: std::ops::Range<u64>) {
        match &self.lanes {
            Lanes::Shared { due, .. } => due.add_permits(records.end.saturating_sub(records.start) as usize),
            Lanes::ByKey { lines, owners, lanes } => {
                for index in records {
                    lanes[owners[(index % lines) as usize] as usize].due.add_permits(1);
                }
            }
        }
    }

    /// Lets connections go that wait for a full batch, or for a record of which there are none left.
    fn release_waiting(&self) {
        if let Lanes::Shared { due, .. } = &self.lanes {
            due.add_permits(self.batch as usize * crate::limits::MAX_CONNECTIONS);
        }
    }
}

impl Lanes {
    fn by_key(payloads: &Payloads, connections: usize) -> Self {
        let mut lanes: Vec<_> =
            (0..connections).map(|_| Lane { lines: Vec::new(), due: Semaphore::new(0) }).collect();
        let mut owners = Vec::with_capacity(payloads.len());
        for (line, payload) in payloads.all().iter().enumerate() {
            let owner = match &payload.key {
                Some(key) => {
                    let mut hasher = DefaultHasher::new();
                    key.hash(&mut hasher);
                    (hasher.finish() % connections as u64) as usize
                }
                None => line % connections,
            };
            owners.push(owner as u32);
            lanes[owner].lines.push(line as u32);
        }
        Self::ByKey { lines: payloads.len() as u64, owners, lanes }
    }
}

impl Puller {
    /// Waits for the next records; `None` when there are no more. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Work> {
        let wanted = self.wanted()?;
        if self.feed.rate != Rate::Max {
            self.due().acquire_many(wanted).await.ok()?.forget();
        }
        self.take(wanted)
    }

    /// The next records, if some are due right now.
    pub(crate) fn try_next(&mut self) -> Option<Work> {
        let wanted = self.wanted()?;
        if self.feed.rate != Rate::Max {
            self.due().try_acquire_many(wanted).ok()?.forget();
        }
        self.take(wanted)
    }

    fn due(&self) -> &Semaphore {
        match &self.feed.lanes {
            Lanes::Shared { due, .. } => due,
            Lanes::ByKey { lanes, .. } => &lanes[self.connection].due,
        }
    }

    /// How many records to ask for; `None` at the end of the run.
    fn wanted(&self) -> Option<u32> {
        let feed = &*self.feed;
        if feed.stopped.load(Relaxed) {
            return None;
        }
        let total = feed.total.unwrap_or(u64::MAX);
        match &feed.lanes {
            Lanes::Shared { next, .. } => (next.load(Relaxed) < total).then_some(feed.batch as u32),
            Lanes::ByKey { .. } => {
                let left = (0..feed.batch)
                    .take_while(|ahead| self.own(self.position + ahead).is_some_and(|at| at < total));
                u32::try_from(left.count()).ok().filter(|left| *left > 0)
            }
        }
    }

    /// The place in the run of this connection's own `position`-th record.
    fn own(&self, position: u64) -> Option<u64> {
        let Lanes::ByKey { lines, lanes, .. } = &self.feed.lanes else { return None };
        let own = &lanes[self.connection].lines;
        let length = own.len() as u64;
        let line = own.get(position.checked_rem(length)? as usize)?;
        Some(position / length * lines + u64::from(*line))
    }

    fn take(&mut self, wanted: u32) -> Option<Work> {
        let total = self.feed.total.unwrap_or(u64::MAX);
        let indices: Vec<u64> = match &self.feed.lanes {
            Lanes::Shared { next, .. } => {
                let first = next.fetch_add(u64::from(wanted), Relaxed);
                (first..first.saturating_add(u64::from(wanted)).min(total)).collect()
            }
            Lanes::ByKey { .. } => {
                let taken = (self.position..).take(wanted as usize).filter_map(|at| self.own(at)).collect();
                self.position += u64::from(wanted);
                taken
            }
        };
        let last = *indices.last()?;
        self.feed.taken.fetch_add(indices.len() as u64, Relaxed);
        let intended = match self.feed.rate.due_at(last) {
            Some(due) => self.feed.started + due,
            None => Instant::now(),
        };
        Some(Work { indices, intended })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(
        rate: &str,
        total: Option<u64>,
        batch: usize,
        connections: usize,
        payloads: &Payloads,
    ) -> Arc<Feed> {
        Feed::new(rate.parse().unwrap(), total, batch, connections, payloads, Instant::now())
    }

    async fn drain(mut puller: Puller) -> Vec<Vec<u64>> {
        let mut all = Vec::new();
        while let Some(work) = puller.next().await {
            all.push(work.indices);
        }
        all
    }

    #[tokio::test]
    async fn every_record_is_handed_out_once_and_the_last_batch_is_short() {
        let payloads = Payloads::generated(20, None).unwrap();
        let feed = feed("max", Some(10), 4, 1, &payloads);
        assert_eq!(drain(feed.puller(0)).await, [vec![0, 1, 2, 3], vec![4, 5, 6, 7], vec![8, 9]]);
    }

    #[tokio::test]
    async fn a_paced_run_ends_for_all_connections() {
        let payloads = Payloads::generated(20, None).unwrap();
        let feed = feed("100000/s", Some(1001), 10, 3, &payloads);
        let pacer = feed.start_pacer().unwrap();
        let (a, b, c) = tokio::join!(drain(feed.puller(0)), drain(feed.puller(1)), drain(feed.puller(2)));
        let mut all: Vec<_> = [a, b, c].concat().concat();
        all.sort_unstable();
        assert_eq!(all, (0..1001).collect::<Vec<_>>());
        assert_eq!(feed.behind(), 0);
        pacer.join().unwrap();
    }

    #[tokio::test]
    async fn the_records_of_a_key_go_over_one_connection_in_their_order() {
        let text: String = (0..50).map(|n| format!("{{\"key\":\"k{}\",\"value\":{n}}}\n", n % 7)).collect();
        let payloads = Payloads::from_lines(text.as_bytes(), None).unwrap();
        let feed = feed("100000/s", Some(120), 2, 4, &payloads);
        let pacer = feed.start_pacer().unwrap();
        let mut seen = Vec::new();
        for connection in 0..4 {
            let records = drain(feed.puller(connection)).await.concat();
            assert!(records.is_sorted());
            seen.extend(
                records.into_iter().map(|index| (payloads.get(index).key.clone(), connection, index)),
            );
        }
        seen.sort();
        assert_eq!(seen.len(), 120);
        assert!(seen.windows(2).all(|pair| pair[0].0 != pair[1].0 || pair[0].1 == pair[1].1));
        pacer.join().unwrap();
    }

    #[tokio::test]
    async fn stopping_ends_the_wait_and_tells_what_was_left() {
        let payloads = Payloads::generated(20, None).unwrap();
        let feed = feed("1/h", None, 1, 1, &payloads);
        let mut puller = feed.puller(0);
        feed.stop();
        assert!(puller.next().await.is_none());
        assert_eq!(feed.behind(), 1);
    }

    #[tokio::test]
    async fn latency_counts_from_the_instant_a_record_was_due() {
        let payloads = Payloads::generated(20, None).unwrap();
        let started = Instant::now().checked_sub(Duration::from_secs(5)).unwrap();
        let feed = Feed::new("10/s".parse().unwrap(), Some(50), 1, 1, &payloads, started);
        let pacer = feed.start_pacer().unwrap();
        let work = feed.puller(0).next().await.unwrap();
        assert!(work.intended.elapsed() >= Duration::from_secs(5));
        pacer.join().unwrap();
    }
}
