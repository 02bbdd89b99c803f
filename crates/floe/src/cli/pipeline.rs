//! `floe pipeline …`.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use floe_load::{grouped, http::escape};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{OutputForm, Server};
use crate::{output::Output, trial};

#[derive(Debug, Subcommand)]
pub(crate) enum PipelineCommand {
    /// List all pipelines.
    #[command(alias = "ls")]
    List(ListArgs),
    /// Show what pipelines are doing.
    Describe(DescribeArgs),
    /// Let pipelines read nothing more until they are resumed.
    Pause(PauseArgs),
    /// Let pipelines run again, also after the fuse has blown or a sink has refused.
    Resume(NamesArgs),
    /// Run a pipeline's steps on sample records, and compare what comes out with what is expected.
    Test(TestArgs),
}

#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    #[arg(long, value_enum, default_value_t)]
    output: OutputForm,
    #[command(flatten)]
    server: Server,
}

#[derive(Args, Debug)]
pub(crate) struct DescribeArgs {
    /// The pipelines' names.
    #[arg(required = true)]
    pipelines: Vec<String>,
    #[arg(long, value_enum, default_value_t)]
    output: OutputForm,
    #[command(flatten)]
    server: Server,
}

#[derive(Args, Debug)]
pub(crate) struct PauseArgs {
    /// The pipelines' names.
    #[arg(required = true)]
    pipelines: Vec<String>,
    /// Why, for those who see it paused.
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    server: Server,
}

#[derive(Args, Debug)]
pub(crate) struct NamesArgs {
    /// The pipelines' names.
    #[arg(required = true)]
    pipelines: Vec<String>,
    #[command(flatten)]
    server: Server,
}

#[derive(Args, Debug)]
pub(crate) struct TestArgs {
    /// Files with cases.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Pipelines {
    pipelines: Vec<Pipeline>,
}

/// A pipeline, as far as it is shown; what a newer server adds is left out.
#[derive(Deserialize)]
struct Pipeline {
    name: String,
    state: String,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    group: String,
    #[serde(default)]
    topics: Vec<String>,
    #[serde(default)]
    sinks: Vec<String>,
    #[serde(default)]
    lag: u64,
    #[serde(default)]
    committed_per_sec: f64,
    #[serde(default)]
    dead_lettered: u64,
    #[serde(default)]
    dead_letters_open: u64,
    #[serde(default)]
    partitions: Vec<Value>,
    #[serde(default)]
    workers: Vec<Value>,
}

impl PipelineCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::List(args) => list(&args).await,
            Self::Describe(args) => describe(&args).await,
            Self::Pause(args) => {
                let body = args.reason.map_or_else(|| json!({}), |reason| json!({ "reason": reason }));
                tell(&args.server, &args.pipelines, "pause", &body).await
            }
            Self::Resume(args) => tell(&args.server, &args.pipelines, "resume", &json!({})).await,
            Self::Test(args) => trial::run(&args.files).await,
        }
    }
}

async fn list(args: &ListArgs) -> anyhow::Result<()> {
    let mut client = args.server.client()?;
    let answer = client.call("GET", "/pipelines", b"").await?;
    let mut out = Output::stdout();
    if args.output == OutputForm::Json {
        out.data(&answer.body)?;
        out.data(b"\n")?;
        return Ok(out.flush()?);
    }
    let pipelines: Pipelines = serde_json::from_slice(&answer.body).context(NOT_EXPECTED)?;
    let heading = ["NAME", "STATE", "WORKERS", "LAG", "PER SECOND", "DEAD LETTERS", "TOPICS", "SINKS"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for pipeline in pipelines.pipelines {
        rows.push(vec![
            pipeline.name,
            pipeline.state,
            pipeline.workers.len().to_string(),
            grouped(pipeline.lag),
            format!("{:.0}", pipeline.committed_per_sec),
            grouped(pipeline.dead_letters_open),
            pipeline.topics.join(","),
            pipeline.sinks.join(", "),
        ]);
    }
    out.table(&rows)?;
    Ok(out.flush()?)
}

async fn describe(args: &DescribeArgs) -> anyhow::Result<()> {
    let mut client = args.server.client()?;
    let mut out = Output::stdout();
    for name in &args.pipelines {
        let answer = client.call("GET", &path_of(name), b"").await?;
        match args.output {
            OutputForm::Json => {
                out.data(&answer.body)?;
                out.data(b"\n")?;
            }
            OutputForm::Text => print(&mut out, serde_json::from_slice(&answer.body).context(NOT_EXPECTED)?)?,
        }
    }
    Ok(out.flush()?)
}

fn print(out: &mut Output, pipeline: Pipeline) -> anyhow::Result<()> {
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    let mut rows = vec![row("pipeline", pipeline.name), row("state", pipeline.state)];
    rows.extend(pipeline.reason.map(|reason| row("reason", reason)));
    rows.extend([
        row("group", pipeline.group),
        row("topics", pipeline.topics.join(", ")),
        row("sinks", pipeline.sinks.join(", ")),
        row("lag", grouped(pipeline.lag)),
        row("per second", format!("{:.1}", pipeline.committed_per_sec)),
        row("dead letters", format!("{} open, {} ever", pipeline.dead_letters_open, pipeline.dead_lettered)),
    ]);
    out.table(&rows)?;
    if !pipeline.partitions.is_empty() {
        out.line("")?;
        let rows =
            pipeline.partitions.iter().map(|at| cells(at, &["topic", "partition", "committed", "end"]));
        out.table(&headed(["TOPIC", "PARTITION", "COMMITTED", "END"], rows))?;
    }
    if !pipeline.workers.is_empty() {
        out.line("")?;
        let names = ["id", "client_id", "last_seen", "state", "delivered", "dead_lettered", "retried"];
        let rows = pipeline.workers.iter().map(|worker| cells(worker, &names));
        let heading = ["WORKER", "CLIENT", "LAST SEEN", "STATE", "DELIVERED", "DEAD-LETTERED", "RETRIED"];
        out.table(&headed(heading, rows))?;
        out.line("")?;
        for error in pipeline.workers.iter().flat_map(errors_of) {
            out.line(&crate::output::shown(&error))?;
        }
    }
    Ok(())
}

/// A worker's newest errors, a line each.
fn errors_of(worker: &Value) -> Vec<String> {
    let errors = worker["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let line = |error: &Value| {
        let cells = cells(error, &["at", "topic", "partition", "offset", "error"]);
        format!("{} {}/{} offset {}: {}", cells[0], cells[1], cells[2], cells[3], cells[4])
    };
    errors.iter().map(line).collect()
}

fn headed<const N: usize>(heading: [&str; N], rows: impl Iterator<Item = Vec<String>>) -> Vec<Vec<String>> {
    std::iter::once(heading.map(str::to_owned).to_vec()).chain(rows).collect()
}

fn cells(value: &Value, names: &[&str]) -> Vec<String> {
    let cell = |name: &&str| match &value[*name] {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    names.iter().map(cell).collect()
}

async fn tell(server: &Server, pipelines: &[String], verb: &str, body: &Value) -> anyhow::Result<()> {
    let mut client = server.client()?;
    let mut out = Output::stdout();
    for name in pipelines {
        client.call("POST", &format!("{}/{verb}", path_of(name)), body.to_string().as_bytes()).await?;
        out.data(format!("{verb}d {name}\n").as_bytes())?;
    }
    Ok(out.flush()?)
}

const NOT_EXPECTED: &str = "the answer of /pipelines is not what was expected";

fn path_of(name: &str) -> String {
    format!("/pipelines/{}", escape(name))
}
