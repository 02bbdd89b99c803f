//! A table of the user's own, and its writer.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::{
    Claim, Database, PositionKey, StoreError, WriteError, clock,
    connection::{Connection, Kind},
    error::Failure,
    postgres, sqlite,
    writer::{Inserted, Part, Target, Writer},
};

/// Characters of an identifier: what PostgreSQL doesn't cut off.
const IDENTIFIER_MAX: usize = 63;
/// Columns of a table: what one statement of SQLite can bind, with room.
const COLUMNS_MAX: usize = 500;

/// A value of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// No value.
    Null,
    /// Text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A number.
    Real(f64),
    /// Yes or no; in SQLite 1 or 0.
    Boolean(bool),
    /// Milliseconds since the epoch; in SQLite RFC 3339 text.
    Timestamp(i64),
    /// JSON text.
    Json(Bytes),
    /// Bytes.
    Bytes(Bytes),
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// Text.
    Text,
    /// A whole number of 64 bits.
    Integer,
    /// A floating-point number of 64 bits.
    Real,
    /// Yes or no.
    Boolean,
    /// A moment.
    Timestamp,
    /// JSON: `jsonb` in PostgreSQL, text in SQLite.
    Json,
    /// Bytes.
    Bytes,
}

impl Cell {
    fn is_of(&self, of: ColumnType) -> bool {
        match self {
            Self::Null => true,
            Self::Text(_) => of == ColumnType::Text,
            Self::Integer(_) => of == ColumnType::Integer,
            Self::Real(_) => of == ColumnType::Real,
            Self::Boolean(_) => of == ColumnType::Boolean,
            Self::Timestamp(_) => of == ColumnType::Timestamp,
            Self::Json(_) => of == ColumnType::Json,
            Self::Bytes(_) => of == ColumnType::Bytes,
        }
    }
}

/// A table of the user's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableShape {
    /// Its name; in PostgreSQL it may begin with a schema and a dot.
    pub name: String,
    /// The columns that are written, in the order of a row's cells.
    pub columns: Vec<(String, ColumnType)>,
    /// Whether it is made when it isn't there.
    pub create: bool,
    /// Unique columns on which a repeat is ignored.
    pub key: Vec<String>,
}

/// A row and the offset it came from (`index` counts the values that a map made of one record).
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The record's offset: rows before the partition's position are passed over.
    pub offset: i64,
    /// Counts the rows of one record.
    pub index: u32,
    /// In the order of the shape's columns; as many as those.
    pub cells: Vec<Cell>,
}

/// Writes rows of one table together with positions. Batches of several partitions that wait together share a
/// transaction. Cloning shares it.
#[derive(Clone, Debug)]
pub struct TableWriter {
    writer: Writer<Table>,
}

impl TableWriter {
    /// Checks the identifiers; the table is made or checked at the first claim. Must be called inside a tokio runtime.
    pub fn new(database: &Database, shape: TableShape) -> Result<Self, String> {
        let table = Table::new(shape, database.kind())?;
        Ok(Self { writer: Writer::start(database.clone(), Arc::new(table)) })
    }

    /// Takes hold of a partition for `owner`: whoever held it before can't write any more. Waits for a transaction
    /// of theirs that is under way.
    pub async fn claim(&self, key: &PositionKey, owner: &str) -> Result<Claim, StoreError> {
        self.writer.claim(key, owner).await
    }

    /// Rows, in order of offset, and position in one transaction; durable on `Ok`. Rows before the stored position are
    /// passed over, so a repeat after an unknown outcome writes nothing twice. Answers how many rows were new.
    pub async fn write(
        &self,
        key: &PositionKey,
        claim: &Claim,
        rows: Vec<Row>,
        next_offset: i64,
    ) -> Result<u64, WriteError> {
        self.writer.write(key, claim, rows, next_offset).await
    }
}

/// A checked shape, and the statements made of it.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) shape: TableShape,
    /// Quoted.
    pub(crate) name: String,
    /// Quoted, with commas.
    pub(crate) columns: String,
    /// `ON CONFLICT (…) DO NOTHING`, or nothing.
    pub(crate) on_conflict: String,
    /// PostgreSQL's statement; it needs the columns' types, as the newest connection saw them.
    pub(crate) insert: Mutex<String>,
}

impl Table {
    fn new(shape: TableShape, kind: Kind) -> Result<Self, String> {
        let (schema, name) = match shape.name.split_once('.') {
            Some((schema, name)) if kind == Kind::Postgres => (Some(schema), name),
            Some(_) | None => (None, shape.name.as_str()),
        };
        for part in schema.into_iter().chain([name]) {
            identifier(part).map_err(|why| format!("'{}' can't be a table's name: {why}", shape.name))?;
        }
        let lower = name.to_ascii_lowercase();
        let own = ["events", "floe_"]
            .iter()
            .any(|own| lower == *own || (own.ends_with('_') && lower.starts_with(own)));
        if own || lower.starts_with("sqlite_") || lower.starts_with("pg_") {
            return Err(format!("the table's name '{}' is taken by Floe or the database itself", shape.name));
        }
        if shape.columns.is_empty() || shape.columns.len() > COLUMNS_MAX {
            return Err(format!("the table '{}' needs 1 to {COLUMNS_MAX} columns", shape.name));
        }
        for (place, (column, _)) in shape.columns.iter().enumerate() {
            identifier(column).map_err(|why| format!("'{column}' can't be a column's name: {why}"))?;
            let same = |(other, _): &(String, ColumnType)| other.eq_ignore_ascii_case(column);
            if shape.columns[..place].iter().any(same) {
                return Err(format!("the column '{column}' is there twice"));
            }
        }
        if let Some(missing) = shape.key.iter().find(|key| shape.columns.iter().all(|(name, _)| name != *key))
        {
            return Err(format!("the key's column '{missing}' is none of the table's columns"));
        }
        let quoted = schema.into_iter().chain([name]).map(quote).collect::<Vec<_>>().join(".");
        let columns = list(shape.columns.iter().map(|(name, _)| name.as_str()));
        let on_conflict = match shape.key.as_slice() {
            [] => String::new(),
            key => format!("ON CONFLICT ({}) DO NOTHING", list(key.iter().map(String::as_str))),
        };
        Ok(Self { name: quoted, columns, on_conflict, insert: Mutex::default(), shape })
    }

    /// The statement that makes the table unless it is there, with types as this database calls them.
    pub(crate) fn create_statement(&self, type_name: impl Fn(ColumnType) -> &'static str) -> String {
        let columns: Vec<_> = self
            .shape
            .columns
            .iter()
            .map(|(name, of)| format!("{} {}", quote(name), type_name(*of)))
            .collect();
        let unique = match self.shape.key.as_slice() {
            [] => String::new(),
            key => format!(", UNIQUE ({})", list(key.iter().map(String::as_str))),
        };
        format!("CREATE TABLE IF NOT EXISTS {} ({}{unique})", self.name, columns.join(", "))
    }

    /// Compares what the table has to what is written. `there`: its columns; none if there is no such table.
    pub(crate) fn check(&self, there: &[String]) -> Result<(), Failure> {
        if there.is_empty() {
            return Err(Failure::Refused(format!(
                "the table '{}' does not exist; make it, or set create = true",
                self.shape.name
            )));
        }
        let missing = self.shape.columns.iter().find(|(name, _)| !there.contains(name));
        missing.map_or(Ok(()), |(name, _)| {
            Err(Failure::Refused(format!("the table '{}' has no column '{name}'", self.shape.name)))
        })
    }
}

fn identifier(name: &str) -> Result<(), String> {
    let mut letters = name.chars();
    let first = letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_');
    if first
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        && name.len() <= IDENTIFIER_MAX
    {
        return Ok(());
    }
    Err(format!(
        "it has to be 1 to {IDENTIFIER_MAX} letters of a-z, A-Z, digits and _, not beginning with a digit"
    ))
}

/// Only for what [`identifier`] has passed.
pub(crate) fn quote(identifier: &str) -> String {
    format!("\"{identifier}\"")
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(quote).collect::<Vec<_>>().join(", ")
}

impl Target for Table {
    type Row = Row;
    type News = ();

    fn name(&self) -> &str {
        &self.shape.name
    }

    fn offset(row: &Row) -> i64 {
        row.offset
    }

    fn bytes(row: &Row) -> usize {
        let cells = row.cells.iter().map(|cell| match cell {
            Cell::Text(text) => text.len(),
            Cell::Json(bytes) | Cell::Bytes(bytes) => bytes.len(),
            Cell::Null | Cell::Integer(_) | Cell::Real(_) | Cell::Boolean(_) | Cell::Timestamp(_) => 0,
        });
        cells.map(|bytes| bytes + 16).sum()
    }

    fn flaw(&self, row: &Row, kind: Kind) -> Option<String> {
        if row.cells.len() != self.shape.columns.len() {
            return Some(format!(
                "it has {} values for {} columns",
                row.cells.len(),
                self.shape.columns.len()
            ));
        }
        let flaw = |(cell, (column, of)): (&Cell, &(String, ColumnType))| {
            let why = match cell {
                _ if !cell.is_of(*of) => "the value is of another type",
                Cell::Text(text) if kind == Kind::Postgres && text.contains('\0') => {
                    "PostgreSQL can't hold text with a NUL character"
                }
                Cell::Timestamp(ms) if !clock::can_be_stored(*ms) => "the time's year is not from 1 to 9999",
                Cell::Json(text) if std::str::from_utf8(text).is_err() => "the JSON is not UTF-8",
                _ => return None,
            };
            Some(format!("column '{column}': {why}"))
        };
        row.cells.iter().zip(&self.shape.columns).find_map(flaw)
    }

    async fn prepare(&self, connection: &mut Connection) -> Result<(), Failure> {
        match connection {
            Connection::Sqlite(sqlite) => sqlite::rows::prepare(sqlite, self).await,
            Connection::Postgres(postgres) => postgres::rows::prepare(postgres, self).await,
        }
    }

    async fn insert(
        &self,
        connection: &mut Connection,
        parts: &[Part<'_, Row>],
    ) -> Result<Inserted<()>, Failure> {
        let new = match connection {
            Connection::Sqlite(sqlite) => sqlite::rows::insert(sqlite, self, parts).await?,
            Connection::Postgres(postgres) => postgres::rows::insert(postgres, self, parts).await?,
        };
        Ok(Inserted { new, news: () })
    }

    fn committing(&self, (): &()) {}

    fn committed(&self, (): (), _done: bool) {}

    fn given_up(&self) {}
}
