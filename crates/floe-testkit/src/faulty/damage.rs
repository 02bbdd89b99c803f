//! Bytes that change on their own, and files that get lost.

use std::{collections::BTreeMap, sync::Arc};

use super::{FaultyStorage, disk::Inode};

impl FaultyStorage {
    /// All files with what is seen of them.
    #[must_use]
    pub fn snapshot(&self) -> BTreeMap<String, Vec<u8>> {
        let disk = self.disk.lock();
        disk.names.iter().map(|(name, inode)| (name.clone(), disk.inodes[inode].seen.to_vec())).collect()
    }

    /// One file's content, if there is such a file.
    #[must_use]
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let disk = self.disk.lock();
        Some(disk.inodes.get(disk.names.get(name)?)?.seen.to_vec())
    }

    /// Changes a file's content behind the program's back, on disk and in the cache; makes it if it isn't there.
    pub fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut disk = self.disk.lock();
        let fresh = disk.next_inode;
        let inode = *disk.names.entry(name.to_owned()).or_insert(fresh);
        if inode == fresh {
            disk.next_inode += 1;
            disk.durable_names.insert(name.to_owned(), inode);
        }
        let file = disk.inodes.entry(inode).or_default();
        let mut content = file.seen.to_vec();
        change(&mut content);
        let content = Arc::new(content);
        *file = Inode { durable: content.clone(), seen: content, unsynced: Vec::new() };
    }

    /// Flips one bit, counted from the file's start.
    pub fn flip_bit(&self, name: &str, bit: usize) {
        self.damage(name, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
    }

    /// Cuts a file, or fills it up with zeros.
    pub fn cut_to(&self, name: &str, length: usize) {
        self.damage(name, |bytes| bytes.resize(length, 0));
    }

    /// Zeroes a block.
    pub fn zero_block(&self, name: &str, at: usize, length: usize) {
        self.damage(name, |bytes| {
            let end = bytes.len().min(at + length);
            bytes[at.min(end)..end].fill(0);
        });
    }

    /// Writes what is in one place over another one, as a misdirected write does.
    pub fn copy_block(&self, from: (&str, usize), to: (&str, usize), length: usize) {
        let source = self.content(from.0).unwrap_or_default();
        let block: Vec<u8> = source.iter().skip(from.1).take(length).copied().collect();
        self.damage(to.0, |bytes| {
            let length = block.len().min(bytes.len().saturating_sub(to.1));
            bytes[to.1..to.1 + length].copy_from_slice(&block[..length]);
        });
    }

    /// Swaps two blocks of a file that don't overlap.
    pub fn swap_blocks(&self, name: &str, one: usize, other: usize, length: usize) {
        self.damage(name, |bytes| {
            for offset in 0..length {
                bytes.swap(one + offset, other + offset);
            }
        });
    }

    /// Loses a file.
    pub fn lose(&self, name: &str) {
        let mut disk = self.disk.lock();
        disk.names.remove(name);
        disk.durable_names.remove(name);
    }
}
