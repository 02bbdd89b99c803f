//! A few lines redrawn in place, with plain ANSI sequences and no other mode of the terminal.

use std::{io::Write, time::Duration};

use super::chart::bars;
use crate::{
    progress::{Phase, Progress},
    report::grouped,
};

/// Seconds the charts look back.
const CHART_SECONDS: usize = 60;

/// The lines on the screen. Dropping it puts the terminal back: cursor shown, what was drawn left standing.
#[derive(Debug)]
pub(super) struct Screen {
    drawn: usize,
    rates: Vec<f64>,
    slow: Vec<f64>,
}

impl Screen {
    pub(super) fn new() -> Self {
        write("\x1b[?25l");
        Self { drawn: 0, rates: Vec::new(), slow: Vec::new() }
    }

    pub(super) fn draw(&mut self, look: &Progress) {
        if look.phase == Phase::Sending {
            remember(&mut self.rates, look.rate);
            remember(&mut self.slow, look.latency.p99.as_secs_f64());
        }
        let lines = self.lines(look);
        let back = if self.drawn > 0 { format!("\x1b[{}A\r\x1b[J", self.drawn) } else { String::new() };
        write(&format!("{back}{}\n", lines.join("\n")));
        self.drawn = lines.len();
    }

    fn lines(&self, look: &Progress) -> Vec<String> {
        let seconds = look.elapsed.as_secs_f64();
        let state = match look.phase {
            Phase::Sending => match look.total {
                Some(total) => format!("{seconds:.0} s, {} of {}", grouped(look.sent), grouped(total)),
                None => format!("{seconds:.0} s"),
            },
            Phase::Verifying { read } => format!("reading back, {} records", grouped(read)),
            Phase::Done => "done".to_owned(),
        };
        let bad = |number: u64| {
            if number > 0 { format!("\x1b[31m{}\x1b[0m", grouped(number)) } else { "0".to_owned() }
        };
        vec![
            format!("\x1b[1mfloe load\x1b[0m  {state}"),
            format!("  rate     {:>12.0} /s = {:>12} /min", look.rate, grouped((look.rate * 60.0) as u64)),
            format!("           \x1b[36m{}\x1b[0m", bars(&self.rates, CHART_SECONDS)),
            format!(
                "  records  {:>12} acknowledged, {} failed, {} unknown, {} behind",
                grouped(look.acknowledged),
                bad(look.failed),
                bad(look.unknown),
                grouped(look.behind)
            ),
            format!(
                "  latency  p50 {}  p99 {}  max {}",
                shown(look.latency.p50),
                shown(look.latency.p99),
                shown(look.latency.max)
            ),
            format!("      p99  \x1b[33m{}\x1b[0m", bars(&self.slow, CHART_SECONDS)),
        ]
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        write("\x1b[0m\x1b[?25h");
    }
}

fn remember(values: &mut Vec<f64>, value: f64) {
    if values.len() == CHART_SECONDS {
        values.remove(0);
    }
    values.push(value);
}

fn shown(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1000.0)
}

fn write(text: &str) {
    let mut stderr = std::io::stderr().lock();
    // A terminal that is gone is no reason to end a run.
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}
