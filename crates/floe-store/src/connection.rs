//! One connection to one of the two databases.

use sqlx::{Connection as _, PgConnection, SqliteConnection};

use crate::error::Failure;

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// An open connection. After [`Failure::Unavailable`] it is of no use any more and has to be dropped.
#[derive(Debug)]
pub(crate) enum Connection {
    Sqlite(Box<SqliteConnection>),
    Postgres(Box<PgConnection>),
}

impl Connection {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Sqlite(_) => Kind::Sqlite,
            Self::Postgres(_) => Kind::Postgres,
        }
    }

    /// Runs statements without parameters.
    pub(crate) async fn run(&mut self, sql: &'static str) -> Result<(), Failure> {
        match self {
            Self::Sqlite(sqlite) => sqlx::raw_sql(sql).execute(&mut **sqlite).await.map(drop)?,
            Self::Postgres(postgres) => sqlx::raw_sql(sql).execute(&mut **postgres).await.map(drop)?,
        }
        Ok(())
    }

    /// Begins a transaction that may write; in SQLite it has the file's write lock from its beginning.
    pub(crate) async fn begin(&mut self) -> Result<(), Failure> {
        match self.kind() {
            Kind::Sqlite => self.run("BEGIN IMMEDIATE").await,
            Kind::Postgres => self.run("BEGIN").await,
        }
    }

    /// Durable on `Ok`. After [`Failure::Unavailable`] nobody knows.
    pub(crate) async fn commit(&mut self) -> Result<(), Failure> {
        let committed = self.run("COMMIT").await;
        if let Err(Failure::Data(_) | Failure::Refused(_)) = &committed {
            self.rollback().await;
        }
        committed
    }

    /// Gives the transaction up; if even that fails, the connection's end will do it.
    pub(crate) async fn rollback(&mut self) {
        // SQLite may have rolled back by itself, and says then that there is nothing to roll back.
        let _ = self.run("ROLLBACK").await;
    }

    pub(crate) async fn ping(&mut self) -> Result<(), Failure> {
        match self {
            Self::Sqlite(_) => {}
            Self::Postgres(postgres) => postgres.ping().await?,
        }
        Ok(())
    }

    /// Says good-bye. Whoever just drops a connection loses nothing either.
    pub(crate) async fn close(self) {
        let _ = match self {
            Self::Sqlite(sqlite) => sqlite.close().await,
            Self::Postgres(postgres) => postgres.close().await,
        };
    }
}
