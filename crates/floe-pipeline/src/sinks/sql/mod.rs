//! A table of SQLite or PostgreSQL. Exactly once: rows and the partition's position are written in one transaction.

mod cell;
mod config;
mod source;

use std::sync::Arc;

use floe_store::{Claim, ColumnType, Database, DatabaseUrl, PositionKey, Row, TableWriter};

pub use config::{ColumnSpec, SqlSpec};

use self::source::Sources;
use super::{
    Batch, DeliveryError, Outgoing,
    events::{claim_error, passed_over, write_error},
};
use crate::Services;

#[derive(Clone, Debug)]
pub(crate) struct SqlSink {
    writer: TableWriter,
    table: Arc<str>,
    mapping: Arc<Mapping>,
}

/// How records become rows.
#[derive(Debug)]
struct Mapping {
    columns: Vec<(String, ColumnType)>,
    sources: Sources,
}

/// A claimed partition.
#[derive(Debug)]
pub(crate) struct SqlHold {
    writer: TableWriter,
    mapping: Arc<Mapping>,
    key: PositionKey,
    claim: Claim,
    position: Option<i64>,
}

impl SqlSink {
    pub(crate) fn open(spec: &SqlSpec, _pipeline: &Arc<str>, services: &Services) -> Result<Self, String> {
        let (shape, sources) = spec.shape()?;
        let database = match (&spec.url, &services.store) {
            (Some(url), _) => {
                let url = DatabaseUrl::parse(url.expose()).map_err(|why| format!("sql: url: {why}"))?;
                Database::new(url).map_err(|why| format!("sql: url: {why}"))?
            }
            (None, Some(store)) => store.database().clone(),
            (None, None) => return Err("sql: there is no database; set 'url'".to_owned()),
        };
        let columns = shape.columns.clone();
        let writer = TableWriter::new(&database, shape).map_err(|why| format!("sql: {why}"))?;
        let mapping = Arc::new(Mapping { columns, sources: Sources::new(sources) });
        Ok(Self { writer, table: spec.table.as_str().into(), mapping })
    }

    pub(crate) fn label(&self) -> String {
        format!("sql {}", self.table)
    }

    pub(crate) async fn claim(&self, key: &PositionKey, owner: &str) -> Result<SqlHold, DeliveryError> {
        let claim = self.writer.claim(key, owner).await.map_err(claim_error)?;
        Ok(SqlHold {
            writer: self.writer.clone(),
            mapping: Arc::clone(&self.mapping),
            key: key.clone(),
            position: claim.next_offset,
            claim,
        })
    }
}

impl SqlHold {
    pub(crate) fn position(&self) -> Option<i64> {
        self.position
    }

    pub(crate) async fn deliver(&mut self, batch: &Batch) -> Result<(), DeliveryError> {
        if self.position.is_some_and(|position| position >= batch.next_offset) {
            return Ok(());
        }
        let done = passed_over(&batch.records, self.position);
        let records = &batch.records[done..];
        let mut rows = Vec::with_capacity(records.len());
        let mut poison = Vec::new();
        for (place, record) in records.iter().enumerate() {
            match self.mapping.row(&self.key, record) {
                Ok(row) => rows.push(row),
                Err(why) => poison.push((done + place, why)),
            }
        }
        if !poison.is_empty() {
            return Err(DeliveryError::Poison { delivered: done, records: poison });
        }
        let written = self.writer.write(&self.key, &self.claim, rows, batch.next_offset).await;
        written.map_err(|error| write_error(error, done))?;
        self.position = Some(batch.next_offset);
        Ok(())
    }
}

impl Mapping {
    fn row(&self, key: &PositionKey, record: &Outgoing) -> Result<Row, String> {
        let found = self.sources.find(key, record)?;
        let cells = found.iter().zip(&self.columns).map(|(found, (column, of))| {
            cell::make(*of, found).map_err(|why| format!("column '{column}': {why}"))
        });
        Ok(Row { offset: record.offset, index: record.index, cells: cells.collect::<Result<_, _>>()? })
    }
}
