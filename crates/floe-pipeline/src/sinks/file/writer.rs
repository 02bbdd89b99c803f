//! The thread that owns the file.
//!
//! State: the open file and its length up to the last sync. Whatever fails, the file is cut back to that length or opened
//! anew before anything else is written, so a line is never half there and what was refused isn't there twice.

use std::{
    fs::{self, File, Metadata, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::MetadataExt,
    path::Path,
    thread,
    time::SystemTime,
};

use tokio::sync::{mpsc, oneshot};

use super::{config::FileSpec, rotation};
use crate::sinks::DeliveryError;

/// Bytes that share a sync; a job beyond it waits for the next one.
const GROUP_BYTES_MAX: usize = 8 << 20;

/// Looking for the last line break goes backwards in steps of this.
const TAIL_STEP: u64 = 64 << 10;

const NOT_A_FILE: &str = "the path is not that of a file";

/// Lines that are to be on disk before the answer. None asks whether the file can be written.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) lines: Vec<u8>,
    pub(super) answer: oneshot::Sender<Result<(), DeliveryError>>,
}

/// Runs until the last sender of `jobs` is gone.
pub(super) fn start(spec: FileSpec, jobs: mpsc::Receiver<Job>) -> io::Result<()> {
    thread::Builder::new().name("floe-file-sink".to_owned()).spawn(move || run(&spec, jobs)).map(drop)
}

fn run(spec: &FileSpec, mut jobs: mpsc::Receiver<Job>) {
    let mut open: Option<OpenFile> = None;
    while let Some(first) = jobs.blocking_recv() {
        let mut bytes = first.lines.len();
        let mut group = vec![first];
        while bytes < GROUP_BYTES_MAX
            && let Ok(job) = jobs.try_recv()
        {
            bytes += job.lines.len();
            group.push(job);
        }
        let result = write_group(spec, &mut open, &group);
        if result.is_err() {
            // Opened anew at the next job, which also cuts off what this one left.
            open = None;
        }
        for job in group {
            // Whoever asked may have been dropped meanwhile; then nobody needs to know.
            let _ = job.answer.send(result.clone());
        }
    }
}

fn write_group(spec: &FileSpec, open: &mut Option<OpenFile>, group: &[Job]) -> Result<(), DeliveryError> {
    // Moved or deleted by somebody: what is written goes to the file of that name, not to where that one went.
    open.take_if(|file| !file.is_named(&spec.path));
    let file = match open {
        Some(file) => file,
        None => open.insert(OpenFile::open(spec)?),
    };
    for job in group.iter().filter(|job| !job.lines.is_empty()) {
        if file.is_full(spec, job.lines.len()) {
            file.finish().map_err(|error| classify(&error))?;
            rotation::rotate(&spec.path, spec.keep).map_err(|error| classify(&error))?;
            *file = OpenFile::open(spec)?;
        }
        file.append(&job.lines).map_err(|error| classify(&error))?;
    }
    file.finish().map_err(|error| classify(&error))
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    /// With what is not synced yet.
    length: u64,
    /// Up to here it is on disk.
    synced: u64,
    began: SystemTime,
}

impl OpenFile {
    fn open(spec: &FileSpec) -> Result<Self, DeliveryError> {
        let path = &spec.path;
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = opened.map_err(|error| classify(&error))?;
        if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
            return Err(DeliveryError::Fatal(NOT_A_FILE.to_owned()));
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let why = "the file is being written by another pipeline or process";
                return Err(DeliveryError::Unavailable(why.to_owned()));
            }
            Err(TryLockError::Error(error)) => return Err(classify(&error)),
        }
        let ready = || -> io::Result<Self> {
            let locked = file.metadata()?;
            if !is_same(&locked, path) {
                return Err(io::Error::other("the file was renamed while it was being opened"));
            }
            let length = cut_torn_line(&mut file, locked.len())?;
            file.sync_all()?;
            rotation::sync_directory(path)?;
            let began = locked.created().or_else(|_| locked.modified())?;
            Ok(Self { file, length, synced: length, began })
        }();
        ready.map_err(|error| classify(&error))
    }

    fn is_named(&self, path: &Path) -> bool {
        self.file.metadata().is_ok_and(|open| is_same(&open, path))
    }

    fn is_full(&self, spec: &FileSpec, more: usize) -> bool {
        let more = u64::try_from(more).unwrap_or(u64::MAX);
        let old = |every| SystemTime::now().duration_since(self.began).is_ok_and(|age| age >= every);
        self.length > 0
            && (self.length.saturating_add(more) > spec.rotate_bytes || spec.rotate_every.is_some_and(old))
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let written = self.file.write_all(lines);
        if let Err(error) = written {
            self.cut_back();
            return Err(error);
        }
        self.length += u64::try_from(lines.len()).unwrap_or(u64::MAX);
        Ok(())
    }

    /// Makes what was appended durable.
    fn finish(&mut self) -> io::Result<()> {
        if self.synced == self.length {
            return Ok(());
        }
        if let Err(error) = self.file.sync_data() {
            self.cut_back();
            return Err(error);
        }
        self.synced = self.length;
        Ok(())
    }

    /// Takes away what was never promised, so that the repeat doesn't stand beside it.
    fn cut_back(&mut self) {
        if let Err(error) = self.file.set_len(self.synced) {
            tracing::warn!(%error, "lines of a failed write could not be taken back; they will be there twice");
        }
        self.length = self.synced;
    }
}

fn is_same(open: &Metadata, path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|named| (open.dev(), open.ino()) == (named.dev(), named.ino()))
}

/// Cuts what stands behind the last line break: the rest of a write that a crash interrupted. Leaves the file's position
/// at its end, and answers its length.
fn cut_torn_line(file: &mut File, length: u64) -> io::Result<u64> {
    let mut end = length;
    let mut step = Vec::new();
    let whole = loop {
        let start = end.saturating_sub(TAIL_STEP);
        step.resize(usize::try_from(end - start).map_err(io::Error::other)?, 0);
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut step)?;
        if let Some(at) = step.iter().rposition(|byte| *byte == b'\n') {
            break start + u64::try_from(at).map_err(io::Error::other)? + 1;
        }
        if start == 0 {
            break 0;
        }
        end = start;
    };
    if whole < length {
        tracing::warn!(bytes = length - whole, "the file ended in the middle of a line: cut, it comes again");
        file.set_len(whole)?;
    }
    file.seek(SeekFrom::Start(whole))
}

/// A full disk or a failing one may recover; what a person has to put right is fatal.
fn classify(error: &io::Error) -> DeliveryError {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::NotFound => DeliveryError::Fatal("the file's directory doesn't exist".to_owned()),
        Kind::PermissionDenied | Kind::ReadOnlyFilesystem => {
            DeliveryError::Fatal("the file may not be written here (permissions)".to_owned())
        }
        Kind::IsADirectory | Kind::NotADirectory | Kind::InvalidFilename => {
            DeliveryError::Fatal(NOT_A_FILE.to_owned())
        }
        Kind::StorageFull | Kind::QuotaExceeded => {
            DeliveryError::Unavailable("the disk is full; writing goes on when there is room".to_owned())
        }
        _ => DeliveryError::Unavailable(format!("writing the file failed: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_waited_for_and_a_forbidden_one_is_not() {
        for waited_for in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded, io::ErrorKind::Other] {
            assert!(matches!(classify(&waited_for.into()), DeliveryError::Unavailable(_)), "{waited_for}");
        }
        for fatal in
            [io::ErrorKind::PermissionDenied, io::ErrorKind::NotFound, io::ErrorKind::ReadOnlyFilesystem]
        {
            assert!(matches!(classify(&fatal.into()), DeliveryError::Fatal(_)), "{fatal}");
        }
    }

    #[test]
    fn a_failed_write_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out.ndjson");
        let spec: FileSpec = serde_json::from_value(serde_json::json!({"path": path})).unwrap();
        let mut file = OpenFile::open(&spec).unwrap();
        file.append(b"kept\n").unwrap();
        file.finish().unwrap();
        file.append(b"half a gr").unwrap();
        // What a write or sync that fails does before the file is opened anew.
        file.cut_back();
        assert_eq!(fs::read(&path).unwrap(), b"kept\n");
        drop(file);
        let mut file = OpenFile::open(&spec).unwrap();
        file.append(b"next\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"kept\nnext\n");
    }
}
