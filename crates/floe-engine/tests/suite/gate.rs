//! Storage whose syncs can be held back.

use std::{
    io,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use floe_journal::{Storage, StorageFile};
use floe_testkit::faulty::FaultyStorage;

#[derive(Debug, Default)]
struct Gate {
    shut: Mutex<bool>,
    moved: Condvar,
    /// The next write panics: what a bug in the log's own threads would do.
    panics: AtomicBool,
}

/// A disk whose syncs wait while the gate is shut.
#[derive(Clone, Debug)]
pub(crate) struct GatedStorage {
    pub(crate) inner: FaultyStorage,
    gate: Arc<Gate>,
}

#[derive(Debug)]
struct GatedFile {
    inner: Box<dyn StorageFile>,
    gate: Arc<Gate>,
}

impl GatedStorage {
    pub(crate) fn new() -> Self {
        Self { inner: FaultyStorage::new(3), gate: Arc::default() }
    }

    /// Holds all syncs back until the answer is dropped.
    pub(crate) fn shut(&self) -> Held {
        *self.gate.shut.lock().unwrap() = true;
        Held(self.gate.clone())
    }

    /// Lets the next write panic.
    pub(crate) fn panic_at_next_write(&self) {
        self.gate.panics.store(true, Ordering::SeqCst);
    }

    fn file(&self, inner: Box<dyn StorageFile>) -> Box<dyn StorageFile> {
        Box::new(GatedFile { inner, gate: self.gate.clone() })
    }
}

/// A gate that is shut.
#[must_use = "the gate opens when this is dropped"]
pub(crate) struct Held(Arc<Gate>);

impl Drop for Held {
    fn drop(&mut self) {
        *self.0.shut.lock().unwrap() = false;
        self.0.moved.notify_all();
    }
}

impl Storage for GatedStorage {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        self.inner.list()
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        self.inner.open(name).map(|file| self.file(file))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        self.inner.create(name).map(|file| self.file(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.inner.sync_directory()
    }
}

impl StorageFile for GatedFile {
    fn length(&self) -> io::Result<u64> {
        self.inner.length()
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.inner.read_at(buffer, at)
    }

    fn write_at(&self, parts: &[&[u8]], at: u64) -> io::Result<()> {
        assert!(!self.gate.panics.swap(false, Ordering::SeqCst), "as it was asked for");
        self.inner.write_at(parts, at)
    }

    fn sync(&self) -> io::Result<()> {
        let mut shut = self.gate.shut.lock().unwrap();
        while *shut {
            shut = self.gate.moved.wait(shut).unwrap();
        }
        drop(shut);
        self.inner.sync()
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.inner.truncate(length)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.inner.allocate(length)
    }

    fn drop_cache(&self) -> io::Result<()> {
        self.inner.drop_cache()
    }
}
