//! The task that owns a table's connection for writing.

use std::sync::Arc;

use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

use super::{Job, Target, Write};
use crate::{
    Claim, Database, PositionKey, WriteError,
    connection::Connection,
    database::Role,
    error::Failure,
    limits::{GROUP_BYTES, GROUP_ROWS, TRANSACTION_LIMIT},
    positions,
};

/// Owns the connection. One transaction at a time; while one is on its way the next group gathers.
#[derive(Debug)]
pub(super) struct Task<T: Target> {
    pub(super) database: Database,
    pub(super) target: Arc<T>,
    queue: mpsc::Receiver<Job<T::Row>>,
    /// Taken from the queue, but not for this group any more.
    held: Option<Job<T::Row>>,
    connection: Option<Connection>,
    closing: watch::Receiver<bool>,
}

impl<T: Target> Task<T> {
    pub(super) fn new(database: Database, target: Arc<T>, queue: mpsc::Receiver<Job<T::Row>>) -> Self {
        let closing = database.closing();
        Self { database, target, queue, held: None, connection: None, closing }
    }

    pub(super) async fn run(mut self) {
        while let Some(job) = self.next().await {
            match job {
                Job::Claim { key, owner, reply } => {
                    if reply.is_closed() {
                        continue;
                    }
                    let claimed = self.claim(&key, &owner).await;
                    let _ = reply.send(claimed.map_err(Into::into));
                }
                Job::Write(first) => {
                    let group = self.gather(first);
                    self.write(group).await;
                }
            }
        }
        if let Some(connection) = self.connection.take() {
            connection.close().await;
        }
    }

    async fn next(&mut self) -> Option<Job<T::Row>> {
        if *self.closing.borrow() {
            return None;
        }
        if let Some(job) = self.held.take() {
            return Some(job);
        }
        tokio::select! {
            job = self.queue.recv() => job,
            _ = self.closing.wait_for(|closing| *closing) => None,
        }
    }

    /// What waits, up to the bounds. A partition is in a group once: what comes second may rest on the first, or be
    /// its repeat. Whoever doesn't wait for the answer any more will come again, or has lost the partition.
    fn gather(&mut self, first: Write<T::Row>) -> Vec<Write<T::Row>> {
        let (mut rows, mut bytes) = (first.rows.len(), first.bytes);
        let mut group = vec![first];
        while let Ok(job) = self.queue.try_recv() {
            match job {
                Job::Write(write)
                    if rows + write.rows.len() <= GROUP_ROWS
                        && bytes + write.bytes <= GROUP_BYTES
                        && group.iter().all(|other| other.key != write.key) =>
                {
                    rows += write.rows.len();
                    bytes += write.bytes;
                    group.push(write);
                }
                other @ (Job::Write(_) | Job::Claim { .. }) => {
                    self.held = Some(other);
                    break;
                }
            }
        }
        group.retain(|write| !write.reply.is_closed());
        group
    }

    async fn claim(&mut self, key: &PositionKey, owner: &str) -> Result<Claim, Failure> {
        let mut connection = self.connected().await?;
        let claiming = async {
            let _turn = self.database.writing().await;
            positions::claim(&mut connection, self.target.name(), key, owner).await
        };
        let claimed = timeout(TRANSACTION_LIMIT, claiming).await;
        let claimed = claimed.unwrap_or_else(|_| Err(Failure::too_slow("claiming a partition")));
        self.keep(connection, claimed.as_ref().err());
        claimed
    }

    async fn write(&mut self, group: Vec<Write<T::Row>>) {
        if group.is_empty() {
            return;
        }
        match self.transaction(&group).await {
            Ok(answers) => answer(group, answers),
            // Some row of some batch: each batch is tried alone, so that only those that hold one are held up.
            Err(Failure::Data(_)) if group.len() > 1 => {
                for write in group {
                    self.write_alone(write).await;
                }
            }
            Err(Failure::Data(why)) => {
                for write in group {
                    let found = self.find_rejected(&write, &why).await;
                    let _ = write.reply.send(Err(found));
                }
            }
            Err(failure) => {
                for write in group {
                    let _ = write.reply.send(Err(failure.clone().into()));
                }
            }
        }
    }

    async fn write_alone(&mut self, write: Write<T::Row>) {
        let answered = match self.transaction(std::slice::from_ref(&write)).await {
            Ok(mut answers) => answers.pop().unwrap_or(Err(WriteError::Fenced)),
            Err(Failure::Data(why)) => Err(self.find_rejected(&write, &why).await),
            Err(failure) => Err(failure.into()),
        };
        let _ = write.reply.send(answered);
    }

    async fn transaction(
        &mut self,
        group: &[Write<T::Row>],
    ) -> Result<Vec<Result<u64, WriteError>>, Failure> {
        let mut connection = self.connected().await?;
        let committing = self.commit_group(&mut connection, group);
        let done = timeout(TRANSACTION_LIMIT, committing).await;
        let done = done.unwrap_or_else(|_| {
            self.target.given_up();
            Err(Failure::too_slow("a transaction"))
        });
        self.keep(connection, done.as_ref().err());
        done
    }

    async fn find_rejected(&mut self, write: &Write<T::Row>, why: &str) -> WriteError {
        let mut connection = match self.connected().await {
            Ok(connection) => connection,
            Err(failure) => return failure.into(),
        };
        let searching = self.isolate(&mut connection, write);
        let found = timeout(TRANSACTION_LIMIT, searching).await;
        let found = found.unwrap_or_else(|_| Err(Failure::too_slow("looking for bad rows")));
        self.keep(connection, found.as_ref().err());
        match found {
            // Together they were refused, alone they are not: a row of somebody else's was in the way.
            Ok(rejected) if rejected.is_empty() => WriteError::Unavailable(why.to_owned()),
            Ok(rejected) => WriteError::Rejected(rejected),
            Err(failure) => failure.into(),
        }
    }

    /// The connection, opened and made ready if there is none. It is taken out: a future that is given up in the middle
    /// of a transaction must not leave its connection behind.
    async fn connected(&mut self) -> Result<Connection, Failure> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        let mut connection = self.database.open(Role::Writer).await?;
        let preparing = async {
            let _turn = self.database.writing().await;
            self.target.prepare(&mut connection).await
        };
        let prepared = timeout(TRANSACTION_LIMIT, preparing).await;
        match prepared.unwrap_or_else(|_| Err(Failure::too_slow("preparing the table"))) {
            Ok(()) => Ok(connection),
            Err(failure) => {
                self.database.heard(Some(&failure));
                Err(failure)
            }
        }
    }

    fn keep(&mut self, connection: Connection, failure: Option<&Failure>) {
        self.database.heard(failure);
        if matches!(failure, None | Some(Failure::Data(_))) {
            self.connection = Some(connection);
        }
    }
}

fn answer<R>(group: Vec<Write<R>>, answers: Vec<Result<u64, WriteError>>) {
    for (write, answer) in group.into_iter().zip(answers) {
        let _ = write.reply.send(answer);
    }
}
