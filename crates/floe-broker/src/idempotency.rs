//! Keys that clients gave their writes, and the answers those got: a repeat gets the first answer, not a second record.
//!
//! One entry, as it is kept in journal and snapshots, all numbers little-endian:
//!
//! ```text
//! topic id u64 | key length u8 | key | fingerprint u64 | expires ms u64 | timestamp ms i64
//! | placements u32 | each: partition u32, base offset i64, count u32
//! ```
//!
//! A table is its version u8 (1), the number of entries u32, and the entries, soonest to expire first.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// How many keys are kept; beyond it the soonest to expire is forgotten. About 300 bytes each.
pub const MAX_IDEMPOTENCY_KEYS: usize = 250_000;

/// The longest key, in bytes.
pub const MAX_IDEMPOTENCY_KEY_BYTES: usize = 255;

const VERSION: u8 = 1;

/// What a key was used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyEntry {
    /// Digest of the request's content.
    pub fingerprint: u64,
    /// When the key may be used anew.
    pub expires_ms: u64,
    /// The timestamp in the first answer.
    pub timestamp_ms: i64,
    /// Where the records went, in the order they were given.
    pub placements: Box<[PlacedRun]>,
}

/// Records that follow each other, in the request and in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacedRun {
    /// The partition.
    pub partition: u32,
    /// Offset of the first.
    pub base_offset: i64,
    /// How many.
    pub count: u32,
}

/// Whether a key was used before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdempotencyLookup<'a> {
    /// Not within its window.
    Fresh,
    /// For the same content: this is the answer.
    Replay(&'a IdempotencyEntry),
    /// For other content.
    Conflict,
}

/// Why bytes are not what [`IdempotencyTable::encode`] wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdempotencyDecodeError {
    /// Another release wrote them.
    #[error("the table has version {version}, known is {VERSION}")]
    UnknownVersion {
        /// The version they say.
        version: u8,
    },
    /// They end too early.
    #[error("the bytes end in the middle of an entry")]
    CutOff,
    /// A key isn't UTF-8, or bytes follow behind the last entry.
    #[error("the bytes are not a table")]
    Malformed,
}

/// Keys in their window. One table for all topics.
#[derive(Debug)]
pub struct IdempotencyTable {
    limit: usize,
    topics: HashMap<u64, HashMap<Arc<str>, Kept>>,
    /// By expiry, then by age.
    order: BTreeMap<(u64, u64), (u64, Arc<str>)>,
    insertions: u64,
}

#[derive(Debug)]
struct Kept {
    entry: IdempotencyEntry,
    insertion: u64,
}

impl Default for IdempotencyTable {
    fn default() -> Self {
        Self::with_limit(MAX_IDEMPOTENCY_KEYS)
    }
}

impl IdempotencyTable {
    /// An empty table of at most `limit` keys (at least one).
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Self { limit: limit.max(1), topics: HashMap::new(), order: BTreeMap::new(), insertions: 0 }
    }

    /// Whether a key was used on a topic, within its window, and for what.
    #[must_use]
    pub fn lookup(&self, topic_id: u64, key: &str, fingerprint: u64, now_ms: u64) -> IdempotencyLookup<'_> {
        match self.topics.get(&topic_id).and_then(|keys| keys.get(key)) {
            Some(kept) if kept.entry.expires_ms <= now_ms => IdempotencyLookup::Fresh,
            Some(kept) if kept.entry.fingerprint == fingerprint => IdempotencyLookup::Replay(&kept.entry),
            Some(_) => IdempotencyLookup::Conflict,
            None => IdempotencyLookup::Fresh,
        }
    }

    /// Keeps a key until its entry expires; an older entry of the same key is replaced. When the table is full, the key
    /// that is the soonest to expire makes room.
    ///
    /// # Panics
    /// When the key is longer than [`MAX_IDEMPOTENCY_KEY_BYTES`]: doors check.
    pub fn insert(&mut self, topic_id: u64, key: &str, entry: IdempotencyEntry) {
        assert!(key.len() <= MAX_IDEMPOTENCY_KEY_BYTES, "the key has {} bytes", key.len());
        self.remove(topic_id, key);
        while self.order.len() >= self.limit {
            self.pop_first();
        }
        let key: Arc<str> = key.into();
        self.insertions += 1;
        self.order.insert((entry.expires_ms, self.insertions), (topic_id, Arc::clone(&key)));
        let kept = Kept { entry, insertion: self.insertions };
        self.topics.entry(topic_id).or_default().insert(key, kept);
    }

    /// Forgets keys whose window is over. How many there were.
    pub fn expire(&mut self, now_ms: u64) -> usize {
        let before = self.order.len();
        while self.next_deadline().is_some_and(|deadline| deadline <= now_ms) {
            self.pop_first();
        }
        before - self.order.len()
    }

    /// When the next window is over.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        self.order.first_key_value().map(|(&(expires_ms, _), _)| expires_ms)
    }

    /// Forgets all keys of a topic.
    pub fn forget_topic(&mut self, topic_id: u64) {
        for kept in self.topics.remove(&topic_id).unwrap_or_default().into_values() {
            self.order.remove(&(kept.entry.expires_ms, kept.insertion));
        }
    }

    /// How many keys are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Appends the table to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let count = u32::try_from(self.order.len()).expect("the table is bounded");
        out.push(VERSION);
        out.extend(count.to_le_bytes());
        for (topic_id, key) in self.order.values() {
            self.topics[topic_id][key].entry.encode(*topic_id, key, out);
        }
    }

    /// The table that `bytes` hold, with room for `limit` keys.
    pub fn decode(bytes: &[u8], limit: usize) -> Result<Self, IdempotencyDecodeError> {
        let mut rest = bytes;
        let [version] = take(&mut rest)?;
        if version != VERSION {
            return Err(IdempotencyDecodeError::UnknownVersion { version });
        }
        let mut table = Self::with_limit(limit);
        for _ in 0..u32::from_le_bytes(take(&mut rest)?) {
            let (topic_id, key, entry) = IdempotencyEntry::decode(&mut rest)?;
            table.insert(topic_id, key, entry);
        }
        if rest.is_empty() { Ok(table) } else { Err(IdempotencyDecodeError::Malformed) }
    }

    fn remove(&mut self, topic_id: u64, key: &str) {
        let Some(keys) = self.topics.get_mut(&topic_id) else { return };
        if let Some(kept) = keys.remove(key) {
            self.order.remove(&(kept.entry.expires_ms, kept.insertion));
        }
        if keys.is_empty() {
            self.topics.remove(&topic_id);
        }
    }

    fn pop_first(&mut self) {
        if let Some((_, (topic_id, key))) = self.order.pop_first() {
            self.remove(topic_id, &key);
        }
    }
}

impl IdempotencyEntry {
    /// Appends the entry of a key to `out`.
    ///
    /// # Panics
    /// When the key is longer than [`MAX_IDEMPOTENCY_KEY_BYTES`].
    pub fn encode(&self, topic_id: u64, key: &str, out: &mut Vec<u8>) {
        let key_bytes = u8::try_from(key.len()).expect("doors check the key's length");
        let placements = u32::try_from(self.placements.len()).expect("a request is bounded");
        out.extend(topic_id.to_le_bytes());
        out.push(key_bytes);
        out.extend(key.as_bytes());
        out.extend(self.fingerprint.to_le_bytes());
        out.extend(self.expires_ms.to_le_bytes());
        out.extend(self.timestamp_ms.to_le_bytes());
        out.extend(placements.to_le_bytes());
        for run in &self.placements {
            out.extend(run.partition.to_le_bytes());
            out.extend(run.base_offset.to_le_bytes());
            out.extend(run.count.to_le_bytes());
        }
    }

    /// Takes one entry off the front of `bytes`: topic id, key and entry.
    pub fn decode<'a>(bytes: &mut &'a [u8]) -> Result<(u64, &'a str, Self), IdempotencyDecodeError> {
        let topic_id = u64::from_le_bytes(take(bytes)?);
        let [key_bytes] = take(bytes)?;
        let (key, behind) = bytes.split_at_checked(key_bytes.into()).ok_or(IdempotencyDecodeError::CutOff)?;
        *bytes = behind;
        let key = str::from_utf8(key).map_err(|_| IdempotencyDecodeError::Malformed)?;
        let fingerprint = u64::from_le_bytes(take(bytes)?);
        let expires_ms = u64::from_le_bytes(take(bytes)?);
        let timestamp_ms = i64::from_le_bytes(take(bytes)?);
        let count = u32::from_le_bytes(take(bytes)?);
        // Collecting stops where the bytes end; room is made for what is there, not for what the count says.
        let placements: Result<Box<[_]>, _> = (0..count).map(|_| PlacedRun::decode(bytes)).collect();
        Ok((topic_id, key, Self { fingerprint, expires_ms, timestamp_ms, placements: placements? }))
    }
}

impl PlacedRun {
    /// Bytes it takes where it is stored.
    pub(crate) const STORED_BYTES: usize = 16;

    fn decode(bytes: &mut &[u8]) -> Result<Self, IdempotencyDecodeError> {
        Ok(Self {
            partition: u32::from_le_bytes(take(bytes)?),
            base_offset: i64::from_le_bytes(take(bytes)?),
            count: u32::from_le_bytes(take(bytes)?),
        })
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], IdempotencyDecodeError> {
    let (field, behind) = bytes.split_first_chunk().ok_or(IdempotencyDecodeError::CutOff)?;
    *bytes = behind;
    Ok(*field)
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    use super::*;

    fn entry(fingerprint: u64, expires_ms: u64) -> IdempotencyEntry {
        let placements = [PlacedRun { partition: 3, base_offset: 1 << 40, count: 2 }];
        IdempotencyEntry { fingerprint, expires_ms, timestamp_ms: 5, placements: placements.into() }
    }

    #[test]
    fn a_repeat_gets_the_first_answer_until_the_window_is_over() {
        let mut t = IdempotencyTable::default();
        assert_eq!(t.lookup(1, "k", 7, 0), IdempotencyLookup::Fresh);
        t.insert(1, "k", entry(7, 100));
        assert_eq!(t.lookup(1, "k", 7, 99), IdempotencyLookup::Replay(&entry(7, 100)));
        assert_eq!(t.lookup(1, "k", 8, 99), IdempotencyLookup::Conflict);
        assert_eq!(t.lookup(2, "k", 8, 99), IdempotencyLookup::Fresh, "keys are per topic");
        assert_eq!(t.lookup(1, "k", 8, 100), IdempotencyLookup::Fresh);
        t.insert(1, "k", entry(8, 200));
        assert_eq!((t.len(), t.next_deadline()), (1, Some(200)));
        assert_eq!((t.expire(199), t.expire(200)), (0, 1));
        assert!(t.is_empty() && t.topics.is_empty());
    }

    #[test]
    fn the_soonest_to_expire_makes_room() {
        let mut t = IdempotencyTable::with_limit(2);
        t.insert(1, "a", entry(1, 30));
        t.insert(1, "b", entry(1, 10));
        t.insert(1, "a", entry(2, 30));
        assert_eq!(t.len(), 2, "replacing a key takes no room");
        t.insert(2, "c", entry(1, 20));
        assert_eq!(t.lookup(1, "b", 1, 0), IdempotencyLookup::Fresh);
        assert!(matches!(t.lookup(1, "a", 2, 0), IdempotencyLookup::Replay(_)));
        t.forget_topic(1);
        t.forget_topic(1);
        assert_eq!((t.len(), t.order.len()), (1, 1));
    }

    #[test]
    fn the_stored_form_is_pinned() {
        let mut t = IdempotencyTable::default();
        t.insert(0x0102, "ab", entry(0x0a0b, 0x0c0d));
        let mut out = Vec::new();
        t.encode(&mut out);
        let expected: Vec<u8> = [
            &[1][..],
            &[1, 0, 0, 0],
            &[2, 1, 0, 0, 0, 0, 0, 0],
            &[2, b'a', b'b'],
            &[0x0b, 0x0a, 0, 0, 0, 0, 0, 0],
            &[0x0d, 0x0c, 0, 0, 0, 0, 0, 0],
            &[5, 0, 0, 0, 0, 0, 0, 0],
            &[1, 0, 0, 0],
            &[3, 0, 0, 0],
            &[0, 0, 0, 0, 0, 1, 0, 0],
            &[2, 0, 0, 0],
        ]
        .concat();
        assert_eq!(out, expected);
    }

    fn random_table(rng: &mut StdRng) -> IdempotencyTable {
        let mut table = IdempotencyTable::default();
        for _ in 0..rng.random_range(0..200) {
            let mut e = entry(rng.random(), rng.random_range(0..50));
            e.placements = (0..rng.random_range(0..5))
                .map(|_| PlacedRun {
                    partition: rng.random(),
                    base_offset: rng.random(),
                    count: rng.random(),
                })
                .collect();
            let key = "é".repeat(rng.random_range(0..30)) + &rng.random_range(0..99).to_string();
            table.insert(rng.random_range(0..4), &key, e);
        }
        table
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        for seed in 0..50 {
            let mut rng = StdRng::seed_from_u64(seed);
            let table = random_table(&mut rng);
            let mut out = Vec::new();
            table.encode(&mut out);
            let again = IdempotencyTable::decode(&out, usize::MAX).unwrap();
            let mut out_again = Vec::new();
            again.encode(&mut out_again);
            assert_eq!(out, out_again);
            for (topic_id, key) in table.order.values() {
                let e = &table.topics[topic_id][key].entry;
                let found = again.lookup(*topic_id, key, e.fingerprint, 0);
                let expected =
                    if e.expires_ms == 0 { IdempotencyLookup::Fresh } else { IdempotencyLookup::Replay(e) };
                assert_eq!(found, expected);
            }
            let small = IdempotencyTable::decode(&out, 3).unwrap();
            assert!(small.len() <= 3, "a smaller limit keeps the latest to expire");
        }
    }

    #[test]
    fn damage_is_an_error_and_costs_no_memory() {
        let mut table = IdempotencyTable::default();
        table.insert(1, "key", entry(1, 2));
        let mut good = Vec::new();
        table.encode(&mut good);
        for end in 0..good.len() {
            assert_eq!(
                IdempotencyTable::decode(&good[..end], 9).unwrap_err(),
                IdempotencyDecodeError::CutOff
            );
        }
        let changed = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            IdempotencyTable::decode(&bytes, 9).map(|_| ()).unwrap_err()
        };
        assert_eq!(changed(0, 2), IdempotencyDecodeError::UnknownVersion { version: 2 });
        assert_eq!(changed(4, 0xff), IdempotencyDecodeError::CutOff, "four billion entries");
        assert_eq!(changed(1, 0), IdempotencyDecodeError::Malformed);
        assert_eq!(changed(14, 0xff), IdempotencyDecodeError::Malformed);
        let placements = good.len() - 16 - 4;
        assert_eq!(changed(placements + 3, 0xff), IdempotencyDecodeError::CutOff, "four billion placements");
    }
}
