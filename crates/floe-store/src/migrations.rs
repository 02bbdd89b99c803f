//! The tables that Floe needs, made and changed in numbered steps. What was applied is in `floe_migrations`, with a
//! checksum; steps are applied together in one transaction, by one process at a time.

use sha2::{Digest as _, Sha256};
use sqlx::Row as _;

use crate::{
    clock,
    connection::{Connection, Kind},
    error::Failure,
};

/// PostgreSQL's advisory lock that is held while steps are applied: "floe" in ASCII.
const ADVISORY_LOCK: i64 = 0x666c_6f65;

struct Step {
    version: i64,
    name: &'static str,
    sql: &'static str,
}

/// In order of version. An entry that was released isn't changed any more: databases hold its checksum.
const SQLITE: &[Step] = &[
    Step { version: 1, name: "positions", sql: include_str!("../migrations/sqlite/0001_positions.sql") },
    Step { version: 2, name: "events", sql: include_str!("../migrations/sqlite/0002_events.sql") },
];

const POSTGRES: &[Step] = &[
    Step { version: 1, name: "positions", sql: include_str!("../migrations/postgres/0001_positions.sql") },
    Step { version: 2, name: "events", sql: include_str!("../migrations/postgres/0002_events.sql") },
];

/// Applies what is missing, all or nothing. Refuses a database that a newer version has changed.
pub(crate) async fn apply(connection: &mut Connection) -> Result<(), Failure> {
    connection.begin().await?;
    let applied = apply_inside(connection).await;
    match applied {
        Ok(()) => connection.commit().await,
        Err(failure) => {
            connection.rollback().await;
            Err(failure)
        }
    }
}

async fn apply_inside(connection: &mut Connection) -> Result<(), Failure> {
    let steps = match connection.kind() {
        Kind::Sqlite => SQLITE,
        Kind::Postgres => POSTGRES,
    };
    let known = recorded(connection).await?;
    for (version, checksum) in &known {
        let Some(step) = steps.iter().find(|step| step.version == *version) else {
            return Err(Failure::Refused(format!(
                "its tables are of version {version}, made by a newer Floe; this one knows them up to version {}",
                steps.last().map_or(0, |step| step.version)
            )));
        };
        if *checksum != digest(step) {
            return Err(Failure::Refused(format!(
                "its tables of version {version} ({}) were not made by a released Floe: the recorded checksum differs",
                step.name
            )));
        }
    }
    for step in steps.iter().filter(|step| known.iter().all(|(version, _)| *version != step.version)) {
        connection.run(step.sql).await.map_err(|failure| explained(step, failure))?;
        record(connection, step).await?;
    }
    Ok(())
}

/// A step that fails says which one it was: "table events already exists" alone would help nobody.
fn explained(step: &Step, failure: Failure) -> Failure {
    match failure {
        Failure::Refused(text) | Failure::Data(text) => Failure::Refused(format!(
            "its tables can't be brought to version {} ({}): {text}",
            step.version, step.name
        )),
        Failure::Unavailable(text) => Failure::Unavailable(text),
    }
}

fn digest(step: &Step) -> String {
    Sha256::digest(step.sql).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Version and checksum of what was applied, after taking the lock that keeps other processes out.
async fn recorded(connection: &mut Connection) -> Result<Vec<(i64, String)>, Failure> {
    const READ: &str = "SELECT version, checksum FROM floe_migrations ORDER BY version";
    const MAKE: &str = "CREATE TABLE floe_migrations (version bigint PRIMARY KEY, name text NOT NULL, \
                        checksum text NOT NULL, applied_at text NOT NULL)";
    match connection {
        Connection::Sqlite(sqlite) => {
            let there: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'floe_migrations'",
            )
            .fetch_one(&mut **sqlite)
            .await?;
            if there == 0 {
                sqlx::raw_sql(MAKE).execute(&mut **sqlite).await?;
            }
            let rows = sqlx::query(READ).fetch_all(&mut **sqlite).await?;
            rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
        }
        Connection::Postgres(postgres) => {
            sqlx::query("SELECT pg_advisory_xact_lock($1)")
                .bind(ADVISORY_LOCK)
                .execute(&mut **postgres)
                .await?;
            // `CREATE TABLE IF NOT EXISTS` would ask for the right to create even where nothing is created.
            let there: bool = sqlx::query_scalar("SELECT to_regclass('floe_migrations') IS NOT NULL")
                .fetch_one(&mut **postgres)
                .await?;
            if !there {
                sqlx::raw_sql(MAKE).execute(&mut **postgres).await?;
            }
            let rows = sqlx::query(READ).fetch_all(&mut **postgres).await?;
            rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
        }
    }
}

async fn record(connection: &mut Connection, step: &Step) -> Result<(), Failure> {
    const WRITE: &str =
        "INSERT INTO floe_migrations (version, name, checksum, applied_at) VALUES ($1, $2, $3, $4)";
    let now = clock::rfc3339(clock::now_ms());
    match connection {
        Connection::Sqlite(sqlite) => {
            let query = sqlx::query(WRITE).bind(step.version).bind(step.name).bind(digest(step)).bind(now);
            query.execute(&mut **sqlite).await?;
        }
        Connection::Postgres(postgres) => {
            let query = sqlx::query(WRITE).bind(step.version).bind(step.name).bind(digest(step)).bind(now);
            query.execute(&mut **postgres).await?;
        }
    }
    Ok(())
}
