//! Questions about the events that are stored.

use std::{fmt::Write as _, time::Duration};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, Row as _};
use tokio::time::timeout;

use super::{CountBy, EventCount, EventFilter, EventPage, ListOrder, StoredEvent};
use crate::{
    Database, StoreError,
    connection::{Connection, Kind},
    database::Role,
    error::Failure,
    limits::{COUNTS_MAX, LIST_MAX, PAGE_BYTES, PAGE_EVENTS, READ_LIMIT},
};

/// A statement with numbered parameters, which both databases read alike.
#[derive(Debug)]
struct Question {
    kind: Kind,
    sql: String,
    values: Vec<Value>,
}

#[derive(Debug)]
enum Value {
    Text(String),
    Number(i64),
}

/// A query with a question's values.
macro_rules! bound {
    ($question:expr) => {{
        let mut query = sqlx::query(AssertSqlSafe($question.sql.as_str()));
        for value in &$question.values {
            query = match value {
                Value::Text(text) => query.bind(text),
                Value::Number(number) => query.bind(*number),
            };
        }
        query
    }};
}

/// Asks a question and reads all rows.
macro_rules! run {
    ($connection:expr, $question:expr, $read:expr) => {{
        let rows = bound!($question).fetch_all(&mut **$connection).await?;
        rows.iter().map($read).collect::<Result<Vec<_>, Failure>>()
    }};
}

/// Reads an event's columns in the order of [`Question::events`].
macro_rules! event {
    ($row:expr) => {
        StoredEvent {
            seq: $row.try_get(0)?,
            id: $row.try_get(1)?,
            event_type: $row.try_get(2)?,
            user_id: $row.try_get(3)?,
            data: Bytes::from($row.try_get::<String, _>(4)?),
            timestamp: $row.try_get(5)?,
            stored_at: $row.try_get(6)?,
            topic: $row.try_get(7)?,
            partition: u32::try_from($row.try_get::<i64, _>(8)?).unwrap_or_default(),
            offset: $row.try_get(9)?,
        }
    };
}

/// Runs a question for events and stops when there are enough bytes.
macro_rules! page {
    ($connection:expr, $question:expr) => {{
        let mut rows = bound!($question).fetch(&mut **$connection);
        let mut page = EventPage { events: Vec::new(), whole: true };
        let mut bytes = 0;
        while let Some(row) = rows.try_next().await? {
            if bytes >= PAGE_BYTES {
                page.whole = false;
                break;
            }
            let event = event!(row);
            bytes += event.data.len() + event.id.len();
            page.events.push(event);
        }
        Ok(page)
    }};
}

impl Question {
    fn events(kind: Kind) -> Self {
        let sql = match kind {
            Kind::Sqlite => {
                "SELECT seq, id, event_type, user_id, data, timestamp, stored_at, topic, partition, \"offset\" \
                 FROM events WHERE true"
            }
            Kind::Postgres => {
                "SELECT seq, id, event_type, user_id, data::text, (extract(epoch FROM \"timestamp\") * 1000)::bigint, \
                 (extract(epoch FROM stored_at) * 1000)::bigint, topic, partition::bigint, \"offset\" \
                 FROM events WHERE true"
            }
        };
        Self { kind, sql: sql.to_owned(), values: Vec::new() }
    }

    /// Adds text of this file's own, never of anybody's else.
    fn push(&mut self, sql: &str) {
        self.sql.push_str(sql);
    }

    fn number(&mut self, sql: &str, value: i64) {
        self.values.push(Value::Number(value));
        let _ = write!(self.sql, "{sql}${}", self.values.len());
    }

    fn text(&mut self, sql: &str, value: &str) {
        self.values.push(Value::Text(value.to_owned()));
        let _ = write!(self.sql, "{sql}${}", self.values.len());
    }

    fn time(&mut self, sql: &str, ms: i64) {
        match self.kind {
            Kind::Sqlite => self.number(sql, ms),
            Kind::Postgres => {
                self.number(&format!("{sql}timestamptz 'epoch' + interval '1 millisecond' * "), ms);
            }
        }
    }

    fn filter(&mut self, filter: &EventFilter) {
        if let Some(event_type) = &filter.event_type {
            self.text(" AND event_type = ", event_type);
        }
        if let Some(user_id) = &filter.user_id {
            self.text(" AND user_id = ", user_id);
        }
        if let Some(since) = filter.since {
            self.time(" AND \"timestamp\" >= ", since);
        }
        if let Some(until) = filter.until {
            self.time(" AND \"timestamp\" < ", until);
        }
    }

    /// Reads events; the page ends with the one that makes it reach [`PAGE_BYTES`].
    async fn ask_page(&self, connection: &mut Connection) -> Result<EventPage, Failure> {
        match connection {
            Connection::Sqlite(sqlite) => page!(sqlite, self),
            Connection::Postgres(postgres) => page!(postgres, self),
        }
    }

    async fn ask_counts(&self, connection: &mut Connection) -> Result<Vec<EventCount>, Failure> {
        macro_rules! count {
            () => {
                |row| {
                    let count = u64::try_from(row.try_get::<i64, _>(2)?).unwrap_or_default();
                    Ok(EventCount { name: row.try_get(0)?, from: row.try_get(1)?, count })
                }
            };
        }
        match connection {
            Connection::Sqlite(sqlite) => run!(sqlite, self, count!()),
            Connection::Postgres(postgres) => run!(postgres, self, count!()),
        }
    }
}

/// Whether a text can be in the database at all: a NUL can't be in PostgreSQL's, which would answer with an error.
fn can_be_there(filter: &EventFilter) -> bool {
    [&filter.event_type, &filter.user_id].into_iter().flatten().all(|text| !text.contains('\0'))
}

/// Keeps a time from a question inside of what the databases can compare with.
fn clamped(filter: &EventFilter) -> EventFilter {
    const EDGE_MS: i64 = 253_402_300_800_000;
    let clamp = |ms: i64| ms.clamp(-EDGE_MS / 4, EDGE_MS);
    EventFilter { since: filter.since.map(clamp), until: filter.until.map(clamp), ..filter.clone() }
}

async fn ask(database: &Database, question: &Question) -> Result<EventPage, StoreError> {
    let mut reader = database.reader().await?;
    let answer = timeout(READ_LIMIT, question.ask_page(reader.connection())).await;
    reader.settle(answer)
}

/// The newest sequence number ever given.
pub(super) async fn newest(database: &Database) -> Result<i64, StoreError> {
    const NEWEST: &str = "SELECT value FROM floe_counters WHERE name = 'events'";
    let mut reader = database.reader().await?;
    let asking = async {
        Ok(match reader.connection() {
            Connection::Sqlite(sqlite) => sqlx::query_scalar(NEWEST).fetch_one(&mut **sqlite).await?,
            Connection::Postgres(postgres) => sqlx::query_scalar(NEWEST).fetch_one(&mut **postgres).await?,
        })
    };
    let answer = timeout(READ_LIMIT, asking).await;
    reader.settle(answer)
}

pub(super) async fn get(database: &Database, id: &str) -> Result<Option<StoredEvent>, StoreError> {
    if id.contains('\0') {
        return Ok(None);
    }
    let mut question = Question::events(database.kind());
    question.text(" AND id = ", id);
    Ok(ask(database, &question).await?.events.pop())
}

/// Which events of those that pass a filter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) order: ListOrder,
    /// Behind this number; before it, if the newest come first.
    pub(super) cursor: Option<i64>,
    /// Up to this number.
    pub(super) upto: Option<i64>,
    pub(super) limit: usize,
}

impl Window {
    /// For those who follow: what lies behind a number.
    pub(super) fn behind(after: i64, upto: Option<i64>) -> Self {
        Self { order: ListOrder::OldestFirst, cursor: Some(after), upto, limit: PAGE_EVENTS }
    }
}

/// Events in the order of storing, bounded by number and bytes: a page that isn't whole is followed by another one.
pub(super) async fn page(
    database: &Database,
    filter: &EventFilter,
    window: Window,
) -> Result<EventPage, StoreError> {
    if !can_be_there(filter) {
        return Ok(EventPage { events: Vec::new(), whole: true });
    }
    let mut question = Question::events(database.kind());
    question.filter(&clamped(filter));
    match (window.order, window.cursor) {
        (ListOrder::OldestFirst, Some(cursor)) => question.number(" AND seq > ", cursor),
        (ListOrder::NewestFirst, Some(cursor)) => question.number(" AND seq < ", cursor),
        (ListOrder::OldestFirst | ListOrder::NewestFirst, None) => {}
    }
    if let Some(upto) = window.upto {
        question.number(" AND seq <= ", upto);
    }
    question.push(match window.order {
        ListOrder::OldestFirst => " ORDER BY seq",
        ListOrder::NewestFirst => " ORDER BY seq DESC",
    });
    let limit = window.limit.min(LIST_MAX);
    question.number(" LIMIT ", i64::try_from(limit).unwrap_or_default());
    let mut page = ask(database, &question).await?;
    page.whole &= page.events.len() < limit;
    Ok(page)
}

pub(super) async fn counts(
    database: &Database,
    filter: &EventFilter,
    by: CountBy,
    every: Option<Duration>,
) -> Result<Vec<EventCount>, StoreError> {
    if !can_be_there(filter) {
        return Ok(Vec::new());
    }
    let mut question = Question { kind: database.kind(), sql: String::new(), values: Vec::new() };
    question.push(match by {
        CountBy::EventType => "SELECT event_type, ",
        CountBy::UserId => "SELECT user_id, ",
    });
    match every {
        None => question.push("NULL"),
        Some(every) => {
            let every = i64::try_from(every.as_millis()).unwrap_or(i64::MAX).max(1);
            let ms = match question.kind {
                Kind::Sqlite => "timestamp",
                Kind::Postgres => "(extract(epoch FROM \"timestamp\") * 1000)::bigint",
            };
            // Rounded down also before 1970, where division would round towards it.
            question.number(&format!("{ms} - (({ms} % "), every);
            question.number(" + ", every);
            question.number(") % ", every);
            question.push(")");
        }
    }
    if question.kind == Kind::Postgres && every.is_none() {
        question.push("::bigint");
    }
    question.push(", count(*) FROM events WHERE true");
    question.filter(&clamped(filter));
    question.push(" GROUP BY 1, 2 ORDER BY 2, 1");
    question.number(" LIMIT ", COUNTS_MAX);
    let mut reader = database.reader().await?;
    let answer = timeout(READ_LIMIT, question.ask_counts(reader.connection())).await;
    reader.settle(answer)
}

/// Deletes an event's row. In SQLite what it held is overwritten, in the write-ahead log too as far as nobody reads it.
pub(super) async fn delete(database: &Database, id: &str) -> Result<bool, StoreError> {
    const DELETE: &str = "DELETE FROM events WHERE id = $1";
    if id.contains('\0') {
        return Ok(false);
    }
    if database.kind() == Kind::Postgres {
        let mut reader = database.reader().await?;
        let asking = async {
            match reader.connection() {
                Connection::Postgres(postgres) => {
                    let deleted = sqlx::query(DELETE).bind(id).execute(&mut **postgres).await?;
                    Ok(deleted.rows_affected() > 0)
                }
                Connection::Sqlite(_) => Ok(false),
            }
        };
        let answer = timeout(READ_LIMIT, asking).await;
        return reader.settle(answer);
    }
    let mut connection = database.open(Role::Writer).await?;
    let _turn = database.writing().await;
    let mut deleted = false;
    if let Connection::Sqlite(sqlite) = &mut connection {
        let done = sqlx::query(DELETE).bind(id).execute(&mut **sqlite).await.map_err(Failure::from)?;
        deleted = done.rows_affected() > 0;
    }
    if deleted {
        // Best effort: while somebody reads an older state the log has to keep it, and that isn't waited for.
        let _ = connection.run("PRAGMA busy_timeout = 50; PRAGMA wal_checkpoint(TRUNCATE)").await;
    }
    connection.close().await;
    Ok(deleted)
}
