//! Which operation fails, and how.

use std::{collections::BTreeMap, io};

/// What a program asks of the storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Opening a file.
    Open,
    /// Making or emptying a file.
    Create,
    /// Reading from a file.
    Read,
    /// Writing to a file.
    Write,
    /// Syncing a file; dropping its cache counts, too.
    Sync,
    /// Setting a file's length.
    Truncate,
    /// Reserving space.
    Allocate,
    /// Renaming a file.
    Rename,
    /// Removing a file.
    Remove,
    /// Syncing the directory.
    SyncDirectory,
}

impl Operation {
    fn changes_something(self) -> bool {
        !matches!(self, Self::Open | Self::Read)
    }
}

/// The error that a planned fault gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultError {
    /// `EIO`.
    Io,
    /// `ENOSPC`.
    NoSpace,
}

impl From<FaultError> for io::Error {
    fn from(error: FaultError) -> Self {
        Self::from_raw_os_error(match error {
            FaultError::Io => 5,
            FaultError::NoSpace => 28,
        })
    }
}

/// Faults to come, and the operations counted so far.
#[derive(Clone, Debug, Default)]
pub(super) struct FaultPlan {
    counts: BTreeMap<Operation, u64>,
    faults: Vec<(Operation, u64, FaultError)>,
    changes: u64,
    power_off_at: Option<u64>,
}

impl FaultPlan {
    pub(super) fn fail(&mut self, operation: Operation, nth_from_now: u64, error: FaultError) {
        let at = self.count(operation) + nth_from_now;
        self.faults.push((operation, at, error));
    }

    pub(super) fn power_off_after(&mut self, changes: u64) {
        self.power_off_at = Some(self.changes + changes);
    }

    pub(super) fn count(&self, operation: Operation) -> u64 {
        self.counts.get(&operation).copied().unwrap_or(0)
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// Counts an operation and says whether it goes well.
    pub(super) fn check(&mut self, operation: Operation) -> Result<(), FaultError> {
        let count = self.counts.entry(operation).or_default();
        *count += 1;
        let count = *count;
        if operation.changes_something() {
            self.changes += 1;
        }
        if self.power_off_at.is_some_and(|at| self.changes > at) {
            return Err(FaultError::Io);
        }
        match self.faults.iter().find(|fault| fault.0 == operation && fault.1 == count) {
            Some((.., error)) => Err(*error),
            None => Ok(()),
        }
    }
}
