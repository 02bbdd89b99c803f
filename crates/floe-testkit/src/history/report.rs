//! What was found.

use std::{collections::BTreeMap, fmt};

/// What no correct log shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Two values were seen at one offset.
    DivergentOffset,
    /// An acknowledged value is missing, and later ones are there.
    LostWrite,
    /// An acknowledged value is missing at the end.
    Unseen,
    /// What somebody read is no longer there.
    Vanished,
    /// What surely failed is stored.
    Aborted,
    /// One value is stored twice.
    Duplicate,
    /// A value is stored that nobody sent.
    Invented,
    /// An answer leaves out what lies between its records.
    InternalSkip,
    /// An answer's records don't rise.
    InternalNonmonotonic,
    /// A reader was led past records.
    ExternalSkip,
    /// A reader was led back.
    ExternalNonmonotonic,
    /// A sender's later value has a lower offset.
    SendNonmonotonic,
    /// A part of a send is stored, and a part isn't.
    TornBatch,
    /// A value is not as it was sent.
    WrongBytes,
    /// Offsets are not dense.
    OffsetGap,
    /// A group's position went back.
    CommitRegress,
    /// Two readers of a group were given the same record.
    DeliveredTwice,
    /// A follower missed records and wasn't told.
    LiveGap,
    /// A follower was shown a record again.
    LiveRepeat,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What.
    pub kind: Kind,
    /// Where and between whom.
    pub detail: String,
}

/// All findings.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In the order of the checks.
    pub violations: Vec<Violation>,
}

/// How many findings of a kind are printed.
const SHOWN: usize = 8;

impl Report {
    pub(super) fn add(&mut self, kind: Kind, detail: impl Into<String>) {
        self.violations.push(Violation { kind, detail: detail.into() });
    }

    /// How often each kind was found.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<Kind, usize> {
        let mut counts = BTreeMap::new();
        for violation in &self.violations {
            *counts.entry(violation.kind).or_default() += 1;
        }
        counts
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    /// Whether a kind was found.
    #[must_use]
    pub fn has(&self, kind: Kind) -> bool {
        self.violations.iter().any(|violation| violation.kind == kind)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, count) in self.counts() {
            writeln!(f, "{kind:?}: {count}")?;
            for violation in self.violations.iter().filter(|found| found.kind == kind).take(SHOWN) {
                writeln!(f, "    {}", violation.detail)?;
            }
        }
        Ok(())
    }
}
