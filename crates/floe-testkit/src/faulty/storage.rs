//! The two traits over the state.

use std::{collections::BTreeMap, io, sync::Arc};

use floe_journal::{Storage, StorageFile};
use parking_lot::Mutex;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{
    FaultError, Operation,
    disk::{Change, Disk, Hook, Inode, NameChange},
    plan::FaultPlan,
};

/// A directory in memory; clones are the same directory.
#[derive(Clone, Debug)]
pub struct FaultyStorage {
    pub(super) disk: Arc<Mutex<Disk>>,
}

#[derive(Debug)]
struct FaultyFile {
    disk: Arc<Mutex<Disk>>,
    inode: u64,
}

fn no_such_file() -> io::Error {
    io::Error::from(io::ErrorKind::NotFound)
}

impl FaultyStorage {
    /// An empty directory; `seed` decides what failed writes and syncs leave.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::of(BTreeMap::new(), BTreeMap::new(), 1, seed)
    }

    pub(super) fn of(
        inodes: BTreeMap<u64, Inode>,
        names: BTreeMap<String, u64>,
        next_inode: u64,
        seed: u64,
    ) -> Self {
        let disk = Disk {
            inodes,
            durable_names: names.clone(),
            names,
            unsynced_names: Vec::new(),
            plan: FaultPlan::default(),
            before_read: Hook::default(),
            limit_bytes: None,
            next_inode,
            random: StdRng::seed_from_u64(seed),
        };
        Self { disk: Arc::new(Mutex::new(disk)) }
    }

    /// Lets the n-th operation of this kind from now on (1 is the next) fail.
    pub fn fail(&self, operation: Operation, nth_from_now: u64, error: FaultError) {
        self.disk.lock().plan.fail(operation, nth_from_now, error);
    }

    /// Does this once, right before the next read of a file: what happens between a decision to read and the read.
    pub fn before_next_read(&self, act: impl FnOnce() + Send + 'static) {
        self.disk.lock().before_read = Hook(Some(Box::new(act)));
    }

    /// After so many more changing operations, everything fails.
    pub fn power_off_after(&self, changes: u64) {
        self.disk.lock().plan.power_off_after(changes);
    }

    /// Takes all planned faults back.
    pub fn heal(&self) {
        self.disk.lock().plan = FaultPlan::default();
    }

    /// How many operations of this kind there were.
    #[must_use]
    pub fn count(&self, operation: Operation) -> u64 {
        self.disk.lock().plan.count(operation)
    }

    /// How many operations changed something.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.disk.lock().plan.changes()
    }

    /// How many bytes all files together may have; `None` for as many as they want.
    pub fn limit_bytes(&self, limit: Option<usize>) {
        self.disk.lock().limit_bytes = limit;
    }

    /// Bytes of all files together.
    #[must_use]
    pub fn used_bytes(&self) -> usize {
        self.disk.lock().used_bytes()
    }

    fn file(&self, inode: u64) -> Box<dyn StorageFile> {
        Box::new(FaultyFile { disk: self.disk.clone(), inode })
    }
}

impl Storage for FaultyStorage {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let disk = self.disk.lock();
        Ok(disk
            .names
            .iter()
            .map(|(name, inode)| (name.clone(), disk.inodes[inode].seen.len() as u64))
            .collect())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        let mut disk = self.disk.lock();
        disk.check(Operation::Open)?;
        let inode = *disk.names.get(name).ok_or_else(no_such_file)?;
        Ok(self.file(inode))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        let mut disk = self.disk.lock();
        disk.check(Operation::Create)?;
        if let Some(inode) = disk.names.get(name).copied() {
            if let Some(file) = disk.inodes.get_mut(&inode) {
                file.change(Change::Length(0));
            }
            return Ok(self.file(inode));
        }
        let inode = disk.next_inode;
        disk.next_inode += 1;
        disk.inodes.insert(inode, Inode::default());
        disk.change_name(NameChange::Create { name: name.to_owned(), inode });
        Ok(self.file(inode))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.check(Operation::Rename)?;
        let inode = *disk.names.get(from).ok_or_else(no_such_file)?;
        disk.change_name(NameChange::Rename { to: to.to_owned(), inode });
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.check(Operation::Remove)?;
        let inode = *disk.names.get(name).ok_or_else(no_such_file)?;
        disk.change_name(NameChange::Remove { name: name.to_owned(), inode });
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.check(Operation::SyncDirectory)?;
        disk.sync_names();
        Ok(())
    }
}

impl FaultyFile {
    fn with<T>(&self, act: impl FnOnce(&mut Inode, &mut StdRng) -> T) -> io::Result<T> {
        let mut disk = self.disk.lock();
        let Disk { inodes, random, .. } = &mut *disk;
        Ok(act(inodes.get_mut(&self.inode).ok_or_else(no_such_file)?, random))
    }

    fn check(&self, operation: Operation) -> Result<(), FaultError> {
        self.disk.lock().check(operation)
    }

    fn check_room(&self, length: usize) -> Result<(), FaultError> {
        self.disk.lock().check_room(self.inode, length)
    }
}

impl StorageFile for FaultyFile {
    fn length(&self) -> io::Result<u64> {
        self.with(|file, _| file.seen.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        // not under the lock: it may use the disk
        let before = self.disk.lock().before_read.0.take();
        if let Some(act) = before {
            act();
        }
        self.check(Operation::Read)?;
        let at = usize::try_from(at).map_err(io::Error::other)?;
        self.with(|file, _| {
            let content = file.seen.get(at..).unwrap_or_default();
            let length = content.len().min(buffer.len());
            buffer[..length].copy_from_slice(&content[..length]);
            length
        })
    }

    fn write_at(&self, parts: &[&[u8]], at: u64) -> io::Result<()> {
        let at = usize::try_from(at).map_err(io::Error::other)?;
        let bytes = parts.concat();
        let checked = self.check(Operation::Write).and_then(|()| self.check_room(at + bytes.len()));
        self.with(|file, random| {
            // a write that fails may have begun
            let length = if checked.is_ok() { bytes.len() } else { random.random_range(0..=bytes.len()) };
            let length = match checked {
                Err(FaultError::NoSpace) => length.min(file.seen.len().saturating_sub(at)),
                _ => length,
            };
            if length > 0 {
                file.change(Change::Write { at, bytes: bytes[..length].into() });
            }
        })?;
        Ok(checked?)
    }

    fn sync(&self) -> io::Result<()> {
        let checked = self.check(Operation::Sync);
        self.with(|file, random| match checked {
            Ok(()) => file.sync(),
            Err(_) => file.fail_sync(random),
        })?;
        Ok(checked?)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.check(Operation::Truncate)?;
        let length = usize::try_from(length).map_err(io::Error::other)?;
        self.check_room(length)?;
        self.with(|file, _| {
            if file.seen.len() != length {
                file.change(Change::Length(length));
            }
        })
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.check(Operation::Allocate)?;
        let length = usize::try_from(length).map_err(io::Error::other)?;
        self.check_room(length)?;
        self.with(|file, _| {
            if file.seen.len() < length {
                file.change(Change::Length(length));
            }
        })
    }

    fn drop_cache(&self) -> io::Result<()> {
        self.sync()?;
        self.with(|file, _| file.seen = file.durable.clone())
    }
}
