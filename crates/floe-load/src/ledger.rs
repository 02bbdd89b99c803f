//! What a connection knows of every record it sent: what a verification holds the server to.

use crate::tally::Outcome;

/// How one record ended, in a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Fate {
    /// Must be stored, once.
    Acknowledged,
    /// Must not be stored.
    Failed,
    /// May be stored, at most once.
    Unknown,
}

/// The fates of one connection's records, by their counter.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) connection: u16,
    pub(crate) fates: Vec<Fate>,
}

impl Fate {
    pub(crate) fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Acknowledged => Self::Acknowledged,
            Outcome::Failed(_) => Self::Failed,
            Outcome::Unknown(_) => Self::Unknown,
        }
    }
}

impl Ledger {
    pub(crate) fn new(connection: u16) -> Self {
        Self { connection, fates: Vec::new() }
    }

    /// Notes a record that goes out: unknown, until its fate is known.
    pub(crate) fn open(&mut self, records: usize) {
        self.fates.resize(self.fates.len() + records, Fate::Unknown);
    }

    /// Notes how a record ended.
    pub(crate) fn settle(&mut self, counter: u64, fate: Fate) {
        if let Some(slot) = self.fates.get_mut(counter as usize) {
            *slot = fate;
        }
    }
}
