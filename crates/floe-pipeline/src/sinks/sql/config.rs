//! What can be configured.

use std::{collections::BTreeMap, fmt};

use floe_store::{ColumnType, TableShape};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::source::Source;
use crate::sinks::fields::Secret;

/// A table of SQLite or PostgreSQL.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqlSpec {
    /// `postgres://…` or `sqlite:path`; the database of the event store unless set.
    #[serde(default)]
    pub url: Option<Secret>,
    /// The table; in PostgreSQL it may begin with a schema and a dot.
    pub table: String,
    /// What goes into which column.
    pub columns: BTreeMap<String, ColumnSpec>,
    /// Columns that are unique together: a row with values that are there already is passed over.
    #[serde(default)]
    pub key: Vec<String>,
    /// Whether the table is made when it isn't there.
    #[serde(default = "default_create")]
    pub create: bool,
}

/// Where a column's value comes from, and what it is. A text alone is `from`, with type `text`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnSpec {
    /// `.member.of.the.value` (`.` is the whole value), or one of `$topic`, `$partition`, `$offset`, `$timestamp`,
    /// `$key`, `$value`, `$header.name`.
    pub from: String,
    /// `text`, `integer`, `real`, `boolean`, `timestamp`, `json` or `bytes`.
    pub of: ColumnType,
}

fn default_create() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Long {
    from: String,
    #[serde(default, rename = "type")]
    of: TypeName,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum TypeName {
    #[default]
    Text,
    Integer,
    Real,
    Boolean,
    Timestamp,
    Json,
    Bytes,
}

impl From<TypeName> for ColumnType {
    fn from(name: TypeName) -> Self {
        match name {
            TypeName::Text => Self::Text,
            TypeName::Integer => Self::Integer,
            TypeName::Real => Self::Real,
            TypeName::Boolean => Self::Boolean,
            TypeName::Timestamp => Self::Timestamp,
            TypeName::Json => Self::Json,
            TypeName::Bytes => Self::Bytes,
        }
    }
}

struct ColumnVisitor;

impl<'de> Visitor<'de> for ColumnVisitor {
    type Value = ColumnSpec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("where the column's value comes from, such as \".user.id\" or { from = \".age\", type = \"integer\" }")
    }

    fn visit_str<E: Error>(self, from: &str) -> Result<ColumnSpec, E> {
        Ok(ColumnSpec { from: from.to_owned(), of: ColumnType::Text })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ColumnSpec, A::Error> {
        let long = Long::deserialize(MapAccessDeserializer::new(map))?;
        Ok(ColumnSpec { from: long.from, of: long.of.into() })
    }
}

impl<'de> Deserialize<'de> for ColumnSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ColumnVisitor)
    }
}

impl SqlSpec {
    /// The table as the store wants it, and where its columns' values come from, in the same order.
    pub(super) fn shape(&self) -> Result<(TableShape, Vec<Source>), String> {
        let sources = self.columns.iter().map(|(column, spec)| {
            Source::parse(&spec.from).map_err(|why| format!("sql: column '{column}': {why}"))
        });
        let sources = sources.collect::<Result<Vec<_>, _>>()?;
        let shape = TableShape {
            name: self.table.clone(),
            columns: self.columns.iter().map(|(column, spec)| (column.clone(), spec.of)).collect(),
            create: self.create,
            key: self.key.clone(),
        };
        Ok((shape, sources))
    }
}
