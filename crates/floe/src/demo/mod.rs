//! `floe demo`: shows that nothing is lost, repeated or reordered when the server is killed in the middle.
//!
//! Real input goes in over HTTP, one request an event; subscribers watch it live. When a part of it is acknowledged
//! the server is killed with SIGKILL and started again. Whoever sends, sends again what was not answered; whoever
//! watches, resumes at their cursor. In the end everything is read back and held against what was acknowledged, and
//! what pipelines made of it is shown: see [`events`]. At last it is asked about itself: see [`answers`].

mod answers;
mod events;
mod server;
mod subscriber;
mod verdict;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use clap::Args;
use floe_load::{
    Extent, LoadOptions, LoadRun, Rate, Report, Retry, Source, Verify,
    http::{Client, Target},
    topic::{PartitionBounds, bounds},
};
use serde_json::json;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::{
    exit,
    output::{Output, tell},
};
use events::Found;
use server::ServerProcess;
use subscriber::{Ends, Seen};
use verdict::Verdict;

/// How long a client keeps sending one record again: far longer than a restart takes.
const RETRY: Duration = Duration::from_secs(60);
/// How long subscribers may take to see the last records after the last acknowledgement.
const CATCH_UP: Duration = Duration::from_secs(60);
/// Enough for a subscriber to be behind by everything, so that a busy machine is not mistaken for a fault.
const QUEUE_SIZE: &str = "100000";

#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// Requests a minute or second of the larger stream; the smaller one goes along in proportion.
    #[arg(long, default_value = "30000/min", value_parser = str::parse::<Rate>)]
    rate: Rate,
    /// Connections of the larger stream.
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Live subscribers of each stream.
    #[arg(long, default_value_t = 4)]
    subscribers: usize,
    /// Where flights.ndjson and earthquakes.ndjson are.
    #[arg(long, default_value = "examples/data")]
    input: PathBuf,
    /// Kill the server when this percentage of the larger stream is acknowledged.
    #[arg(long, default_value_t = 45, value_parser = clap::value_parser!(u64).range(1..=95))]
    kill_at: u64,
}

/// One of the two streams of real input.
#[derive(Clone, Debug)]
struct Stream {
    topic: &'static str,
    partitions: u32,
    file: PathBuf,
    key_field: Option<&'static str>,
    connections: usize,
    rate: Rate,
}

/// What was measured around the kill.
#[derive(Clone, Copy, Debug)]
struct Outage {
    acknowledged_before: u64,
    ready_after: Duration,
    first_start: Duration,
}

impl DemoArgs {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let streams = self.streams()?;
        let directory = tempfile::Builder::new()
            .prefix("floe-demo-")
            .tempdir()
            .context("cannot make a temporary directory")?;
        let data_dir = directory.path().join("data");
        events::configure(directory.path())?;
        let server = ServerProcess::start(&data_dir, "127.0.0.1:0").await?;
        say(&format!("a server listens at {}, its records are in a temporary directory", server.target));
        let target = server.target.clone();
        make_topics(&target, &streams).await?;

        let (tell_ends, ends) = watch_ends(&streams);
        let mut watching = JoinSet::new();
        for (stream, ends) in streams.iter().zip(&ends) {
            for number in 1..=self.subscribers {
                let name = format!("{}-{number}", stream.topic);
                watching.spawn(subscriber::follow(
                    target.clone(),
                    stream.topic.to_owned(),
                    name,
                    ends.clone(),
                ));
            }
        }
        let started = Instant::now();
        let mut runs = Vec::new();
        for stream in &streams {
            runs.push(floe_load::start(stream.options(&target)).await?);
        }
        let (mut server, outage) = self.kill_and_restart(server, &data_dir, &runs[0]).await?;
        let finished = async {
            let mut reports = Vec::new();
            for run in runs {
                reports.push(run.report().await?);
            }
            say("everything is sent and read back; waiting for the subscribers");
            let stored = stored(&target, &streams, &tell_ends).await?;
            let seen = timeout(CATCH_UP, collect(&mut watching)).await;
            anyhow::Ok((reports, stored, seen.context("the subscribers did not see everything in time")??))
        };
        let (reports, stored, seen) = tokio::select! {
            finished = finished => finished?,
            error = server.ended() => return Err(error),
        };
        let (exit_code, found) = tables(server, directory.path(), &data_dir, reports.last()).await?;
        let verdict = Verdict {
            streams: &streams,
            reports: &reports,
            stored: &stored,
            seen: &seen,
            outage,
            found: &found,
            exit_code,
            took: started.elapsed(),
        };
        let mut out = Output::stdout();
        let held = verdict.print(&mut out)?;
        out.flush()?;
        if held { Ok(()) } else { Err(exit::Silent(1).into()) }
    }

    /// The streams, with the smaller one as much slower as it is shorter, so that both last equally long.
    fn streams(&self) -> anyhow::Result<[Stream; 2]> {
        let stream = |topic, partitions, key_field, connections, rate| {
            let file = self.input.join(format!("{topic}.ndjson"));
            Stream { topic, partitions, file, key_field, connections, rate }
        };
        let flights = stream("flights", 12, None, self.connections, self.rate);
        let mut earthquakes =
            stream("earthquakes", 3, Some("properties.net"), self.connections.div_ceil(8), self.rate);
        if let Rate::Every { records, period } = self.rate {
            let (many, few) = (lines_of(&flights.file)?, lines_of(&earthquakes.file)?);
            let slower = (records.get() * few / many.max(1)).max(1);
            let records = std::num::NonZeroU64::new(slower).context("a rate is above zero")?;
            earthquakes.rate = Rate::Every { records, period };
        }
        Ok([flights, earthquakes])
    }

    /// Kills the server when enough is acknowledged, and starts it again at the same address.
    async fn kill_and_restart(
        &self,
        mut server: ServerProcess,
        data_dir: &Path,
        run: &LoadRun,
    ) -> anyhow::Result<(ServerProcess, Outage)> {
        let mut progress = run.progress();
        let total = progress.borrow().total.context("the length of the input is known")?;
        let look = tokio::select! {
            look = progress.wait_for(|look| look.acknowledged * 100 >= total * self.kill_at) => look,
            error = server.ended() => return Err(error),
        };
        let acknowledged_before = look.context("the load ended before the server was killed")?.acknowledged;
        if acknowledged_before == total {
            bail!(
                "everything was acknowledged before the server could be killed: choose a lower --rate or --kill-at"
            );
        }
        let (target, first_start) = (server.target.clone(), server.ready_after);
        server.kill().await?;
        say(&format!("{acknowledged_before} of {total} are acknowledged: SIGKILL, and started again"));
        let address = target.authority().to_owned();
        let server = ServerProcess::start(data_dir, &address).await?;
        say(&format!(
            "it answers again, {:.0} ms after its start",
            server.ready_after.as_secs_f64() * 1000.0
        ));
        let outage = Outage { acknowledged_before, ready_after: server.ready_after, first_start };
        Ok((server, outage))
    }
}

impl Stream {
    fn options(&self, target: &Target) -> LoadOptions {
        LoadOptions {
            create_partitions: None,
            connections: self.connections,
            rate: self.rate,
            extent: Extent::default(),
            source: Source::File { path: self.file.clone(), key_field: self.key_field.map(str::to_owned) },
            retry: Retry::For(RETRY),
            verify: Verify::ReadBack,
            timeout: Duration::from_secs(10),
            ..LoadOptions::new(target.clone(), self.topic)
        }
    }
}

fn lines_of(path: &Path) -> anyhow::Result<u64> {
    let text = std::fs::read(path)
        .with_context(|| format!("cannot read {} (--input says where the files are)", path.display()))?;
    Ok(text.iter().filter(|byte| **byte == b'\n').count() as u64)
}

async fn make_topics(target: &Target, streams: &[Stream]) -> anyhow::Result<()> {
    let mut client = Client::new(target.clone(), RETRY);
    for stream in streams {
        let config = json!({ "floe.live.queue.size": QUEUE_SIZE });
        let body =
            json!({ "name": stream.topic, "partitions": stream.partitions, "config": config }).to_string();
        client.call("POST", "/topics", body.as_bytes()).await?;
    }
    Ok(())
}

type TellEnds = Vec<watch::Sender<Option<Ends>>>;

fn watch_ends(streams: &[Stream]) -> (TellEnds, Vec<watch::Receiver<Option<Ends>>>) {
    streams.iter().map(|_| watch::channel(None)).unzip()
}

/// What is stored of each stream; tells the subscribers where the end is.
async fn stored(
    target: &Target,
    streams: &[Stream],
    tell: &TellEnds,
) -> anyhow::Result<Vec<Vec<PartitionBounds>>> {
    let mut client = Client::new(target.clone(), RETRY);
    let mut all = Vec::new();
    for (stream, tell) in streams.iter().zip(tell) {
        let bounds = bounds(&mut client, stream.topic).await?;
        tell.send_replace(Some(bounds.iter().map(|bound| (bound.partition, bound.end)).collect()));
        all.push(bounds);
    }
    Ok(all)
}

async fn collect(watching: &mut JoinSet<anyhow::Result<Seen>>) -> anyhow::Result<Vec<Seen>> {
    let mut all = Vec::new();
    while let Some(seen) = watching.join_next().await {
        all.push(seen??);
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// Tells what is going on.
fn say(text: &str) {
    tell(&format!("demo: {text}"));
}

/// What the pipelines made of the earthquakes, and of an event that is no good until a schema is corrected; and what the chat
/// knows. Ends the server; returns its exit code.
async fn tables(
    server: ServerProcess,
    directory: &Path,
    data_dir: &Path,
    quakes: Option<&Report>,
) -> anyhow::Result<(Option<i32>, Found)> {
    let target = server.target.clone();
    let expected = quakes.map_or(0, |report| report.acknowledged);
    let magnitudes = events::magnitudes(&target, expected).await?;
    say("a purchase of \"a lot\" is sent: its schema wants a number");
    let letter = events::provoke(&target).await?;
    say(&format!("it is a dead letter: {}", letter.error));
    let first_exit = server.stop().await?;
    events::correct(directory)?;
    let server = ServerProcess::start(data_dir, target.authority()).await?;
    say("the schema is corrected, the server started again; the dead letter is redriven");
    let (redriven, stored, open) = events::redrive(&target, &letter).await?;
    say("the documents of Floe go into the chat, and it is asked about itself");
    let asked = answers::ask(&target).await?;
    let exit_code = server.stop().await?;
    let found = Found { magnitudes, letter, redriven, stored, open, asked };
    Ok((if first_exit == Some(0) { exit_code } else { first_exit }, found))
}

/// Whether a report is what the demo promises.
fn acknowledged_all(report: &Report) -> bool {
    report.sent > 0 && report.acknowledged == report.sent
}
