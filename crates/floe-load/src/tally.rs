//! What one connection counts. Each has a tally of its own; who looks adds them up.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use hdrhistogram::Histogram;

use crate::limits::{MAX_FAILURE_KINDS, MAX_LATENCY};

/// How a record ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The server said that its promise holds.
    Acknowledged,
    /// It is certain that it was not stored.
    Failed(String),
    /// It may have been stored: the connection broke or the time was over after sending, or the server can't tell.
    Unknown(String),
}

/// Counters and latencies of one connection.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) requests: AtomicU64,
    pub(crate) sent: AtomicU64,
    pub(crate) acknowledged: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) unknown: AtomicU64,
    pub(crate) resent: AtomicU64,
    pub(crate) replayed: AtomicU64,
    pub(crate) value_bytes: AtomicU64,
    latencies: Arc<Latencies>,
    kinds: Mutex<BTreeMap<String, u64>>,
}

/// Latencies since somebody took them last, in microseconds. A few connections share one: a histogram is large, and
/// adding up thousands of them every second would take time from the load.
#[derive(Debug)]
pub(crate) struct Latencies(Mutex<Histogram<u64>>);

/// Tallies added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) requests: u64,
    pub(crate) sent: u64,
    pub(crate) acknowledged: u64,
    pub(crate) failed: u64,
    pub(crate) unknown: u64,
    pub(crate) resent: u64,
    pub(crate) replayed: u64,
    pub(crate) value_bytes: u64,
    pub(crate) kinds: BTreeMap<String, u64>,
}

/// A histogram of microseconds with three significant digits.
pub(crate) fn latency_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MAX_LATENCY.as_micros() as u64, 3)
        .unwrap_or_else(|error| unreachable!("the bounds are constants that fit: {error}"))
}

impl Tally {
    pub(crate) fn new(latencies: Arc<Latencies>) -> Self {
        Self {
            requests: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
            resent: AtomicU64::new(0),
            replayed: AtomicU64::new(0),
            value_bytes: AtomicU64::new(0),
            latencies,
            kinds: Mutex::new(BTreeMap::new()),
        }
    }

    /// A request with so many records goes out for the first time.
    pub(crate) fn sending(&self, records: u64, value_bytes: u64) {
        self.requests.fetch_add(1, Relaxed);
        self.sent.fetch_add(records, Relaxed);
        self.value_bytes.fetch_add(value_bytes, Relaxed);
    }

    /// So many records ended this way.
    pub(crate) fn settle(&self, outcome: &Outcome, records: u64) {
        match outcome {
            Outcome::Acknowledged => self.acknowledged.fetch_add(records, Relaxed),
            Outcome::Failed(kind) => {
                self.count_kind(kind, records);
                self.failed.fetch_add(records, Relaxed)
            }
            Outcome::Unknown(kind) => {
                self.count_kind(kind, records);
                self.unknown.fetch_add(records, Relaxed)
            }
        };
    }

    /// An acknowledgement took this long, from when it was due to be asked for.
    pub(crate) fn acknowledged_after(&self, latency: Duration) {
        self.latencies.record(latency);
    }

    fn count_kind(&self, kind: &str, records: u64) {
        let mut kinds = lock(&self.kinds);
        let known = kinds.contains_key(kind) || kinds.len() < MAX_FAILURE_KINDS;
        *kinds.entry(if known { kind } else { "other" }.to_owned()).or_default() += records;
    }
}

impl Latencies {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(latency_histogram()))
    }

    fn record(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(1);
        lock(&self.0).saturating_record(micros);
    }

    /// Moves the latencies since the last call into `total`.
    pub(crate) fn take(&self, total: &mut Histogram<u64>) {
        let mut latencies = lock(&self.0);
        // Both have the same bounds, so there is nothing that one can hold and the other can't.
        let _ = total.add(&*latencies);
        latencies.reset();
    }
}

impl Totals {
    pub(crate) fn of<'a>(tallies: impl IntoIterator<Item = &'a Tally>) -> Self {
        let mut totals = Self::default();
        for tally in tallies {
            totals.requests += tally.requests.load(Relaxed);
            totals.sent += tally.sent.load(Relaxed);
            totals.acknowledged += tally.acknowledged.load(Relaxed);
            totals.failed += tally.failed.load(Relaxed);
            totals.unknown += tally.unknown.load(Relaxed);
            totals.resent += tally.resent.load(Relaxed);
            totals.replayed += tally.replayed.load(Relaxed);
            totals.value_bytes += tally.value_bytes.load(Relaxed);
            for (kind, records) in lock(&tally.kinds).iter() {
                *totals.kinds.entry(kind.clone()).or_default() += records;
            }
        }
        totals
    }
}

/// A lock whose holder can't leave a half-done change behind: a panic elsewhere is no reason to stop counting.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally() -> Tally {
        Tally::new(Arc::new(Latencies::new()))
    }

    #[test]
    fn what_was_sent_is_what_ended_one_way_or_another() {
        let (one, two) = (tally(), tally());
        one.sending(10, 2000);
        two.sending(5, 1000);
        one.settle(&Outcome::Acknowledged, 8);
        one.settle(&Outcome::Failed("507 STORAGE_FULL".into()), 2);
        two.settle(&Outcome::Unknown("connection broke".into()), 5);
        let totals = Totals::of([&one, &two]);
        assert_eq!(totals.sent, totals.acknowledged + totals.failed + totals.unknown);
        assert_eq!((totals.requests, totals.value_bytes), (2, 3000));
        assert_eq!(totals.kinds["connection broke"], 5);
    }

    #[test]
    fn kinds_of_failure_are_bounded() {
        let tally = tally();
        for n in 0..1000 {
            tally.settle(&Outcome::Failed(format!("kind {n}")), 1);
        }
        let totals = Totals::of([&tally]);
        assert_eq!(totals.kinds.len(), MAX_FAILURE_KINDS + 1);
        assert_eq!(totals.kinds.values().sum::<u64>(), 1000);
    }

    #[test]
    fn latencies_of_several_connections_become_one_distribution() {
        let shards = [Arc::new(Latencies::new()), Arc::new(Latencies::new())];
        let [one, two] = shards.clone().map(Tally::new);
        (1..=900).for_each(|_| one.acknowledged_after(Duration::from_millis(1)));
        (1..=100).for_each(|_| two.acknowledged_after(Duration::from_millis(50)));
        two.acknowledged_after(Duration::from_secs(100_000));
        let mut total = latency_histogram();
        shards.iter().for_each(|shard| shard.take(&mut total));
        let near = |quantile: f64, millis: u64| {
            let micros = total.value_at_quantile(quantile);
            assert!(micros.abs_diff(millis * 1000) * 1000 <= millis * 1000 * 2, "{quantile}: {micros} µs");
        };
        near(0.5, 1);
        near(0.95, 50);
        assert_eq!(total.len(), 1001);
        let again = total.len();
        shards[0].take(&mut total);
        assert_eq!(total.len(), again);
    }
}
