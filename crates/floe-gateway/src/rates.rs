//! Records per second of the topics that somebody asks about, from one sample a second.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::limits::{SAMPLED_TOPICS_MAX, SAMPLES_KEPT};

/// Running totals of one topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) accepted: u64,
    pub(crate) processed: u64,
}

/// What happened per second of late.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct PerSecond {
    pub(crate) accepted: f64,
    pub(crate) processed: f64,
}

/// The sampled topics.
#[derive(Debug, Default)]
pub(crate) struct Rates(Mutex<HashMap<String, VecDeque<(Instant, Totals)>>>);

impl Rates {
    /// Samples the topic from now on, and adds this sample. One over the limit isn't taken up.
    pub(crate) fn watch(&self, topic: &str, totals: Totals, now: Instant) {
        let mut topics = self.0.lock();
        if topics.len() < SAMPLED_TOPICS_MAX || topics.contains_key(topic) {
            let samples = topics.entry(topic.to_owned()).or_default();
            if samples.is_empty() {
                samples.push_back((now, totals));
            }
        }
    }

    /// The topics that are sampled.
    pub(crate) fn watched(&self) -> Vec<String> {
        self.0.lock().keys().cloned().collect()
    }

    /// Adds a sample of a watched topic; one without totals is gone, and is no longer watched.
    pub(crate) fn sample(&self, topic: &str, totals: Option<Totals>, now: Instant) {
        let mut topics = self.0.lock();
        match (topics.get_mut(topic), totals) {
            (Some(samples), Some(totals)) => {
                samples.push_back((now, totals));
                while samples.len() > SAMPLES_KEPT {
                    samples.pop_front();
                }
            }
            (_, None) => drop(topics.remove(topic)),
            (None, Some(_)) => {}
        }
    }

    /// From the oldest sample kept to `totals` now.
    pub(crate) fn of(&self, topic: &str, totals: Totals, now: Instant) -> PerSecond {
        let first = self.0.lock().get(topic).and_then(|samples| samples.front().copied());
        first.map_or_else(PerSecond::default, |(at, then)| {
            per_second(then, totals, now.saturating_duration_since(at))
        })
    }
}

fn per_second(then: Totals, now: Totals, elapsed: Duration) -> PerSecond {
    // Two readings close together would make a rate of noise.
    if elapsed < Duration::from_millis(100) {
        return PerSecond::default();
    }
    let rate =
        |from: u64, to: u64| (to.saturating_sub(from) as f64 / elapsed.as_secs_f64() * 10.0).round() / 10.0;
    PerSecond { accepted: rate(then.accepted, now.accepted), processed: rate(then.processed, now.processed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_over_the_samples_kept() {
        let rates = Rates::default();
        let totals = |accepted, processed| Totals { accepted, processed };
        let mut now = Instant::now();
        rates.watch("events", totals(0, 0), now);
        for second in 1..=20 {
            now += Duration::from_secs(1);
            rates.sample("events", Some(totals(second * 50, second * 20)), now);
        }
        let end = totals(1_000, 400);
        assert_eq!(rates.of("events", end, now), PerSecond { accepted: 50.0, processed: 20.0 });
        assert_eq!(rates.of("other", totals(5, 5), now), PerSecond::default());
        assert_eq!(rates.watched(), ["events"]);
        rates.sample("events", None, now);
        assert_eq!(rates.of("events", end, now), PerSecond::default());
    }
}
