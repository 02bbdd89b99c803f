//! The seam for all file access: a real directory, or one whose faults are planned (in the test kit).

mod disk;

use std::{fmt::Debug, io};

pub use disk::DiskStorage;

/// One flat directory of files.
pub trait Storage: Send + Sync + Debug {
    /// Names and lengths of all files.
    fn list(&self) -> io::Result<Vec<(String, u64)>>;
    /// Opens an existing file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Box<dyn StorageFile>>;
    /// Makes an empty file, or empties the one that is there.
    fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>>;
    /// Renames a file, over another one if there is.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes creations, renames and removals durable.
    fn sync_directory(&self) -> io::Result<()>;
}

/// One file; positions are explicit, so readers and the writer may share it.
pub trait StorageFile: Send + Sync + Debug {
    /// Its length in bytes.
    fn length(&self) -> io::Result<u64>;
    /// Reads until `buffer` is full or the file ends; answers how much it got.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize>;
    /// Writes all parts one behind the other, or fails.
    fn write_at(&self, parts: &[&[u8]], at: u64) -> io::Result<()>;
    /// Makes the file's content and length durable (`fdatasync`).
    fn sync(&self) -> io::Result<()>;
    /// Sets the length.
    fn truncate(&self, length: u64) -> io::Result<()>;
    /// Reserves space for this length; fails when there is none.
    fn allocate(&self, length: u64) -> io::Result<()>;
    /// Drops the page cache's copy, so that the next read sees what is on disk.
    fn drop_cache(&self) -> io::Result<()>;
}
