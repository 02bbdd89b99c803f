//! An empty database, and what tests put into it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use floe_store::{
    Cell, Claim, ColumnType, Database, DatabaseUrl, EventStore, NewEvent, PositionKey, Row, StoreError,
    TableShape,
};
use floe_testkit::services::Postgres;
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};
use tempfile::TempDir;

/// How long a case may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// One database.
pub(crate) struct Stage {
    url: DatabaseUrl,
    folder: TempDir,
    postgres: Option<(Arc<Postgres>, String)>,
}

impl Stage {
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = DatabaseUrl::Sqlite(folder.path().join("store.sqlite"));
        Self { url, folder, postgres: None }
    }

    pub(crate) fn postgres() -> Self {
        let postgres = Postgres::shared();
        let url = postgres.database();
        let folder = tempfile::tempdir().unwrap();
        Self { url: DatabaseUrl::Postgres(url.clone()), folder, postgres: Some((postgres, url)) }
    }

    pub(crate) fn is_postgres(&self) -> bool {
        self.postgres.is_some()
    }

    /// A handle like another process has.
    pub(crate) fn database(&self) -> Database {
        Database::new(self.url.clone()).unwrap()
    }

    pub(crate) fn store(&self) -> EventStore {
        EventStore::new(self.database(), None).unwrap()
    }

    /// Runs statements past Floe.
    pub(crate) async fn run(&self, sql: &str) {
        match &self.postgres {
            Some((postgres, url)) => drop(postgres.query(url, sql)),
            None => {
                let mut sqlite = self.sqlite_connection().await;
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut sqlite).await.unwrap();
            }
        }
    }

    /// Asks past Floe for one text.
    pub(crate) async fn ask(&self, sql: &str) -> String {
        match &self.postgres {
            Some((postgres, url)) => postgres.query(url, sql).trim().to_owned(),
            None => {
                let mut sqlite = self.sqlite_connection().await;
                let sql = format!("SELECT CAST(({sql}) AS TEXT)");
                sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut sqlite).await.unwrap()
            }
        }
    }

    async fn sqlite_connection(&self) -> SqliteConnection {
        let path = self.folder.path().join("store.sqlite");
        SqliteConnection::connect(&format!("sqlite:{}?mode=rwc", path.display())).await.unwrap()
    }
}

pub(crate) fn key(partition: u32) -> PositionKey {
    PositionKey { log: "log".into(), pipeline: "p".into(), topic: "t".into(), topic_id: u64::MAX, partition }
}

pub(crate) fn event(offset: i64, id: &str) -> NewEvent {
    NewEvent {
        offset,
        id: id.to_owned(),
        event_type: Some("click".into()),
        user_id: Some("ann".into()),
        data: Bytes::from_static(br#"{"x":  1}"#),
        timestamp: 1_769_853_600_000 + offset,
    }
}

/// Events of these offsets, with ids that no other partition has.
pub(crate) fn events(partition: u32, offsets: std::ops::Range<i64>) -> Vec<NewEvent> {
    offsets.map(|offset| event(offset, &format!("{partition}-{offset}"))).collect()
}

pub(crate) async fn claimed(store: &EventStore, partition: u32) -> Claim {
    // Of two that open one SQLite file for the first time at once, one may find it locked.
    loop {
        match store.claim(&key(partition), "worker").await {
            Err(StoreError::Unavailable(_)) => tokio::task::yield_now().await,
            claim => break claim.unwrap(),
        }
    }
}

/// A table of a number and a name.
pub(crate) fn people(create: bool) -> TableShape {
    TableShape {
        name: "people".into(),
        columns: vec![("age".into(), ColumnType::Integer), ("name".into(), ColumnType::Text)],
        create,
        key: Vec::new(),
    }
}

pub(crate) fn person(offset: i64, age: i64, name: &str) -> Row {
    Row { offset, index: 0, cells: vec![Cell::Integer(age), Cell::Text(name.into())] }
}
