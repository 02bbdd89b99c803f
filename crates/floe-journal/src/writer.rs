//! The two owners of the journal's end: one writes frames, the other makes them durable.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;

use crate::{
    AppendError, FrameBuilder, Position,
    footer::StateEntry,
    frame::{EntryHead, EntryKind, HEAD_BYTES, HEADER_BYTES, Stamp, sequence_behind},
    index::IndexEntry,
    journal::Shared,
    keeper::{SealJob, is_full},
    limits::{
        MAX_FRAME_BYTES, MAX_FRAME_ENTRIES, MAX_FRAME_SEGMENT_SHARE, RESERVE_BYTES, UNPREPARED_FRAME_BYTES,
    },
    segment::Segment,
};

/// Writes frames, one behind the other. Owned by one thread.
#[derive(Debug)]
pub struct Appender {
    pub(crate) shared: Arc<Shared>,
    /// The segment being written; `None` before the first frame of a journal whose next segment isn't there yet.
    pub(crate) segment: Option<Arc<Segment>>,
    pub(crate) at: Position,
    pub(crate) sequence: u64,
    /// What the footer of the segment being written will need.
    pub(crate) first_sequence: u64,
    pub(crate) states: Vec<StateEntry>,
}

/// A frame that was written: in the operating system's hands, not yet on disk.
#[derive(Debug)]
pub struct Written {
    /// Where the frame ends: it is durable when the journal is durable up to here.
    pub end: Position,
    /// A segment was finished before this frame: a good moment for a snapshot.
    pub rolled: bool,
    heads: Vec<EntryHead>,
    first_body: Position,
    bodies: Bytes,
}

/// One entry of a written frame.
#[derive(Clone, Debug)]
pub struct EntryPlace {
    /// Where its body is.
    pub position: Position,
    /// Its body, shared with the tail cache.
    pub body: Bytes,
}

impl Written {
    /// The entries in the order they were added.
    pub fn entries(&self) -> impl Iterator<Item = EntryPlace> {
        let mut at = 0;
        self.heads.iter().map(move |head| {
            let from = at;
            at += head.length as usize;
            EntryPlace { position: self.first_body + from as u64, body: self.bodies.slice(from..at) }
        })
    }
}

impl Appender {
    /// The largest frame that can be appended, bytes.
    #[must_use]
    pub fn max_frame_bytes(&self) -> u64 {
        MAX_FRAME_BYTES.min(self.shared.segment_bytes() / u64::from(MAX_FRAME_SEGMENT_SHARE))
    }

    /// Makes sure that a frame of up to `bytes` can be appended next, rolling to the next segment when it must; answers
    /// whether it did, which is a good moment for a snapshot of the state at [`position`](Self::position).
    pub fn reserve(&mut self, bytes: u64, essential: bool) -> Result<bool, AppendError> {
        if self.shared.failed.load(Ordering::Acquire) {
            return Err(AppendError::Failed);
        }
        let bytes = bytes.min(self.max_frame_bytes());
        self.room_for(bytes, essential).map(|(_, rolled)| rolled).map_err(|error| self.refused(&error))
    }

    /// Where the next frame will start, if it needs no new segment.
    #[must_use]
    pub fn position(&self) -> Position {
        self.at
    }

    /// Writes a frame at the journal's end. It is durable only when [`Syncer::sync`] answers a position at or behind
    /// its end. `essential` frames (positions, deletions) may use the reserve that is kept for a full disk.
    ///
    /// On `Full` and `TooLarge` nothing was written. On `Failed` nothing will be until the journal is opened anew:
    /// a half-written frame must not get another one behind it.
    pub fn append(
        &mut self,
        frame: FrameBuilder,
        now_ms: i64,
        essential: bool,
    ) -> Result<Written, AppendError> {
        if self.shared.failed.load(Ordering::Acquire) {
            return Err(AppendError::Failed);
        }
        let length = frame.frame_bytes();
        if length > self.max_frame_bytes() || frame.entries() > MAX_FRAME_ENTRIES {
            return Err(AppendError::TooLarge { bytes: length, limit: self.max_frame_bytes() });
        }
        let (segment, rolled) = self.room_for(length, essential).map_err(|error| self.refused(&error))?;
        let position = self.at;
        let encoded = frame.encode(Stamp {
            segment_shift: self.shared.meta.segment_shift,
            position,
            durable_through: self.shared.durable.load(Ordering::Acquire),
            journal_id: self.shared.meta.journal_id,
            sequence: self.sequence,
            written_at_ms: now_ms,
        });
        if let Err(error) = segment.file.write_at(&[&encoded.front, &encoded.bodies], position - segment.base)
        {
            tracing::error!(%error, position, "writing to the journal failed; nothing more is written");
            self.shared.fail();
            return Err(AppendError::Failed);
        }
        self.at = position + length;
        self.sequence = sequence_behind(self.sequence);
        let first_body = position + encoded.front.len() as u64;
        let bodies = Bytes::from(encoded.bodies);
        self.note(&segment, &encoded.heads, first_body);
        self.shared.cache.push(first_body, bodies.clone());
        self.publish(segment);
        Ok(Written { end: self.at, rolled, heads: encoded.heads, first_body, bodies })
    }

    fn refused(&self, error: &io::Error) -> AppendError {
        if is_full(error) {
            if !self.shared.full.swap(true, Ordering::AcqRel) {
                tracing::warn!("the disk is full: records are refused until there is room");
            }
            return AppendError::Full;
        }
        tracing::error!(%error, "preparing a segment failed; nothing more is written");
        self.shared.fail();
        AppendError::Failed
    }

    /// The segment to write `length` bytes into, rolling to the next one when they don't fit.
    fn room_for(&mut self, length: u64, essential: bool) -> io::Result<(Arc<Segment>, bool)> {
        let segment_bytes = self.shared.segment_bytes();
        let next_base = self.at.next_multiple_of(segment_bytes);
        let storage = self.shared.storage.as_ref();
        let space = &self.shared.inbox.space;
        let mut rolled = false;
        let segment = match self.segment.clone() {
            Some(segment) if segment.base + segment_bytes - self.at >= length => {
                let left = segment.base + segment_bytes - self.at - length;
                let reserve = RESERVE_BYTES.min(segment_bytes / 8);
                if left < reserve && !essential && !space.is_prepared(segment.base + segment_bytes) {
                    space.prepare(storage, segment.base + segment_bytes, segment_bytes)?;
                }
                segment
            }
            current => {
                let base = current.as_ref().map_or(next_base, |segment| segment.base + segment_bytes);
                let next = space.take(storage, base, segment_bytes)?;
                if let Some(finished) = current {
                    self.seal(finished);
                    rolled = true;
                }
                self.shared.segments.write().insert(base, next.clone());
                self.at = base;
                self.segment = Some(next.clone());
                self.first_sequence = self.sequence;
                next
            }
        };
        let through = self.at - segment.base + length;
        if segment.prepared() < through {
            segment.claim(through);
        }
        if !essential {
            self.shared.full.store(false, Ordering::Release);
        }
        let bulk = length >= UNPREPARED_FRAME_BYTES;
        self.shared.inbox.note_position(&segment, self.at + length, segment_bytes, bulk);
        Ok((segment, rolled))
    }

    fn seal(&mut self, segment: Arc<Segment>) {
        self.shared.inbox.seal(SealJob {
            segment,
            end: self.at,
            sequences: (self.first_sequence, self.sequence),
            states: std::mem::take(&mut self.states),
        });
    }

    fn note(&mut self, segment: &Arc<Segment>, heads: &[EntryHead], first_body: Position) {
        debug_assert_eq!((first_body - HEADER_BYTES as u64 - (heads.len() * HEAD_BYTES) as u64) % 8, 0);
        let mut body = first_body;
        for head in heads {
            if head.kind.is_records() {
                self.shared.index.push(head.partition, segment, IndexEntry::new(head, body));
            } else {
                if head.kind == EntryKind::Retired
                    && let Some(given_up) = self.shared.segments.read().get(&head.base_offset.cast_unsigned())
                {
                    given_up.given_up.store(true, Ordering::Release);
                }
                self.states.push(StateEntry::new(head, body));
            }
            body += u64::from(head.length);
        }
    }

    fn publish(&self, segment: Arc<Segment>) {
        let mut unsynced = self.shared.unsynced.lock();
        unsynced.through = self.at;
        if unsynced.segments.last().is_none_or(|last| last.base != segment.base) {
            unsynced.segments.push(segment);
        }
        drop(unsynced);
        self.shared.written.store(self.at, Ordering::Release);
    }
}

/// Makes written frames durable. Owned by one thread.
#[derive(Debug)]
pub struct Syncer {
    pub(crate) shared: Arc<Shared>,
}

impl Syncer {
    /// Syncs all that was written before the call and answers the position up to which the journal is now durable.
    ///
    /// After a failure nothing is tried again: the kernel may have dropped the pages, and a second sync that answers
    /// well would prove nothing.
    pub fn sync(&mut self) -> Result<Position, AppendError> {
        if self.shared.failed.load(Ordering::Acquire) {
            return Err(AppendError::Failed);
        }
        let (through, segments) = {
            let mut unsynced = self.shared.unsynced.lock();
            (unsynced.through, std::mem::take(&mut unsynced.segments))
        };
        for segment in &segments {
            if let Err(error) = segment.file.sync() {
                tracing::error!(%error, file = segment.name(), "syncing the journal failed; nothing more is written");
                self.shared.fail();
                return Err(AppendError::Failed);
            }
        }
        let before = self.shared.durable.fetch_max(through, Ordering::SeqCst);
        assert!(before <= through, "the durable position never goes back");
        self.shared.inbox.note_durable();
        Ok(through)
    }
}
