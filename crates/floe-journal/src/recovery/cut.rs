//! Taking away what doesn't count, after keeping it aside.

use std::{collections::BTreeMap, sync::Arc};

use super::{io_error, verdict::Verdict};
use crate::{
    OpenError, Position, Storage,
    limits::{MAX_CUT_FILES, MAX_CUT_KEPT_BYTES},
    segment::Segment,
};

const SUFFIX: &str = ".cut";

/// Whether a file holds bytes kept aside.
pub(super) fn is_cut(name: &str) -> bool {
    name.ends_with(SUFFIX)
}

/// Overwrites frames that don't count with zeros, so that they can't be taken for the continuation of new ones.
/// What was in them goes to a file first. Answers bytes, frames and the file's name.
pub(super) fn apply(
    storage: &dyn Storage,
    verdict: &Verdict,
    segments: &BTreeMap<Position, Arc<Segment>>,
) -> Result<(u64, u64, Option<String>), OpenError> {
    if verdict.discarded.is_empty() {
        return Ok((0, 0, None));
    }
    let name = format!("{:020}{SUFFIX}", verdict.end);
    make_room(storage)?;
    let aside = storage.create(&name).map_err(io_error("creating", &name))?;
    let mut kept = 0;
    let mut bytes = 0;
    let mut touched = Vec::new();
    for (from, to) in &verdict.discarded {
        let Some((_, segment)) = segments.range(..=from).next_back() else { continue };
        let length = to - from;
        bytes += length;
        if kept + length <= MAX_CUT_KEPT_BYTES {
            let mut content = vec![0; usize::try_from(length).expect("a frame fits into memory")];
            segment
                .file
                .read_at(&mut content, from - segment.base)
                .map_err(io_error("reading", segment.name()))?;
            aside.write_at(&[&content], kept).map_err(io_error("writing", &name))?;
            kept += length;
        }
        touched.push((segment.clone(), *from, length));
    }
    aside.sync().map_err(io_error("syncing", &name))?;
    storage.sync_directory().map_err(io_error("syncing", "."))?;
    for (segment, from, length) in &touched {
        let zeros = vec![0; usize::try_from(*length).expect("a frame fits into memory")];
        segment.file.write_at(&[&zeros], from - segment.base).map_err(io_error("writing", segment.name()))?;
    }
    for (segment, ..) in &touched {
        segment.file.sync().map_err(io_error("syncing", segment.name()))?;
    }
    tracing::warn!(
        file = name,
        position = verdict.end,
        bytes,
        frames = verdict.discarded.len(),
        "an unfinished group was cut from the journal's end; nobody was told that it was stored"
    );
    Ok((bytes, verdict.discarded.len() as u64, Some(name)))
}

/// Removes the oldest files of cut bytes beyond the number that is kept.
fn make_room(storage: &dyn Storage) -> Result<(), OpenError> {
    let files = storage.list().map_err(io_error("listing", "."))?;
    let mut cuts: Vec<String> = files.into_iter().map(|(name, _)| name).filter(|name| is_cut(name)).collect();
    cuts.sort_unstable();
    let excess = (cuts.len() + 1).saturating_sub(MAX_CUT_FILES);
    for name in cuts.into_iter().take(excess) {
        storage.remove(&name).map_err(io_error("removing", &name))?;
    }
    Ok(())
}
