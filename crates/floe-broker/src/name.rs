//! Topic names, checked once at the door.

use std::{borrow::Borrow, fmt, sync::Arc};

/// The longest topic name, in bytes. Kafka's own limit.
pub const MAX_TOPIC_NAME_BYTES: usize = 249;

/// A topic name that follows Kafka's rule: `[A-Za-z0-9._-]{1,249}`, and neither `.` nor `..`.
///
/// Cloning shares the text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicName(Arc<str>);

/// Why a text is not a topic name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicNameError {
    /// The text is empty.
    #[error("a topic name may not be empty")]
    Empty,
    /// The text is longer than [`MAX_TOPIC_NAME_BYTES`].
    #[error("a topic name has at most {MAX_TOPIC_NAME_BYTES} characters, this one has {length}")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// The text is `.` or `..`.
    #[error("'.' and '..' are not topic names")]
    Dots,
    /// A character is outside `[A-Za-z0-9._-]`.
    #[error("character {at} of the topic name is not one of A-Z a-z 0-9 . _ -")]
    Character {
        /// Its place, counted from 1, in characters.
        at: usize,
    },
}

impl TopicName {
    /// Checks `text` and keeps it.
    pub fn new(text: &str) -> Result<Self, TopicNameError> {
        if text.is_empty() {
            return Err(TopicNameError::Empty);
        }
        if text.len() > MAX_TOPIC_NAME_BYTES {
            return Err(TopicNameError::TooLong { length: text.len() });
        }
        if text == "." || text == ".." {
            return Err(TopicNameError::Dots);
        }
        match text.chars().position(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))) {
            Some(at) => Err(TopicNameError::Character { at: at + 1 }),
            None => Ok(Self(text.into())),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name is the system's own (`__…`): no client writes there, and it is not counted.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        Self::is_internal_name(&self.0)
    }

    /// The same of a text that may not be a topic's name at all.
    #[must_use]
    pub fn is_internal_name(name: &str) -> bool {
        name.starts_with("__")
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for TopicName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_kafkas_rule() {
        for good in ["a", "A.b_c-9", &"x".repeat(249), "...", "__consumer_offsets"] {
            assert!(TopicName::new(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("", TopicNameError::Empty),
            (".", TopicNameError::Dots),
            ("..", TopicNameError::Dots),
            ("a/b", TopicNameError::Character { at: 2 }),
            ("a\0b", TopicNameError::Character { at: 2 }),
            ("аb", TopicNameError::Character { at: 1 }),
            (&"x".repeat(250), TopicNameError::TooLong { length: 250 }),
        ] {
            assert_eq!(TopicName::new(bad), Err(why), "{bad:?}");
        }
    }
}
