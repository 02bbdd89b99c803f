//! PostgreSQL.

pub(crate) mod events;
pub(crate) mod positions;
pub(crate) mod rows;

use sqlx::{ConnectOptions as _, postgres::PgConnectOptions};

use crate::{connection::Connection, database::Role, error::Failure};

/// The given address with what every connection of ours has.
pub(crate) fn options(given: PgConnectOptions) -> PgConnectOptions {
    let named = if given.get_application_name().is_some() { given } else { given.application_name("floe") };
    named.disable_statement_logging()
}

/// Connects. Limits on the server's side end what a lost connection left behind, locks above all.
pub(crate) async fn connect(options: &PgConnectOptions, role: Role) -> Result<Connection, Failure> {
    let mut connection = Connection::Postgres(Box::new(options.connect().await?));
    connection
        .run(
            "SET statement_timeout = '60s'; SET lock_timeout = '30s'; \
             SET idle_in_transaction_session_timeout = '30s'",
        )
        .await?;
    if role == Role::Writer {
        // A writer finds rows by key only: a plan without the index would read the whole table under a lock.
        connection.run("SET enable_seqscan = off").await?;
    }
    Ok(connection)
}
