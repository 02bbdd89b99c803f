//! The rows, one file for each group that measures the same thing.

mod chat;
mod cluster;
mod fan;
mod ingest;
mod pipelines;
mod retrieval;
mod scale;
mod store;
mod stored;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::report::{Line, render};

/// How to measure.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) floe: PathBuf,
    pub(crate) nats: Option<PathBuf>,
    /// A Python that has FastAPI, uvicorn and aiokafka.
    pub(crate) python: Option<PathBuf>,
    /// A Python that has rank_bm25.
    pub(crate) bm25: Option<PathBuf>,
    pub(crate) work: PathBuf,
    pub(crate) turns: usize,
    pub(crate) seconds: u64,
    pub(crate) stored_gib: f64,
}

impl Plan {
    /// A new folder for data, on the disk that is measured.
    fn data(&self) -> anyhow::Result<tempfile::TempDir> {
        Ok(tempfile::tempdir_in(&self.work)?)
    }
}

/// Measures the rows asked for, or all.
pub(crate) async fn run(plan: &Plan, asked: &[String]) -> anyhow::Result<String> {
    let wanted = |row: &str| asked.is_empty() || asked.iter().any(|name| name.eq_ignore_ascii_case(row));
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut lines: Vec<Line> = Vec::new();
    let mut note = |new: Vec<Line>| {
        for line in new {
            eprintln!("{}: {}: {} / {} = {}", line.row, line.what, line.floe, line.other, line.figure);
            lines.push(line);
        }
    };
    if wanted("A1") || wanted("A2") {
        note(ingest::single(plan).await?);
    }
    if wanted("A3") {
        note(ingest::batches(plan).await?);
    }
    if wanted("A4") {
        note(ingest::many_topics(plan).await?);
    }
    if wanted("A5") {
        note(store::restart(plan).await?);
    }
    if wanted("A6") {
        note(fan::fan_out(plan).await?);
    }
    if wanted("A7") {
        note(fan::idle_memory(plan).await?);
    }
    if wanted("A8") {
        note(fan::idle_cost(plan).await?);
    }
    if wanted("A9") {
        note(store::catch_up(plan).await?);
    }
    if wanted("C1") {
        note(pipelines::postgres(plan).await?);
    }
    if wanted("C2") {
        note(stored::to_frame(plan).await?);
    }
    if wanted("C3") {
        note(pipelines::sqlite(plan).await?);
        note(pipelines::file(plan).await?);
    }
    if wanted("D1") || wanted("D2") {
        note(cluster::single(plan).await?);
    }
    if wanted("D3") {
        note(scale::workers(plan).await?);
    }
    if wanted("E1") {
        note(chat::answers(plan).await?);
    }
    if wanted("E2") {
        note(retrieval::recall(plan)?);
    }
    let load = load.split(' ').take(3).collect::<Vec<_>>().join(" ");
    Ok(render(&lines, &load, &versions(plan), plan.turns, plan.seconds))
}

fn versions(plan: &Plan) -> Vec<String> {
    let ask = |program: &Path, argument: &str| {
        let output = Command::new(program).arg(argument).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let floe = ask(&plan.floe, "--version");
    let nats = plan.nats.as_ref().and_then(|nats| ask(nats, "--version"));
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .ok()
        .map(|text| format!("Linux {}", text.trim()));
    let postgres = ask(Path::new("psql"), "--version");
    let sqlite = ask(Path::new("sqlite3"), "--version").map(|text| format!("sqlite3 {text}"));
    let bm25 = plan.bm25.as_ref().and_then(|python| {
        let packages = std::fs::read_to_string(retrieval::REQUIREMENTS).ok()?;
        let python = ask(python, "--version")?;
        Some(format!("{} ({python})", packages.trim().replace("==", " ").replace('\n', ", ")))
    });
    [floe, nats, postgres, sqlite, bm25, kernel].into_iter().flatten().collect()
}
