//! One setting as it was given somewhere, not yet looked at.

use std::{fmt, time::Duration};

use floe_pipeline::units::{size, span};

/// A value as a source has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// Text, and everything from the environment.
    Text(String),
    /// A whole number.
    Number(i64),
    /// True or false.
    Bool(bool),
    /// A list of texts.
    List(Vec<String>),
    /// Something no setting takes (a float, a date, a list of lists), as it was written.
    Other(String),
}

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Line of a file.
    File {
        /// The file's name as it was given.
        name: String,
        /// The line, from 1.
        line: usize,
    },
    /// A variable.
    Environment(String),
    /// A flag.
    Flag(&'static str),
}

/// A setting's path (`http.addr`), value and origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) path: String,
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, line } => write!(f, "{}, line {line}", name.escape_debug()),
            Self::Environment(name) => write!(f, "the environment variable {}", name.escape_debug()),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "\"{}\"", text.escape_debug()),
            Self::Number(number) => write!(f, "{number}"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::List(items) => write!(f, "{items:?}"),
            Self::Other(text) => write!(f, "{}", text.escape_debug()),
        }
    }
}

impl Given {
    /// The sentence for a value that isn't one.
    pub(crate) fn expected(&self, what: impl fmt::Display) -> String {
        format!("{}: {} = {} is not valid: expected {what}", self.origin, self.path, self.value)
    }

    pub(crate) fn text(&self) -> Result<String, String> {
        match &self.value {
            Value::Text(text) if !text.is_empty() => Ok(text.clone()),
            _ => Err(self.expected("a text that is not empty")),
        }
    }

    pub(crate) fn flag(&self) -> Result<bool, String> {
        match &self.value {
            Value::Bool(value) => Ok(*value),
            Value::Text(text) if text == "true" || text == "1" => Ok(true),
            Value::Text(text) if text == "false" || text == "0" => Ok(false),
            _ => Err(self.expected("true or false")),
        }
    }

    /// A list; from the environment its items are set apart by commas.
    pub(crate) fn list(&self) -> Result<Vec<String>, String> {
        let items: Vec<String> = match &self.value {
            Value::List(items) => items.clone(),
            Value::Text(text) => text.split(',').map(|item| item.trim().to_owned()).collect(),
            _ => return Err(self.expected("a text or a list of texts")),
        };
        let empty = items.iter().any(String::is_empty) && items != [""];
        if empty {
            return Err(self.expected("a list of texts that are not empty"));
        }
        Ok(items.into_iter().filter(|item| !item.is_empty()).collect())
    }

    pub(crate) fn number(&self, least: u64, most: u64) -> Result<u64, String> {
        let number = match &self.value {
            Value::Number(number) => u64::try_from(*number).ok(),
            Value::Text(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
            _ => None,
        };
        number
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| self.expected(format_args!("a whole number from {least} to {most}")))
    }

    pub(crate) fn size(&self, least: u64, most: u64) -> Result<u64, String> {
        let bytes = match &self.value {
            Value::Number(number) => u64::try_from(*number).ok(),
            Value::Text(text) => size::parse(text),
            _ => None,
        };
        let range = || format!("{}, from {} to {}", size::ACCEPTED, size::write(least), size::write(most));
        bytes.filter(|bytes| (least..=most).contains(bytes)).ok_or_else(|| self.expected(range()))
    }

    pub(crate) fn span(&self, most: Duration) -> Result<Duration, String> {
        let span = match &self.value {
            Value::Text(text) => span::parse(text),
            _ => None,
        };
        span.filter(|span| *span <= most)
            .ok_or_else(|| self.expected(format_args!("{}, at most {}", span::ACCEPTED, span::write(most))))
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Result<T, String> {
        let found = match &self.value {
            Value::Text(text) => words.iter().find(|(word, _)| word == text).map(|(_, value)| *value),
            _ => None,
        };
        found.ok_or_else(|| {
            let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            self.expected(words.join(" or "))
        })
    }
}
