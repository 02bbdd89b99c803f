//! Positions in PostgreSQL.

use sqlx::{PgConnection, Row as _, postgres::PgRow};

use crate::{Claim, PositionKey, error::Failure};

pub(crate) async fn claim(
    postgres: &mut PgConnection,
    target: &str,
    key: &PositionKey,
    owner: &str,
) -> Result<Claim, Failure> {
    let row = sqlx::query(
        "INSERT INTO floe_positions AS p \
             (target, log_id, pipeline, topic, topic_id, partition, epoch, owner, claimed_at) \
         VALUES ($1, $2, $3, $4, $5, $6, 1, $7, now()) \
         ON CONFLICT (target, log_id, pipeline, topic, topic_id, partition) DO UPDATE \
         SET epoch = p.epoch + 1, owner = excluded.owner, claimed_at = excluded.claimed_at \
         RETURNING epoch, next_offset",
    )
    .bind(target)
    .bind(&*key.log)
    .bind(&*key.pipeline)
    .bind(&*key.topic)
    .bind(key.topic_id.cast_signed())
    .bind(stored(key.partition))
    .bind(owner)
    .fetch_one(postgres)
    .await?;
    Ok(Claim { epoch: row.try_get(0)?, next_offset: row.try_get(1)? })
}

pub(crate) async fn lock(
    postgres: &mut PgConnection,
    target: &str,
    keys: &[&PositionKey],
) -> Result<Vec<Option<Claim>>, Failure> {
    // The order of locking is the same for everybody, so two writers never wait for each other.
    let rows = sqlx::query(
        "SELECT k.place, p.epoch, p.next_offset FROM floe_positions p \
         JOIN unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::integer[]) \
              AS k (place, log_id, pipeline, topic, topic_id, partition) \
           ON p.target = $1 AND p.log_id = k.log_id AND p.pipeline = k.pipeline AND p.topic = k.topic \
          AND p.topic_id = k.topic_id AND p.partition = k.partition \
         ORDER BY p.log_id, p.pipeline, p.topic, p.topic_id, p.partition FOR UPDATE OF p",
    )
    .bind(target)
    .bind((0_i64..).take(keys.len()).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| &*key.log).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| &*key.pipeline).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| &*key.topic).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.topic_id.cast_signed()).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| stored(key.partition)).collect::<Vec<_>>())
    .fetch_all(postgres)
    .await?;
    let mut found = vec![None; keys.len()];
    for row in &rows {
        let (place, claim) = read(row)?;
        if let Some(slot) = usize::try_from(place).ok().and_then(|place| found.get_mut(place)) {
            *slot = Some(claim);
        }
    }
    Ok(found)
}

fn read(row: &PgRow) -> Result<(i64, Claim), Failure> {
    Ok((row.try_get(0)?, Claim { epoch: row.try_get(1)?, next_offset: row.try_get(2)? }))
}

pub(crate) async fn advance(
    postgres: &mut PgConnection,
    target: &str,
    moved: &[(&PositionKey, i64)],
) -> Result<(), Failure> {
    sqlx::query(
        "UPDATE floe_positions p SET next_offset = k.next_offset \
         FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::integer[], $7::bigint[]) \
              AS k (log_id, pipeline, topic, topic_id, partition, next_offset) \
         WHERE p.target = $1 AND p.log_id = k.log_id AND p.pipeline = k.pipeline AND p.topic = k.topic \
           AND p.topic_id = k.topic_id AND p.partition = k.partition",
    )
    .bind(target)
    .bind(moved.iter().map(|(key, _)| &*key.log).collect::<Vec<_>>())
    .bind(moved.iter().map(|(key, _)| &*key.pipeline).collect::<Vec<_>>())
    .bind(moved.iter().map(|(key, _)| &*key.topic).collect::<Vec<_>>())
    .bind(moved.iter().map(|(key, _)| key.topic_id.cast_signed()).collect::<Vec<_>>())
    .bind(moved.iter().map(|(key, _)| stored(key.partition)).collect::<Vec<_>>())
    .bind(moved.iter().map(|(_, next_offset)| *next_offset).collect::<Vec<_>>())
    .execute(postgres)
    .await?;
    Ok(())
}

/// Partitions are counted from 0 and there are at most 10,000 of them.
pub(super) fn stored(partition: u32) -> i32 {
    i32::try_from(partition).unwrap_or(i32::MAX)
}
