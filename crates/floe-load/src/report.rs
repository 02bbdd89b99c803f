//! What a run came to: as a struct for programs, a table for people, JSON for both.

use std::{collections::BTreeMap, fmt::Write};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::verify::Verification;

/// The result of a run. `sent = acknowledged + failed + unknown`.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The server.
    pub target: String,
    /// The topic.
    pub topic: String,
    /// The door and how it was used.
    pub mode: &'static str,
    /// Connections.
    pub connections: usize,
    /// Records of one request.
    pub batch: usize,
    /// The rate that was asked for.
    pub rate_asked: String,
    /// From the first record to the last answer, in seconds.
    pub elapsed_seconds: f64,
    /// Requests (frames on a WebSocket), repeats not counted.
    pub requests: u64,
    /// Records sent, each counted once however often it was sent again.
    pub sent: u64,
    /// Records the server gave its promise for.
    pub acknowledged: u64,
    /// Records that certainly were not stored.
    pub failed: u64,
    /// Records that may have been stored: time-outs and broken connections after sending.
    pub unknown: u64,
    /// Records in repeated requests.
    pub resent: u64,
    /// Records whose acknowledgement was that of an earlier attempt.
    pub replayed: u64,
    /// Records that were due and never sent, because the answers to earlier ones came too late.
    pub behind: u64,
    /// Acknowledged records a second.
    pub rate_per_second: f64,
    /// Bytes of sent values a second.
    pub value_bytes_per_second: f64,
    /// From the instant a request was due to its acknowledgement.
    pub latency: LatencyReport,
    /// Why records failed or are unknown, and how many.
    pub reasons: BTreeMap<String, u64>,
    /// What reading back found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verification: Option<Verification>,
}

/// Latencies in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names say it: the share of requests that were at least as fast")]
pub struct LatencyReport {
    pub mean_ms: f64,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
}

impl LatencyReport {
    pub(crate) fn of(latencies: &Histogram<u64>) -> Self {
        let at = |quantile| latencies.value_at_quantile(quantile) as f64 / 1000.0;
        Self {
            mean_ms: (latencies.mean()).round() / 1000.0,
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p95_ms: at(0.95),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: latencies.max() as f64 / 1000.0,
        }
    }
}

impl Report {
    /// Whether every record was acknowledged and, if that was asked for, everything read back is as it should be.
    #[must_use]
    pub fn is_flawless(&self) -> bool {
        self.sent > 0
            && self.acknowledged == self.sent
            && self.verification.as_ref().is_none_or(Verification::is_flawless)
    }

    /// The report as JSON, ending in a line feed.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Numbers, texts and maps with text keys: there is nothing in it that JSON can't say.
        let mut json = serde_json::to_string_pretty(self).unwrap_or_default();
        json.push('\n');
        json
    }

    /// The report as a table for people.
    #[must_use]
    pub fn to_table(&self) -> String {
        let mut out = String::new();
        let mut row = |name: &str, value: String| {
            let _ = writeln!(out, "  {name:<14} {value}");
        };
        row("target", format!("{} topic {} ({})", self.target, self.topic.escape_debug(), self.mode));
        let batches = if self.batch > 1 { format!(", batches of {}", self.batch) } else { String::new() };
        row(
            "load",
            format!(
                "{} asked, {} connections{batches}, {:.1} s",
                self.rate_asked, self.connections, self.elapsed_seconds
            ),
        );
        row("sent", format!("{:>12} records in {} requests", grouped(self.sent), grouped(self.requests)));
        row("acknowledged", format!("{:>12}", grouped(self.acknowledged)));
        row("failed", format!("{:>12}", grouped(self.failed)));
        row("unknown", format!("{:>12}", grouped(self.unknown)));
        if self.resent > 0 {
            row(
                "sent again",
                format!(
                    "{:>12} of which {} had arrived before",
                    grouped(self.resent),
                    grouped(self.replayed)
                ),
            );
        }
        if self.behind > 0 {
            row(
                "never sent",
                format!(
                    "{:>12} were due: the rate asked for was not reached, so the latencies are too good",
                    grouped(self.behind)
                ),
            );
        }
        let per_minute = grouped((self.rate_per_second * 60.0) as u64);
        row(
            "rate",
            format!(
                "{:>12.1} records/s = {per_minute}/min, {:.2} MB/s of values",
                self.rate_per_second,
                self.value_bytes_per_second / 1e6
            ),
        );
        let l = &self.latency;
        row(
            "latency ms",
            format!(
                "p50 {:.3}  p90 {:.3}  p95 {:.3}  p99 {:.3}  p99.9 {:.3}  max {:.3}",
                l.p50_ms, l.p90_ms, l.p95_ms, l.p99_ms, l.p999_ms, l.max_ms
            ),
        );
        let counted = match self.rate_asked.as_str() {
            "max" => "of each exchange (at max there is no schedule to be late for)",
            _ => "from the instant each request was due (corrected for coordinated omission)",
        };
        row("", counted.to_owned());
        for (reason, records) in &self.reasons {
            row("reason", format!("{:>12} {reason}", grouped(*records)));
        }
        if let Some(verification) = &self.verification {
            row("read back", verification.to_string());
        }
        out
    }
}

/// A number with its thousands set apart.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_in_thousands() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn percentiles_are_those_of_the_distribution() {
        let mut latencies = crate::tally::latency_histogram();
        (1..=1000).for_each(|millis| latencies.saturating_record(millis * 1000));
        let report = LatencyReport::of(&latencies);
        for (found, expected) in [
            (report.p50_ms, 500.0),
            (report.p90_ms, 900.0),
            (report.p95_ms, 950.0),
            (report.p99_ms, 990.0),
            (report.p999_ms, 999.0),
            (report.max_ms, 1000.0),
            (report.mean_ms, 500.5),
        ] {
            assert!((found - expected).abs() <= expected * 0.001, "{found} is not {expected}");
        }
        assert_eq!(LatencyReport::of(&crate::tally::latency_histogram()), LatencyReport::default());
    }
}
