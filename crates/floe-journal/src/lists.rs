//! Entry lists of sealed segments: read from the footer when asked for, the last used kept decoded.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, atomic::Ordering},
};

use parking_lot::Mutex;

use crate::{
    OpenError, PartitionId, ReadError,
    crc::crc,
    footer,
    index::{IndexEntry, Run},
    limits::LIST_CACHE_ENTRIES,
    meta::Meta,
    recovery::{Item, Scanner},
};

type Key = (u64, u32);

/// Reads a run's entries from the frames.
fn rebuild(partition: PartitionId, run: &Run, meta: Meta) -> Result<Vec<IndexEntry>, ReadError> {
    let position = run.segment.base + meta.segment_bytes();
    tracing::error!(
        file = run.segment.name(),
        position,
        "a footer is damaged; its entries are read from the frames"
    );
    let items = Scanner::new(&run.segment, meta).scan(true, 0).map_err(|error| match error {
        OpenError::Io { source, .. } => ReadError::Io(source),
        _ => ReadError::Damaged { position },
    })?;
    let mut list: Vec<IndexEntry> = items
        .iter()
        .flat_map(Item::entries)
        .filter(|entry| entry.head.kind.is_records() && entry.head.partition == partition)
        .map(|entry| IndexEntry::new(&entry.head, entry.position))
        .filter(|entry| (run.first_offset..=run.last_offset).contains(&entry.base_offset))
        .collect();
    list.sort_by_key(|entry| entry.base_offset);
    list.dedup_by_key(|entry| entry.base_offset);
    if list.is_empty() { Err(ReadError::Damaged { position }) } else { Ok(list) }
}

/// The decoded lists, bounded by the number of their entries; the one loaded first goes first.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    cached: Mutex<Cached>,
}

#[derive(Debug, Default)]
struct Cached {
    lists: HashMap<Key, Arc<Vec<IndexEntry>>>,
    order: VecDeque<Key>,
    entries: usize,
}

impl Lists {
    /// A run's entries: from the footer, or from the frames themselves when the footer is damaged.
    pub(crate) fn load(
        &self,
        partition: PartitionId,
        run: &Run,
        meta: Meta,
    ) -> Result<Arc<Vec<IndexEntry>>, ReadError> {
        let segment_bytes = meta.segment_bytes();
        let key = (run.segment.base, run.list_at);
        if let Some(list) = self.cached.lock().lists.get(&key) {
            return Ok(list.clone());
        }
        let mut bytes = vec![0; run.list_bytes as usize];
        let read = run.segment.file.read_at(&mut bytes, segment_bytes + u64::from(run.list_at))?;
        let intact = read == bytes.len() && crc(&bytes) == run.list_crc;
        let list = if intact { footer::decode_list(&bytes, run.entries) } else { None };
        let list = match list {
            Some(list) => list,
            None if run.segment.retired.load(Ordering::Acquire) => return Err(ReadError::Gone),
            None => rebuild(partition, run, meta)?,
        };
        let list = Arc::new(list);
        self.keep(key, list.clone());
        Ok(list)
    }

    fn keep(&self, key: Key, list: Arc<Vec<IndexEntry>>) {
        let mut cached = self.cached.lock();
        cached.entries += list.len();
        if let Some(before) = cached.lists.insert(key, list) {
            cached.entries -= before.len();
        } else {
            cached.order.push_back(key);
        }
        while cached.entries > LIST_CACHE_ENTRIES && cached.order.len() > 1 {
            let Some(oldest) = cached.order.pop_front() else { break };
            if let Some(list) = cached.lists.remove(&oldest) {
                cached.entries -= list.len();
            }
        }
    }

    /// Drops what is known of a segment's footer.
    pub(crate) fn forget_segment(&self, base: u64) {
        let mut cached = self.cached.lock();
        let keys: Vec<Key> = cached.order.iter().copied().filter(|key| key.0 == base).collect();
        for key in keys {
            if let Some(list) = cached.lists.remove(&key) {
                cached.entries -= list.len();
            }
        }
        cached.order.retain(|key| key.0 != base);
    }
}
