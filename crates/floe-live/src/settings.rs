//! A topic's settings for live delivery.

use std::collections::BTreeMap;

use crate::limits::{
    DEFAULT_HISTORY_RECORDS, DEFAULT_QUEUE_RECORDS, MAX_HISTORY_RECORDS, MAX_QUEUE_RECORDS, RING_MIN_RECORDS,
};

/// Setting: how many records a subscriber whose socket is blocked may be behind.
pub const QUEUE_SIZE: &str = "floe.live.queue.size";
/// Setting: what happens to a subscriber that is further behind: `drop_oldest` or `disconnect`.
pub const POLICY: &str = "floe.live.policy";
/// Setting: how many of the newest records a subscriber may ask for at its start.
pub const HISTORY_SIZE: &str = "floe.live.history.size";

/// What happens to a subscriber whose socket is blocked and that is too far behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// It is moved forward and told what it missed.
    #[default]
    DropOldest,
    /// It is disconnected.
    Disconnect,
}

/// A topic's settings for live delivery, as they were when a subscriber came. A change reaches those who come later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// [`QUEUE_SIZE`].
    pub queue_records: usize,
    /// [`HISTORY_SIZE`].
    pub history_records: usize,
    /// [`POLICY`].
    pub policy: Policy,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            queue_records: DEFAULT_QUEUE_RECORDS,
            history_records: DEFAULT_HISTORY_RECORDS,
            policy: Policy::default(),
        }
    }
}

impl Settings {
    /// Reads them from a topic's settings. The engine checked the values when they were set; what is absent or out of
    /// range here takes the default or the nearest bound, so that a topic never becomes unwatchable.
    #[must_use]
    pub fn from_config(config: &BTreeMap<String, String>) -> Self {
        let records = |key: &str, default: usize, max: usize| {
            config.get(key).and_then(|value| value.parse::<usize>().ok()).unwrap_or(default).clamp(1, max)
        };
        Self {
            queue_records: records(QUEUE_SIZE, DEFAULT_QUEUE_RECORDS, MAX_QUEUE_RECORDS),
            history_records: records(HISTORY_SIZE, DEFAULT_HISTORY_RECORDS, MAX_HISTORY_RECORDS),
            policy: match config.get(POLICY).map(String::as_str) {
                Some("disconnect") => Policy::Disconnect,
                _ => Policy::DropOldest,
            },
        }
    }

    /// How many records the topic's ring keeps.
    pub(crate) fn ring_records(&self) -> usize {
        self.queue_records.max(self.history_records).max(RING_MIN_RECORDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_topic_that_says_nothing_takes_the_documented_defaults() {
        let settings = Settings::from_config(&BTreeMap::new());
        assert_eq!(
            settings,
            Settings { queue_records: 100, history_records: 100, policy: Policy::DropOldest }
        );
    }

    #[test]
    fn values_are_taken_and_kept_within_their_bounds() {
        let settings =
            Settings::from_config(&config(&[(QUEUE_SIZE, "7"), (HISTORY_SIZE, "0"), (POLICY, "disconnect")]));
        assert_eq!(settings, Settings { queue_records: 7, history_records: 1, policy: Policy::Disconnect });
        let settings = Settings::from_config(&config(&[(QUEUE_SIZE, "99999999999"), (POLICY, "?")]));
        assert_eq!(settings.queue_records, MAX_QUEUE_RECORDS);
        assert_eq!(settings.policy, Policy::DropOldest);
    }
}
