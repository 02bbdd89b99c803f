//! Reading the records of an uncompressed batch, one after the other, without copying keys and values.

use bytes::Bytes;

use super::{
    BATCH_HEADER_BYTES, BatchError, BatchHeader, Compression, RecordFault,
    varint::{take_varint, take_varlong},
};
use crate::{Cursor, Header, JournalCursor, StoredRecord};

/// One record, borrowed from its batch. `Bytes::slice_ref` makes a key or value of a shared batch outlive it.
#[derive(Clone, Debug)]
pub struct RecordView<'a> {
    /// Its offset, relative to the batch's base offset.
    pub offset_delta: i32,
    /// Its timestamp, relative to the batch's base timestamp (see [`BatchHeader::timestamp`]).
    pub timestamp_delta: i64,
    /// The key's bytes.
    pub key: Option<&'a [u8]>,
    /// The value's bytes; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// The headers, read as they are asked for.
    pub headers: RecordHeaders<'a>,
}

/// Name and value of a header. The name should be UTF-8, but nobody has checked.
pub type HeaderView<'a> = (&'a [u8], Option<&'a [u8]>);

/// The headers of one record.
///
/// The last item is an error when the headers don't fill their record; nothing follows an error.
#[derive(Clone, Debug)]
pub struct RecordHeaders<'a> {
    rest: &'a [u8],
    left: u32,
    failed: bool,
}

/// The records of an uncompressed batch. The checksum is not checked ([`validate`](super::validate) does that).
///
/// The last item is an error when the records don't fill the batch; nothing follows an error.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    header: BatchHeader,
    rest: &'a [u8],
    index: u32,
    failed: bool,
}

/// Where a batch is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchPlace {
    /// The topic's id.
    pub topic_id: u64,
    /// The partition.
    pub partition: u32,
    /// Journal position at which the batch was first written.
    pub position: u64,
}

/// The records of a stored batch, from an offset on, sharing the batch's bytes.
#[derive(Clone, Debug)]
pub struct StoredRecords {
    batch: Bytes,
    place: BatchPlace,
    from: i64,
    header: BatchHeader,
    /// Where the next record starts in the batch.
    at: usize,
    index: u32,
    failed: bool,
}

impl<'a> Records<'a> {
    /// Reads the header of one whole batch.
    pub fn new(batch: &'a [u8]) -> Result<Self, BatchError> {
        let header = readable(batch)?;
        Ok(Self { header, rest: &batch[BATCH_HEADER_BYTES..header.total_size()], index: 0, failed: false })
    }

    /// The batch's header.
    #[must_use]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordView<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let item = next_record(&self.header, &mut self.rest, &mut self.index).transpose()?;
        self.failed = item.is_err();
        Some(item)
    }
}

impl StoredRecords {
    /// The records of one whole batch that have offset `from` or a later one.
    pub fn new(batch: Bytes, place: BatchPlace, from: i64) -> Result<Self, BatchError> {
        let header = readable(&batch)?;
        Ok(Self { batch, place, from, header, at: BATCH_HEADER_BYTES, index: 0, failed: false })
    }

    /// The batch's header.
    #[must_use]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    fn advance(&mut self) -> Result<Option<StoredRecord>, BatchError> {
        let end = self.header.total_size();
        loop {
            let mut rest = &self.batch[self.at..end];
            let index = self.index;
            let Some(view) = next_record(&self.header, &mut rest, &mut self.index)? else { return Ok(None) };
            self.at = end - rest.len();
            let offset = self.header.base_offset.wrapping_add(i64::from(view.offset_delta));
            if offset >= self.from {
                return self
                    .stored(offset, &view)
                    .map(Some)
                    .map_err(|fault| BatchError::Record { index, fault });
            }
        }
    }

    fn stored(&self, offset: i64, view: &RecordView<'_>) -> Result<StoredRecord, RecordFault> {
        let share = |part: &[u8]| self.batch.slice_ref(part);
        let mut headers = Vec::new();
        for field in view.headers.clone() {
            let (name, value) = field?;
            // Kafka's clients may send names that aren't UTF-8; a record is not to be lost to readers for that.
            headers.push(Header {
                name: String::from_utf8_lossy(name).into_owned().into(),
                value: value.map(share),
            });
        }
        // Counted by offset, so that a cursor means the same place when a record before it was compacted away.
        let records = view.offset_delta.cast_unsigned().wrapping_add(1);
        Ok(StoredRecord {
            partition: self.place.partition,
            offset,
            timestamp: self.header.timestamp(view.timestamp_delta),
            key: view.key.map(share),
            value: view.value.map(share),
            headers,
            cursor: Cursor::Journal(JournalCursor {
                topic_id: self.place.topic_id,
                position: self.place.position,
                records,
            }),
        })
    }
}

impl Iterator for StoredRecords {
    type Item = Result<StoredRecord, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let item = self.advance().transpose()?;
        self.failed = item.is_err();
        Some(item)
    }
}

impl<'a> Iterator for RecordHeaders<'a> {
    type Item = Result<HeaderView<'a>, RecordFault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let item = self.advance().transpose()?;
        self.failed = item.is_err();
        Some(item)
    }
}

impl<'a> RecordHeaders<'a> {
    fn advance(&mut self) -> Result<Option<HeaderView<'a>>, RecordFault> {
        if self.left == 0 {
            return if self.rest.is_empty() { Ok(None) } else { Err(RecordFault::Trailing) };
        }
        let name = take_part(&mut self.rest, RecordFault::HeaderName)?.ok_or(RecordFault::HeaderName)?;
        let value = take_part(&mut self.rest, RecordFault::HeaderValue)?;
        self.left -= 1;
        Ok(Some((name, value)))
    }
}

fn readable(batch: &[u8]) -> Result<BatchHeader, BatchError> {
    let header = BatchHeader::parse(batch)?;
    if batch.len() < header.total_size() {
        return Err(BatchError::Truncated { needed: header.total_size(), given: batch.len() });
    }
    match header.compression() {
        Compression::None => Ok(header),
        codec => Err(BatchError::Compressed(codec)),
    }
}

/// Takes the record number `index` off the front of `rest`; `None` behind the last one.
fn next_record<'a>(
    header: &BatchHeader,
    rest: &mut &'a [u8],
    index: &mut u32,
) -> Result<Option<RecordView<'a>>, BatchError> {
    if i64::from(*index) >= i64::from(header.record_count) {
        return if rest.is_empty() { Ok(None) } else { Err(BatchError::Trailing { bytes: rest.len() }) };
    }
    let view = take_record(rest).map_err(|fault| BatchError::Record { index: *index, fault })?;
    *index += 1;
    Ok(Some(view))
}

fn take_record<'a>(rest: &mut &'a [u8]) -> Result<RecordView<'a>, RecordFault> {
    let length = take_varint(rest).ok_or(RecordFault::Number)?;
    let length = usize::try_from(length).map_err(|_| RecordFault::Length)?;
    let (mut body, behind) = rest.split_at_checked(length).ok_or(RecordFault::Length)?;
    *rest = behind;
    let body = &mut body;
    // The attributes of a record: none are defined, Kafka ignores them too.
    *body = body.get(1..).ok_or(RecordFault::Length)?;
    let timestamp_delta = take_varlong(body).ok_or(RecordFault::Number)?;
    let offset_delta = take_varint(body).ok_or(RecordFault::Number)?;
    let key = take_part(body, RecordFault::Key)?;
    let value = take_part(body, RecordFault::Value)?;
    let headers = take_varint(body).ok_or(RecordFault::Number)?;
    let left = u32::try_from(headers).map_err(|_| RecordFault::HeaderCount)?;
    // A header takes two bytes at least: a count that lies is found before anyone loops over it.
    if left as usize > body.len() / 2 {
        return Err(RecordFault::HeaderCount);
    }
    let headers = RecordHeaders { rest: body, left, failed: false };
    Ok(RecordView { offset_delta, timestamp_delta, key, value, headers })
}

/// Takes a length and that many bytes off the front; -1 is null.
fn take_part<'a>(body: &mut &'a [u8], fault: RecordFault) -> Result<Option<&'a [u8]>, RecordFault> {
    let length = take_varint(body).ok_or(RecordFault::Number)?;
    if length == -1 {
        return Ok(None);
    }
    let length = usize::try_from(length).map_err(|_| fault)?;
    let (part, behind) = body.split_at_checked(length).ok_or(fault)?;
    *body = behind;
    Ok(Some(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::vectors;

    const PLACE: BatchPlace = BatchPlace { topic_id: 9, partition: 2, position: 1000 };

    fn stored(batch: Vec<u8>, from: i64) -> Vec<StoredRecord> {
        StoredRecords::new(batch.into(), PLACE, from).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn records_of_kafkas_client_are_read() {
        let records = stored(vectors::mixed(), 0);
        let keys: Vec<_> = records.iter().map(|r| r.key.as_deref()).collect();
        assert_eq!(keys, [Some(&b"k1"[..]), None, Some(b"gone"), Some(b""), None]);
        let values: Vec<_> = records.iter().map(|r| r.value.as_deref()).collect();
        assert_eq!(values, [Some(&b"{\"n\":1}"[..]), Some(b"no key"), None, Some(b""), None]);
        let timestamps: Vec<_> = records.iter().map(|r| r.timestamp - 1_700_000_000_000).collect();
        assert_eq!(timestamps, [0, 5, -1000, 5, 5]);
        let headers: Vec<_> =
            records[3].headers.iter().map(|h| (h.name.as_ref(), h.value.as_deref())).collect();
        let expected: [(&str, Option<&[u8]>); 5] = [
            ("content-type", Some(b"application/json")),
            ("h", Some(b"1")),
            ("h", None),
            ("", Some(b"")),
            ("größe", Some(&[0, 255])),
        ];
        assert_eq!(headers, expected);
        assert!(records[4].headers.is_empty());
        assert_eq!(records[4].offset, 46);
        assert_eq!(records[4].partition, 2);
        let last = JournalCursor { topic_id: 9, position: 1000, records: 5 };
        assert_eq!(records[4].cursor, Cursor::Journal(last));
    }

    #[test]
    fn reading_starts_at_the_offset_asked_for() {
        for (from, offsets) in [(43, 43..47), (46, 46..47), (47, 47..47), (i64::MAX, 0..0), (-5, 42..47)] {
            let read: Vec<_> = stored(vectors::mixed(), from).iter().map(|r| r.offset).collect();
            assert_eq!(read, offsets.collect::<Vec<_>>(), "from {from}");
        }
    }

    #[test]
    fn log_append_time_is_the_time_of_all() {
        assert!(stored(vectors::log_append_time(), 0).iter().all(|r| r.timestamp == 1_700_000_123_456));
    }

    #[test]
    fn timestamps_may_be_further_apart_than_32_bits() {
        let timestamps: Vec<_> = stored(vectors::wide_delta(), 0).iter().map(|r| r.timestamp).collect();
        assert_eq!(timestamps, [0, 4_000_000_000_000]);
    }

    #[test]
    fn compressed_records_are_refused_by_name() {
        let error = StoredRecords::new(vectors::gzip().into(), PLACE, 0).unwrap_err();
        assert_eq!(error, BatchError::Compressed(Compression::Gzip));
        assert_eq!(Records::new(&vectors::gzip()).unwrap_err(), error);
    }

    #[test]
    fn values_share_the_batch() {
        let batch = Bytes::from(vectors::mixed());
        let range = batch.as_ptr_range();
        for record in StoredRecords::new(batch.clone(), PLACE, 0).unwrap() {
            let record = record.unwrap();
            for part in [record.key, record.value].into_iter().flatten().filter(|p| !p.is_empty()) {
                assert!(range.contains(&part.as_ptr()));
            }
        }
    }

    /// The only record of the vector `idempotent`, whose bytes start at 61: length, attributes, timestamp delta, offset
    /// delta, key length, key, value length, value, number of headers.
    fn fault_with(at: usize, byte: u8) -> BatchError {
        let mut batch = vectors::idempotent();
        batch[at] = byte;
        Records::new(&batch).unwrap().find_map(Result::err).unwrap()
    }

    #[test]
    fn lengths_that_lie_are_errors() {
        use RecordFault as F;
        for (at, byte, fault) in [
            (61, 0x7e, F::Length),      // a record longer than the batch
            (61, 0x01, F::Length),      // of length -1
            (61, 0x00, F::Length),      // of no length
            (65, 0x03, F::Key),         // key of length -2
            (65, 0x7e, F::Key),         // key beyond the record
            (67, 0x03, F::Value),       // value of length -2
            (67, 0x7e, F::Value),       // value beyond the record
            (69, 0x02, F::HeaderCount), // one header, no bytes
            (69, 0x01, F::HeaderCount), // -1 headers
            (69, 0x80, F::Number),      // a number that doesn't end
        ] {
            assert_eq!(fault_with(at, byte), BatchError::Record { index: 0, fault }, "byte {at} = {byte}");
        }
        // A record that ends early leaves bytes that nobody owns.
        assert!(matches!(fault_with(61, 0x0e), BatchError::Record { .. }));
    }

    #[test]
    fn bytes_behind_the_last_record_are_an_error_and_end_the_reading() {
        let mut batch = vectors::mixed();
        batch[57..61].copy_from_slice(&4_i32.to_be_bytes());
        let mut records = Records::new(&batch).unwrap();
        assert_eq!(records.by_ref().take_while(Result::is_ok).count(), 4);
        assert!(records.next().is_none());
        let last = Records::new(&batch).unwrap().last().unwrap();
        assert!(matches!(last, Err(BatchError::Trailing { bytes: 7 })));
    }

    #[test]
    fn headers_that_lie_are_errors_where_they_are_read() {
        // body: attributes, deltas, null key, null value, two headers: "" = "" and what the case says
        for (tail, fault) in [
            (&[0x01, 0x00][..], RecordFault::HeaderName),
            (&[0x00, 0x02], RecordFault::HeaderValue),
            (&[0x00, 0x03], RecordFault::HeaderValue),
            (&[0x00, 0x01, 0x00], RecordFault::Trailing),
        ] {
            let mut batch = vectors::idempotent();
            let body = [&[0, 0, 0, 1, 1, 4, 0, 0], tail].concat();
            batch.truncate(BATCH_HEADER_BYTES);
            batch.push(2 * body.len() as u8);
            batch.extend(&body);
            let length = (batch.len() - 12) as i32;
            batch[8..12].copy_from_slice(&length.to_be_bytes());
            let view = Records::new(&batch).unwrap().next().unwrap().unwrap();
            assert_eq!(view.headers.clone().last(), Some(Err(fault)), "{tail:?}");
            assert!(StoredRecords::new(batch.into(), PLACE, 0).unwrap().next().unwrap().is_err());
        }
    }
}
