//! A file of JSON lines. One thread owns it; partitions that write at once share a sync.

mod config;
mod rotation;
mod writer;

use std::sync::Arc;

use floe_store::PositionKey;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

pub use config::FileSpec;
use writer::Job;

use super::{Batch, DeliveryError, line};

/// Batches that wait for the thread; more wait in their partitions.
const QUEUE_JOBS_MAX: usize = 64;

#[derive(Clone, Debug)]
pub(crate) struct FileSink {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    spec: FileSpec,
    /// The thread's queue, once it was started. The thread ends with its last sender.
    queue: Mutex<Option<mpsc::Sender<Job>>>,
}

#[derive(Debug)]
pub(crate) struct FileHold {
    key: PositionKey,
    sink: FileSink,
}

impl FileSink {
    pub(crate) fn open(spec: &FileSpec) -> Result<Self, String> {
        spec.check()?;
        Ok(Self { shared: Arc::new(Shared { spec: spec.clone(), queue: Mutex::new(None) }) })
    }

    pub(crate) fn label(&self) -> String {
        format!("file {}", self.shared.spec.path.display())
    }

    /// Opens the file: an empty job that the thread answers once it could.
    pub(crate) async fn claim(&self, key: &PositionKey) -> Result<FileHold, DeliveryError> {
        self.write(Vec::new()).await?;
        Ok(FileHold { key: key.clone(), sink: self.clone() })
    }

    /// On disk when this is `Ok`.
    async fn write(&self, lines: Vec<u8>) -> Result<(), DeliveryError> {
        let (answer, answered) = oneshot::channel();
        let queue = self.queue()?;
        let gone = || DeliveryError::Unavailable("the file's writer ended; it is started again".to_owned());
        if queue.send(Job { lines, answer }).await.is_err() {
            // It only ends by itself when something in it panicked.
            self.shared.queue.lock().take_if(|queue| queue.is_closed());
            return Err(gone());
        }
        answered.await.unwrap_or_else(|_| Err(gone()))
    }

    fn queue(&self) -> Result<mpsc::Sender<Job>, DeliveryError> {
        let mut queue = self.shared.queue.lock();
        if let Some(queue) = &*queue {
            return Ok(queue.clone());
        }
        let (sender, jobs) = mpsc::channel(QUEUE_JOBS_MAX);
        writer::start(self.shared.spec.clone(), jobs)
            .map_err(|error| DeliveryError::Unavailable(format!("no thread for the file: {error}")))?;
        Ok(queue.insert(sender).clone())
    }
}

impl FileHold {
    pub(crate) async fn deliver(&mut self, batch: &Batch) -> Result<(), DeliveryError> {
        if batch.records.is_empty() {
            return Ok(());
        }
        let format = self.sink.shared.spec.format;
        let mut lines = Vec::new();
        for record in &batch.records {
            line::write_line(&mut lines, &self.key, record, format);
        }
        self.sink.write(lines).await
    }
}
