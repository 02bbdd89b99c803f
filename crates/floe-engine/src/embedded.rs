//! The broker in this process, behind the engine's methods.

mod follow;
mod groups;
mod records;
mod topics;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use floe_broker::{Broker, BrokerConfig, BrokerError, Clock, split_journal_id};
use floe_journal::{
    DamageKind, DirectoryLock, DiskStorage, JournalConfig, LockError, OpenError, RecoveryReport, Storage,
};
use tokio::sync::watch;

pub(crate) use follow::EmbeddedTail;

use crate::{Damage, EngineHealth, StorageState};

/// How often retention and cleaning are looked at.
pub(crate) const JANITOR_PERIOD: Duration = Duration::from_secs(1);

/// Where and how the embedded engine keeps its data.
#[derive(Clone, Debug)]
pub struct EmbeddedConfig {
    /// The data directory; made when it isn't there.
    pub data_dir: PathBuf,
    /// Nothing is synced, and the directory is removed when the engine closes.
    pub ephemeral: bool,
    /// The journal's layout.
    pub journal: JournalConfig,
    /// Time.
    pub clock: Clock,
}

/// Why the embedded engine could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenEngineError {
    /// The directory could not be made or read.
    #[error("the data directory '{}' can't be used: {source}", .directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process holds it.
    #[error("{source} ('{}')", .directory.display())]
    Lock {
        /// The directory.
        directory: PathBuf,
        /// Who holds it.
        source: LockError,
    },
    /// The journal could not be opened.
    #[error("the journal in '{}' can't be opened: {source}", .directory.display())]
    Journal {
        /// The directory.
        directory: PathBuf,
        /// Why.
        source: OpenError,
    },
}

/// The embedded engine's shared parts.
#[derive(Debug)]
pub struct Embedded {
    pub(crate) broker: Arc<Broker>,
    stopping: watch::Sender<bool>,
    /// Removed at the end.
    ephemeral_dir: Option<PathBuf>,
}

impl Embedded {
    pub(crate) fn open(config: EmbeddedConfig) -> Result<Self, OpenEngineError> {
        let directory = config.data_dir.clone();
        let storage: Arc<dyn Storage> = Arc::new(
            if config.ephemeral {
                DiskStorage::open_ephemeral(&directory)
            } else {
                DiskStorage::open(&directory)
            }
            .map_err(|source| OpenEngineError::Directory { directory: directory.clone(), source })?,
        );
        let lock = DirectoryLock::take(&directory)
            .map_err(|source| OpenEngineError::Lock { directory: directory.clone(), source })?;
        Self::on(
            storage,
            Some(lock),
            config.journal,
            config.clock,
            JANITOR_PERIOD,
            config.ephemeral.then(|| directory.clone()),
        )
        .map_err(|source| OpenEngineError::Journal { directory, source })
    }

    /// The same on storage of the caller's choice: how faults are tried.
    pub(crate) fn on(
        storage: Arc<dyn Storage>,
        lock: Option<DirectoryLock>,
        journal: JournalConfig,
        clock: Clock,
        janitor_period: Duration,
        ephemeral_dir: Option<PathBuf>,
    ) -> Result<Self, OpenError> {
        let broker = Broker::open(BrokerConfig { storage, journal, lock, clock, janitor_period })?;
        Ok(Self { broker, stopping: watch::Sender::new(false), ephemeral_dir })
    }

    pub(crate) fn recovery(&self) -> &RecoveryReport {
        self.broker.recovery()
    }

    pub(crate) fn log_id(&self) -> String {
        format!("{:016x}", self.broker.journal().id())
    }

    pub(crate) fn close(&self) {
        self.stopping.send_replace(true);
        self.broker.close();
        if let Some(directory) = &self.ephemeral_dir {
            remove(directory);
        }
    }

    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    pub(crate) fn health(&self) -> EngineHealth {
        let journal = self.broker.journal();
        let storage = if *self.stopping.borrow() {
            StorageState::Stopping
        } else if self.broker.is_failed() {
            StorageState::Failed
        } else if journal.is_full() {
            StorageState::Full
        } else {
            StorageState::Writable
        };
        let damage = journal.damage().into_iter().map(|damage| self.named(damage)).collect();
        EngineHealth {
            engine: "embedded",
            storage,
            queued_bytes: self.broker.queued_bytes(),
            stored_bytes: journal.stored_bytes(),
            damage,
        }
    }

    /// Damage with the topic's name instead of the journal's number.
    fn named(&self, damage: floe_journal::Damage) -> Damage {
        let records = match damage.kind {
            DamageKind::Records { partition, from, to } => {
                let (topic_id, number) = split_journal_id(partition);
                let topic = self.broker.catalog().by_id(topic_id);
                topic.map(|topic| (topic.name.to_string(), number, from, to))
            }
            DamageKind::State
            | DamageKind::Repaired
            | DamageKind::Frames
            | DamageKind::Footer
            | DamageKind::Snapshot
            | DamageKind::MissingSegment
            | DamageKind::ForeignFile => None,
        };
        Damage { file: damage.file, position: damage.position, bytes: damage.bytes, records }
    }

    /// Runs what may touch the disk away from the threads that serve sockets.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Broker) -> Result<T, BrokerError> + Send + 'static,
    ) -> Result<T, BrokerError> {
        let broker = self.broker.clone();
        tokio::task::spawn_blocking(move || work(&broker)).await.unwrap_or(Err(BrokerError::Stopping))
    }
}

fn remove(directory: &Path) {
    if let Err(error) = fs::remove_dir_all(directory) {
        tracing::warn!(%error, "the ephemeral data directory could not be removed");
    }
}
