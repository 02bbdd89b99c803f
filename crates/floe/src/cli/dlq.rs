//! `floe dlq …`: dead letters, which are records that a pipeline could not deliver.

use anyhow::Context;
use clap::{Args, Subcommand};
use floe_load::{grouped, http::escape};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{OutputForm, Server};
use crate::{
    exit,
    output::{Output, shown, tell},
};

/// Errors are cut to this in a list; `show` has them whole.
const LISTED_ERROR_CHARS: usize = 80;

#[derive(Debug, Subcommand)]
pub(crate) enum DlqCommand {
    /// Count the dead letters of all pipelines, or list those of one.
    #[command(alias = "ls")]
    List(ListArgs),
    /// Show dead letters in full: why, how often, since when, where from, and the record.
    Show(ShowArgs),
    /// Write dead letters to the topics they came from again, each once.
    Redrive(RedriveArgs),
    /// Decide against dead letters; they are not shown as open any more.
    Discard(DiscardArgs),
}

#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    /// The pipeline.
    pipeline: Option<String>,
    /// Also those that were redriven or discarded.
    #[arg(long)]
    all: bool,
    /// At most so many.
    #[arg(short = 'n', long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Go on behind this id.
    #[arg(long, value_name = "ID")]
    after: Option<String>,
    #[arg(long, value_enum, default_value_t)]
    output: OutputForm,
    #[command(flatten)]
    server: Server,
}

#[derive(Args, Debug)]
pub(crate) struct ShowArgs {
    /// The pipeline.
    pipeline: String,
    /// The dead letters' ids.
    #[arg(required = true)]
    ids: Vec<String>,
    #[arg(long, value_enum, default_value_t)]
    output: OutputForm,
    #[command(flatten)]
    server: Server,
}

/// Which dead letters are meant.
#[derive(Args, Debug)]
pub(crate) struct Which {
    /// By id.
    ids: Vec<String>,
    /// All that are open.
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// Those whose error has this text in it.
    #[arg(long, value_name = "TEXT")]
    error_contains: Option<String>,
    /// Those that came from this topic.
    #[arg(long)]
    topic: Option<String>,
    /// At most so many.
    #[arg(short = 'n', long)]
    limit: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct RedriveArgs {
    /// The pipeline.
    pipeline: String,
    #[command(flatten)]
    which: Which,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// At most so many a second.
    #[arg(long)]
    rate: Option<f64>,
    /// Also those that came back three times before.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(Args, Debug)]
pub(crate) struct DiscardArgs {
    /// The pipeline.
    pipeline: String,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    server: Server,
}

#[derive(Deserialize)]
struct Counts {
    dead_letters: Vec<Count>,
}

#[derive(Deserialize)]
struct Count {
    pipeline: String,
    total: u64,
    redriven: u64,
    discarded: u64,
    open: u64,
}

#[derive(Deserialize)]
struct Letters {
    dead_letters: Vec<Letter>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Letter {
    id: String,
    state: String,
    error: String,
    attempts: u64,
    first_failure: Option<String>,
    last_failure: Option<String>,
    origin: Option<Origin>,
    redrives: u64,
    key: Value,
    value: Value,
    headers: Value,
}

#[derive(Deserialize)]
struct Origin {
    topic: String,
    partition: u32,
    offset: i64,
}

#[derive(Deserialize)]
struct Redriven {
    redriven: u64,
    skipped: Vec<Skipped>,
}

#[derive(Deserialize)]
struct Skipped {
    id: String,
    why: String,
}

#[derive(Deserialize)]
struct Discarded {
    discarded: u64,
}

impl DlqCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::List(args) => match &args.pipeline {
                Some(pipeline) => list(&args, pipeline).await,
                None => count(&args).await,
            },
            Self::Show(args) => show(&args).await,
            Self::Redrive(args) => redrive(&args).await,
            Self::Discard(args) => discard(&args).await,
        }
    }
}

async fn count(args: &ListArgs) -> anyhow::Result<()> {
    let mut client = args.server.client()?;
    let answer = client.call("GET", "/dead-letters", b"").await?;
    let mut out = Output::stdout();
    if args.output == OutputForm::Json {
        out.data(&answer.body)?;
        out.data(b"\n")?;
        return Ok(out.flush()?);
    }
    let counts: Counts = serde_json::from_slice(&answer.body).context(NOT_EXPECTED)?;
    let mut rows = vec![["PIPELINE", "OPEN", "REDRIVEN", "DISCARDED", "EVER"].map(str::to_owned).to_vec()];
    for count in counts.dead_letters {
        let numbers = [count.open, count.redriven, count.discarded, count.total];
        rows.push([vec![count.pipeline], numbers.map(grouped).to_vec()].concat());
    }
    out.table(&rows)?;
    Ok(out.flush()?)
}

async fn list(args: &ListArgs, pipeline: &str) -> anyhow::Result<()> {
    let mut client = args.server.client()?;
    let state = if args.all { "all" } else { "open" };
    let mut path = format!("{}?state={state}&limit={}", path_of(pipeline), args.limit);
    if let Some(after) = &args.after {
        path += &format!("&after={}", escape(after));
    }
    let answer = client.call("GET", &path, b"").await?;
    let mut out = Output::stdout();
    if args.output == OutputForm::Json {
        out.data(&answer.body)?;
        out.data(b"\n")?;
        return Ok(out.flush()?);
    }
    let letters: Letters = serde_json::from_slice(&answer.body).context(NOT_EXPECTED)?;
    let mut rows =
        vec![["ID", "STATE", "ATTEMPTS", "LAST FAILURE", "FROM", "ERROR"].map(str::to_owned).to_vec()];
    for letter in letters.dead_letters {
        let from = from(&letter);
        let error: String = letter.error.chars().take(LISTED_ERROR_CHARS).collect();
        let last = letter.last_failure.unwrap_or_else(|| "-".to_owned());
        rows.push(vec![letter.id, letter.state, letter.attempts.to_string(), last, from, error]);
    }
    out.table(&rows)?;
    out.flush()?;
    if let Some(next) = letters.next {
        tell(&format!("there are more: --after {next}"));
    }
    Ok(())
}

async fn show(args: &ShowArgs) -> anyhow::Result<()> {
    let mut client = args.server.client()?;
    let mut out = Output::stdout();
    for id in &args.ids {
        let answer = client.call("GET", &format!("{}/{}", path_of(&args.pipeline), escape(id)), b"").await?;
        if args.output == OutputForm::Json {
            out.data(&answer.body)?;
            out.data(b"\n")?;
            continue;
        }
        let letter: Letter = serde_json::from_slice(&answer.body).context(NOT_EXPECTED)?;
        let from = from(&letter);
        let time = |time: Option<String>| time.unwrap_or_else(|| "-".to_owned());
        let rows = [
            ("id", letter.id),
            ("state", letter.state),
            ("error", letter.error),
            ("attempts", letter.attempts.to_string()),
            ("first failure", time(letter.first_failure)),
            ("last failure", time(letter.last_failure)),
            ("from", from),
            ("redriven", format!("{} times before", letter.redrives)),
            ("key", letter.key.to_string()),
            ("headers", letter.headers.to_string()),
            ("value", letter.value.to_string()),
        ];
        out.table(&rows.map(|(name, value)| vec![name.to_owned(), value]))?;
    }
    Ok(out.flush()?)
}

async fn redrive(args: &RedriveArgs) -> anyhow::Result<()> {
    let mut body = args.which.body()?;
    body.insert("dry_run".to_owned(), args.dry_run.into());
    body.insert("force".to_owned(), args.force.into());
    if let Some(rate) = args.rate {
        body.insert("rate".to_owned(), json!(rate));
    }
    let mut client = args.server.client()?;
    let path = format!("{}/redrive", path_of(&args.pipeline));
    let done: Redriven = client.call_json("POST", &path, Value::from(body).to_string().as_bytes()).await?;
    let mut out = Output::stdout();
    out.line(&format!("redriven {}", done.redriven))?;
    for Skipped { id, why } in &done.skipped {
        out.line(&format!("left alone {}: {}", shown(id), shown(why)))?;
    }
    out.flush()?;
    if args.dry_run {
        tell("nothing was changed (--dry-run)");
    }
    Ok(())
}

async fn discard(args: &DiscardArgs) -> anyhow::Result<()> {
    let body = Value::from(args.which.body()?).to_string();
    let mut client = args.server.client()?;
    let done: Discarded = client.call_json("DELETE", &path_of(&args.pipeline), body.as_bytes()).await?;
    let mut out = Output::stdout();
    out.line(&format!("discarded {}", done.discarded))?;
    Ok(out.flush()?)
}

impl Which {
    /// As the server wants it said.
    fn body(&self) -> anyhow::Result<Map<String, Value>> {
        let Self { ids, all, error_contains, topic, limit } = self;
        if ids.is_empty() && !all && error_contains.is_none() && topic.is_none() {
            return Err(exit::usage("say which: ids, --all, --error-contains TEXT or --topic TOPIC"));
        }
        let mut body = Map::new();
        if !ids.is_empty() {
            body.insert("ids".to_owned(), json!(ids));
        }
        if *all {
            body.insert("all".to_owned(), true.into());
        }
        for (name, text) in [("error_contains", error_contains), ("topic", topic)] {
            body.extend(text.clone().map(|text| (name.to_owned(), text.into())));
        }
        body.extend(limit.map(|limit| ("limit".to_owned(), limit.into())));
        Ok(body)
    }
}

fn from(letter: &Letter) -> String {
    letter.origin.as_ref().map_or_else(
        || "-".to_owned(),
        |origin| format!("{}/{} offset {}", origin.topic, origin.partition, origin.offset),
    )
}

const NOT_EXPECTED: &str = "the answer of /dead-letters is not what was expected";

fn path_of(pipeline: &str) -> String {
    format!("/dead-letters/{}", escape(pipeline))
}
