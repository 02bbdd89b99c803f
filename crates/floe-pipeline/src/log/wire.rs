//! Records between a node and a worker process: a binary form in which nothing is lost, neither bytes that are no text
//! nor headers that repeat.
//!
//! All numbers are big-endian. `bytes` is a length (i32, -1 for null) and so many bytes.
//!
//! ```text
//! document  u8 version = 2, u8 kind (1 page, 2 append), then the kind's own fields and nothing behind them
//! page      i64 next offset, i64 log start, i64 high watermark,
//!           u32 count of gaps, each: u32 partition, i64 first offset, i64 last offset,
//!           u32 count of records, each: u32 partition, i64 offset, i64 timestamp, content, cursor
//! append    u8 whether a fingerprint follows (0, 1), u64 fingerprint,
//!           u32 count of records, each: i32 partition (-1: not asked for), u8 whether a timestamp follows, i64 timestamp,
//!                                       content
//! cursor    u8 kind, then (0, in a journal) u64 topic id, u64 position, u32 records
//!                    or (1, in each partition) u64 topic id, u32 count of partitions, at most 10,000, each: i64 next offset
//! content   bytes key, bytes value, u32 count of headers, each: bytes name (never null, UTF-8), bytes value
//! ```
//!
//! Whoever decodes has bounded the document before; a count that the document can't hold is refused before memory is
//! taken for it.

use std::borrow::Cow;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use floe_engine::{Cursor, Gap, Header, JournalCursor, NewRecord, OffsetsCursor, Page, StoredRecord};

/// The media type of a document.
pub const MEDIA_TYPE: &str = "application/vnd.floe.records";

const VERSION: u8 = 2;
const PAGE: u8 = 1;
const APPEND: u8 = 2;
const IN_JOURNAL: u8 = 0;
const IN_PARTITIONS: u8 = 1;
/// Partitions of one cursor.
const MAX_PARTITIONS: usize = 10_000;

const GAP_BYTES: usize = 20;
const OFFSET_BYTES: usize = 8;
const JOURNAL_CURSOR_BYTES: usize = 21;
const MIN_OFFSETS_CURSOR_BYTES: usize = 13;
/// What a stored record takes beside its content and its cursor.
const STORED_BYTES: usize = 32;
/// The least that one of them takes: what a count is held against.
const MIN_STORED_BYTES: usize = STORED_BYTES + MIN_OFFSETS_CURSOR_BYTES;
const MIN_NEW_BYTES: usize = 25;
const MIN_HEADER_BYTES: usize = 8;

/// Why bytes are not a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// It ends too early, or a count or length is larger than what follows.
    #[error("the records end before their end")]
    Short,
    /// Something follows behind its end.
    #[error("{0} bytes follow behind the records")]
    Trailing(usize),
    /// Another version than this program's.
    #[error("the records are of version {0}, and this program reads version {VERSION}")]
    Version(u8),
    /// Not the kind of document that belongs here.
    #[error("a document of kind {0} is not expected here")]
    Kind(u8),
    /// A length below -1, a flag that is neither 0 nor 1, a header without a name.
    #[error("the records are malformed: {0}")]
    Malformed(&'static str),
}

/// Records to be stored, as a worker sends them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WireAppend {
    /// What the sender's `Idempotency-Key` was used for; `None` leaves it to the receiver.
    pub fingerprint: Option<u64>,
    /// The records.
    pub records: Vec<NewRecord>,
}

/// Writes a page.
#[must_use]
pub fn encode_page(page: &Page) -> Bytes {
    let content: usize = page.records.iter().map(stored_size).sum();
    let mut out = BytesMut::with_capacity(34 + page.gaps.len() * GAP_BYTES + content);
    out.put_slice(&[VERSION, PAGE]);
    out.put_i64(page.next_offset);
    out.put_i64(page.log_start);
    out.put_i64(page.high_watermark);
    put_count(&mut out, page.gaps.len());
    for gap in &page.gaps {
        out.put_u32(gap.partition);
        out.put_i64(gap.from);
        out.put_i64(gap.to);
    }
    put_count(&mut out, page.records.len());
    for record in &page.records {
        out.put_u32(record.partition);
        out.put_i64(record.offset);
        out.put_i64(record.timestamp);
        put_content(&mut out, record.key.as_deref(), record.value.as_deref(), &record.headers);
        put_cursor(&mut out, &record.cursor);
    }
    out.freeze()
}

/// Reads a page; keys, values and headers share the document's memory.
pub fn decode_page(document: Bytes) -> Result<Page, WireError> {
    let mut input = open(document, PAGE)?;
    let next_offset = input.i64()?;
    let log_start = input.i64()?;
    let high_watermark = input.i64()?;
    let gaps = input.count(GAP_BYTES)?;
    let gaps = (0..gaps)
        .map(|_| Ok(Gap { partition: input.u32()?, from: input.i64()?, to: input.i64()? }))
        .collect::<Result<_, WireError>>()?;
    let records = input.count(MIN_STORED_BYTES)?;
    let records = (0..records).map(|_| input.stored()).collect::<Result<_, _>>()?;
    input.end()?;
    Ok(Page { records, next_offset, log_start, high_watermark, gaps })
}

/// Writes records to be stored.
#[must_use]
pub fn encode_append(append: &WireAppend) -> Bytes {
    let mut out = BytesMut::new();
    out.put_slice(&[VERSION, APPEND, u8::from(append.fingerprint.is_some())]);
    out.put_u64(append.fingerprint.unwrap_or_default());
    put_count(&mut out, append.records.len());
    for record in &append.records {
        out.put_i32(record.partition.map_or(-1, |partition| i32::try_from(partition).unwrap_or(i32::MAX)));
        out.put_u8(u8::from(record.timestamp.is_some()));
        out.put_i64(record.timestamp.unwrap_or_default());
        put_content(&mut out, record.key.as_deref(), record.value.as_deref(), &record.headers);
    }
    out.freeze()
}

/// Reads records to be stored; keys, values and headers share the document's memory.
pub fn decode_append(document: Bytes) -> Result<WireAppend, WireError> {
    let mut input = open(document, APPEND)?;
    let has_fingerprint = input.flag()?;
    let fingerprint = input.u64()?;
    let records = input.count(MIN_NEW_BYTES)?;
    let records = (0..records).map(|_| input.new_record()).collect::<Result<_, _>>()?;
    input.end()?;
    Ok(WireAppend { fingerprint: has_fingerprint.then_some(fingerprint), records })
}

fn stored_size(record: &StoredRecord) -> usize {
    let headers: usize = record
        .headers
        .iter()
        .map(|header| MIN_HEADER_BYTES + header.name.len() + header.value.as_ref().map_or(0, Bytes::len))
        .sum();
    let content = record.key.as_ref().map_or(0, Bytes::len) + record.value.as_ref().map_or(0, Bytes::len);
    let cursor = match &record.cursor {
        Cursor::Journal(_) => JOURNAL_CURSOR_BYTES,
        Cursor::Offsets(cursor) => MIN_OFFSETS_CURSOR_BYTES + OFFSET_BYTES * cursor.next_offsets().len(),
    };
    STORED_BYTES + content + headers + cursor
}

/// A topic has fewer partitions than a cursor takes; of more, those behind the last would start at their beginning.
fn put_cursor(out: &mut BytesMut, cursor: &Cursor) {
    match cursor {
        Cursor::Journal(cursor) => {
            out.put_u8(IN_JOURNAL);
            out.put_u64(cursor.topic_id);
            out.put_u64(cursor.position);
            out.put_u32(cursor.records);
        }
        Cursor::Offsets(cursor) => {
            let mut offsets = cursor.next_offsets();
            offsets.truncate(MAX_PARTITIONS);
            out.put_u8(IN_PARTITIONS);
            out.put_u64(cursor.topic_id());
            put_count(out, offsets.len());
            offsets.into_iter().for_each(|offset| out.put_i64(offset));
        }
    }
}

/// Lengths and counts fit: no record is larger than the log takes, and that is far below 2 GiB.
fn put_count(out: &mut BytesMut, count: usize) {
    out.put_u32(u32::try_from(count).unwrap_or(u32::MAX));
}

fn put_bytes(out: &mut BytesMut, bytes: Option<&[u8]>) {
    let Some(bytes) = bytes else { return out.put_i32(-1) };
    out.put_i32(i32::try_from(bytes.len()).unwrap_or(i32::MAX));
    out.put_slice(bytes);
}

fn put_content(out: &mut BytesMut, key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header]) {
    put_bytes(out, key);
    put_bytes(out, value);
    put_count(out, headers.len());
    for header in headers {
        put_bytes(out, Some(header.name.as_bytes()));
        put_bytes(out, header.value.as_deref());
    }
}

fn open(document: Bytes, kind: u8) -> Result<Input, WireError> {
    let mut input = Input(document);
    match input.u8()? {
        VERSION => {}
        other => return Err(WireError::Version(other)),
    }
    match input.u8()? {
        found if found == kind => Ok(input),
        other => Err(WireError::Kind(other)),
    }
}

/// What of a document is not read yet.
struct Input(Bytes);

impl Input {
    fn u8(&mut self) -> Result<u8, WireError> {
        self.0.try_get_u8().map_err(|_| WireError::Short)
    }

    fn u32(&mut self) -> Result<u32, WireError> {
        self.0.try_get_u32().map_err(|_| WireError::Short)
    }

    fn i32(&mut self) -> Result<i32, WireError> {
        self.0.try_get_i32().map_err(|_| WireError::Short)
    }

    fn u64(&mut self) -> Result<u64, WireError> {
        self.0.try_get_u64().map_err(|_| WireError::Short)
    }

    fn i64(&mut self) -> Result<i64, WireError> {
        self.0.try_get_i64().map_err(|_| WireError::Short)
    }

    fn flag(&mut self) -> Result<bool, WireError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(WireError::Malformed("a flag is neither 0 nor 1")),
        }
    }

    /// A count of things that each take at least so many bytes of what is left.
    fn count(&mut self, least: usize) -> Result<usize, WireError> {
        let count = usize::try_from(self.u32()?).map_err(|_| WireError::Short)?;
        if count > self.0.len() / least { Err(WireError::Short) } else { Ok(count) }
    }

    fn bytes(&mut self) -> Result<Option<Bytes>, WireError> {
        match self.i32()? {
            -1 => Ok(None),
            length => {
                let length =
                    usize::try_from(length).map_err(|_| WireError::Malformed("a length is below -1"))?;
                if length > self.0.len() {
                    return Err(WireError::Short);
                }
                Ok(Some(self.0.split_to(length)))
            }
        }
    }

    fn header(&mut self) -> Result<Header, WireError> {
        let name = self.bytes()?.ok_or(WireError::Malformed("a header has no name"))?;
        let name = String::from_utf8(name.to_vec())
            .map_err(|_| WireError::Malformed("a header's name is not UTF-8"))?;
        Ok(Header { name: Cow::Owned(name), value: self.bytes()? })
    }

    fn headers(&mut self) -> Result<Vec<Header>, WireError> {
        let count = self.count(MIN_HEADER_BYTES)?;
        (0..count).map(|_| self.header()).collect()
    }

    fn stored(&mut self) -> Result<StoredRecord, WireError> {
        Ok(StoredRecord {
            partition: self.u32()?,
            offset: self.i64()?,
            timestamp: self.i64()?,
            key: self.bytes()?,
            value: self.bytes()?,
            headers: self.headers()?,
            cursor: self.cursor()?,
        })
    }

    fn cursor(&mut self) -> Result<Cursor, WireError> {
        match self.u8()? {
            IN_JOURNAL => {
                let (topic_id, position, records) = (self.u64()?, self.u64()?, self.u32()?);
                Ok(Cursor::Journal(JournalCursor { topic_id, position, records }))
            }
            IN_PARTITIONS => {
                let topic_id = self.u64()?;
                let count = self.count(OFFSET_BYTES)?;
                if count > MAX_PARTITIONS {
                    return Err(WireError::Malformed("a cursor has more partitions than a topic"));
                }
                let offsets = (0..count).map(|_| self.i64()).collect::<Result<_, _>>()?;
                Ok(Cursor::Offsets(OffsetsCursor::new(topic_id, offsets)))
            }
            _ => Err(WireError::Malformed("a cursor is of a kind that is not known")),
        }
    }

    fn new_record(&mut self) -> Result<NewRecord, WireError> {
        let partition = match self.i32()? {
            -1 => None,
            number => {
                Some(u32::try_from(number).map_err(|_| WireError::Malformed("a partition is below -1"))?)
            }
        };
        let has_timestamp = self.flag()?;
        let timestamp = self.i64()?;
        Ok(NewRecord {
            partition,
            timestamp: has_timestamp.then_some(timestamp),
            key: self.bytes()?,
            value: self.bytes()?,
            headers: self.headers()?,
        })
    }

    fn end(&self) -> Result<(), WireError> {
        match self.0.len() {
            0 => Ok(()),
            left => Err(WireError::Trailing(left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &'static str, value: Option<&'static [u8]>) -> Header {
        Header { name: Cow::Borrowed(name), value: value.map(Bytes::from_static) }
    }

    fn page() -> Page {
        let cursor = Cursor::Journal(JournalCursor { topic_id: u64::MAX, position: 7, records: 3 });
        let record = StoredRecord {
            partition: 2,
            offset: i64::MAX - 1,
            timestamp: -5,
            key: None,
            value: Some(Bytes::from_static(b"\xff\0")),
            headers: vec![header("a", Some(b"1")), header("a", None), header("", Some(b""))],
            cursor,
        };
        let tombstone = StoredRecord {
            key: Some(Bytes::new()),
            value: None,
            headers: vec![],
            offset: 9,
            cursor: Cursor::Offsets(OffsetsCursor::new(3, vec![10, 0, i64::MAX])),
            ..record.clone()
        };
        let gaps = vec![Gap { partition: 2, from: 1, to: 8 }];
        Page { records: vec![record, tombstone], next_offset: 10, log_start: 1, high_watermark: 12, gaps }
    }

    fn append() -> WireAppend {
        let record = NewRecord {
            key: Some(Bytes::from_static(b"k")),
            value: None,
            headers: vec![header("h", Some(b"v")), header("h", None)],
            partition: Some(4),
            timestamp: Some(-1),
        };
        WireAppend { fingerprint: Some(u64::MAX), records: vec![record, NewRecord::default()] }
    }

    #[test]
    fn what_is_written_reads_back_as_the_same() {
        let (sent, got) = (page(), decode_page(encode_page(&page())).unwrap());
        assert_eq!((got.next_offset, got.log_start, got.high_watermark), (10, 1, 12));
        assert_eq!((got.records, got.gaps), (sent.records, sent.gaps));
        for sent in [append(), WireAppend::default()] {
            assert_eq!(decode_append(encode_append(&sent)), Ok(sent));
        }
    }

    #[test]
    fn the_bytes_are_those_of_version_2() {
        let record = NewRecord { value: Some(Bytes::from_static(b"v")), ..NewRecord::default() };
        let golden = [
            &[2, 2, 0][..],
            &[0; 8],
            &[0, 0, 0, 1],
            &[0xff; 4],
            &[0; 9],
            &[0xff; 4],
            &[0, 0, 0, 1, b'v'],
            &[0; 4],
        ]
        .concat();
        assert_eq!(encode_append(&WireAppend { fingerprint: None, records: vec![record] }), golden);

        let in_journal = JournalCursor { topic_id: 1, position: 2, records: 3 };
        let in_partitions = OffsetsCursor::new(1, vec![]).behind_each([(1, 4)].into_iter()).remove(0);
        let golden = [[&[0][..], &[0; 7], &[1], &[0; 7], &[2], &[0; 3], &[3]].concat(), {
            [&[1][..], &[0; 7], &[1], &[0; 3], &[2], &[0; 8], &[0; 7], &[5]].concat()
        }];
        for (cursor, golden) in
            [Cursor::Journal(in_journal), Cursor::Offsets(in_partitions)].iter().zip(golden)
        {
            let mut bytes = BytesMut::new();
            put_cursor(&mut bytes, cursor);
            assert_eq!(bytes, golden);
        }
    }

    #[test]
    fn what_is_cut_or_longer_is_refused_wherever_it_ends() {
        for (whole, decode) in [
            (encode_page(&page()), (|bytes| decode_page(bytes).err()) as fn(Bytes) -> Option<WireError>),
            (encode_append(&append()), |bytes| decode_append(bytes).err()),
        ] {
            for end in 0..whole.len() {
                assert_eq!(decode(whole.slice(..end)), Some(WireError::Short), "{end}");
            }
            let longer = Bytes::from([&whole[..], b"x"].concat());
            assert_eq!(decode(longer), Some(WireError::Trailing(1)));
        }
    }

    #[test]
    fn a_count_that_can_not_be_takes_no_memory() {
        let mut bytes = vec![VERSION, PAGE];
        bytes.extend([0; 24]);
        bytes.extend([0xff; 8]);
        assert_eq!(decode_page(Bytes::from(bytes)).err(), Some(WireError::Short));
        let mut bytes = vec![VERSION, APPEND, 0];
        bytes.extend([0; 8]);
        bytes.extend([0xff; 40]);
        assert_eq!(decode_append(Bytes::from(bytes)), Err(WireError::Short));
    }

    #[test]
    fn a_cursor_has_no_more_partitions_than_a_topic() {
        let cursor = |bytes: Vec<u8>| Input(Bytes::from(bytes)).cursor();
        let of = |count: u32, offsets: usize| {
            [&[IN_PARTITIONS][..], &[0; 8], &count.to_be_bytes(), &vec![0; OFFSET_BYTES * offsets]].concat()
        };
        assert!(cursor(of(10_000, 10_000)).is_ok());
        assert_eq!(
            cursor(of(10_001, 10_001)),
            Err(WireError::Malformed("a cursor has more partitions than a topic"))
        );
        assert_eq!(cursor(of(u32::MAX, 2)), Err(WireError::Short));
        assert_eq!(cursor(vec![2; 30]), Err(WireError::Malformed("a cursor is of a kind that is not known")));
    }

    #[test]
    fn another_version_or_kind_is_said_to_be_that() {
        assert_eq!(decode_page(Bytes::from_static(&[1, 1])).err(), Some(WireError::Version(1)));
        assert_eq!(decode_page(encode_append(&append())).err(), Some(WireError::Kind(2)));
        assert_eq!(
            decode_append(Bytes::from_static(&[2, 2, 7])),
            Err(WireError::Malformed("a flag is neither 0 nor 1"))
        );
    }

    #[test]
    fn random_bytes_never_break_the_reader() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for whole in [encode_page(&page()), encode_append(&append())] {
            for _ in 0..20_000 {
                let mut bytes = whole.to_vec();
                for _ in 0..3 {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let at = usize::try_from(state >> 33).unwrap_or(0) % bytes.len();
                    bytes[at] = state.to_be_bytes()[7 - at % 4];
                }
                let _ = decode_page(Bytes::from(bytes.clone()));
                let _ = decode_append(Bytes::from(bytes));
            }
        }
    }
}
