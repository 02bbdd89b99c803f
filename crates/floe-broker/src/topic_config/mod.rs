//! A topic's settings, under Kafka's names and Floe's own (`floe.…`).

mod settings;

use std::collections::BTreeMap;

use settings::{
    ACKS, LIVE_HISTORY_SIZE, LIVE_POLICY, LIVE_QUEUE_SIZE, MAX_MESSAGE_BYTES, RETENTION_BYTES, RETENTION_MS,
    SETTINGS, TIMESTAMP_TYPE, nearest, setting,
};

use crate::{Acks, BrokerError, batch::TimestampType};

/// How much of a wrong name or value an error repeats.
const MAX_ECHOED_CHARS: usize = 200;

/// The settings of one topic. A topic with nothing but defaults takes one pointer: there may be 100,000 topics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicConfig(Option<Box<Overrides>>);

/// What happens to a live subscriber that is too far behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LivePolicy {
    /// Its oldest waiting events are skipped, and it is told which.
    #[default]
    DropOldest,
    /// Its connection is closed.
    Disconnect,
}

/// What was set, as text, and what that means.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Overrides {
    set: BTreeMap<&'static str, Box<str>>,
    values: Values,
}

/// The settings with an effect, ready to use.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Values {
    retention_ms: i64,
    retention_bytes: i64,
    max_message_bytes: i64,
    live_queue_size: i64,
    live_history_size: i64,
    timestamp_type: TimestampType,
    acks: Acks,
    live_policy: LivePolicy,
}

static DEFAULTS: Values = Values {
    retention_ms: 604_800_000,
    retention_bytes: -1,
    max_message_bytes: 1_048_588,
    live_queue_size: 100,
    live_history_size: 100,
    timestamp_type: TimestampType::Create,
    acks: Acks::Durable,
    live_policy: LivePolicy::DropOldest,
};

impl TopicConfig {
    /// The settings given, and defaults for the rest.
    pub fn from_overrides(overrides: &BTreeMap<String, String>) -> Result<Self, BrokerError> {
        let mut set = BTreeMap::new();
        for (name, value) in overrides {
            let (name, value) = checked(name, value)?;
            set.insert(name, value);
        }
        Ok(Self::of(set))
    }

    /// Changes settings, all of them or none; `None` goes back to the default.
    pub fn apply(&mut self, changes: &BTreeMap<String, Option<String>>) -> Result<(), BrokerError> {
        let mut set = self.0.as_ref().map_or_else(BTreeMap::new, |o| o.set.clone());
        for (name, value) in changes {
            if let Some(value) = value {
                let (name, value) = checked(name, value)?;
                set.insert(name, value);
            } else {
                let known = setting(name).ok_or_else(|| unknown(name, ""))?;
                set.remove(known.name);
            }
        }
        *self = Self::of(set);
        Ok(())
    }

    /// What was set, also where it equals the default: what has to be stored.
    #[must_use]
    pub fn overrides(&self) -> BTreeMap<String, String> {
        let set = self.0.iter().flat_map(|o| &o.set);
        set.map(|(&name, value)| (name.to_owned(), value.to_string())).collect()
    }

    /// Every setting with its value in force.
    #[must_use]
    pub fn effective(&self) -> BTreeMap<String, String> {
        let text = |name| self.0.as_ref().and_then(|o| o.set.get(name)).map(|v| v.to_string());
        SETTINGS
            .iter()
            .map(|s| (s.name.to_owned(), text(s.name).unwrap_or_else(|| s.default.to_owned())))
            .collect()
    }

    /// Why a setting is accepted and kept, but changes nothing here. `None` for one that has an effect, or is unknown.
    #[must_use]
    pub fn without_effect(name: &str) -> Option<&'static str> {
        setting(name)?.without_effect
    }

    /// How long records are kept, in milliseconds; `None` is without limit (`retention.ms`).
    #[must_use]
    pub fn retention_ms(&self) -> Option<u64> {
        u64::try_from(self.values().retention_ms).ok()
    }

    /// How many bytes each partition keeps; `None` is without limit (`retention.bytes`).
    #[must_use]
    pub fn retention_bytes(&self) -> Option<u64> {
        u64::try_from(self.values().retention_bytes).ok()
    }

    /// The largest batch, in bytes (`max.message.bytes`).
    #[must_use]
    pub fn max_message_bytes(&self) -> usize {
        self.values().max_message_bytes as usize
    }

    /// What the timestamps of records say (`message.timestamp.type`).
    #[must_use]
    pub fn timestamp_type(&self) -> TimestampType {
        self.values().timestamp_type
    }

    /// The promise behind an acknowledgement, when the writer doesn't ask for one (`floe.acks`).
    #[must_use]
    pub fn acks(&self) -> Acks {
        self.values().acks
    }

    /// How many events a live subscriber may be behind (`floe.live.queue.size`).
    #[must_use]
    pub fn live_queue_size(&self) -> usize {
        self.values().live_queue_size as usize
    }

    /// What happens to one that is further behind (`floe.live.policy`).
    #[must_use]
    pub fn live_policy(&self) -> LivePolicy {
        self.values().live_policy
    }

    /// How many of the newest events a new live subscriber may ask for (`floe.live.history.size`).
    #[must_use]
    pub fn live_history_size(&self) -> usize {
        self.values().live_history_size as usize
    }

    fn values(&self) -> &Values {
        self.0.as_ref().map_or(&DEFAULTS, |o| &o.values)
    }

    fn of(set: BTreeMap<&'static str, Box<str>>) -> Self {
        if set.is_empty() {
            return Self(None);
        }
        let values = Values::of(&set);
        Self(Some(Box::new(Overrides { set, values })))
    }
}

impl Values {
    fn of(set: &BTreeMap<&'static str, Box<str>>) -> Self {
        let integer = |name, default| {
            set.get(name).map_or(default, |v| v.parse().expect("the value was checked when it was set"))
        };
        let word = |name| set.get(name).map(|v| &**v);
        Self {
            retention_ms: integer(RETENTION_MS, DEFAULTS.retention_ms),
            retention_bytes: integer(RETENTION_BYTES, DEFAULTS.retention_bytes),
            max_message_bytes: integer(MAX_MESSAGE_BYTES, DEFAULTS.max_message_bytes),
            live_queue_size: integer(LIVE_QUEUE_SIZE, DEFAULTS.live_queue_size),
            live_history_size: integer(LIVE_HISTORY_SIZE, DEFAULTS.live_history_size),
            timestamp_type: match word(TIMESTAMP_TYPE) {
                Some("LogAppendTime") => TimestampType::LogAppend,
                _ => TimestampType::Create,
            },
            acks: match word(ACKS) {
                Some("1") => Acks::Written,
                Some("0") => Acks::None,
                _ => Acks::Durable,
            },
            live_policy: match word(LIVE_POLICY) {
                Some("disconnect") => LivePolicy::Disconnect,
                _ => LivePolicy::DropOldest,
            },
        }
    }
}

fn checked(name: &str, value: &str) -> Result<(&'static str, Box<str>), BrokerError> {
    let known = setting(name).ok_or_else(|| unknown(name, value))?;
    match known.canonical(value) {
        Some(text) => Ok((known.name, text.into())),
        None => Err(invalid(name, value, known.expected())),
    }
}

fn unknown(name: &str, value: &str) -> BrokerError {
    invalid(name, value, format!("there is no such setting; the nearest is '{}'", nearest(name)))
}

fn invalid(name: &str, value: &str, expected: String) -> BrokerError {
    let echoed = |text: &str| text.chars().take(MAX_ECHOED_CHARS).collect();
    BrokerError::InvalidConfig { key: echoed(name), value: echoed(value), expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    fn expected_of(pairs: &[(&str, &str)]) -> String {
        match TopicConfig::from_overrides(&map(pairs)) {
            Err(BrokerError::InvalidConfig { expected, .. }) => expected,
            other => panic!("{pairs:?}: {other:?}"),
        }
    }

    #[test]
    fn defaults_are_kafkas_and_take_one_pointer() {
        let config = TopicConfig::default();
        assert_eq!(size_of::<TopicConfig>(), size_of::<usize>());
        assert_eq!(TopicConfig::from_overrides(&BTreeMap::new()).unwrap(), config);
        assert!(config.overrides().is_empty());
        // The numbers in force are those that are printed.
        let printed = TopicConfig::from_overrides(&config.effective()).unwrap();
        assert_eq!(printed.values(), &DEFAULTS);
        assert_eq!((config.retention_ms(), config.retention_bytes()), (Some(604_800_000), None));
        assert_eq!(config.max_message_bytes(), 1_048_588);
        assert_eq!((config.acks(), config.timestamp_type()), (Acks::Durable, TimestampType::Create));
        assert_eq!((config.live_queue_size(), config.live_history_size()), (100, 100));
    }

    #[test]
    fn what_is_set_is_in_force_and_comes_back_from_storage() {
        let given = map(&[
            ("retention.ms", " -1 "),
            ("retention.bytes", "+1000"),
            ("max.message.bytes", "8388608"),
            ("message.timestamp.type", "LogAppendTime"),
            ("floe.acks", "1"),
            ("floe.live.queue.size", "1"),
            ("floe.live.policy", "disconnect"),
            ("floe.live.history.size", "0"),
            ("min.cleanable.dirty.ratio", "0.10"),
            ("preallocate", "TRUE"),
            ("segment.bytes", "1048576"),
        ]);
        let config = TopicConfig::from_overrides(&given).unwrap();
        assert_eq!((config.retention_ms(), config.retention_bytes()), (None, Some(1000)));
        assert_eq!(config.max_message_bytes(), 8 << 20);
        assert_eq!((config.acks(), config.timestamp_type()), (Acks::Written, TimestampType::LogAppend));
        assert_eq!((config.live_queue_size(), config.live_history_size()), (1, 0));
        assert_eq!(config.live_policy(), LivePolicy::Disconnect);
        let kept = config.overrides();
        assert_eq!(kept.len(), given.len());
        assert_eq!(kept["retention.bytes"], "1000");
        assert_eq!(kept["preallocate"], "true");
        assert_eq!(kept["min.cleanable.dirty.ratio"], "0.1");
        assert_eq!(TopicConfig::from_overrides(&kept).unwrap(), config);
        assert_eq!(config.effective()["segment.bytes"], "1048576");
        assert_eq!(config.effective()["segment.ms"], "604800000");
    }

    #[test]
    fn changes_apply_whole_or_not_at_all() {
        let mut config =
            TopicConfig::from_overrides(&map(&[("retention.ms", "5"), ("floe.acks", "0")])).unwrap();
        let before = config.clone();
        let bad = BTreeMap::from([
            ("retention.ms".to_owned(), None),
            ("retention.bytes".to_owned(), Some("many".to_owned())),
        ]);
        config.apply(&bad).unwrap_err();
        assert_eq!(config, before);
        config.apply(&BTreeMap::from([("nothing".to_owned(), None)])).unwrap_err();
        let good = BTreeMap::from([
            ("retention.ms".to_owned(), None),
            ("retention.bytes".to_owned(), Some("9".to_owned())),
        ]);
        config.apply(&good).unwrap();
        assert_eq!(config.overrides(), map(&[("retention.bytes", "9"), ("floe.acks", "0")]));
        assert_eq!((config.retention_ms(), config.acks()), (Some(604_800_000), Acks::None));
        let reset = ["retention.bytes", "floe.acks"].map(|k| (k.to_owned(), None));
        config.apply(&BTreeMap::from(reset)).unwrap();
        assert_eq!(config, TopicConfig::default());
    }

    #[test]
    fn wrong_values_are_refused_with_what_would_be_right() {
        assert_eq!(expected_of(&[("retention.ms", "-2")]), "a whole number, -1 or more");
        assert_eq!(expected_of(&[("max.message.bytes", "8388609")]), "a whole number from 1 to 8388608");
        assert_eq!(expected_of(&[("floe.live.queue.size", "0")]), "a whole number from 1 to 100000");
        assert_eq!(expected_of(&[("floe.acks", "2")]), "all or 1 or 0");
        assert_eq!(expected_of(&[("message.timestamp.type", "createtime")]), "CreateTime or LogAppendTime");
        assert_eq!(expected_of(&[("preallocate", "yes")]), "true or false");
        assert_eq!(expected_of(&[("min.cleanable.dirty.ratio", "NaN")]), "a number from 0 to 1");
        for policy in ["compact", "compact,delete", ""] {
            assert_eq!(expected_of(&[("cleanup.policy", policy)]), "delete: compaction is not supported");
        }
        for value in ["", "1.5", "1e3", "99999999999999999999", "0x10"] {
            expected_of(&[("retention.ms", value)]);
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest() {
        assert_eq!(
            expected_of(&[("retention.msec", "5")]),
            "there is no such setting; the nearest is 'retention.ms'"
        );
        let long = "k".repeat(1 << 16);
        let Err(BrokerError::InvalidConfig { key, value, .. }) =
            TopicConfig::from_overrides(&map(&[(&long, &long)]))
        else {
            panic!("it was taken");
        };
        assert_eq!((key.len(), value.len()), (MAX_ECHOED_CHARS, MAX_ECHOED_CHARS));
    }

    #[test]
    fn settings_without_effect_say_why() {
        assert!(TopicConfig::without_effect("segment.bytes").unwrap().contains("one journal"));
        assert_eq!(TopicConfig::without_effect("retention.ms"), None);
    }
}
