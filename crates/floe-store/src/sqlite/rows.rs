//! Rows of a user's table in SQLite: statements of many rows each.

use sqlx::{AssertSqlSafe, Sqlite, SqliteConnection, query::Query, sqlite::SqliteArguments};

use crate::{Cell, ColumnType, Row, clock, error::Failure, table::Table, writer::Part};

/// Values that one statement binds at most; SQLite's own bound is 32,766.
const VALUES_MAX: usize = 4_096;

fn type_name(of: ColumnType) -> &'static str {
    match of {
        ColumnType::Text | ColumnType::Timestamp | ColumnType::Json => "TEXT",
        ColumnType::Integer | ColumnType::Boolean => "INTEGER",
        ColumnType::Real => "REAL",
        ColumnType::Bytes => "BLOB",
    }
}

/// Makes the table if that is asked for, and checks its columns.
pub(crate) async fn prepare(sqlite: &mut SqliteConnection, table: &Table) -> Result<(), Failure> {
    if table.shape.create {
        let create = format!("{} STRICT", table.create_statement(type_name));
        sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *sqlite).await?;
    }
    let there: Vec<String> = sqlx::query_scalar("SELECT name FROM pragma_table_info($1)")
        .bind(&table.shape.name)
        .fetch_all(sqlite)
        .await?;
    table.check(&there)
}

pub(crate) async fn insert(
    sqlite: &mut SqliteConnection,
    table: &Table,
    parts: &[Part<'_, Row>],
) -> Result<Vec<u64>, Failure> {
    let mut new = Vec::with_capacity(parts.len());
    for part in parts {
        let mut inserted = 0;
        let mut rest = part.rows;
        while !rest.is_empty() {
            let (rows, later) = rest.split_at(chunk(rest.len(), table.shape.columns.len()));
            let sql = AssertSqlSafe(statement(table, rows.len()));
            let mut query = sqlx::query::<Sqlite>(sql);
            for cell in rows.iter().flat_map(|row| &row.cells) {
                query = bind(query, cell);
            }
            inserted += query.execute(&mut *sqlite).await?.rows_affected();
            rest = later;
        }
        new.push(inserted);
    }
    Ok(new)
}

/// How many of so many rows the next statement takes: a power of two, so that there are few different statements and
/// each is prepared once.
pub(super) fn chunk(rows: usize, columns: usize) -> usize {
    let most = (VALUES_MAX / columns.max(1)).max(1).min(rows.max(1));
    1 << most.ilog2()
}

fn statement(table: &Table, rows: usize) -> String {
    let row = format!("({})", vec!["?"; table.shape.columns.len()].join(","));
    let rows = vec![row; rows].join(",");
    format!("INSERT INTO {} ({}) VALUES {rows} {}", table.name, table.columns, table.on_conflict)
}

fn bind<'q>(query: Query<'q, Sqlite, SqliteArguments>, cell: &Cell) -> Query<'q, Sqlite, SqliteArguments> {
    match cell {
        Cell::Null => query.bind(None::<i64>),
        Cell::Text(text) => query.bind(text.clone()),
        Cell::Integer(value) => query.bind(*value),
        Cell::Real(value) => query.bind(*value),
        Cell::Boolean(value) => query.bind(i64::from(*value)),
        Cell::Timestamp(ms) => query.bind(clock::rfc3339(*ms)),
        Cell::Json(text) => query.bind(String::from_utf8_lossy(text).into_owned()),
        Cell::Bytes(bytes) => query.bind(bytes.to_vec()),
    }
}
