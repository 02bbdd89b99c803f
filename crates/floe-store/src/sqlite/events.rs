//! Events in SQLite.

use sqlx::{AssertSqlSafe, Sqlite, SqliteConnection};

use super::rows::chunk;
use crate::{NewEvent, error::Failure, events::Fresh, writer::Part};

const COLUMNS: usize = 10;

/// The newest sequence number ever given. The transaction has the file's write lock, so nobody gives another one.
pub(crate) async fn newest(sqlite: &mut SqliteConnection) -> Result<i64, Failure> {
    Ok(sqlx::query_scalar("SELECT value FROM floe_counters WHERE name = 'events'").fetch_one(sqlite).await?)
}

/// Which of these ids are stored.
pub(crate) async fn known(
    sqlite: &mut SqliteConnection,
    parts: &[Part<'_, NewEvent>],
) -> Result<Vec<String>, Failure> {
    let ids: Vec<&str> = parts.iter().flat_map(|part| part.rows).map(|event| event.id.as_str()).collect();
    let mut known = Vec::new();
    let mut rest = ids.as_slice();
    while !rest.is_empty() {
        let (ids, later) = rest.split_at(chunk(rest.len(), 1));
        let sql = format!("SELECT id FROM events WHERE id IN ({})", vec!["?"; ids.len()].join(","));
        let mut query = sqlx::query_scalar::<Sqlite, String>(AssertSqlSafe(sql));
        for id in ids {
            query = query.bind((*id).to_owned());
        }
        known.extend(query.fetch_all(&mut *sqlite).await?);
        rest = later;
    }
    Ok(known)
}

/// Inserts events if none of them is there, and answers whether it did.
pub(crate) async fn insert_new(
    sqlite: &mut SqliteConnection,
    events: &[Fresh<'_>],
    stored_at: i64,
) -> Result<bool, Failure> {
    sqlx::raw_sql("SAVEPOINT new_events").execute(&mut *sqlite).await?;
    let all = insert(sqlite, events, stored_at).await? == events.len();
    let end = if all { "RELEASE new_events" } else { "ROLLBACK TO new_events; RELEASE new_events" };
    sqlx::raw_sql(end).execute(sqlite).await?;
    Ok(all)
}

/// Inserts events, stopping when one is there, and moves the counter to the last of them. Answers how many were
/// inserted.
pub(crate) async fn insert(
    sqlite: &mut SqliteConnection,
    fresh: &[Fresh<'_>],
    stored_at: i64,
) -> Result<usize, Failure> {
    let mut inserted = 0;
    let mut rest = fresh;
    while !rest.is_empty() {
        let (events, later) = rest.split_at(chunk(rest.len(), COLUMNS));
        let mut query = sqlx::query::<Sqlite>(AssertSqlSafe(statement(events.len())));
        for fresh in events {
            let event = fresh.event;
            query = query
                .bind(fresh.seq)
                .bind(event.id.clone())
                .bind(event.event_type.clone())
                .bind(event.user_id.clone())
                .bind(String::from_utf8_lossy(&event.data).into_owned())
                .bind(event.timestamp)
                .bind(stored_at)
                .bind(fresh.topic.to_owned())
                .bind(i64::from(fresh.partition))
                .bind(event.offset);
        }
        let rows = query.execute(&mut *sqlite).await?.rows_affected();
        let rows = usize::try_from(rows).unwrap_or(usize::MAX);
        inserted += rows;
        if rows < events.len() {
            return Ok(inserted);
        }
        rest = later;
    }
    if let Some(last) = fresh.last() {
        sqlx::query("UPDATE floe_counters SET value = $1 WHERE name = 'events'")
            .bind(last.seq)
            .execute(sqlite)
            .await?;
    }
    Ok(inserted)
}

fn statement(rows: usize) -> String {
    let row = "(?,?,?,?,?,?,?,?,?,?)";
    format!(
        "INSERT INTO events (seq, id, event_type, user_id, data, timestamp, stored_at, topic, partition, \"offset\") \
         VALUES {} ON CONFLICT (id) DO NOTHING",
        vec![row; rows].join(",")
    )
}
