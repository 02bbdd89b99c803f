//! Positions in SQLite.

use sqlx::{Row as _, SqliteConnection};

use crate::{Claim, PositionKey, clock, error::Failure};

pub(crate) async fn claim(
    sqlite: &mut SqliteConnection,
    target: &str,
    key: &PositionKey,
    owner: &str,
) -> Result<Claim, Failure> {
    let row = sqlx::query(
        "INSERT INTO floe_positions (target, log_id, pipeline, topic, topic_id, partition, epoch, owner, claimed_at) \
         VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $8) \
         ON CONFLICT (target, log_id, pipeline, topic, topic_id, partition) DO UPDATE \
         SET epoch = epoch + 1, owner = excluded.owner, claimed_at = excluded.claimed_at \
         RETURNING epoch, next_offset",
    )
    .bind(target)
    .bind(&*key.log)
    .bind(&*key.pipeline)
    .bind(&*key.topic)
    .bind(key.topic_id.cast_signed())
    .bind(i64::from(key.partition))
    .bind(owner)
    .bind(clock::now_ms())
    .fetch_one(sqlite)
    .await?;
    Ok(Claim { epoch: row.try_get(0)?, next_offset: row.try_get(1)? })
}

pub(crate) async fn read(
    sqlite: &mut SqliteConnection,
    target: &str,
    keys: &[&PositionKey],
) -> Result<Vec<Option<Claim>>, Failure> {
    let mut found = Vec::with_capacity(keys.len());
    for key in keys {
        let row = sqlx::query(
            "SELECT epoch, next_offset FROM floe_positions WHERE target = $1 AND log_id = $2 AND pipeline = $3 \
             AND topic = $4 AND topic_id = $5 AND partition = $6",
        )
        .bind(target)
        .bind(&*key.log)
        .bind(&*key.pipeline)
        .bind(&*key.topic)
        .bind(key.topic_id.cast_signed())
        .bind(i64::from(key.partition))
        .fetch_optional(&mut *sqlite)
        .await?;
        found.push(match row {
            Some(row) => Some(Claim { epoch: row.try_get(0)?, next_offset: row.try_get(1)? }),
            None => None,
        });
    }
    Ok(found)
}

pub(crate) async fn advance(
    sqlite: &mut SqliteConnection,
    target: &str,
    moved: &[(&PositionKey, i64)],
) -> Result<(), Failure> {
    for (key, next_offset) in moved {
        sqlx::query(
            "UPDATE floe_positions SET next_offset = $7 WHERE target = $1 AND log_id = $2 AND pipeline = $3 \
             AND topic = $4 AND topic_id = $5 AND partition = $6",
        )
        .bind(target)
        .bind(&*key.log)
        .bind(&*key.pipeline)
        .bind(&*key.topic)
        .bind(key.topic_id.cast_signed())
        .bind(i64::from(key.partition))
        .bind(next_offset)
        .execute(&mut *sqlite)
        .await?;
    }
    Ok(())
}
