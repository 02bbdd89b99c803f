//! p50 and p99 of times, turn by turn.

use std::time::Duration;

use crate::report::median;

/// p50 and p99, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quantiles([f64; 2]);

impl Quantiles {
    /// Those of one turn.
    pub(crate) fn of(times: impl IntoIterator<Item = Duration>) -> Self {
        let mut times: Vec<Duration> = times.into_iter().collect();
        times.sort_unstable();
        Self([50, 99].map(|percent| {
            let at = times.len() * percent / 100;
            times.get(at).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
        }))
    }

    /// The median of turns, each quantile by itself.
    pub(crate) fn median(turns: &[Self]) -> Self {
        Self([0, 1].map(|at| median(turns.iter().map(|turn| turn.0[at]).collect())))
    }

    /// How many times those of another side these are, turn by turn: the median of that.
    pub(crate) fn ratio(turns: &[Self], other: &[Self]) -> Self {
        let pairs = turns.iter().zip(other);
        let ratios = pairs.map(|(turn, other)| Self([0, 1].map(|at| turn.0[at] / other.0[at])));
        Self::median(&ratios.collect::<Vec<_>>())
    }

    /// Whether neither is more.
    pub(crate) fn within(self, bar: f64) -> bool {
        self.0.iter().all(|quantile| *quantile <= bar)
    }

    /// As times.
    pub(crate) fn shown(self) -> String {
        let Self([p50, p99]) = self;
        format!("p50 {p50:.2} ms, p99 {p99:.2} ms")
    }

    /// As ratios.
    pub(crate) fn shown_ratio(self) -> String {
        let Self([p50, p99]) = self;
        format!("{p50:.1}×, {p99:.1}×")
    }
}
