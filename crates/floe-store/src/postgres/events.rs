//! Events in PostgreSQL.

use sqlx::PgConnection;

use super::positions;
use crate::{NewEvent, error::Failure, events::Fresh, writer::Part};

/// The newest sequence number ever given, and which of these ids are stored. The counter stays locked until the
/// transaction ends, so numbers become readable in their order, and nobody else stores an event meanwhile.
pub(crate) async fn known(
    postgres: &mut PgConnection,
    parts: &[Part<'_, NewEvent>],
) -> Result<(i64, Vec<String>), Failure> {
    let last: i64 = sqlx::query_scalar("SELECT value FROM floe_counters WHERE name = 'events' FOR UPDATE")
        .fetch_one(&mut *postgres)
        .await?;
    let ids: Vec<&str> = parts.iter().flat_map(|part| part.rows).map(|event| event.id.as_str()).collect();
    if ids.is_empty() {
        return Ok((last, Vec::new()));
    }
    let known: Vec<String> =
        sqlx::query_scalar("SELECT id FROM events WHERE id = ANY($1)").bind(ids).fetch_all(postgres).await?;
    Ok((last, known))
}

/// Inserts events that aren't there, by arrays for the reason that is told in [`super::rows`], and moves the counter to the last of them.
pub(crate) async fn insert(
    postgres: &mut PgConnection,
    fresh: &[Fresh<'_>],
    stored_at: i64,
) -> Result<(), Failure> {
    let Some(last) = fresh.last() else { return Ok(()) };
    let column = || fresh.iter();
    sqlx::query(
        "INSERT INTO events \
             (seq, id, event_type, user_id, data, \"timestamp\", stored_at, topic, partition, \"offset\") \
         SELECT unnest($1::bigint[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]), \
             unnest($5::text[])::json, timestamptz 'epoch' + interval '1 millisecond' * unnest($6::bigint[]), \
             timestamptz 'epoch' + interval '1 millisecond' * $7::bigint, \
             unnest($8::text[]), unnest($9::integer[]), unnest($10::bigint[])",
    )
    .bind(column().map(|fresh| fresh.seq).collect::<Vec<_>>())
    .bind(column().map(|fresh| fresh.event.id.as_str()).collect::<Vec<_>>())
    .bind(column().map(|fresh| fresh.event.event_type.as_deref()).collect::<Vec<_>>())
    .bind(column().map(|fresh| fresh.event.user_id.as_deref()).collect::<Vec<_>>())
    .bind(column().map(|fresh| json(&fresh.event.data)).collect::<Vec<_>>())
    .bind(column().map(|fresh| fresh.event.timestamp).collect::<Vec<_>>())
    .bind(stored_at)
    .bind(column().map(|fresh| fresh.topic).collect::<Vec<_>>())
    .bind(column().map(|fresh| positions::stored(fresh.partition)).collect::<Vec<_>>())
    .bind(column().map(|fresh| fresh.event.offset).collect::<Vec<_>>())
    .execute(&mut *postgres)
    .await?;
    let count = sqlx::query("UPDATE floe_counters SET value = $1 WHERE name = 'events'");
    count.bind(last.seq).execute(postgres).await?;
    Ok(())
}

/// What isn't UTF-8 was refused before; if it comes here nevertheless, PostgreSQL refuses it as no JSON.
fn json(data: &[u8]) -> &str {
    std::str::from_utf8(data).unwrap_or_default()
}
