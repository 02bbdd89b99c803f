//! A database: how it is reached, and its connections.

use std::{
    fmt,
    path::Path,
    str::FromStr as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;
use sqlx::postgres::PgConnectOptions;
use tokio::{
    sync::{Mutex as AsyncMutex, MutexGuard, Semaphore, SemaphorePermit, watch},
    time::{Instant, error::Elapsed, sleep, timeout},
};

use crate::{
    ConnectionState, DatabaseUrl,
    connection::{Connection, Kind},
    error::{Failure, StoreError},
    limits::{CONNECT_LIMIT, IDLE_UNTRIED, READER_WAIT, READERS, WATCH_PERIOD},
    link::Link,
    migrations, postgres, sqlite,
};

/// A database. Connects when it is first needed and again whenever the connection is lost. Cloning shares it.
#[derive(Clone)]
pub struct Database {
    inner: Arc<Inner>,
}

struct Inner {
    /// Holds the password.
    place: Place,
    link: Link,
    /// Whether the tables are known to be as this version needs them; held while that is seen to.
    migrated: AsyncMutex<bool>,
    /// SQLite has one writer at a time: in this process they queue here, which is fair, unlike its own waiting.
    writing: AsyncMutex<()>,
    readers: Semaphore,
    idle: Mutex<Vec<(Connection, Instant)>>,
    knocking: AtomicBool,
    /// Becomes true when the database is closed; whoever has a connection of their own holds a receiver.
    closing: watch::Sender<bool>,
}

enum Place {
    Sqlite(Box<Path>),
    Postgres(Box<PgConnectOptions>),
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Writer,
    Reader,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("link", &self.inner.link).finish_non_exhaustive()
    }
}

impl Database {
    /// Only checks the address; nothing is connected yet. `Err` says what is wrong with it.
    #[expect(clippy::needless_pass_by_value, reason = "the address, with its password, is handed over")]
    pub fn new(url: DatabaseUrl) -> Result<Self, String> {
        let place = match &url {
            DatabaseUrl::Sqlite(path) => Place::Sqlite(path.clone().into_boxed_path()),
            DatabaseUrl::Postgres(text) => {
                let options = PgConnectOptions::from_str(text).map_err(|error| {
                    let error = match error {
                        sqlx::Error::Configuration(why) => why.to_string(),
                        other => other.to_string(),
                    };
                    format!("{url} is no address of a PostgreSQL database: {error}")
                })?;
                Place::Postgres(Box::new(postgres::options(options)))
            }
        };
        let inner = Inner {
            place,
            link: Link::new(url.to_string()),
            migrated: AsyncMutex::new(false),
            writing: AsyncMutex::new(()),
            readers: Semaphore::new(READERS),
            idle: Mutex::default(),
            knocking: AtomicBool::new(false),
            closing: watch::Sender::new(false),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Whether the last attempt reached it.
    #[must_use]
    pub fn state(&self) -> ConnectionState {
        self.inner.link.state()
    }

    /// Keeps trying to connect (and to migrate) in the background until it works, with back-off, telling `state` and the
    /// log; then looks every few seconds whether a server is still there, so that `state` is true without any traffic.
    /// Must be called inside a tokio runtime; a second call while the first is at it does nothing.
    pub fn connect_in_background(&self) {
        if self.inner.knocking.swap(true, Ordering::AcqRel) {
            return;
        }
        let database = self.clone();
        tokio::spawn(async move {
            let mut closing = database.closing();
            let knock = async {
                loop {
                    match database.reader_after_rest().await {
                        Ok(reader) => {
                            reader.give_back();
                            if database.kind() == Kind::Sqlite {
                                return;
                            }
                            sleep(WATCH_PERIOD).await;
                        }
                        Err(_) => tokio::task::yield_now().await,
                    }
                }
            };
            tokio::select! {
                () = knock => {}
                _ = closing.wait_for(|closing| *closing) => {}
            }
            database.inner.knocking.store(false, Ordering::Release);
        });
    }

    /// Ends the connections: writes that wait are answered `Unavailable`, those under way are finished before.
    pub async fn close(&self) {
        self.inner.closing.send_replace(true);
        self.inner.closing.closed().await;
        let idle = std::mem::take(&mut *self.inner.idle.lock());
        for (connection, _) in idle {
            connection.close().await;
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        match self.inner.place {
            Place::Sqlite(_) => Kind::Sqlite,
            Place::Postgres(_) => Kind::Postgres,
        }
    }

    /// Becomes true when the connections have to be ended; `close` waits until this is dropped.
    pub(crate) fn closing(&self) -> watch::Receiver<bool> {
        self.inner.closing.subscribe()
    }

    /// The turn to write in SQLite; PostgreSQL needs none.
    pub(crate) async fn writing(&self) -> Option<MutexGuard<'_, ()>> {
        match self.kind() {
            Kind::Sqlite => Some(self.inner.writing.lock().await),
            Kind::Postgres => None,
        }
    }

    /// Opens a connection, at the latest when the back-off is over, and sees to the tables that Floe needs.
    pub(crate) async fn open(&self, role: Role) -> Result<Connection, Failure> {
        let mut closing = self.closing();
        let opening = async {
            let _turn = self.inner.link.turn().await?;
            let opened = self.attempt(role).await;
            match &opened {
                Ok(_) => self.inner.link.worked(),
                Err(failure) => self.inner.link.failed(failure),
            }
            opened
        };
        tokio::select! {
            biased;
            _ = closing.wait_for(|closing| *closing) => Err(Failure::Unavailable("it has been closed".into())),
            opened = opening => opened,
        }
    }

    async fn attempt(&self, role: Role) -> Result<Connection, Failure> {
        {
            let mut migrated = self.inner.migrated.lock().await;
            if !*migrated {
                let mut connection = self.connect(Role::Writer).await?;
                let _turn = self.writing().await;
                migrations::apply(&mut connection).await?;
                *migrated = true;
                if role == Role::Writer {
                    return Ok(connection);
                }
                connection.close().await;
            }
        }
        self.connect(role).await
    }

    async fn connect(&self, role: Role) -> Result<Connection, Failure> {
        let connecting = async {
            match &self.inner.place {
                Place::Sqlite(path) => sqlite::connect(path, role).await,
                Place::Postgres(options) => postgres::connect(options, role).await,
            }
        };
        timeout(CONNECT_LIMIT, connecting).await.unwrap_or_else(|_| Err(Failure::too_slow("connecting")))
    }

    /// What became of a use of a connection, for `state`.
    pub(crate) fn heard(&self, failure: Option<&Failure>) {
        match failure {
            Some(failure @ Failure::Unavailable(_)) => {
                self.inner.link.lost(failure);
                self.inner.idle.lock().clear();
            }
            Some(Failure::Refused(_)) => {
                self.inner.link.worked();
                // A table may have been taken away: whoever tries again finds the tables looked at anew.
                self.inner.idle.lock().clear();
                if let Ok(mut migrated) = self.inner.migrated.try_lock() {
                    *migrated = false;
                }
            }
            Some(Failure::Data(_)) | None => self.inner.link.worked(),
        }
    }

    /// A connection to ask questions. While the database can't be reached this fails at once.
    pub(crate) async fn reader(&self) -> Result<Reader<'_>, StoreError> {
        match self.inner.link.resting() {
            Some(error) => Err(StoreError::Unavailable(error)),
            None => self.reader_after_rest().await,
        }
    }

    async fn reader_after_rest(&self) -> Result<Reader<'_>, StoreError> {
        let permit = timeout(READER_WAIT, self.inner.readers.acquire()).await;
        let Ok(Ok(permit)) = permit else {
            return Err(StoreError::Unavailable("all connections for reading are busy".into()));
        };
        loop {
            let Some((mut connection, since)) = self.inner.idle.lock().pop() else { break };
            let alive = since.elapsed() < IDLE_UNTRIED
                || matches!(timeout(CONNECT_LIMIT, connection.ping()).await, Ok(Ok(())));
            if alive {
                return Ok(Reader { database: self, connection, _permit: permit });
            }
        }
        let connection = self.open(Role::Reader).await?;
        Ok(Reader { database: self, connection, _permit: permit })
    }
}

/// A borrowed connection. Whoever doesn't settle what they asked takes the connection with them.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    database: &'a Database,
    connection: Connection,
    _permit: SemaphorePermit<'a>,
}

impl Reader<'_> {
    pub(crate) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Gives the connection back, if it is of any use after this answer.
    pub(crate) fn settle<T>(self, answer: Result<Result<T, Failure>, Elapsed>) -> Result<T, StoreError> {
        let answer = answer.unwrap_or_else(|_| Err(Failure::too_slow("a query")));
        self.database.heard(answer.as_ref().err());
        if answer.is_ok() {
            self.give_back();
        }
        Ok(answer?)
    }

    fn give_back(self) {
        if !*self.database.inner.closing.borrow() {
            self.database.inner.idle.lock().push((self.connection, Instant::now()));
        }
    }
}
