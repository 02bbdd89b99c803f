//! A line a second, for logs and pipes.

use std::io::Write;

use crate::progress::{Phase, Progress};

pub(super) fn print(look: &Progress) {
    // Standard error may be closed; a run goes on without it.
    let _ = writeln!(std::io::stderr(), "{}", line(look));
}

fn line(look: &Progress) -> String {
    match look.phase {
        Phase::Verifying { read } => format!("reading back: {read} records"),
        Phase::Sending | Phase::Done => {
            let millis = |duration: std::time::Duration| duration.as_secs_f64() * 1000.0;
            format!(
                "{:>6.1}s {:>10.0}/s  sent {}  acknowledged {}  failed {}  unknown {}  behind {}  p50 {:.2} ms  p99 {:.2} ms  max {:.2} ms",
                look.elapsed.as_secs_f64(),
                look.rate,
                look.sent,
                look.acknowledged,
                look.failed,
                look.unknown,
                look.behind,
                millis(look.latency.p50),
                millis(look.latency.p99),
                millis(look.latency.max)
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_figures_of_the_moment() {
        let look = Progress { rate: 166.7, sent: 334, acknowledged: 333, unknown: 1, ..Progress::default() };
        let line = line(&look);
        assert!(
            line.contains("167/s") && line.contains("acknowledged 333") && line.contains("unknown 1"),
            "{line}"
        );
        assert_eq!(
            super::line(&Progress { phase: Phase::Verifying { read: 7 }, ..look }),
            "reading back: 7 records"
        );
    }
}
