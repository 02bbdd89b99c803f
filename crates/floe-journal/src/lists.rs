//! Entry lists of sealed segments: read from the footer when asked for, the last used kept decoded.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;

use crate::{
    ReadError, footer,
    index::{IndexEntry, Run},
    limits::LIST_CACHE_ENTRIES,
};

type Key = (u64, u32);

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
    /// A run's entries.
    pub(crate) fn load(&self, run: &Run, segment_bytes: u64) -> Result<Arc<Vec<IndexEntry>>, ReadError> {
        let key = (run.segment.base, run.list_at);
        if let Some(list) = self.cached.lock().lists.get(&key) {
            return Ok(list.clone());
        }
        let mut bytes = vec![0; run.list_bytes as usize];
        let read = run.segment.file.read_at(&mut bytes, segment_bytes + u64::from(run.list_at))?;
        let list = (read == bytes.len()).then(|| footer::decode_list(&bytes, run.entries)).flatten();
        let fits = |list: &Vec<IndexEntry>| {
            list.first().is_some_and(|first| first.base_offset == run.first_offset)
                && list.last().is_some_and(|last| last.last_offset() == run.last_offset)
        };
        let Some(list) = list.filter(fits) else {
            return Err(ReadError::Damaged { position: run.segment.base + segment_bytes });
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
