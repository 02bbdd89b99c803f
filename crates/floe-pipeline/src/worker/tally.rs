//! What a worker counts, for its status.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;

use crate::{
    WorkerError, WorkerStatus, excerpt,
    limits::{STATUS_ERROR_BYTES, STATUS_ERRORS},
};

/// Counters since the worker started, and its newest errors.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) read: Count,
    pub(super) delivered: Count,
    pub(super) dropped: Count,
    pub(super) dead_lettered: Count,
    pub(super) retried: Count,
    errors: Mutex<VecDeque<WorkerError>>,
}

/// A number that only rises.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, more: usize) {
        self.0.fetch_add(more as u64, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Tally {
    /// Keeps an error; the oldest makes room. The same once more replaces the one before.
    pub(super) fn error(&self, mut error: WorkerError) {
        error.error = excerpt::of(&error.error, STATUS_ERROR_BYTES);
        let mut errors = self.errors.lock();
        let same = |known: &WorkerError| {
            (&known.error, &known.topic, known.partition, known.offset)
                == (&error.error, &error.topic, error.partition, error.offset)
        };
        if errors.front().is_some_and(same) {
            errors.pop_front();
        }
        errors.push_front(error);
        errors.truncate(STATUS_ERRORS);
    }

    /// Fills in what is counted here.
    pub(super) fn fill(&self, status: &mut WorkerStatus) {
        status.read = self.read.get();
        status.delivered = self.delivered.get();
        status.dropped = self.dropped.get();
        status.dead_lettered = self.dead_lettered.get();
        status.retried = self.retried.get();
        status.errors = self.errors.lock().iter().cloned().collect();
    }
}
