//! What the demo found: the figures, and each promise held or broken.

use std::time::Duration;

use floe_load::{Report, grouped, topic::PartitionBounds};

use super::{Outage, Stream, acknowledged_all, events::Found, subscriber::Seen};
use crate::output::Output;

/// What is shown of an answer.
const ANSWER_CHARACTERS: usize = 110;

/// Everything there is to judge by.
#[derive(Debug)]
pub(super) struct Verdict<'a> {
    pub(super) streams: &'a [Stream],
    pub(super) reports: &'a [Report],
    pub(super) stored: &'a [Vec<PartitionBounds>],
    pub(super) seen: &'a [Seen],
    pub(super) outage: Outage,
    pub(super) found: &'a Found,
    pub(super) exit_code: Option<i32>,
    pub(super) took: Duration,
}

impl Verdict<'_> {
    /// Prints the figures and the promises; returns whether all of them were held.
    pub(super) fn print(&self, out: &mut Output) -> anyhow::Result<bool> {
        out.table(&self.streams_table())?;
        out.line("")?;
        out.table(&self.subscribers_table())?;
        out.line("")?;
        out.table(&self.outage_table())?;
        out.line("")?;
        out.table(&self.magnitudes_table())?;
        out.line("")?;
        out.table(&self.letter_table())?;
        out.line("")?;
        out.table(&self.answers_table())?;
        out.line("")?;
        let promises = self.promises();
        let rows: Vec<_> = promises
            .iter()
            .map(|(promise, held)| {
                vec![if *held { "held" } else { "BROKEN" }.to_owned(), (*promise).to_owned()]
            })
            .collect();
        out.table(&rows)?;
        Ok(promises.iter().all(|(_, held)| *held))
    }

    fn streams_table(&self) -> Vec<Vec<String>> {
        let heading = [
            "STREAM",
            "REQUESTS",
            "ACKNOWLEDGED",
            "FAILED",
            "UNKNOWN",
            "SENT AGAIN",
            "HAD ARRIVED",
            "STORED",
            "PER MINUTE",
            "P50 MS",
            "P99 MS",
            "MAX MS",
        ];
        let mut rows = vec![heading.map(str::to_owned).to_vec()];
        for ((stream, report), stored) in self.streams.iter().zip(self.reports).zip(self.stored) {
            let counts = [
                report.requests,
                report.acknowledged,
                report.failed,
                report.unknown,
                report.resent,
                report.replayed,
                count(stored),
                (report.rate_per_second * 60.0) as u64,
            ];
            let latencies = [report.latency.p50_ms, report.latency.p99_ms, report.latency.max_ms];
            let mut row = vec![stream.topic.to_owned()];
            row.extend(counts.map(grouped));
            row.extend(latencies.map(|millis| format!("{millis:.2}")));
            rows.push(row);
        }
        rows
    }

    fn subscribers_table(&self) -> Vec<Vec<String>> {
        let mut rows =
            vec![["SUBSCRIBER", "CONNECTIONS", "EVENTS", "GAPS", "REPEATS"].map(str::to_owned).to_vec()];
        for seen in self.seen {
            let mut row = vec![seen.name.clone()];
            row.extend([seen.connections, seen.events, seen.gaps, seen.repeats].map(grouped));
            rows.push(row);
        }
        rows
    }

    fn outage_table(&self) -> Vec<Vec<String>> {
        let Outage { acknowledged_before, ready_after, first_start } = self.outage;
        let millis = |span: Duration| format!("{:.0} ms", span.as_secs_f64() * 1000.0);
        let rows = [
            ("acknowledged before SIGKILL", grouped(acknowledged_before)),
            ("first start until ready", millis(first_start)),
            ("restart until ready", millis(ready_after)),
            ("whole demo", format!("{:.1} s", self.took.as_secs_f64())),
        ];
        rows.map(|(name, value)| vec![name.to_owned(), value]).to_vec()
    }

    fn magnitudes_table(&self) -> Vec<Vec<String>> {
        let mut rows = vec![["MAGNITUDE", "EARTHQUAKES IN THE TABLE"].map(str::to_owned).to_vec()];
        let mut sorted: Vec<_> = self.found.magnitudes.iter().collect();
        sorted.sort_by_key(|(name, _)| name.parse::<i64>().unwrap_or(i64::MAX));
        rows.extend(sorted.into_iter().map(|(name, count)| vec![name.clone(), grouped(*count)]));
        rows
    }

    fn letter_table(&self) -> Vec<Vec<String>> {
        let letter = &self.found.letter;
        let after = if self.found.stored { "in the table" } else { "not in the table" };
        let rows = [
            ("dead letter", format!("{}, {} attempts", letter.id, letter.attempts)),
            ("why", letter.error.clone()),
            (
                "redriven with a corrected schema",
                format!("{}; now the event is {after}", self.found.redriven),
            ),
        ];
        rows.map(|(name, value)| vec![name.to_owned(), value]).to_vec()
    }

    fn answers_table(&self) -> Vec<Vec<String>> {
        let mut rows = vec![["ASKED ABOUT ITSELF", "ANSWERED", "FROM"].map(str::to_owned).to_vec()];
        rows.extend(self.found.asked.iter().map(|asked| {
            let answer: String = asked.answer.chars().take(ANSWER_CHARACTERS).collect();
            vec![asked.question.to_owned(), answer, asked.source.clone()]
        }));
        rows
    }

    /// Every earthquake that was acknowledged is one row.
    fn quakes_are_rows(&self) -> bool {
        let acknowledged = self.reports.last().map_or(0, |report| report.acknowledged);
        acknowledged > 0 && self.found.magnitudes.values().sum::<u64>() == acknowledged
    }

    /// Every promise, and whether it was held.
    fn promises(&self) -> Vec<(&'static str, bool)> {
        let found = || self.reports.iter().filter_map(|report| report.verification.as_ref());
        let all_found = found().count() == self.reports.len();
        let none =
            |count: fn(&floe_load::Verification) -> u64| all_found && found().all(|found| count(found) == 0);
        let as_many =
            self.reports.iter().zip(self.stored).all(|(report, stored)| report.acknowledged == count(stored));
        let expected = |seen: &Seen| {
            let stream = self.streams.iter().position(|stream| seen.name.starts_with(stream.topic));
            stream.and_then(|at| self.stored.get(at)).map_or(0, |stored| count(stored))
        };
        let complete =
            self.seen.iter().all(|seen| seen.gaps == 0 && seen.repeats == 0 && seen.events == expected(seen));
        vec![
            ("every request was acknowledged in the end", self.reports.iter().all(acknowledged_all)),
            ("every acknowledged record is stored, none is lost", none(|found| found.lost)),
            ("every record is stored once", none(|found| found.repeated) && as_many),
            ("the records of each key are in the order they were sent", none(|found| found.reordered)),
            ("every value is what was sent", none(|found| found.corrupted + found.stored_though_failed)),
            ("every subscriber resumed after the kill", self.seen.iter().all(|seen| seen.connections > 1)),
            (
                "every subscriber saw every record once, in order, without a gap",
                !self.seen.is_empty() && complete,
            ),
            ("subscribers of one stream saw the same", self.subscribers_agree()),
            ("every earthquake is one row of the table, across the kill", self.quakes_are_rows()),
            (
                "the event that could not be processed was a dead letter that says why",
                self.found.letter.attempts > 0 && self.found.letter.error.contains("amount"),
            ),
            (
                "corrected and redriven once, it is in the table, and no dead letter is left",
                self.found.redriven == 1 && self.found.stored && self.found.open == 0,
            ),
            (
                "asked about itself, it answered from the documents that have the answers",
                !self.found.asked.is_empty() && self.found.asked.iter().all(|asked| asked.right),
            ),
            ("the server stopped in order when asked to", self.exit_code == Some(0)),
        ]
    }

    fn subscribers_agree(&self) -> bool {
        self.streams.iter().all(|stream| {
            let mut digests =
                self.seen.iter().filter(|seen| seen.name.starts_with(stream.topic)).map(|seen| &seen.digests);
            let first = digests.next();
            digests.all(|digest| Some(digest) == first)
        })
    }
}

fn count(stored: &[PartitionBounds]) -> u64 {
    stored.iter().map(|bound| (bound.end - bound.start).unsigned_abs()).sum()
}
