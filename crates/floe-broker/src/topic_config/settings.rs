//! The settings a topic takes: names, defaults, and the values each one allows.

/// One setting.
pub(super) struct Setting {
    pub(super) name: &'static str,
    pub(super) default: &'static str,
    pub(super) takes: Takes,
    /// Why it changes nothing, for those that are only kept so that Kafka's tools and scripts work unchanged.
    pub(super) without_effect: Option<&'static str>,
}

/// The values a setting allows.
pub(super) enum Takes {
    /// A whole number, both ends included.
    Integer { min: i64, max: i64 },
    /// A number from 0 to 1.
    Fraction,
    /// `true` or `false`.
    Boolean,
    /// One of these words; `note` explains what is missing, when something is.
    Word { words: &'static [&'static str], note: &'static str },
}

pub(super) const RETENTION_MS: &str = "retention.ms";
pub(super) const RETENTION_BYTES: &str = "retention.bytes";
pub(super) const MAX_MESSAGE_BYTES: &str = "max.message.bytes";
pub(super) const TIMESTAMP_TYPE: &str = "message.timestamp.type";
pub(super) const ACKS: &str = "floe.acks";
pub(super) const LIVE_QUEUE_SIZE: &str = "floe.live.queue.size";
pub(super) const LIVE_POLICY: &str = "floe.live.policy";
pub(super) const LIVE_HISTORY_SIZE: &str = "floe.live.history.size";

/// The largest `max.message.bytes`: a batch must fit into one commit of the journal with room for others.
pub(super) const MAX_MESSAGE_BYTES_LIMIT: i64 = 8 << 20;

const INT: i64 = i32::MAX as i64;
const LONG: i64 = i64::MAX;
const NO_LIMIT: &str = "9223372036854775807";

const NO_SEGMENTS: &str = "all topics share one journal, whose segments have one fixed size";
const NO_COMPACTION: &str = "topics are not compacted";
const NO_REPLICAS: &str = "a node keeps no replicas";
const SYNC_IS_GROUPED: &str = "an acknowledged record is on disk already (see floe.acks)";
const NO_TIME_CHECK: &str = "timestamps are taken as the producer gives them";

/// All settings, by name.
pub(super) const SETTINGS: &[Setting] = &[
    word("cleanup.policy", "delete", &["delete"], "compaction is not supported"),
    kept_word("compression.type", &["producer"], "batches are kept as their producer compressed them"),
    kept_integer("delete.retention.ms", "86400000", 0, LONG, NO_COMPACTION),
    kept_integer("file.delete.delay.ms", "60000", 0, LONG, NO_SEGMENTS),
    word(ACKS, "all", &["all", "1", "0"], ""),
    integer(LIVE_HISTORY_SIZE, "100", 0, 100_000),
    word(LIVE_POLICY, "drop_oldest", &["drop_oldest", "disconnect"], ""),
    integer(LIVE_QUEUE_SIZE, "100", 1, 100_000),
    kept_integer("flush.messages", NO_LIMIT, 1, LONG, SYNC_IS_GROUPED),
    kept_integer("flush.ms", NO_LIMIT, 0, LONG, SYNC_IS_GROUPED),
    kept_integer("index.interval.bytes", "4096", 0, INT, "every batch is in the index"),
    kept_integer("max.compaction.lag.ms", NO_LIMIT, 1, LONG, NO_COMPACTION),
    integer(MAX_MESSAGE_BYTES, "1048588", 1, MAX_MESSAGE_BYTES_LIMIT),
    kept_boolean("message.downconversion.enable", "true", "no client is served that needs older formats"),
    kept_integer("message.timestamp.after.max.ms", NO_LIMIT, 0, LONG, NO_TIME_CHECK),
    kept_integer("message.timestamp.before.max.ms", NO_LIMIT, 0, LONG, NO_TIME_CHECK),
    kept_integer("message.timestamp.difference.max.ms", NO_LIMIT, 0, LONG, NO_TIME_CHECK),
    word(TIMESTAMP_TYPE, "CreateTime", &["CreateTime", "LogAppendTime"], ""),
    Setting {
        name: "min.cleanable.dirty.ratio",
        default: "0.5",
        takes: Takes::Fraction,
        without_effect: Some(NO_COMPACTION),
    },
    kept_integer("min.compaction.lag.ms", "0", 0, LONG, NO_COMPACTION),
    kept_integer("min.insync.replicas", "1", 1, INT, NO_REPLICAS),
    kept_boolean("preallocate", "false", "the journal prepares its segments always"),
    integer(RETENTION_BYTES, "-1", -1, LONG),
    integer(RETENTION_MS, "604800000", -1, LONG),
    kept_integer("segment.bytes", "1073741824", 14, INT, NO_SEGMENTS),
    kept_integer("segment.index.bytes", "10485760", 4, INT, NO_SEGMENTS),
    kept_integer("segment.jitter.ms", "0", 0, LONG, NO_SEGMENTS),
    kept_integer("segment.ms", "604800000", 1, LONG, NO_SEGMENTS),
    kept_boolean("unclean.leader.election.enable", "false", NO_REPLICAS),
];

const fn integer(name: &'static str, default: &'static str, min: i64, max: i64) -> Setting {
    Setting { name, default, takes: Takes::Integer { min, max }, without_effect: None }
}

const fn word(
    name: &'static str,
    default: &'static str,
    words: &'static [&'static str],
    note: &'static str,
) -> Setting {
    Setting { name, default, takes: Takes::Word { words, note }, without_effect: None }
}

const fn kept_word(name: &'static str, words: &'static [&'static str], why: &'static str) -> Setting {
    let takes = Takes::Word { words, note: why };
    Setting { name, default: words[0], takes, without_effect: Some(why) }
}

const fn kept_integer(
    name: &'static str,
    default: &'static str,
    min: i64,
    max: i64,
    why: &'static str,
) -> Setting {
    Setting { name, default, takes: Takes::Integer { min, max }, without_effect: Some(why) }
}

const fn kept_boolean(name: &'static str, default: &'static str, why: &'static str) -> Setting {
    Setting { name, default, takes: Takes::Boolean, without_effect: Some(why) }
}

/// The setting of this name.
pub(super) fn setting(name: &str) -> Option<&'static Setting> {
    SETTINGS.binary_search_by(|s| s.name.cmp(name)).ok().map(|at| &SETTINGS[at])
}

/// The setting whose name takes the fewest edits to reach from `name`.
pub(super) fn nearest(name: &str) -> &'static str {
    // No name is longer: what is behind can't bring the text nearer to one.
    let start: Vec<char> = name.chars().take(64).collect();
    SETTINGS.iter().map(|s| s.name).min_by_key(|known| distance(&start, known)).unwrap_or(RETENTION_MS)
}

impl Setting {
    /// The value as it is kept and printed, when the setting takes it.
    pub(super) fn canonical(&self, value: &str) -> Option<String> {
        let value = value.trim();
        match &self.takes {
            Takes::Integer { min, max } => {
                let number: i64 = value.parse().ok()?;
                (*min..=*max).contains(&number).then(|| number.to_string())
            }
            Takes::Fraction => {
                let number: f64 = value.parse().ok()?;
                (0.0..=1.0).contains(&number).then(|| number.to_string())
            }
            Takes::Boolean => {
                let lower = value.to_ascii_lowercase();
                matches!(lower.as_str(), "true" | "false").then_some(lower)
            }
            Takes::Word { words, .. } => words.contains(&value).then(|| value.to_owned()),
        }
    }

    /// What would be right, in words.
    pub(super) fn expected(&self) -> String {
        match &self.takes {
            Takes::Integer { min, max: LONG } => format!("a whole number, {min} or more"),
            Takes::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Takes::Fraction => "a number from 0 to 1".to_owned(),
            Takes::Boolean => "true or false".to_owned(),
            Takes::Word { words, note: "" } => words.join(" or "),
            Takes::Word { words, note } => format!("{}: {note}", words.join(" or ")),
        }
    }
}

/// Levenshtein's distance.
fn distance(a: &[char], b: &str) -> usize {
    let mut row: Vec<usize> = (0..=a.len()).collect();
    for (i, y) in b.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &x) in a.iter().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[a.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_sorted_and_take_their_defaults() {
        assert!(SETTINGS.is_sorted_by(|a, b| a.name < b.name));
        for s in SETTINGS {
            assert_eq!(s.canonical(s.default).as_deref(), Some(s.default), "{}", s.name);
            assert!(s.name.len() < 64);
        }
    }

    #[test]
    fn the_nearest_name_is_found() {
        assert_eq!(nearest("retention.msec"), "retention.ms");
        assert_eq!(nearest("retention_ms"), "retention.ms");
        assert_eq!(nearest("max.mesage.byte"), "max.message.bytes");
        assert_eq!(nearest("FLOE.acks"), "floe.acks");
        assert!(!nearest(&"x".repeat(1 << 20)).is_empty());
    }
}
