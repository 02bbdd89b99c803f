//! Files in a directory of the operating system.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, IoSlice},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use rustix::fs::{Advice, FallocateFlags};

use super::{Storage, StorageFile};

/// A real directory.
#[derive(Debug)]
pub struct DiskStorage {
    directory: PathBuf,
    synced: bool,
}

impl DiskStorage {
    /// Opens a directory, making it (for its owner only) when it isn't there.
    pub fn open(directory: &Path) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        Ok(Self { directory: directory.to_owned(), synced: true })
    }

    /// The same for data that needn't outlive the process: nothing is synced.
    pub fn open_ephemeral(directory: &Path) -> io::Result<Self> {
        Ok(Self { synced: false, ..Self::open(directory)? })
    }

    fn file(&self, file: File) -> Box<dyn StorageFile> {
        Box::new(DiskFile { file, synced: self.synced })
    }
}

impl Storage for DiskStorage {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
                files.push((name, metadata.len()));
            }
        }
        Ok(files)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        Ok(self.file(OpenOptions::new().read(true).write(true).open(self.directory.join(name))?))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        use std::os::unix::fs::OpenOptionsExt;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        Ok(self.file(options.open(self.directory.join(name))?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.directory.join(from), self.directory.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.directory.join(name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        if self.synced { File::open(&self.directory)?.sync_all() } else { Ok(()) }
    }
}

#[derive(Debug)]
struct DiskFile {
    file: File,
    synced: bool,
}

impl StorageFile for DiskFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.file.read_at(&mut buffer[filled..], at + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, parts: &[&[u8]], at: u64) -> io::Result<()> {
        let slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let total: usize = parts.iter().map(|part| part.len()).sum();
        let written = loop {
            match rustix::io::pwritev(&self.file, &slices, at) {
                Ok(written) => break written,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        };
        if written == total {
            return Ok(());
        }
        // a short write: go on part by part, the file position is explicit
        let mut skip = written;
        let mut at = at + written as u64;
        for part in parts {
            let done = skip.min(part.len());
            skip -= done;
            self.file.write_all_at(&part[done..], at)?;
            at += (part.len() - done) as u64;
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        if self.synced { self.file.sync_data() } else { Ok(()) }
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, length) {
            Ok(()) => Ok(()),
            // a file system without it: the zeros written while preparing reserve the space instead
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => self.truncate(length),
            Err(error) => Err(error.into()),
        }
    }

    fn drop_cache(&self) -> io::Result<()> {
        if !self.synced {
            return Ok(());
        }
        // dirty pages are not dropped: what another process left unwritten must reach the disk first
        self.file.sync_data()?;
        Ok(rustix::fs::fadvise(&self.file, 0, None, Advice::DontNeed)?)
    }
}
