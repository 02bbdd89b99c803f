//! C1 and C3: from a topic into a table or a file. Records are stored while the pipeline stands still, so that a turn
//! measures the pipeline alone, from its first commit to its last.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use floe_testkit::services::{Postgres, find_program};

use super::Plan;
use crate::{
    client::{Connection, post, request},
    copy_loop,
    report::{Line, median},
    server::Server,
};

/// Records of a turn, for each of its seconds.
const RECORDS_PER_SECOND: usize = 40_000;
const BATCH: usize = 1_000;
/// Whose events they are: a user's stay in one partition.
const USERS: usize = 1_000;
const EVENTS_STORE: &str = "events-store";
/// How long a turn may take until it counts as stuck.
const TURN_WITHIN: Duration = Duration::from_secs(600);

/// One turn's rates, records or bytes per second.
struct Turn {
    ours: f64,
    theirs: f64,
}

/// C1: events into PostgreSQL.
pub(super) async fn postgres(plan: &Plan) -> anyhow::Result<Vec<Line>> {
    let postgres = Postgres::durable_in(&plan.work);
    let mut turns = Vec::new();
    for _ in 0..plan.turns {
        turns.push(postgres_turn(plan, &postgres).await?);
    }
    Ok(vec![rows_line("C1", "events → PostgreSQL, exactly once", "psql's \\copy", &turns)])
}

async fn postgres_turn(plan: &Plan, postgres: &Postgres) -> anyhow::Result<Turn> {
    let (url, data) = (postgres.database(), plan.data()?);
    let (floe, _) = Server::floe_with(&plan.floe, data.path(), |floe| {
        floe.env("POSTGRES_URL", &url);
    })
    .await?;
    stand_still(&floe, EVENTS_STORE).await?;
    let records = register_events(plan, &floe).await?;
    let ours = run_down(&floe, EVENTS_STORE, records).await?;
    let stored: usize = postgres.query(&url, "SELECT count(*) FROM events").parse()?;
    ensure!(stored == records, "{stored} of {records} events are in the table");
    drop(floe);
    let file = data.path().join("rows");
    postgres.query(&url, &format!(r"\copy events TO '{}'", file.display()));
    postgres.query(&url, "CREATE TABLE copied (LIKE events INCLUDING ALL)");
    let start = Instant::now();
    postgres.query(&url, &format!(r"\copy copied FROM '{}'", file.display()));
    let theirs = records as f64 / start.elapsed().as_secs_f64();
    postgres.query(&url, "DROP TABLE copied, events");
    Ok(Turn { ours, theirs })
}

/// C3, the table: events into SQLite.
pub(super) async fn sqlite(plan: &Plan) -> anyhow::Result<Vec<Line>> {
    let mut turns = Vec::new();
    for _ in 0..plan.turns {
        turns.push(sqlite_turn(plan).await?);
    }
    Ok(vec![rows_line("C3", "events → SQLite, exactly once", "sqlite3's .import", &turns)])
}

async fn sqlite_turn(plan: &Plan) -> anyhow::Result<Turn> {
    let data = plan.data()?;
    let (floe, _) = Server::floe(&plan.floe, data.path()).await?;
    stand_still(&floe, EVENTS_STORE).await?;
    let records = register_events(plan, &floe).await?;
    let ours = run_down(&floe, EVENTS_STORE, records).await?;
    drop(floe);
    let store = data.path().join("store.sqlite");
    let stored: usize = sqlite3(&store, &["SELECT count(*) FROM events"])?.trim().parse()?;
    ensure!(stored == records, "{stored} of {records} events are in the table");
    let (rows, copied) = (data.path().join("rows.csv"), data.path().join("copied.sqlite"));
    fs::write(&rows, sqlite3(&store, &[".mode csv", "SELECT * FROM events"])?)?;
    let schema = sqlite3(&store, &[".schema events"])?;
    sqlite3(&copied, &["PRAGMA journal_mode=WAL", &schema])?;
    let import = format!(".import --csv {} events", rows.display());
    let start = Instant::now();
    sqlite3(&copied, &["PRAGMA synchronous=FULL", &import])?;
    let theirs = records as f64 / start.elapsed().as_secs_f64();
    let imported: usize = sqlite3(&copied, &["SELECT count(*) FROM events"])?.trim().parse()?;
    ensure!(imported == records, "sqlite3 imported {imported} of {records} rows");
    Ok(Turn { ours, theirs })
}

/// C3, the file, and the steps on the way.
pub(super) async fn file(plan: &Plan) -> anyhow::Result<Vec<Line>> {
    let (mut bytes, mut steps) = (Vec::new(), Vec::new());
    for _ in 0..plan.turns {
        let (of_bytes, of_steps) = file_turn(plan).await?;
        bytes.push(of_bytes);
        steps.push(of_steps);
    }
    let (ours, theirs, ratio) = medians(&bytes);
    let line = Line {
        row: "C3",
        what: "topic → NDJSON file, synced".into(),
        floe: format!("{:.0} MB/s", ours / 1e6),
        other: format!("copy loop {:.0} MB/s", theirs / 1e6),
        figure: format!("{ratio:.2}"),
        bar: "0.4",
        goal: "0.7",
        met: Some(ratio >= 0.4),
    };
    let (ours, theirs, ratio) = medians(&steps);
    let filtered = Line {
        row: "C3",
        what: "the same with a filter and a map on the way".into(),
        floe: format!("{ours:.0} records/s"),
        other: format!("without {theirs:.0}/s"),
        figure: format!("{ratio:.2}"),
        bar: "0.6",
        goal: "0.8",
        met: Some(ratio >= 0.6),
    };
    Ok(vec![line, filtered])
}

/// Bytes beside the copy loop, and records with the steps beside records without.
async fn file_turn(plan: &Plan) -> anyhow::Result<(Turn, Turn)> {
    let data = plan.data()?;
    let config = data.path().join("floe.toml");
    fs::write(&config, TO_FILES)?;
    let (floe, _) = Server::floe_with(&plan.floe, &data.path().join("data"), |floe| {
        floe.env("FLOE_CONFIG", &config);
    })
    .await?;
    for pipeline in ["plain", "stepped"] {
        stand_still(&floe, pipeline).await?;
    }
    floe.make_topic("bench").await?;
    let value = purchase("x", 0);
    let line = format!("{{\"value\":{value}}}\n");
    let records = records_of(plan);
    store(&floe, "/topics/bench/records", records, |_| line.clone()).await?;
    let plain = run_down(&floe, "plain", records).await?;
    let stepped = run_down(&floe, "stepped", records).await?;
    let written = fs::metadata(data.path().join("plain.ndjson"))?.len();
    ensure!(written > (records * value.len()) as u64, "the file holds only {written} bytes");
    let lines = fs::read(data.path().join("stepped.ndjson"))?.split(|byte| *byte == b'\n').count();
    ensure!(lines == records + 1, "the filter let only {lines} lines through");
    let each = written as f64 / records as f64;
    let copied = copy_loop::run(&plan.work, (each * BATCH as f64) as usize, Duration::from_secs(3), None)?;
    let bytes = Turn { ours: plain * each, theirs: copied.bytes_per_second };
    Ok((bytes, Turn { ours: stepped, theirs: plain }))
}

const TO_FILES: &str = r#"
[[pipeline]]
name = "plain"
from = "bench"
[[pipeline.to]]
type = "file"
path = "plain.ndjson"
rotate_bytes = "10GiB"

[[pipeline]]
name = "stepped"
from = "bench"
filter = ".event_type == \"purchase\" and .data.amount > 10"
map = "{user: .user_id, amount: .data.amount, cents: (.data.amount * 100)}"
[[pipeline.to]]
type = "file"
path = "stepped.ndjson"
rotate_bytes = "10GiB"
"#;

/// A JSON event of about 200 bytes that its schema accepts.
fn purchase(id: &str, user: usize) -> String {
    let fill = "x".repeat(90);
    format!(
        r#"{{"id":"{id}","event_type":"purchase","user_id":"u-{user:06}","data":{{"amount":12.5,"note":"{fill}"}}}}"#
    )
}

fn records_of(plan: &Plan) -> usize {
    RECORDS_PER_SECOND * usize::try_from(plan.seconds).unwrap_or(usize::MAX)
}

/// Stores a turn's events, each with an id of its own.
async fn register_events(plan: &Plan, floe: &Server) -> anyhow::Result<usize> {
    let records = records_of(plan);
    store(floe, "/register_event", records, |number| {
        purchase(&format!("event-{number:09}"), number % USERS) + "\n"
    })
    .await?;
    Ok(records)
}

async fn store(
    floe: &Server,
    path: &str,
    records: usize,
    line: impl Fn(usize) -> String,
) -> anyhow::Result<()> {
    let mut connection = Connection::open(floe.address).await?;
    for first in (0..records).step_by(BATCH) {
        let body: String = (first..records.min(first + BATCH)).map(&line).collect();
        let answer = connection.ask(&request("POST", path, "application/x-ndjson", body.as_bytes())).await?;
        ensure!(answer.status < 300, "{path} answered {}", String::from_utf8_lossy(&answer.body));
    }
    Ok(())
}

async fn stand_still(floe: &Server, pipeline: &str) -> anyhow::Result<()> {
    let answer = post(floe.address, &format!("/pipelines/{pipeline}/pause"), "{}").await?;
    ensure!(answer.status == 200, "pausing answered {}", String::from_utf8_lossy(&answer.body));
    let mut connection = Connection::open(floe.address).await?;
    let deadline = Instant::now() + TURN_WITHIN;
    while view(&mut connection, pipeline).await?["state"] != "paused" {
        ensure!(Instant::now() < deadline, "the pipeline {pipeline} did not pause");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Lets a pipeline run until nothing is left; answers records per second, from its first commit on.
async fn run_down(floe: &Server, pipeline: &str, records: usize) -> anyhow::Result<f64> {
    let mut connection = Connection::open(floe.address).await?;
    let full = records as u64;
    let before = lag(&mut connection, pipeline).await?;
    ensure!(before == full, "the pipeline {pipeline} stands still {before} records from the end, not {full}");
    let resume = request("POST", &format!("/pipelines/{pipeline}/resume"), "application/json", b"");
    let answer = connection.ask(&resume).await?;
    ensure!(answer.status == 200, "resuming answered {}", String::from_utf8_lossy(&answer.body));
    let deadline = Instant::now() + TURN_WITHIN;
    let mut first = None;
    loop {
        let left = lag(&mut connection, pipeline).await?;
        match first {
            Some((since, from)) if left == 0 => {
                let since: Instant = since;
                return Ok(from as f64 / since.elapsed().as_secs_f64());
            }
            None if left < full => {
                ensure!(left > 0, "the pipeline {pipeline} was done with its first commit: too few records");
                first = Some((Instant::now(), left));
            }
            Some(_) | None => {
                ensure!(Instant::now() < deadline, "the pipeline {pipeline} is stuck with {left} left");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}

async fn view(connection: &mut Connection, pipeline: &str) -> anyhow::Result<serde_json::Value> {
    let path = format!("/pipelines/{pipeline}");
    let answer = connection.ask(&request("GET", &path, "application/json", b"")).await?;
    Ok(serde_json::from_slice(&answer.body)?)
}

async fn lag(connection: &mut Connection, pipeline: &str) -> anyhow::Result<u64> {
    view(connection, pipeline).await?["lag"].as_u64().context("a pipeline's lag")
}

fn sqlite3(file: &Path, commands: &[&str]) -> anyhow::Result<String> {
    let mut sqlite3 = Command::new(find_program("sqlite3", &[], "sqlite3"));
    let output = sqlite3.arg("-bail").arg("-batch").arg(file).args(commands).output()?;
    ensure!(output.status.success(), "sqlite3: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

fn medians(turns: &[Turn]) -> (f64, f64, f64) {
    let of = |figure: fn(&Turn) -> f64| median(turns.iter().map(figure).collect());
    (of(|turn| turn.ours), of(|turn| turn.theirs), of(|turn| turn.ours / turn.theirs))
}

fn rows_line(row: &'static str, what: &str, compared: &str, turns: &[Turn]) -> Line {
    let (ours, theirs, ratio) = medians(turns);
    Line {
        row,
        what: what.into(),
        floe: format!("{ours:.0} rows/s"),
        other: format!("{compared}, same rows and indexes {theirs:.0}/s"),
        figure: format!("{ratio:.2}"),
        bar: "0.4",
        goal: "0.7",
        met: Some(ratio >= 0.4),
    }
}
