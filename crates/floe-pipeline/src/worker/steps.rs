//! Running a pipeline's steps: on a few threads that its partitions share.

use std::{sync::Arc, time::Duration};

use floe_engine::StoredRecord;
use floe_transform::{Input, Outcome, Runner, RunnerError, Transform};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::limits::STEP_THREADS;

/// Compiled steps, and the threads that wait for work.
#[derive(Debug)]
pub(super) struct Steps {
    transform: Transform,
    limit: Duration,
    idle: Mutex<Vec<Runner>>,
    threads: Semaphore,
}

impl Steps {
    pub(super) fn new(transform: Transform, limit: Duration) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = Semaphore::new(cores.min(STEP_THREADS));
        Self { transform, limit, idle: Mutex::default(), threads }
    }

    /// Answers what became of each record, in order. Cancel-safe: a thread whose answer nobody awaits is given up.
    pub(super) async fn run(
        &self,
        topic: &Arc<str>,
        records: &[StoredRecord],
    ) -> Result<Vec<Outcome>, RunnerError> {
        if self.transform.is_empty() {
            return Ok(records.iter().map(|record| Outcome::Values(vec![record.value.clone()])).collect());
        }
        // the semaphore is never closed
        let _turn = self.threads.acquire().await.ok();
        let idle = self.idle.lock().pop();
        let mut runner = idle.unwrap_or_else(|| self.transform.start(self.limit));
        let outcomes = runner.run(records.iter().map(|record| input(topic, record)).collect()).await;
        self.idle.lock().push(runner);
        outcomes
    }
}

fn input(topic: &Arc<str>, record: &StoredRecord) -> Input {
    Input {
        topic: Arc::clone(topic),
        partition: record.partition,
        offset: record.offset,
        timestamp: record.timestamp,
        key: record.key.clone(),
        value: record.value.clone(),
        headers: record
            .headers
            .iter()
            .map(|header| (header.name.to_string(), header.value.clone()))
            .collect(),
    }
}
