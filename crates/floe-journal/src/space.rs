//! Segments made ready before they are needed, so that a commit's sync touches no metadata.

use std::{io, sync::Arc};

use parking_lot::Mutex;

use crate::{
    Position, Storage, StorageFile,
    limits::{MAX_SPARE_SEGMENTS, PREPARE_CHUNK_BYTES},
    segment::{self, Segment},
};

const SPARE_PREFIX: &str = "spare.";

/// The next segment, once it is prepared, and files to be used again.
#[derive(Debug, Default)]
pub(crate) struct Space {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: Option<Arc<Segment>>,
    /// The newest segment that the writer took: it and those before are in use and are never made anew.
    taken: Option<Position>,
    spares: Vec<String>,
}

impl Space {
    pub(crate) fn new(spares: Vec<String>) -> Self {
        Self { state: Mutex::new(State { spares, ..State::default() }) }
    }

    /// What was found at the start: the segment being written, and one that was prepared before the last stop.
    pub(crate) fn set_found(&self, taken: Option<Position>, next: Option<Arc<Segment>>) {
        let mut state = self.state.lock();
        (state.taken, state.next) = (taken, next);
    }

    /// The segment at `base`, for writing: from what is prepared, or prepared now.
    pub(crate) fn take(&self, storage: &dyn Storage, base: Position, bytes: u64) -> io::Result<Arc<Segment>> {
        let mut state = self.state.lock();
        let segment = state.prepare(storage, base, bytes)?;
        state.taken = Some(base);
        Ok(segment)
    }

    /// Gets the segment at `base` ready; `None` when the writer took it (and perhaps finished it) meanwhile.
    pub(crate) fn prepare(
        &self,
        storage: &dyn Storage,
        base: Position,
        bytes: u64,
    ) -> io::Result<Option<Arc<Segment>>> {
        let mut state = self.state.lock();
        if state.taken.is_some_and(|taken| base <= taken) {
            return Ok(None);
        }
        state.prepare(storage, base, bytes).map(Some)
    }

    /// Whether the segment at `base` is ready.
    pub(crate) fn is_prepared(&self, base: Position) -> bool {
        self.state.lock().next.as_ref().is_some_and(|next| next.base == base)
    }

    /// Takes a retired segment's file: kept for reuse, or removed when enough are kept.
    pub(crate) fn give_back(&self, storage: &dyn Storage, segment: &Segment, bytes: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.spares.len() >= MAX_SPARE_SEGMENTS {
            storage.remove(&segment.name())?;
        } else {
            // the footer goes before the name does: under another name it would belong to nothing
            segment.file.truncate(bytes)?;
            segment.file.sync()?;
            let spare = format!("{SPARE_PREFIX}{:020}", segment.base);
            storage.rename(&segment.name(), &spare)?;
            state.spares.push(spare);
        }
        storage.sync_directory()
    }
}

impl State {
    /// Its name is durable when this returns.
    fn prepare(&mut self, storage: &dyn Storage, base: Position, bytes: u64) -> io::Result<Arc<Segment>> {
        if let Some(next) = self.next.as_ref().filter(|next| next.base == base) {
            return Ok(next.clone());
        }
        let name = segment::file_name(base);
        let next = if let Some(spare) = self.spares.last() {
            storage.rename(spare, &name)?;
            self.spares.pop();
            reused(base, storage.open(&name)?, bytes)?
        } else {
            let file = storage.create(&name)?;
            if let Err(error) = file.allocate(bytes) {
                // a half-allocated file would only hold space that others wait for
                drop(file);
                storage.remove(&name)?;
                return Err(error);
            }
            Segment::new(base, file, 0)
        };
        next.prepare(PREPARE_CHUNK_BYTES.min(bytes), bytes)?;
        storage.sync_directory()?;
        self.next = Some(next.clone());
        Ok(next)
    }
}

/// A spare file as a segment: of full length, all its blocks written before; else it is treated as a new one.
fn reused(base: Position, file: Box<dyn StorageFile>, bytes: u64) -> io::Result<Arc<Segment>> {
    let length = file.length()?;
    if length < bytes {
        file.allocate(bytes)?;
        return Ok(Segment::new(base, file, 0));
    }
    if length > bytes {
        file.truncate(bytes)?;
    }
    let segment = Segment::new(base, file, bytes);
    segment.mark_prepared(bytes)?;
    Ok(segment)
}

/// Whether a file is a segment kept for reuse.
pub(crate) fn is_spare(name: &str) -> bool {
    name.starts_with(SPARE_PREFIX)
}
