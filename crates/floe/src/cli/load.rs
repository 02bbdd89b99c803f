//! `floe load`.

use std::{
    io::{IsTerminal, stderr},
    path::PathBuf,
    time::Duration,
};

use clap::{Args, ValueEnum};
use floe_load::{Acks, Door, Extent, LoadOptions, LoadRun, Rate, Retry, Source, Verify, view};
use floe_pipeline::units::{size, span};

use super::Server;
use crate::{exit, output::Output};

#[derive(Args, Debug)]
pub(crate) struct LoadArgs {
    /// How fast: 10000/min, 200/s, or max. Records fall due at this rate whatever the server does.
    #[arg(long, default_value = "max", value_parser = str::parse::<Rate>)]
    rate: Rate,
    /// End after this time, such as 30s or 5m (10s unless a count or a file says otherwise).
    #[arg(long, value_parser = span::from_flag)]
    duration: Option<Duration>,
    /// End after so many records.
    #[arg(long, short = 'n')]
    count: Option<u64>,
    /// Connections, each with one request in flight.
    #[arg(long, short = 'c', default_value_t = 16)]
    connections: usize,
    /// Records of one request, as NDJSON when above 1.
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// The door: topics (POST /topics/{topic}/records) or register_event (POST /register_event).
    #[arg(long, value_enum, default_value_t, conflicts_with = "ws")]
    route: Route,
    /// Publish on WebSockets instead.
    #[arg(long)]
    ws: bool,
    /// With --ws: publishes that may wait for their acknowledgement, per connection.
    #[arg(long, default_value_t = 64, requires = "ws")]
    window: usize,
    /// The topic; made if it is missing.
    #[arg(long, default_value = "load")]
    topic: String,
    /// Partitions of the topic, if it has to be made.
    #[arg(long, default_value_t = 1)]
    partitions: u32,
    /// Size of a generated value: 200, 4KiB.
    #[arg(long, default_value = "200", value_parser = size_flag)]
    payload_bytes: u64,
    /// Keys of generated records: so many different ones.
    #[arg(long)]
    keys: Option<u32>,
    /// Send the lines of this NDJSON file instead: {"key":…,"value":…} is a record, any other JSON a value.
    #[arg(long, conflicts_with_all = ["payload_bytes", "keys"])]
    payload_file: Option<PathBuf>,
    /// Take the key from this field of the values (dots lead inwards).
    #[arg(long, requires = "payload_file")]
    key_field: Option<String>,
    /// The promise to wait for; the topic's own unless given.
    #[arg(long, value_enum)]
    acks: Option<AcksFlag>,
    /// Send again what was not answered, under the same Idempotency-Key, for at most this long per record.
    #[arg(long, value_parser = span::from_flag, num_args = 0..=1, default_missing_value = "60s")]
    retry: Option<Duration>,
    /// Read everything back and report what is lost, repeated, reordered or corrupted.
    #[arg(long)]
    verify: bool,
    /// How long an answer may take before the outcome counts as unknown.
    #[arg(long, default_value = "30s", value_parser = span::from_flag)]
    timeout: Duration,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Route {
    #[default]
    Topics,
    #[value(name = "register_event", alias = "register-event")]
    RegisterEvent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum AcksFlag {
    #[value(name = "0")]
    None,
    #[value(name = "1")]
    Written,
    All,
}

fn size_flag(text: &str) -> Result<u64, String> {
    size::parse(text).ok_or_else(|| format!("expected {}", size::ACCEPTED))
}

impl LoadArgs {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let options = self.options()?;
        options.check().map_err(|error| exit::usage(error.to_string()))?;
        let run = floe_load::start(options).await?;
        let view = if stderr().is_terminal() { view::View::Terminal } else { view::View::Plain };
        let shown = tokio::spawn(view::show(view, run.progress()));
        let report = until_done_or_interrupted(run).await;
        // The view ends with the run, or here if there is no end to wait for. Either way it puts the terminal back, and
        // only then is there room for the result.
        if report.is_err() {
            shown.abort();
        }
        let _ = shown.await;
        let report = report?;
        let mut out = Output::stdout();
        let text = if self.json { report.to_json() } else { report.to_table() };
        out.data(text.as_bytes())?;
        out.flush()?;
        if report.is_flawless() { Ok(()) } else { Err(exit::Silent(1).into()) }
    }

    fn options(&self) -> anyhow::Result<LoadOptions> {
        let door = match (self.ws, self.route) {
            (true, _) => Door::WebSocket { window: self.window },
            (false, Route::Topics) => Door::Records,
            (false, Route::RegisterEvent) => Door::RegisterEvent,
        };
        let source = match &self.payload_file {
            Some(path) => Source::File { path: path.clone(), key_field: self.key_field.clone() },
            None => Source::Generated { bytes: usize::try_from(self.payload_bytes)?, keys: self.keys },
        };
        let acks = match self.acks {
            None => Acks::Topic,
            Some(AcksFlag::None) => Acks::None,
            Some(AcksFlag::Written) => Acks::Written,
            Some(AcksFlag::All) => Acks::All,
        };
        Ok(LoadOptions {
            create_partitions: Some(self.partitions),
            door,
            batch: self.batch,
            connections: self.connections,
            rate: self.rate,
            extent: Extent { count: self.count, duration: self.duration },
            source,
            acks,
            retry: self.retry.map_or(Retry::Never, Retry::For),
            verify: if self.verify { Verify::ReadBack } else { Verify::Skip },
            timeout: self.timeout,
            ..LoadOptions::new(self.server.target()?, &self.topic)
        })
    }
}

/// Waits for the report. An interrupt ends the sending early; what was sent is still reported. A second one ends all.
async fn until_done_or_interrupted(run: LoadRun) -> anyhow::Result<floe_load::Report> {
    let stopper = run.stopper();
    let report = run.report();
    tokio::pin!(report);
    tokio::select! {
        report = &mut report => return report,
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    stopper.stop();
    tokio::select! {
        report = &mut report => report,
        _ = tokio::signal::ctrl_c() => Err(exit::Silent(130).into()),
    }
}
