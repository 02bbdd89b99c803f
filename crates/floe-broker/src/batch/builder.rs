//! Makes an uncompressed batch out of single records.

use super::{
    header::{BATCH_HEADER_BYTES, NewHeader, TimestampType, seal},
    varint::{put_varint, put_varlong, varint_len, varlong_len},
};
use crate::NewRecord;

/// Collects records into one batch: one growing buffer, each record written once, the header and the checksum at the end.
///
/// The caller bounds the batch ([`size_with`](Self::size_with)) far below 2 GiB.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    buffer: Vec<u8>,
    /// Where the batch starts in the buffer.
    start: usize,
    count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
    log_append_time: Option<i64>,
}

/// The numbers in front of a record's parts; the record's length comes first, so they are known before it is written.
#[derive(Clone, Copy)]
struct Shape {
    body: usize,
    timestamp_delta: i64,
    headers: usize,
}

impl BatchBuilder {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty batch with room for `bytes`.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { buffer: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// A batch that is built behind what `buffer` holds; [`finish`](Self::finish) returns both. Saves a copy of the batch.
    #[must_use]
    pub fn behind(buffer: Vec<u8>) -> Self {
        Self { start: buffer.len(), buffer, ..Self::default() }
    }

    /// Gives all records of this batch the time `ms`, whatever time they are pushed with.
    pub fn set_log_append_time(&mut self, ms: i64) {
        self.log_append_time = Some(ms);
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there is no record yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of the batch as it would be finished now.
    #[must_use]
    pub fn size(&self) -> usize {
        (self.buffer.len() - self.start).max(BATCH_HEADER_BYTES)
    }

    /// Bytes of the batch as it would be finished with this record in addition: exact.
    pub fn size_with<'h>(
        &self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = (&'h str, Option<&'h [u8]>)>,
    ) -> usize {
        let body = self.shape(timestamp, key, value, headers).body;
        self.size() + varint_len(length(body)) + body
    }

    /// Appends a record.
    ///
    /// # Panics
    /// When a part has 2 GiB or more.
    pub fn push<'h>(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = (&'h str, Option<&'h [u8]>)> + Clone,
    ) {
        let shape = self.shape(timestamp, key, value, headers.clone());
        self.put(shape, timestamp, key, value, headers);
    }

    /// Appends a record if the batch then has at most `limit` bytes; answers how many it would have, if not.
    ///
    /// # Panics
    /// When a part has 2 GiB or more.
    pub fn push_record_within(&mut self, limit: usize, record: &NewRecord, now_ms: i64) -> Result<(), usize> {
        let headers = record.headers.iter().map(|h| (h.name.as_ref(), h.value.as_deref()));
        let timestamp = record.timestamp.unwrap_or(now_ms);
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        let shape = self.shape(timestamp, key, value, headers.clone());
        let size = self.size() + varint_len(length(shape.body)) + shape.body;
        if size > limit {
            return Err(size);
        }
        self.put(shape, timestamp, key, value, headers);
        Ok(())
    }

    #[inline]
    fn put<'h>(
        &mut self,
        shape: Shape,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = (&'h str, Option<&'h [u8]>)>,
    ) {
        if self.count == 0 {
            self.buffer.resize(self.start + BATCH_HEADER_BYTES, 0);
            self.base_timestamp = timestamp;
            self.max_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let out = &mut self.buffer;
        out.reserve(shape.body + 5);
        put_varint(out, length(shape.body));
        out.push(0); // attributes of a record: none are defined
        put_varlong(out, shape.timestamp_delta);
        put_varint(out, self.count);
        put_bytes(out, key);
        put_bytes(out, value);
        put_varint(out, length(shape.headers));
        for (name, value) in headers {
            put_bytes(out, Some(name.as_bytes()));
            put_bytes(out, value);
        }
        self.count += 1;
    }

    /// Appends a record; `now_ms` is its time unless it has one.
    pub fn push_record(&mut self, record: &NewRecord, now_ms: i64) {
        let headers = record.headers.iter().map(|h| (h.name.as_ref(), h.value.as_deref()));
        self.push(
            record.timestamp.unwrap_or(now_ms),
            record.key.as_deref(),
            record.value.as_deref(),
            headers,
        );
    }

    /// [`size_with`](Self::size_with) for a record; `now_ms` is its time unless it has one.
    #[must_use]
    pub fn size_with_record(&self, record: &NewRecord, now_ms: i64) -> usize {
        let headers = record.headers.iter().map(|h| (h.name.as_ref(), h.value.as_deref()));
        self.size_with(
            record.timestamp.unwrap_or(now_ms),
            record.key.as_deref(),
            record.value.as_deref(),
            headers,
        )
    }

    /// Seals the batch and returns the buffer it was built in.
    ///
    /// # Panics
    /// When there is no record: an empty batch can't be stored.
    #[must_use]
    pub fn finish(mut self, base_offset: i64) -> Vec<u8> {
        self.seal(base_offset);
        self.buffer
    }

    /// Seals the batch and appends it to `out`. The builder is empty then and keeps its memory for the next batch.
    ///
    /// # Panics
    /// When there is no record: an empty batch can't be stored.
    pub fn finish_into(&mut self, base_offset: i64, out: &mut Vec<u8>) {
        self.seal(base_offset);
        out.extend_from_slice(&self.buffer[self.start..]);
        self.buffer.truncate(self.start);
        self.count = 0;
        self.log_append_time = None;
    }

    fn seal(&mut self, base_offset: i64) {
        assert!(self.count > 0, "a batch has at least one record");
        let (timestamp_type, max_timestamp) = match self.log_append_time {
            Some(ms) => (TimestampType::LogAppend, ms),
            None => (TimestampType::Create, self.max_timestamp),
        };
        let header = NewHeader {
            base_offset,
            timestamp_type,
            base_timestamp: self.base_timestamp,
            max_timestamp,
            record_count: self.count,
        };
        seal(&mut self.buffer[self.start..], &header);
    }

    #[inline]
    fn shape<'h>(
        &self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = (&'h str, Option<&'h [u8]>)>,
    ) -> Shape {
        let timestamp_delta = if self.count == 0 { 0 } else { timestamp.wrapping_sub(self.base_timestamp) };
        let mut body =
            1 + varlong_len(timestamp_delta) + varint_len(self.count) + bytes_len(key) + bytes_len(value);
        let mut count = 0;
        for (name, value) in headers {
            body += bytes_len(Some(name.as_bytes())) + bytes_len(value);
            count += 1;
        }
        Shape { body: body + varint_len(length(count)), timestamp_delta, headers: count }
    }
}

#[inline]
fn length(bytes: usize) -> i32 {
    i32::try_from(bytes).expect("a record is bounded far below 2 GiB")
}

#[inline]
fn bytes_len(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |b| varint_len(length(b.len())) + b.len())
}

#[inline]
fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => put_varint(out, -1),
        Some(b) => {
            put_varint(out, length(b.len()));
            out.extend_from_slice(b);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::iter::empty;

    use bytes::Bytes;
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    use super::*;
    use crate::{
        Header,
        batch::{BatchPlace, StoredRecords, check_records, validate, vectors},
    };

    fn fill_as_mixed(builder: &mut BatchBuilder) {
        let headers: [(&str, Option<&[u8]>); 5] = [
            ("content-type", Some(b"application/json")),
            ("h", Some(b"1")),
            ("h", None),
            ("", Some(b"")),
            ("größe", Some(&[0, 255])),
        ];
        builder.push(1_700_000_000_000, Some(b"k1"), Some(b"{\"n\":1}"), empty());
        builder.push(1_700_000_000_005, None, Some(b"no key"), empty());
        builder.push(1_699_999_999_000, Some(b"gone"), None, empty());
        builder.push(1_700_000_000_005, Some(b""), Some(b""), headers.into_iter());
        builder.push(1_700_000_000_005, None, None, empty());
    }

    #[test]
    fn batches_are_byte_for_byte_kafkas() {
        let mut builder = BatchBuilder::new();
        fill_as_mixed(&mut builder);
        assert_eq!(builder.finish(42), vectors::mixed());

        let mut builder = BatchBuilder::new();
        builder.set_log_append_time(1_700_000_123_456);
        fill_as_mixed(&mut builder);
        assert_eq!(builder.finish(42), vectors::log_append_time());

        let mut builder = BatchBuilder::new();
        builder.push(0, Some(b"a"), Some(b"b"), empty());
        builder.push(4_000_000_000_000, Some(b"c"), Some(b"d"), empty());
        assert_eq!(builder.finish(0), vectors::wide_delta());
    }

    #[test]
    fn a_builder_can_be_used_again_and_can_build_behind_other_bytes() {
        let mut builder = BatchBuilder::with_capacity(1000);
        let mut out = b"front".to_vec();
        for _ in 0..2 {
            fill_as_mixed(&mut builder);
            assert_eq!(builder.len(), 5);
            builder.finish_into(42, &mut out);
            assert!(builder.is_empty());
        }
        assert_eq!(out, [b"front".to_vec(), vectors::mixed(), vectors::mixed()].concat());

        let mut builder = BatchBuilder::behind(b"front".to_vec());
        assert_eq!(builder.size(), BATCH_HEADER_BYTES);
        fill_as_mixed(&mut builder);
        assert_eq!(builder.size(), vectors::mixed().len());
        assert_eq!(builder.finish(42), [b"front".to_vec(), vectors::mixed()].concat());
    }

    fn random_bytes(rng: &mut StdRng) -> Option<Bytes> {
        let longest = [0, 1, 70, 300, 20_000][rng.random_range(0..5)];
        let bytes: Vec<u8> = (0..rng.random_range(0..=longest)).map(|_| rng.random()).collect();
        rng.random_bool(0.8).then(|| bytes.into())
    }

    fn random_record(rng: &mut StdRng) -> NewRecord {
        let timestamp = match rng.random_range(0..10) {
            0 => None,
            1 => Some(rng.random()),
            _ => Some(1_700_000_000_000 + rng.random_range(-5000..5000)),
        };
        let headers = (0..rng.random_range(0..4))
            .map(|i| Header { name: "ä".repeat(i).into(), value: random_bytes(rng) })
            .collect();
        NewRecord { key: random_bytes(rng), value: random_bytes(rng), headers, partition: None, timestamp }
    }

    #[test]
    fn whatever_goes_in_comes_out() {
        for seed in 0..60 {
            let mut rng = StdRng::seed_from_u64(seed);
            let records: Vec<_> = (0..rng.random_range(1..90)).map(|_| random_record(&mut rng)).collect();
            let mut builder = BatchBuilder::new();
            for record in &records {
                let expected = builder.size_with_record(record, 77);
                builder.push_record(record, 77);
                assert_eq!(builder.size(), expected, "seed {seed}");
            }
            let base = rng.random_range(0..1 << 50);
            let batch = Bytes::from(builder.finish(base));
            let header = validate(&batch).unwrap();
            let newest = records.iter().map(|r| r.timestamp.unwrap_or(77)).max();
            assert_eq!(check_records(&batch).ok(), newest, "seed {seed}");
            assert_eq!(Some(header.max_timestamp), newest);
            let place = BatchPlace { topic_id: 3, partition: 4, position: 5 };
            let read: Result<Vec<_>, _> = StoredRecords::new(batch, place, 0).unwrap().collect();
            let read = read.unwrap();
            assert_eq!(read.len(), records.len());
            for (i, (stored, given)) in read.iter().zip(&records).enumerate() {
                assert_eq!((stored.partition, stored.offset), (4, base + i as i64), "seed {seed}");
                assert_eq!(stored.timestamp, given.timestamp.unwrap_or(77));
                assert_eq!(
                    (&stored.key, &stored.value, &stored.headers),
                    (&given.key, &given.value, &given.headers)
                );
                let crate::Cursor::Journal(cursor) = stored.cursor else { panic!("{:?}", stored.cursor) };
                assert_eq!((cursor.position, cursor.records), (5, i as u32 + 1));
            }
        }
    }
}
