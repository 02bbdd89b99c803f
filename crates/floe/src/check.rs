//! `floe check`: is everything that is on disk what was written?

use std::{io::Write, path::Path};

use anyhow::{Context, bail};
use floe_journal::{
    Damage, DiskStorage,
    check::{Seen, Summary},
};
use floe_load::grouped;

use crate::{
    config::{ConfigErrors, check_file, pipelines::try_sinks},
    exit,
    output::{Output, shown},
};

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Figures and damage.
    Summary,
    /// Every entry too.
    Everything,
}

/// Verifies a data directory or a configuration file; changes neither.
pub(crate) fn check(path: &Path, detail: Detail) -> anyhow::Result<()> {
    let name = shown(&path.display().to_string());
    let metadata = std::fs::metadata(path).with_context(|| format!("cannot look at {name}"))?;
    if metadata.is_dir() {
        return check_directory(path, &name, detail);
    }
    if detail == Detail::Everything {
        return Err(exit::usage("--dump is for data directories"));
    }
    let loaded = check_file::check(path).map_err(ConfigErrors::into_usage)?;
    try_sinks(&loaded).map_err(ConfigErrors::into_usage)?;
    let mut out = Output::stdout();
    out.line(&format!("{name} is a valid configuration"))?;
    Ok(out.flush()?)
}

fn check_directory(path: &Path, name: &str, detail: Detail) -> anyhow::Result<()> {
    let storage = DiskStorage::open(path).with_context(|| format!("cannot open {name}"))?;
    let mut out = Output::stdout();
    let mut printed = Ok(());
    let summary = floe_journal::check::check(&storage, &mut |seen| {
        if detail == Detail::Everything && printed.is_ok() {
            printed = out.line(&line_of(&seen));
        }
    });
    printed?;
    let Some(summary) = summary.with_context(|| format!("cannot check {name}"))? else {
        bail!("{name} holds no journal");
    };
    out.table(&rows_of(&summary))?;
    out.flush()?;
    report_damage(&summary)
}

/// Damage behind what is known to be on disk is the end of an unfinished write: told, and no failure.
fn report_damage(summary: &Summary) -> anyhow::Result<()> {
    let unfinished = |damage: &&Damage| damage.position >= summary.durable_through && damage.position > 0;
    let mut stderr = std::io::stderr();
    for damage in summary.damage.iter().filter(unfinished) {
        let _ = writeln!(stderr, "unfinished write, cut at the next start: {}", told(damage));
    }
    let real: Vec<_> = summary.damage.iter().filter(|damage| !unfinished(damage)).collect();
    for damage in &real {
        let _ = writeln!(stderr, "damaged: {}", told(damage));
    }
    if real.is_empty() { Ok(()) } else { bail!("{} damaged places", real.len()) }
}

fn told(damage: &Damage) -> String {
    format!("{} position {}, {} bytes, {:?}", shown(&damage.file), damage.position, damage.bytes, damage.kind)
}

fn rows_of(summary: &Summary) -> Vec<Vec<String>> {
    let rows = [
        ("segments", format!("{} ({} sealed)", summary.segments, summary.sealed)),
        ("frames", grouped(summary.frames)),
        ("record batches", format!("{} ({} bytes)", grouped(summary.batches), grouped(summary.batch_bytes))),
        ("state entries", grouped(summary.states)),
        ("end", summary.end.to_string()),
        ("durable through", summary.durable_through.to_string()),
    ];
    rows.map(|(name, value)| vec![name.to_owned(), value]).to_vec()
}

fn line_of(seen: &Seen<'_>) -> String {
    match seen {
        Seen::Snapshot(position, state) => format!("snapshot at {position}, {} bytes", state.len()),
        Seen::Frame(header) => format!(
            "frame {} at {}, {} bytes, {} entries, durable through {}, written at {} ms",
            header.sequence,
            header.position,
            header.length,
            header.entries,
            header.durable_through,
            header.written_at_ms
        ),
        Seen::Entry(head, position, intact, _) => {
            let state = if *intact { "" } else { ", DAMAGED" };
            let offsets = if head.kind.is_records() {
                format!(
                    ", partition {}, offsets {} to {}",
                    head.partition,
                    head.base_offset,
                    head.last_offset()
                )
            } else {
                String::new()
            };
            format!("  {:?} at {position}, {} bytes{offsets}{state}", head.kind, head.length)
        }
    }
}
