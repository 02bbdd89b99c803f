//! The thread that runs steps, and the watch over it.
//!
//! A record whose steps take too long is told to stop; its loops notice at their next turn. What doesn't even then come to
//! an end is left behind with its thread, and another thread goes on with the record after it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{
    Input, Outcome, eval,
    limits::{GIVEN_UP_MAX, STACK_BYTES},
    natives::Watch,
    transform::CompiledStep,
};

/// How long a record that was told to stop may take to do so.
const GRACE_MIN: Duration = Duration::from_millis(250);

/// A thread that runs steps; it ends when this is dropped.
#[derive(Debug)]
pub struct Runner {
    steps: Arc<[CompiledStep]>,
    given_up: Arc<AtomicUsize>,
    limit: Duration,
    worker: Option<Worker>,
}

/// The steps can't be run any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunnerError {
    /// Too many threads had to be given up because their program didn't end.
    #[error("{given_up} programs did not end in time and were given up; the filter or map has to be changed")]
    Runaway {
        /// How many.
        given_up: usize,
    },
    /// The system gives no thread now. May work later.
    #[error("no thread for the steps: {why}")]
    NoThread {
        /// What it said.
        why: String,
    },
}

#[derive(Debug)]
struct Worker {
    jobs: SyncSender<Job>,
    watch: Arc<Watch>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.watch.close();
    }
}

/// A batch, from one of its records on.
#[derive(Debug)]
struct Job {
    batch: Arc<Vec<Input>>,
    from: usize,
    /// Of the records from `from` on, as far as they are done.
    done: Arc<Mutex<Vec<Outcome>>>,
    finished: oneshot::Sender<()>,
}

impl Runner {
    pub(crate) fn new(steps: Arc<[CompiledStep]>, given_up: Arc<AtomicUsize>, limit: Duration) -> Self {
        Self { steps, given_up, limit, worker: None }
    }

    /// Runs the steps on a batch; answers one outcome per record, in order. A record whose program doesn't end in time or
    /// whose output is too large is poison, the others of the batch are not touched by that. Not cancel-safe: drop the
    /// runner if the answer is not awaited.
    pub async fn run(&mut self, batch: Vec<Input>) -> Result<Vec<Outcome>, RunnerError> {
        if self.steps.is_empty() {
            return Ok(batch.into_iter().map(|input| Outcome::Values(vec![input.value])).collect());
        }
        let batch = Arc::new(batch);
        let mut outcomes = Vec::with_capacity(batch.len());
        while outcomes.len() < batch.len() {
            let given_up = self.given_up.load(Ordering::Relaxed);
            if given_up >= GIVEN_UP_MAX {
                return Err(RunnerError::Runaway { given_up });
            }
            let (finished, mut is_finished) = oneshot::channel();
            let done = Arc::new(Mutex::new(Vec::new()));
            let from = outcomes.len();
            let limit = self.limit;
            let worker = self.worker()?;
            let job = Job { batch: Arc::clone(&batch), from, done: Arc::clone(&done), finished };
            if worker.jobs.send(job).is_err() {
                self.worker = None;
                continue;
            }
            let stuck = watch(&worker.watch, &done, from, limit, &mut is_finished).await;
            outcomes.append(&mut done.lock());
            // Unless it came to its end at the last moment.
            if stuck == Some(outcomes.len()) {
                // Dropping the worker also stops the thread at its next turn, should it ever come to one.
                self.worker = None;
                self.given_up.fetch_add(1, Ordering::Relaxed);
                tracing::warn!("a filter or map did not end and was given up together with its thread");
                outcomes.push(Outcome::Poison("its steps did not end, and were given up".to_owned()));
            }
        }
        Ok(outcomes)
    }

    fn worker(&mut self) -> Result<&Worker, RunnerError> {
        let worker = match self.worker.take() {
            Some(worker) => worker,
            None => {
                let watch = Arc::new(Watch::default());
                // One batch at a time.
                let (jobs, waiting) = sync_channel(1);
                let (steps, seen) = (Arc::clone(&self.steps), Arc::clone(&watch));
                thread::Builder::new()
                    .name("floe-transform".to_owned())
                    .stack_size(STACK_BYTES)
                    .spawn(move || work(&steps, &waiting, &seen))
                    .map_err(|error| RunnerError::NoThread { why: error.to_string() })?;
                Worker { jobs, watch }
            }
        };
        Ok(self.worker.insert(worker))
    }
}

fn work(steps: &[CompiledStep], jobs: &Receiver<Job>, watch: &Watch) {
    while let Ok(Job { batch, from, done, finished }) = jobs.recv() {
        watch.begin_batch();
        for (at, input) in batch.iter().enumerate().skip(from) {
            if watch.is_closed() {
                return;
            }
            watch.begin(at);
            let outcome = eval::run(steps, input, watch);
            done.lock().push(outcome);
        }
        // Nobody waits any more if the runner was dropped.
        let _ = finished.send(());
    }
}

/// Waits for the end of a batch, stopping records that take longer than `limit` (noticed within twice that). Answers the
/// record (by place in the batch) that can't be stopped, if there is one.
async fn watch(
    watch: &Watch,
    done: &Mutex<Vec<Outcome>>,
    from: usize,
    limit: Duration,
    finished: &mut oneshot::Receiver<()>,
) -> Option<usize> {
    let mut seen = None;
    loop {
        let wait = if seen.is_some_and(|(_, stopped)| stopped) { limit.max(GRACE_MIN) } else { limit };
        // An error is the thread's end, which it doesn't come to with records left; what is missing runs again.
        if tokio::time::timeout(wait, &mut *finished).await.is_ok() {
            return None;
        }
        let at = from + done.lock().len();
        match seen {
            Some((before, true)) if before == at => return Some(at),
            Some((before, false)) if before == at => {
                watch.stop(at);
                seen = Some((at, true));
            }
            _ => seen = Some((at, false)),
        }
    }
}
