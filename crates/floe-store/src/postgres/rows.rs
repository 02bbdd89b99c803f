//! Rows of a user's table in PostgreSQL: a statement per group of rows, each column one array.
//!
//! Not `COPY`: its end has to be sent after its data, and on a connection without `TCP_NODELAY` (the driver sets none)
//! that waits for the server's delayed acknowledgement, 40 ms in each transaction. Arrays take one round trip and are as
//! quick in bulk.

use sqlx::{AssertSqlSafe, PgConnection, Postgres, postgres::PgArguments, query::Query};

use crate::{Cell, ColumnType, Row, error::Failure, table::Table, writer::Part};

fn type_name(of: ColumnType) -> &'static str {
    match of {
        ColumnType::Text => "text",
        ColumnType::Integer => "bigint",
        ColumnType::Real => "double precision",
        ColumnType::Boolean => "boolean",
        ColumnType::Timestamp => "timestamptz",
        ColumnType::Json => "jsonb",
        ColumnType::Bytes => "bytea",
    }
}

/// Makes the table if that is asked for, checks its columns, and prepares the statement.
pub(crate) async fn prepare(postgres: &mut PgConnection, table: &Table) -> Result<(), Failure> {
    let mut there = columns(postgres, table).await?;
    if there.is_empty() && table.shape.create {
        let create = table.create_statement(type_name);
        let created = sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *postgres).await;
        there = columns(postgres, table).await?;
        // Where two processes make it at once one of them fails, which is of no consequence.
        if there.is_empty() {
            created?;
        }
    }
    *table.insert.lock() = insert_statement(table, &there);
    let names: Vec<String> = there.into_iter().map(|(name, _)| name).collect();
    table.check(&names)
}

/// The table's columns with their types, without what is in brackets: so that text too long for a `varchar(10)` is
/// refused, as an assignment does, and not cut, as a cast would.
async fn columns(postgres: &mut PgConnection, table: &Table) -> Result<Vec<(String, String)>, Failure> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT attname::text, format_type(atttypid, -1) FROM pg_attribute \
         WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped",
    )
    .bind(&table.name)
    .fetch_all(postgres)
    .await?;
    Ok(rows)
}

/// Each column's values are an array of a type that every value of ours has, cast to what the table has.
fn insert_statement(table: &Table, there: &[(String, String)]) -> String {
    let values = table.shape.columns.iter().zip(1..).map(|((name, of), place)| {
        let value = match of {
            ColumnType::Text => format!("unnest(${place}::text[])"),
            ColumnType::Integer => format!("unnest(${place}::bigint[])"),
            ColumnType::Real => format!("unnest(${place}::double precision[])"),
            ColumnType::Boolean => format!("unnest(${place}::boolean[])"),
            ColumnType::Timestamp => {
                format!("(timestamptz 'epoch' + interval '1 millisecond' * unnest(${place}::bigint[]))")
            }
            ColumnType::Json => format!("unnest(${place}::text[])::json"),
            ColumnType::Bytes => format!("unnest(${place}::bytea[])"),
        };
        let as_there = there.iter().find(|(column, _)| column == name);
        as_there.map_or_else(|| value.clone(), |(_, of)| format!("CAST({value} AS {of})"))
    });
    let values = values.collect::<Vec<_>>().join(", ");
    format!("INSERT INTO {} ({}) SELECT {values} {}", table.name, table.columns, table.on_conflict)
}

pub(crate) async fn insert(
    postgres: &mut PgConnection,
    table: &Table,
    parts: &[Part<'_, Row>],
) -> Result<Vec<u64>, Failure> {
    let sql = table.insert.lock().clone();
    // Without a key all rows are new, and one statement does for all parts.
    if table.shape.key.is_empty() {
        let rows: Vec<&Row> = parts.iter().flat_map(|part| part.rows).collect();
        insert_rows(postgres, table, &sql, &rows).await?;
        return Ok(parts.iter().map(|part| u64::try_from(part.rows.len()).unwrap_or(u64::MAX)).collect());
    }
    let mut new = Vec::with_capacity(parts.len());
    for part in parts {
        let rows: Vec<&Row> = part.rows.iter().collect();
        new.push(insert_rows(postgres, table, &sql, &rows).await?);
    }
    Ok(new)
}

async fn insert_rows(
    postgres: &mut PgConnection,
    table: &Table,
    sql: &str,
    rows: &[&Row],
) -> Result<u64, Failure> {
    if rows.is_empty() {
        return Ok(0);
    }
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for (place, (_, of)) in table.shape.columns.iter().enumerate() {
        query = bind(query, *of, rows.iter().map(|row| row.cells.get(place).unwrap_or(&Cell::Null)));
    }
    Ok(query.execute(postgres).await?.rows_affected())
}

type PgQuery<'q> = Query<'q, Postgres, PgArguments>;

/// Binds one column; a cell that isn't of its type was refused before.
fn bind<'q, 'c>(query: PgQuery<'q>, of: ColumnType, cells: impl Iterator<Item = &'c Cell>) -> PgQuery<'q> {
    match of {
        ColumnType::Text | ColumnType::Json => {
            let texts = cells.map(|cell| match cell {
                Cell::Text(text) => Some(text.as_str()),
                Cell::Json(json) => std::str::from_utf8(json).ok(),
                _ => None,
            });
            query.bind(texts.collect::<Vec<_>>())
        }
        ColumnType::Integer | ColumnType::Timestamp => {
            let numbers = cells.map(|cell| match cell {
                Cell::Integer(number) | Cell::Timestamp(number) => Some(*number),
                _ => None,
            });
            query.bind(numbers.collect::<Vec<_>>())
        }
        ColumnType::Real => {
            let reals = cells.map(|cell| if let Cell::Real(real) = cell { Some(*real) } else { None });
            query.bind(reals.collect::<Vec<_>>())
        }
        ColumnType::Boolean => {
            let flags = cells.map(|cell| if let Cell::Boolean(flag) = cell { Some(*flag) } else { None });
            query.bind(flags.collect::<Vec<_>>())
        }
        ColumnType::Bytes => {
            let bytes = cells.map(|cell| if let Cell::Bytes(bytes) = cell { Some(&bytes[..]) } else { None });
            query.bind(bytes.collect::<Vec<_>>())
        }
    }
}
