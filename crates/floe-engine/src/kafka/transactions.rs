//! Records and the command that says where they went, visible together or not at all.
//!
//! One producer with transactions serves the process, on a thread of its own, as librdkafka's calls block. Appends that wait
//! together share a transaction. When one can't be committed all in it are tried again, each by itself.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use floe_broker::NewRecord;
use rdkafka::{error::KafkaError, producer::Producer as _};
use tokio::sync::oneshot;

use super::{
    append::Target,
    client::KafkaConfig,
    error::unavailable,
    producer::{Kind, Pending, Producer},
};
use crate::{EngineError, Placement};

/// Appends that may wait for a transaction; more are refused as overload.
const MAX_WAITING: usize = 1_024;
/// Appends in one transaction.
const MAX_TOGETHER: usize = 64;
/// How long beginning, committing or aborting may take. With the time for the records this stays below the age at which a
/// claim can be taken over.
const STEP_LIMIT: Duration = Duration::from_secs(8);

/// One append.
pub(super) struct Job {
    pub(super) topic: Arc<str>,
    pub(super) records: Vec<NewRecord>,
    pub(super) targets: Vec<Target>,
    /// Makes the record that says where the others went.
    pub(super) note: Note,
    /// The topic that note goes to.
    pub(super) notes: &'static str,
    pub(super) answer: oneshot::Sender<Result<Vec<Placement>, EngineError>>,
}

/// Makes a record that says where others went.
pub(super) type Note = Box<dyn Fn(&[Placement]) -> NewRecord + Send>;

/// The way to the thread. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Transactions {
    jobs: mpsc::SyncSender<Job>,
}

/// The thread.
struct Committer {
    config: KafkaConfig,
    kind: Kind,
    id: String,
    /// Made at the first use; `None` again when it can't be used any more.
    producer: Option<Producer>,
}

impl Transactions {
    /// `id` names this process's transactions: no other may use it.
    pub(super) fn start(config: KafkaConfig, kind: Kind, id: String) -> Self {
        let (jobs, waiting) = mpsc::sync_channel::<Job>(MAX_WAITING);
        std::thread::spawn(move || {
            let mut committer = Committer { config, kind, id, producer: None };
            while let Ok(first) = waiting.recv() {
                let together: Vec<_> =
                    std::iter::once(first).chain(waiting.try_iter().take(MAX_TOGETHER - 1)).collect();
                committer.serve(together);
            }
        });
        Self { jobs }
    }

    pub(super) fn put(&self, job: Job) -> Result<(), EngineError> {
        self.jobs.try_send(job).map_err(|error| match error {
            mpsc::TrySendError::Full(_) => EngineError::Overloaded { queued_bytes: 0 },
            mpsc::TrySendError::Disconnected(_) => EngineError::Stopping,
        })
    }
}

impl Committer {
    fn serve(&mut self, jobs: Vec<Job>) {
        match self.commit(&jobs) {
            Ok(all) => {
                for (job, placements) in jobs.into_iter().zip(all) {
                    // whoever no longer waits doesn't need the answer
                    let _ = job.answer.send(Ok(placements));
                }
            }
            Err(error) if jobs.len() == 1 || error == EngineError::OutcomeUnknown => {
                for job in jobs {
                    let _ = job.answer.send(Err(error.clone()));
                }
            }
            Err(_) => jobs.into_iter().for_each(|job| self.serve(vec![job])),
        }
    }

    /// Stores the records of all jobs in one transaction.
    fn commit(&mut self, jobs: &[Job]) -> Result<Vec<Vec<Placement>>, EngineError> {
        let producer = self.producer()?;
        let client = producer.client();
        if let Err(error) = client.begin_transaction() {
            self.producer = None;
            return Err(unavailable("beginning a transaction", &error));
        }
        match store(producer, jobs) {
            Ok(all) => match client.commit_transaction(STEP_LIMIT) {
                Ok(()) => Ok(all),
                Err(KafkaError::Transaction(error)) if error.txn_requires_abort() => {
                    self.abort();
                    Err(unavailable("committing a transaction", &KafkaError::Transaction(error)))
                }
                Err(error) => {
                    tracing::warn!(%error, "what came of a transaction is not known");
                    self.producer = None;
                    Err(EngineError::OutcomeUnknown)
                }
            },
            Err(error) => {
                self.abort();
                // an aborted record is never visible
                Err(match error {
                    EngineError::OutcomeUnknown => EngineError::Unavailable {
                        why: "the records were not acknowledged in time".to_owned(),
                    },
                    error => error,
                })
            }
        }
    }

    fn abort(&mut self) {
        let Some(producer) = &self.producer else { return };
        if let Err(error) = producer.client().abort_transaction(STEP_LIMIT) {
            // the next producer of this id ends it
            tracing::debug!(%error, "a transaction could not be aborted");
            self.producer = None;
        }
    }

    fn producer(&mut self) -> Result<&Producer, EngineError> {
        if self.producer.is_none() {
            let made = Producer::new(self.config.clone(), self.kind, Some(self.id.clone()));
            let made = made.map_err(|error| EngineError::Unavailable { why: error.to_string() })?;
            made.client()
                .init_transactions(STEP_LIMIT)
                .map_err(|error| unavailable("opening transactions", &error))?;
            self.producer = Some(made);
        }
        self.producer.as_ref().ok_or(EngineError::Stopping)
    }
}

/// Sends the records of all jobs, and behind them the notes where they went.
fn store(producer: &Producer, jobs: &[Job]) -> Result<Vec<Vec<Placement>>, EngineError> {
    let mut sent: Vec<Vec<Pending>> = Vec::with_capacity(jobs.len());
    for job in jobs {
        let records = job.records.iter().zip(&job.targets);
        let pending = records.map(|(record, (partition, timestamp))| {
            producer.send(&job.topic, *partition, record, *timestamp, None)
        });
        sent.push(pending.collect::<Result<_, _>>()?);
    }
    let mut all = Vec::with_capacity(jobs.len());
    let mut notes = Vec::with_capacity(jobs.len());
    for (job, pending) in jobs.iter().zip(sent) {
        let mut placements = Vec::with_capacity(pending.len());
        for (pending, (_, timestamp)) in pending.into_iter().zip(&job.targets) {
            let placement = producer.acknowledged_blocking(&job.topic, pending)?;
            let own = if placement.timestamp < 0 { *timestamp } else { placement.timestamp };
            placements.push(Placement { timestamp: own, ..placement });
        }
        notes.push(producer.send(job.notes, 0, &(job.note)(&placements), 0, None)?);
        all.push(placements);
    }
    for (job, note) in jobs.iter().zip(notes) {
        producer.acknowledged_blocking(job.notes, note)?;
    }
    Ok(all)
}
