//! A run from start to report.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Context;
use hdrhistogram::Histogram;
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{Instant, MissedTickBehavior, interval_at, sleep_until},
};

use crate::{
    Door, LoadOptions, Payloads, Rate, Source, Verify,
    feed::Feed,
    http::Client,
    http_worker::HttpWorker,
    ledger::Ledger,
    limits::MAX_HISTOGRAMS,
    progress::{IntervalLatency, Phase, Progress},
    record_id::RunId,
    report::{LatencyReport, Report},
    tally::{Latencies, Tally, Totals, latency_histogram},
    topic::{self, PartitionBounds},
    verify::Verifier,
    ws_worker::WsWorker,
};

/// How often progress is told.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long after its end a paced run may still hand out records that were due in time.
const GRACE: Duration = Duration::from_millis(100);
/// How long a run of generated values takes when nothing else ends it.
const DEFAULT_DURATION: Duration = Duration::from_secs(10);

/// A run in progress.
#[derive(Debug)]
pub struct LoadRun {
    progress: watch::Receiver<Progress>,
    feed: Arc<Feed>,
    task: JoinHandle<anyhow::Result<Report>>,
}

/// Ends a run early.
#[derive(Clone, Debug)]
pub struct Stopper(Arc<Feed>);

impl Stopper {
    /// Sends nothing more; what was sent is waited for, and reported.
    pub fn stop(&self) {
        self.0.stop();
    }
}

/// Everything a run holds while it goes on.
#[derive(Debug)]
struct Running {
    options: Arc<LoadOptions>,
    run: RunId,
    before: Vec<PartitionBounds>,
    feed: Arc<Feed>,
    tallies: Vec<Arc<Tally>>,
    shards: Vec<Arc<Latencies>>,
    workers: JoinSet<Option<Ledger>>,
    started: Instant,
    total: Option<u64>,
    deadline: Option<Instant>,
    latencies: Histogram<u64>,
    progress: watch::Sender<Progress>,
}

/// Starts a run: reads the payloads, makes the topic if need be, opens the connections.
///
/// Fails when the options can't be followed or the server can't be reached; what goes wrong later is in the report.
pub async fn start(options: LoadOptions) -> anyhow::Result<LoadRun> {
    options.check()?;
    let payloads = Arc::new(payloads_of(&options)?);
    let mut client = Client::new(options.target.clone(), options.timeout);
    let before = topic::ensure(&mut client, &options.topic, options.create_partitions).await?;

    let (total, duration) = extent_of(&options, &payloads);
    let options = Arc::new(options);
    let run = RunId::random();
    let started = Instant::now();
    let feed = Feed::new(options.rate, total, options.batch, options.connections, &payloads, started);
    let shards: Vec<_> =
        (0..options.connections.min(MAX_HISTOGRAMS)).map(|_| Arc::new(Latencies::new())).collect();
    let tally = |connection: usize| Arc::new(Tally::new(Arc::clone(&shards[connection % shards.len()])));
    let tallies: Vec<_> = (0..options.connections).map(tally).collect();
    let mut workers = JoinSet::new();
    for (connection, tally) in (0..).zip(&tallies) {
        let puller = feed.puller(usize::from(connection));
        match options.door {
            Door::WebSocket { window } => {
                let worker = WsWorker::new(&options, &payloads, puller, tally, run, (connection, window));
                workers.spawn(worker.run());
            }
            Door::Records | Door::RegisterEvent => {
                let worker = HttpWorker::new(&options, &payloads, puller, tally, run, connection);
                workers.spawn(worker.run());
            }
        }
    }
    let (progress, looked) = watch::channel(Progress { total, ..Progress::default() });
    let running = Running {
        options,
        run,
        before,
        feed: Arc::clone(&feed),
        tallies,
        shards,
        workers,
        started,
        total,
        deadline: duration.map(|duration| started + duration),
        latencies: latency_histogram(),
        progress,
    };
    Ok(LoadRun { progress: looked, feed, task: tokio::spawn(running.finish()) })
}

fn payloads_of(options: &LoadOptions) -> anyhow::Result<Payloads> {
    match &options.source {
        Source::Generated { bytes, keys } => Payloads::generated(*bytes, *keys),
        Source::File { path, key_field } => Payloads::from_file(path, key_field.as_deref()),
    }
}

/// How many records there will be, and how long it may take.
fn extent_of(options: &LoadOptions, payloads: &Payloads) -> (Option<u64>, Option<Duration>) {
    let (count, duration) = match (options.extent.count, options.extent.duration) {
        (None, None) if payloads.are_from_file() => (Some(payloads.len() as u64), None),
        (None, None) => (None, Some(DEFAULT_DURATION)),
        asked => asked,
    };
    // Those whose instant lies before the end, not on it.
    let in_time =
        duration.and_then(|duration| options.rate.due_by(duration.saturating_sub(Duration::from_nanos(1))));
    let total = match (count, in_time) {
        (Some(count), Some(in_time)) => Some(count.min(in_time)),
        (count, in_time) => count.or(in_time),
    };
    (total, duration)
}

impl LoadRun {
    /// Looks at the run, once a second.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// Something to end the run with while [`LoadRun::report`] is waited for.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.feed))
    }

    /// Waits for the end.
    pub async fn report(self) -> anyhow::Result<Report> {
        self.task.await.context("the run broke down")?
    }
}

impl Running {
    async fn finish(mut self) -> anyhow::Result<Report> {
        let pacer = self.feed.start_pacer();
        let ledgers = self.send().await?;
        let elapsed = self.started.elapsed();
        let behind = self.feed.behind();
        self.feed.stop();
        if let Some(pacer) = pacer {
            pacer.thread().unpark();
        }
        let mut report = self.report(elapsed, behind);
        if self.options.verify == Verify::ReadBack {
            report.verification = Some(self.verify(ledgers).await?);
        }
        self.progress.send_modify(|progress| progress.phase = Phase::Done);
        Ok(report)
    }

    /// Looks on while the connections send.
    async fn send(&mut self) -> anyhow::Result<Vec<Ledger>> {
        let mut ledgers = Vec::new();
        let mut ticks = interval_at(self.started + LOOK_EVERY, LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let grace = if self.options.rate == Rate::Max { Duration::ZERO } else { GRACE };
        let end = self.deadline.map(|deadline| deadline + grace);
        let mut ended = false;
        let mut looked = (self.started, 0);
        loop {
            tokio::select! {
                ended = self.workers.join_next() => match ended {
                    Some(ledger) => ledgers.extend(ledger.context("a connection's task broke down")?),
                    None => break,
                },
                now = ticks.tick() => looked = self.look(now, looked),
                () = sleep_until(end.unwrap_or_else(Instant::now)), if end.is_some() && !ended => {
                    ended = true;
                    self.feed.stop();
                }
            }
        }
        self.look(Instant::now(), looked);
        Ok(ledgers)
    }

    /// Tells how it is getting on; returns when that was, and how many were acknowledged.
    fn look(&mut self, now: Instant, (before, acknowledged_before): (Instant, u64)) -> (Instant, u64) {
        let mut interval = latency_histogram();
        for shard in &self.shards {
            shard.take(&mut interval);
        }
        // Both have the same bounds.
        let _ = self.latencies.add(&interval);
        let totals = self.totals();
        let seconds = now.saturating_duration_since(before).as_secs_f64().max(1e-3);
        let at = |quantile| Duration::from_micros(interval.value_at_quantile(quantile));
        // The last look may come right behind a regular one; a rate over so short a while says nothing.
        if now.saturating_duration_since(before) < LOOK_EVERY / 5 {
            return (now, totals.acknowledged);
        }
        self.progress.send_replace(Progress {
            phase: Phase::Sending,
            elapsed: now.saturating_duration_since(self.started),
            total: self.total,
            sent: totals.sent,
            acknowledged: totals.acknowledged,
            failed: totals.failed,
            unknown: totals.unknown,
            resent: totals.resent,
            behind: self.feed.behind(),
            rate: (totals.acknowledged - acknowledged_before) as f64 / seconds,
            latency: IntervalLatency { p50: at(0.5), p99: at(0.99), max: at(1.0) },
        });
        (now, totals.acknowledged)
    }

    fn totals(&self) -> Totals {
        Totals::of(self.tallies.iter().map(Arc::as_ref))
    }

    fn report(&self, elapsed: Duration, behind: u64) -> Report {
        let totals = self.totals();
        let seconds = elapsed.as_secs_f64().max(1e-6);
        let options = &self.options;
        Report {
            target: options.target.to_string(),
            topic: options.topic.clone(),
            mode: options.mode(),
            connections: options.connections,
            batch: options.batch,
            rate_asked: options.rate.to_string(),
            elapsed_seconds: seconds,
            requests: totals.requests,
            sent: totals.sent,
            acknowledged: totals.acknowledged,
            failed: totals.failed,
            unknown: totals.unknown,
            resent: totals.resent,
            replayed: totals.replayed,
            behind,
            rate_per_second: totals.acknowledged as f64 / seconds,
            value_bytes_per_second: totals.value_bytes as f64 / seconds,
            latency: LatencyReport::of(&self.latencies),
            reasons: totals.kinds,
            verification: None,
        }
    }

    async fn verify(&self, ledgers: Vec<Ledger>) -> anyhow::Result<crate::Verification> {
        let mut client = Client::new(self.options.target.clone(), self.options.timeout);
        let verifier = Verifier::new(self.run, ledgers);
        let told = AtomicU64::new(0);
        let progress = |read| {
            // A look for each page would drown a watcher that prints a line for each.
            if read >= told.load(Relaxed) + 50_000 {
                told.store(read, Relaxed);
                self.progress.send_modify(|progress| progress.phase = Phase::Verifying { read });
            }
        };
        verifier
            .read_back(&mut client, &self.options.topic, &self.before, progress)
            .await
            .context("cannot read back")
    }
}
