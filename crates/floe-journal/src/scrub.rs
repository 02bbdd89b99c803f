//! Looking for damage before anybody reads it.

use std::sync::atomic::Ordering;

use crate::{
    Damage, DamageKind, Journal, OpenError, Position, ReadError,
    recovery::{Item, ScannedFrame, Scanner},
};

impl Journal {
    /// Reads the next sealed segment behind `after` (the first one for `None`) past the page cache, checks everything
    /// in it and notes what is damaged. Answers the segment's base, for the next call; `None` behind the last one.
    pub fn scrub_step(&self, after: Option<Position>) -> Result<Option<Position>, ReadError> {
        let from = after.map_or(0, |after| after.saturating_add(1));
        let segment = {
            let segments = self.shared.segments.read();
            let mut sealed =
                segments.range(from..).filter(|(_, segment)| segment.sealed.load(Ordering::Acquire));
            let Some((_, segment)) = sealed.next() else { return Ok(None) };
            segment.clone()
        };
        segment.file.drop_cache()?;
        let items = Scanner::new(&segment, self.shared.meta).scan(true, 0).map_err(|error| match error {
            OpenError::Io { source, .. } => ReadError::Io(source),
            _ => ReadError::Damaged { position: segment.base },
        })?;
        if segment.retired.load(Ordering::Acquire) {
            return Ok(Some(segment.base));
        }
        for item in &items {
            for (position, bytes, kind) in item.damage() {
                self.shared.damage.report(Damage { file: segment.name(), position, bytes, kind });
            }
        }
        self.scrub_footer(&segment)?;
        Ok(Some(segment.base))
    }

    fn scrub_footer(&self, segment: &crate::segment::Segment) -> Result<(), ReadError> {
        let length = segment.file.length()?;
        let region = self.shared.segment_bytes();
        let footer = crate::recovery::read_footer(segment, self.shared.meta, length)?;
        if footer.is_none() && !segment.retired.load(Ordering::Acquire) {
            self.shared.damage.report(Damage {
                file: segment.name(),
                position: segment.base + region,
                bytes: length.saturating_sub(region),
                kind: DamageKind::Footer,
            });
        }
        Ok(())
    }
}

impl Item {
    /// What of a frame, or between two, is not what was written: where, how many bytes, what.
    pub(crate) fn damage(&self) -> Vec<(Position, u64, DamageKind)> {
        match self {
            Self::Frame(frame) => frame.damage(),
            Self::Hole { from } => vec![(*from, 0, DamageKind::Frames)],
        }
    }
}

impl ScannedFrame {
    /// What of it is not what was written.
    pub(crate) fn damage(&self) -> Vec<(Position, u64, DamageKind)> {
        let mut found = Vec::new();
        if self.repaired {
            found.push((self.header.position, u64::from(self.header.length), DamageKind::Repaired));
        }
        for entry in self.entries.iter().filter(|entry| !entry.intact) {
            let head = &entry.head;
            let kind = if head.kind.is_records() {
                let (partition, from, to) = (head.partition, head.base_offset, head.last_offset());
                DamageKind::Records { partition, from, to }
            } else {
                DamageKind::State
            };
            found.push((entry.position, u64::from(head.length), kind));
        }
        found
    }
}
