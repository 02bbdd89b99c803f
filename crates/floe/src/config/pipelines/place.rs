//! Where something stands in a file, and what is wrong there, in a sentence.

use std::{collections::BTreeMap, fmt::Display};

use serde::de::DeserializeOwned;
use toml::{
    Spanned,
    de::{DeTable, DeValue, Error, ValueDeserializer},
};

use super::super::{file::line_of, given::Origin, nearest::nearest};

/// A table of a file: for errors, not for values.
#[derive(Debug)]
pub(super) struct Place<'a> {
    text: &'a str,
    file: &'a str,
    /// What errors call it: `pipeline 'orders'`.
    pub(super) subject: String,
    line: usize,
    lines: BTreeMap<String, usize>,
}

impl<'a> Place<'a> {
    /// The place of a table, with its keys' own.
    pub(super) fn new(text: &'a str, file: &'a str, subject: String, table: &Spanned<DeValue<'_>>) -> Self {
        let line = line_of(text.as_bytes(), table.span().start);
        let keys = table.get_ref().as_table().into_iter().flat_map(DeTable::iter);
        let lines = keys
            .map(|(key, _)| (key.get_ref().to_string(), line_of(text.as_bytes(), key.span().start)))
            .collect();
        Self { text, file, subject, line, lines }
    }

    /// The table's line.
    pub(super) fn origin(&self) -> Origin {
        Origin::File { name: self.file.to_owned(), line: self.line }
    }

    /// The sentence for what is wrong with a key; of a key that isn't there, the table's line.
    pub(super) fn wrong(&self, key: &str, why: impl Display) -> String {
        let line = self.lines.get(key).copied().unwrap_or(self.line);
        self.at(line, why)
    }

    /// Reads a value of this table; unknown names in it get the nearest right one.
    pub(super) fn read<T: DeserializeOwned>(&self, value: Spanned<DeValue<'_>>) -> Result<T, String> {
        T::deserialize(ValueDeserializer::from(value)).map_err(|error| self.explained(&error))
    }

    fn explained(&self, error: &Error) -> String {
        let message = error.message().lines().collect::<Vec<_>>().join(", ");
        let mut named = message.split('`').skip(1).step_by(2);
        let unknown = message.starts_with("unknown field") || message.starts_with("unknown variant");
        let wrong = if unknown { named.next() } else { None };
        let line = wrong.and_then(|key| self.lines.get(key).copied());
        let line = line.or_else(|| error.span().map(|span| line_of(self.text.as_bytes(), span.start)));
        let hint = wrong.and_then(|wrong| nearest(wrong, named));
        let hint = hint.map(|name| format!("; did you mean '{name}'?")).unwrap_or_default();
        self.at(line.unwrap_or(self.line), format_args!("{}{hint}", message.replace('`', "'")))
    }

    fn at(&self, line: usize, why: impl Display) -> String {
        format!("{}, line {line}: {}: {why}", self.file.escape_debug(), self.subject)
    }
}
