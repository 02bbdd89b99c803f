//! Writes of one table: a task of its own, which puts what waits together into one transaction.

mod group;
mod isolate;
mod task;

use std::{fmt, sync::Arc};

use tokio::sync::{mpsc, oneshot};

use crate::{
    Claim, Database, PositionKey, StoreError, WriteError,
    connection::{Connection, Kind},
    error::Failure,
    limits::{QUEUED_WRITES, REJECTED_AT_ONCE},
};

use task::Task;

/// What is written: the rows of one table.
pub(crate) trait Target: fmt::Debug + Send + Sync + 'static {
    /// One row, and where it came from.
    type Row: fmt::Debug + Send + Sync + 'static;
    /// What others are told after the transaction.
    type News: Send;

    /// The table's name; positions are kept by it.
    fn name(&self) -> &str;
    /// The offset that a row came from.
    fn offset(row: &Self::Row) -> i64;
    /// Roughly a row's size.
    fn bytes(row: &Self::Row) -> usize;
    /// Why the database could never hold a row, as far as that is known without asking it.
    fn flaw(&self, row: &Self::Row, kind: Kind) -> Option<String>;
    /// Makes a new connection ready: sees to the table, and to what `insert` needs.
    fn prepare(&self, connection: &mut Connection) -> impl Future<Output = Result<(), Failure>> + Send;
    /// Inserts rows inside a transaction.
    fn insert(
        &self,
        connection: &mut Connection,
        parts: &[Part<'_, Self::Row>],
    ) -> impl Future<Output = Result<Inserted<Self::News>, Failure>> + Send;
    /// The transaction is about to be committed.
    fn committing(&self, news: &Self::News);
    /// It has been committed; if not `done`, nobody knows.
    fn committed(&self, news: Self::News, done: bool);
    /// A transaction took too long and was given up, wherever it was.
    fn given_up(&self);
}

/// Rows of one partition.
#[derive(Debug)]
pub(crate) struct Part<'a, R> {
    pub(crate) key: &'a PositionKey,
    pub(crate) rows: &'a [R],
}

/// What inserting came to.
#[derive(Debug)]
pub(crate) struct Inserted<N> {
    /// Per part, how many rows were new.
    pub(crate) new: Vec<u64>,
    pub(crate) news: N,
}

/// Something for the task to do.
#[derive(Debug)]
enum Job<R> {
    Claim { key: PositionKey, owner: String, reply: oneshot::Sender<Result<Claim, StoreError>> },
    Write(Write<R>),
}

#[derive(Debug)]
struct Write<R> {
    key: PositionKey,
    epoch: i64,
    rows: Vec<R>,
    next_offset: i64,
    bytes: usize,
    reply: oneshot::Sender<Result<u64, WriteError>>,
}

/// The handle of a table's writer. The task ends when the last handle is gone, or the database is closed.
#[derive(Debug)]
pub(crate) struct Writer<T: Target> {
    target: Arc<T>,
    kind: Kind,
    jobs: mpsc::Sender<Job<T::Row>>,
}

impl<T: Target> Clone for Writer<T> {
    fn clone(&self) -> Self {
        Self { target: Arc::clone(&self.target), kind: self.kind, jobs: self.jobs.clone() }
    }
}

impl<T: Target> Writer<T> {
    /// Starts the task. Must be called inside a tokio runtime.
    pub(crate) fn start(database: Database, target: Arc<T>) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUED_WRITES);
        let kind = database.kind();
        tokio::spawn(Task::new(database, Arc::clone(&target), queue).run());
        Self { target, kind, jobs }
    }

    pub(crate) async fn claim(&self, key: &PositionKey, owner: &str) -> Result<Claim, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = Job::Claim { key: key.clone(), owner: owner.to_owned(), reply };
        let gone = || StoreError::Unavailable("it has been closed".into());
        self.jobs.send(job).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    pub(crate) async fn write(
        &self,
        key: &PositionKey,
        claim: &Claim,
        rows: Vec<T::Row>,
        next_offset: i64,
    ) -> Result<u64, WriteError> {
        let flaws = rows.iter().enumerate();
        let flaws = flaws.filter_map(|(place, row)| self.target.flaw(row, self.kind).map(|why| (place, why)));
        let rejected: Vec<_> = flaws.take(REJECTED_AT_ONCE).collect();
        if !rejected.is_empty() {
            return Err(WriteError::Rejected(rejected));
        }
        let bytes = rows.iter().map(T::bytes).sum();
        let (reply, answer) = oneshot::channel();
        let write = Write { key: key.clone(), epoch: claim.epoch, rows, next_offset, bytes, reply };
        let gone = || WriteError::Unavailable("it has been closed".into());
        self.jobs.send(Job::Write(write)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}
