//! What a power cut leaves.

use std::{collections::BTreeMap, sync::Arc};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{
    FaultyStorage,
    disk::{Change, Disk, Inode, set_length},
};

/// Which of the changes that no sync covered survive. Changes are counted file by file, in the order in which the
/// files were made, then those of the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// All of them, as after the kill of a process.
    All,
    /// None.
    Nothing,
    /// All but this one.
    AllBut(usize),
    /// This one alone.
    Only(usize),
    /// A random part: sectors kept, dropped or torn, lengths and names old or new, each for itself.
    Random(u64),
}

impl Choice {
    fn keeps(self, number: usize) -> bool {
        match self {
            Self::All | Self::Random(_) => true,
            Self::Nothing => false,
            Self::AllBut(one) => number != one,
            Self::Only(one) => number == one,
        }
    }
}

impl FaultyStorage {
    /// How many changes no sync has covered.
    #[must_use]
    pub fn unsynced_changes(&self) -> usize {
        let disk = self.disk.lock();
        disk.inodes.values().map(|file| file.unsynced.len()).sum::<usize>() + disk.unsynced_names.len()
    }

    /// The directory after a power cut that left a random part of what was unsynced.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        self.crash_with(Choice::Random(seed))
    }

    /// The directory after a power cut that left just what was synced.
    #[must_use]
    pub fn clone_durable(&self) -> Self {
        self.crash_with(Choice::Nothing)
    }

    /// The directory after a power cut that left this.
    #[must_use]
    pub fn crash_with(&self, choice: Choice) -> Self {
        let disk = self.disk.lock();
        let (contents, names, seed) = match choice {
            Choice::Random(seed) => {
                let (contents, names) = random_rest(&disk, &mut StdRng::seed_from_u64(seed));
                (contents, names, seed)
            }
            _ => {
                let (contents, names) = chosen_rest(&disk, choice);
                (contents, names, 0)
            }
        };
        let inodes = contents
            .into_iter()
            .filter(|(number, _)| names.values().any(|named| named == number))
            .map(|(number, content)| {
                (number, Inode { durable: content.clone(), seen: content, unsynced: Vec::new() })
            })
            .collect();
        Self::of(inodes, names, disk.next_inode, seed ^ 0x5eed)
    }
}

type Rest = (BTreeMap<u64, Arc<Vec<u8>>>, BTreeMap<String, u64>);

fn chosen_rest(disk: &Disk, choice: Choice) -> Rest {
    let mut number = 0;
    let mut contents = BTreeMap::new();
    for (inode, file) in &disk.inodes {
        let mut content = file.durable.clone();
        for change in &file.unsynced {
            if choice.keeps(number) {
                change.apply(&mut content);
            }
            number += 1;
        }
        contents.insert(*inode, content);
    }
    let mut names = disk.durable_names.clone();
    for change in &disk.unsynced_names {
        if choice.keeps(number) {
            change.apply(&mut names);
        }
        number += 1;
    }
    (contents, names)
}

fn random_rest(disk: &Disk, random: &mut StdRng) -> Rest {
    let keep = [0.0, 0.1, 0.5, 0.9, 1.0][random.random_range(0..5)];
    let contents =
        disk.inodes.iter().map(|(inode, file)| (*inode, random_content(file, keep, random))).collect();
    let keep_name = [0.0, 0.5, 1.0][random.random_range(0..3)];
    let mut names = disk.durable_names.clone();
    for change in &disk.unsynced_names {
        if random.random_bool(keep_name) {
            change.apply(&mut names);
        }
    }
    (contents, names)
}

fn random_content(file: &Inode, keep: f64, random: &mut StdRng) -> Arc<Vec<u8>> {
    let mut content = file.durable.clone();
    if file.unsynced.is_empty() {
        return content;
    }
    let mut lengths = vec![content.len()];
    for change in &file.unsynced {
        let before = lengths[lengths.len() - 1];
        match change {
            Change::Write { at, bytes } => {
                lengths.push(before.max(at + bytes.len()));
                change.apply_some(&mut content, keep, random);
            }
            Change::Length(length) => {
                lengths.push(*length);
                if random.random_bool(keep) {
                    change.apply(&mut content);
                }
            }
        }
    }
    // the length is metadata, and goes its own way
    set_length(&mut content, lengths[random.random_range(0..lengths.len())]);
    content
}
