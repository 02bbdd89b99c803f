//! The state: inodes with what is seen and what is durable, names likewise.

use std::{
    collections::BTreeMap,
    fmt::{self, Debug, Formatter},
    sync::Arc,
};

use rand::{RngExt, rngs::StdRng};

use super::{FaultError, Operation, plan::FaultPlan};

pub(super) const SECTOR_BYTES: usize = 512;

/// A change of a file that no sync has covered.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Write { at: usize, bytes: Arc<[u8]> },
    Length(usize),
}

/// A change of the directory that no sync has covered.
#[derive(Clone, Debug)]
pub(super) enum NameChange {
    Create { name: String, inode: u64 },
    Rename { to: String, inode: u64 },
    Remove { name: String, inode: u64 },
}

#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    /// What a power cut leaves.
    pub(super) durable: Arc<Vec<u8>>,
    /// What a reader sees.
    pub(super) seen: Arc<Vec<u8>>,
    /// From the one to the other, in order.
    pub(super) unsynced: Vec<Change>,
}

/// What to do once before something else is done.
#[derive(Default)]
pub(super) struct Hook(pub(super) Option<Box<dyn FnOnce() + Send>>);

impl Debug for Hook {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Hook").field(&self.0.is_some()).finish()
    }
}

#[derive(Debug)]
pub(super) struct Disk {
    pub(super) inodes: BTreeMap<u64, Inode>,
    pub(super) names: BTreeMap<String, u64>,
    pub(super) durable_names: BTreeMap<String, u64>,
    pub(super) unsynced_names: Vec<NameChange>,
    pub(super) plan: FaultPlan,
    pub(super) before_read: Hook,
    pub(super) limit_bytes: Option<usize>,
    pub(super) next_inode: u64,
    pub(super) random: StdRng,
}

pub(super) fn write_into(content: &mut Arc<Vec<u8>>, at: usize, bytes: &[u8]) {
    let content = Arc::make_mut(content);
    if content.len() < at + bytes.len() {
        content.resize(at + bytes.len(), 0);
    }
    content[at..at + bytes.len()].copy_from_slice(bytes);
}

pub(super) fn set_length(content: &mut Arc<Vec<u8>>, length: usize) {
    if content.len() != length {
        Arc::make_mut(content).resize(length, 0);
    }
}

impl Change {
    pub(super) fn apply(&self, content: &mut Arc<Vec<u8>>) {
        match self {
            Self::Write { at, bytes } => write_into(content, *at, bytes),
            Self::Length(length) => set_length(content, *length),
        }
    }

    /// Applies a random part of it: each sector kept, dropped or torn.
    pub(super) fn apply_some(&self, content: &mut Arc<Vec<u8>>, keep: f64, random: &mut StdRng) {
        let Self::Write { at, bytes } = self else {
            if random.random_bool(keep) {
                self.apply(content);
            }
            return;
        };
        let mut from = 0;
        while from < bytes.len() {
            let to = bytes.len().min(from + SECTOR_BYTES - (at + from) % SECTOR_BYTES);
            let kept = if random.random_bool(keep) {
                from..to
            } else if random.random_bool(0.2) {
                let torn = random.random_range(from..=to);
                if random.random_bool(0.5) { from..torn } else { torn..to }
            } else {
                from..from
            };
            if !kept.is_empty() {
                write_into(content, at + kept.start, &bytes[kept]);
            }
            from = to;
        }
    }
}

impl NameChange {
    /// Applies it to `names`: an inode has one name at any time, as renames are atomic.
    pub(super) fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Create { name, inode } => {
                names.insert(name.clone(), *inode);
            }
            Self::Rename { to, inode } => {
                names.retain(|_, known| known != inode);
                names.insert(to.clone(), *inode);
            }
            Self::Remove { name, inode } => {
                if names.get(name) == Some(inode) {
                    names.remove(name);
                }
            }
        }
    }
}

impl Inode {
    pub(super) fn change(&mut self, change: Change) {
        change.apply(&mut self.seen);
        self.unsynced.push(change);
    }

    pub(super) fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// A sync that failed: some of it is on disk, the rest never will be, and readers don't notice.
    pub(super) fn fail_sync(&mut self, random: &mut StdRng) {
        for change in self.unsynced.drain(..) {
            change.apply_some(&mut self.durable, 0.5, random);
        }
    }
}

impl Disk {
    pub(super) fn check(&mut self, operation: Operation) -> Result<(), FaultError> {
        self.plan.check(operation)
    }

    pub(super) fn used_bytes(&self) -> usize {
        self.names.values().filter_map(|inode| self.inodes.get(inode)).map(|inode| inode.seen.len()).sum()
    }

    /// Whether a file may grow to `length`.
    pub(super) fn check_room(&self, inode: u64, length: usize) -> Result<(), FaultError> {
        let now = self.inodes.get(&inode).map_or(0, |inode| inode.seen.len());
        let grown = length.saturating_sub(now);
        match self.limit_bytes {
            Some(limit) if grown > 0 && self.used_bytes() + grown > limit => Err(FaultError::NoSpace),
            _ => Ok(()),
        }
    }

    pub(super) fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.unsynced_names.push(change);
    }

    pub(super) fn sync_names(&mut self) {
        self.unsynced_names.clear();
        self.durable_names = self.names.clone();
    }
}
