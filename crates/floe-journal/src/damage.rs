//! Bytes found to be other than what was written.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::{PartitionId, Position, limits::MAX_DAMAGE_REPORTS};

/// One damaged place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// File name within the data directory.
    pub file: String,
    /// Position in the journal; 0 for files that aren't segments.
    pub position: Position,
    /// How many bytes are affected.
    pub bytes: u64,
    /// What was hit.
    pub kind: DamageKind,
}

/// What was hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamageKind {
    /// A record batch: refused, all others are served.
    Records {
        /// Its partition.
        partition: PartitionId,
        /// Its first offset.
        from: i64,
        /// Its last offset.
        to: i64,
    },
    /// A state entry that could not be restored.
    State,
    /// One flipped bit in a frame's head or a state entry, put right by its checksum.
    Repaired,
    /// A stretch of the journal in which no frame is readable.
    Frames,
    /// A segment's footer; it is rebuilt from the frames.
    Footer,
    /// A snapshot; the one before, or the whole journal, is used instead.
    Snapshot,
    /// A segment that should be there and isn't.
    MissingSegment,
    /// A file that isn't this journal's; it is left alone.
    ForeignFile,
}

/// The newest damage reports, each place once.
#[derive(Debug, Default)]
pub(crate) struct DamageLog {
    reports: Mutex<VecDeque<Damage>>,
}

impl DamageLog {
    /// Keeps a report and logs it, unless the place was reported before.
    pub(crate) fn report(&self, damage: Damage) {
        let mut reports = self.reports.lock();
        if reports.iter().any(|known| known.file == damage.file && known.position == damage.position) {
            return;
        }
        tracing::error!(
            file = damage.file, position = damage.position, bytes = damage.bytes, what = ?damage.kind,
            "stored bytes are damaged"
        );
        if reports.len() == MAX_DAMAGE_REPORTS {
            reports.pop_front();
        }
        reports.push_back(damage);
    }

    pub(crate) fn all(&self) -> Vec<Damage> {
        self.reports.lock().iter().cloned().collect()
    }
}
