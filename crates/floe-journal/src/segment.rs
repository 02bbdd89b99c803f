//! Segments: files of one size, named by the journal position of their first byte.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use crate::{Position, StorageFile, limits::PREPARE_CHUNK_BYTES};

const SUFFIX: &str = ".segment";
/// The last bytes of a prepared segment, until a frame takes their place.
const PREPARED_MARK: &[u8; 16] = b"FLOE-PREPARED\0\0\0";

/// A segment's file and what is known of it.
#[derive(Debug)]
pub(crate) struct Segment {
    /// Journal position of its first byte.
    pub(crate) base: Position,
    pub(crate) file: Box<dyn StorageFile>,
    /// Bytes of the frame region whose blocks were written before (with zeros or in a former life), so that
    /// writing there touches no metadata.
    prepared_bytes: AtomicU64,
    /// Held while zeros are written: the writer stays below `prepared_bytes`, zeros are only written above.
    preparing: Mutex<()>,
    /// Whether it has its footer.
    pub(crate) sealed: AtomicBool,
    /// Set when its retirement was written: snapshots no longer expect it.
    pub(crate) given_up: AtomicBool,
    /// Set when the file is about to be used for something else: what was read from it no longer counts.
    pub(crate) retired: AtomicBool,
}

impl Segment {
    pub(crate) fn new(base: Position, file: Box<dyn StorageFile>, prepared_bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            base,
            file,
            prepared_bytes: AtomicU64::new(prepared_bytes),
            preparing: Mutex::new(()),
            sealed: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
            retired: AtomicBool::new(false),
        })
    }

    /// Writes zeros up to `through` of the `region` bytes for frames, where nothing was written before, durably. At the
    /// region's end it leaves a mark, so that the next start knows that there is nothing left to prepare.
    pub(crate) fn prepare(&self, through: u64, region: u64) -> io::Result<()> {
        if self.prepared() >= through {
            return Ok(());
        }
        let _preparing = self.preparing.lock();
        let zeros = vec![0; usize::try_from(PREPARE_CHUNK_BYTES).expect("a chunk fits into memory")];
        let mut at = self.prepared();
        if at >= through {
            return Ok(());
        }
        while at < through {
            let length = PREPARE_CHUNK_BYTES.min(through - at);
            self.file.write_at(&[&zeros[..usize::try_from(length).expect("a chunk fits")]], at)?;
            at += length;
        }
        if through == region {
            self.file.write_at(&[PREPARED_MARK], region - PREPARED_MARK.len() as u64)?;
        }
        self.file.sync()?;
        self.prepared_bytes.store(through, Ordering::Release);
        Ok(())
    }

    /// Takes everything below `through` into use as it is, prepared or not: no zeros are written there any more.
    pub(crate) fn claim(&self, through: u64) {
        let _preparing = self.preparing.lock();
        self.prepared_bytes.fetch_max(through, Ordering::AcqRel);
    }

    /// Whether the mark of a wholly prepared segment stands at the end of its `region`.
    pub(crate) fn has_prepared_mark(&self, region: u64) -> io::Result<bool> {
        let mut mark = [0; PREPARED_MARK.len()];
        let read = self.file.read_at(&mut mark, region - PREPARED_MARK.len() as u64)?;
        Ok(read == mark.len() && mark == *PREPARED_MARK)
    }

    /// Writes that mark: all blocks of the segment were written in a former life.
    pub(crate) fn mark_prepared(&self, region: u64) -> io::Result<()> {
        self.file.write_at(&[PREPARED_MARK], region - PREPARED_MARK.len() as u64)?;
        self.file.sync()
    }

    /// Its file's name.
    pub(crate) fn name(&self) -> String {
        file_name(self.base)
    }

    /// Says that nothing below `through` may be written with zeros: it is in use.
    pub(crate) fn set_used(&self, through: u64) {
        self.prepared_bytes.store(through, Ordering::Release);
    }

    pub(crate) fn prepared(&self) -> u64 {
        self.prepared_bytes.load(Ordering::Acquire)
    }
}

/// The file name of the segment at `base`.
pub(crate) fn file_name(base: Position) -> String {
    format!("{base:020}{SUFFIX}")
}

/// The base of the segment that a file name stands for, if it is exactly such a name.
pub(crate) fn base_of(name: &str) -> Option<Position> {
    let digits = name.strip_suffix(SUFFIX)?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}
