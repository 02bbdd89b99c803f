//! The 61 bytes in front of a batch's records: reading them, and setting the few that a broker sets.

use super::BatchError;

/// Bytes of a batch in front of its records.
pub const BATCH_HEADER_BYTES: usize = 61;

/// Bytes that the length field doesn't count: the base offset and itself.
const BEFORE_LENGTH_COUNTS: usize = 12;

const BASE_OFFSET: usize = 0;
const LENGTH: usize = 8;
const LEADER_EPOCH: usize = 12;
const MAGIC: usize = 16;
const CRC: usize = 17;
/// The checksum covers everything from here on.
pub(super) const ATTRIBUTES: usize = 21;
const LAST_OFFSET_DELTA: usize = 23;
const BASE_TIMESTAMP: usize = 27;
const MAX_TIMESTAMP: usize = 35;
const PRODUCER_ID: usize = 43;
const PRODUCER_EPOCH: usize = 51;
const BASE_SEQUENCE: usize = 53;
const COUNT: usize = 57;

const CODEC_BITS: i16 = 0x07;
const LOG_APPEND_TIME_BIT: i16 = 0x08;
const TRANSACTIONAL_BIT: i16 = 0x10;
const CONTROL_BIT: i16 = 0x20;

/// The fields of a batch header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Bytes behind the length field.
    pub batch_length: i32,
    /// Epoch of the leader that stored it; -1 from a producer.
    pub partition_leader_epoch: i32,
    /// Version of the format: always 2.
    pub magic: i8,
    /// CRC-32C of everything behind it.
    pub crc: u32,
    /// Codec, kind of timestamps, transactional, control: see the methods.
    pub attributes: i16,
    /// Offset of the last record, relative to the first.
    pub last_offset_delta: i32,
    /// The timestamp that those of the records are relative to.
    pub base_timestamp: i64,
    /// The newest timestamp, or that of all records with [`TimestampType::LogAppend`].
    pub max_timestamp: i64,
    /// The idempotent producer's id, or -1.
    pub producer_id: i64,
    /// That producer's epoch, or -1.
    pub producer_epoch: i16,
    /// Sequence number of the first record, or -1.
    pub base_sequence: i32,
    /// How many records there are.
    pub record_count: i32,
}

/// How the records behind the header are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// Codec 1.
    Gzip,
    /// Codec 2.
    Snappy,
    /// Codec 3.
    Lz4,
    /// Codec 4.
    Zstd,
}

/// What the timestamps say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampType {
    /// When the producer says the record was made: each record has its own.
    #[default]
    Create,
    /// When the log took the batch: all its records have the same.
    LogAppend,
}

impl BatchHeader {
    /// Reads the header of a batch of version 2. The length is checked to cover a header and the codec to be known;
    /// nothing behind the header is looked at (see [`validate`](super::validate)).
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        // The version first: batches of older ones may well be shorter than this header.
        if let Some(&magic) = bytes.get(MAGIC)
            && magic != 2
        {
            return Err(BatchError::Magic { magic: magic.cast_signed() });
        }
        let Some(head) = bytes.first_chunk::<BATCH_HEADER_BYTES>() else {
            return Err(BatchError::Truncated { needed: BATCH_HEADER_BYTES, given: bytes.len() });
        };
        let header = Self {
            base_offset: i64::from_be_bytes(field(head, BASE_OFFSET)),
            batch_length: i32::from_be_bytes(field(head, LENGTH)),
            partition_leader_epoch: i32::from_be_bytes(field(head, LEADER_EPOCH)),
            magic: 2,
            crc: u32::from_be_bytes(field(head, CRC)),
            attributes: i16::from_be_bytes(field(head, ATTRIBUTES)),
            last_offset_delta: i32::from_be_bytes(field(head, LAST_OFFSET_DELTA)),
            base_timestamp: i64::from_be_bytes(field(head, BASE_TIMESTAMP)),
            max_timestamp: i64::from_be_bytes(field(head, MAX_TIMESTAMP)),
            producer_id: i64::from_be_bytes(field(head, PRODUCER_ID)),
            producer_epoch: i16::from_be_bytes(field(head, PRODUCER_EPOCH)),
            base_sequence: i32::from_be_bytes(field(head, BASE_SEQUENCE)),
            record_count: i32::from_be_bytes(field(head, COUNT)),
        };
        if header.batch_length < (BATCH_HEADER_BYTES - BEFORE_LENGTH_COUNTS) as i32 {
            return Err(BatchError::Length { length: header.batch_length });
        }
        match header.attributes & CODEC_BITS {
            0..=4 => Ok(header),
            codec => Err(BatchError::UnknownCompression { codec: codec as u8 }),
        }
    }

    /// How the records are compressed.
    #[must_use]
    pub fn compression(&self) -> Compression {
        match self.attributes & CODEC_BITS {
            0 => Compression::None,
            1 => Compression::Gzip,
            2 => Compression::Snappy,
            3 => Compression::Lz4,
            _ => Compression::Zstd,
        }
    }

    /// Whether the batch holds markers of transactions instead of records.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }

    /// Whether the batch belongs to a transaction.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    /// What the timestamps say.
    #[must_use]
    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes & LOG_APPEND_TIME_BIT == 0 {
            TimestampType::Create
        } else {
            TimestampType::LogAppend
        }
    }

    /// Offset of the last record.
    #[must_use]
    pub fn last_offset(&self) -> i64 {
        self.base_offset.wrapping_add(i64::from(self.last_offset_delta))
    }

    /// Bytes of the whole batch, header included. At most 2 GiB: what the wire says, not what there is.
    #[must_use]
    pub fn total_size(&self) -> usize {
        self.batch_length as usize + BEFORE_LENGTH_COUNTS
    }

    /// A record's timestamp from its delta. Wraps around as Apache Kafka does, so that any pair comes back.
    #[must_use]
    pub fn timestamp(&self, delta: i64) -> i64 {
        match self.timestamp_type() {
            TimestampType::Create => self.base_timestamp.wrapping_add(delta),
            TimestampType::LogAppend => self.max_timestamp,
        }
    }
}

/// Gives a batch its place in the partition. The checksum doesn't cover it.
///
/// # Panics
/// When `batch` is shorter than a header.
pub fn set_base_offset(batch: &mut [u8], offset: i64) {
    put(batch, BASE_OFFSET, offset.to_be_bytes());
}

/// Notes the epoch of the leader that stores a batch. The checksum doesn't cover it.
///
/// # Panics
/// When `batch` is shorter than a header.
pub fn set_leader_epoch(batch: &mut [u8], epoch: i32) {
    put(batch, LEADER_EPOCH, epoch.to_be_bytes());
}

/// Makes `ms` the timestamp of all records of a whole batch, and seals it again.
///
/// # Panics
/// When `batch` is shorter than a header.
pub fn set_log_append_time(batch: &mut [u8], ms: i64) {
    let attributes = i16::from_be_bytes(field(batch, ATTRIBUTES)) | LOG_APPEND_TIME_BIT;
    put(batch, ATTRIBUTES, attributes.to_be_bytes());
    put(batch, MAX_TIMESTAMP, ms.to_be_bytes());
    let crc = crc32c::crc32c(&batch[ATTRIBUTES..]);
    put(batch, CRC, crc.to_be_bytes());
}

/// What a new batch says in front of its records.
pub(super) struct NewHeader {
    pub(super) base_offset: i64,
    pub(super) timestamp_type: TimestampType,
    pub(super) base_timestamp: i64,
    pub(super) max_timestamp: i64,
    pub(super) record_count: i32,
}

/// Writes the header over the first bytes of a whole batch, and seals it. No producer, no leader, not compressed.
pub(super) fn seal(batch: &mut [u8], header: &NewHeader) {
    let length =
        i32::try_from(batch.len() - BEFORE_LENGTH_COUNTS).expect("a batch is bounded far below 2 GiB");
    let attributes = match header.timestamp_type {
        TimestampType::Create => 0,
        TimestampType::LogAppend => LOG_APPEND_TIME_BIT,
    };
    put(batch, BASE_OFFSET, header.base_offset.to_be_bytes());
    put(batch, LENGTH, length.to_be_bytes());
    put(batch, LEADER_EPOCH, (-1_i32).to_be_bytes());
    put(batch, MAGIC, [2]);
    put(batch, ATTRIBUTES, attributes.to_be_bytes());
    put(batch, LAST_OFFSET_DELTA, (header.record_count - 1).to_be_bytes());
    put(batch, BASE_TIMESTAMP, header.base_timestamp.to_be_bytes());
    put(batch, MAX_TIMESTAMP, header.max_timestamp.to_be_bytes());
    put(batch, PRODUCER_ID, (-1_i64).to_be_bytes());
    put(batch, PRODUCER_EPOCH, (-1_i16).to_be_bytes());
    put(batch, BASE_SEQUENCE, (-1_i32).to_be_bytes());
    put(batch, COUNT, header.record_count.to_be_bytes());
    let crc = crc32c::crc32c(&batch[ATTRIBUTES..]);
    put(batch, CRC, crc.to_be_bytes());
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("the header is whole")
}

fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{validate, vectors};

    #[test]
    fn fields_are_where_kafka_writes_them() {
        let header = BatchHeader::parse(&vectors::idempotent()).unwrap();
        assert_eq!(
            header,
            BatchHeader {
                base_offset: 0,
                batch_length: 58,
                partition_leader_epoch: -1,
                magic: 2,
                crc: 0x278a_056a,
                attributes: 0x10,
                last_offset_delta: 0,
                base_timestamp: 5,
                max_timestamp: 5,
                producer_id: 4711,
                producer_epoch: 3,
                base_sequence: i32::MAX,
                record_count: 1,
            }
        );
        assert!(header.is_transactional() && !header.is_control());
        assert_eq!(header.total_size(), 70);

        let header = BatchHeader::parse(&vectors::mixed()).unwrap();
        assert_eq!((header.base_offset, header.last_offset(), header.record_count), (42, 46, 5));
        assert_eq!((header.base_timestamp, header.max_timestamp), (1_700_000_000_000, 1_700_000_000_005));
        assert_eq!(
            (header.compression(), header.timestamp_type()),
            (Compression::None, TimestampType::Create)
        );
        assert_eq!(header.total_size(), vectors::mixed().len());

        assert_eq!(BatchHeader::parse(&vectors::gzip()).unwrap().compression(), Compression::Gzip);
        let control = BatchHeader::parse(&vectors::control()).unwrap();
        assert!(control.is_control() && control.is_transactional());
    }

    #[test]
    fn a_broker_sets_offset_and_epoch_without_resealing() {
        let mut batch = vectors::mixed();
        set_base_offset(&mut batch, 1 << 40);
        set_leader_epoch(&mut batch, 9);
        let header = validate(&batch).unwrap();
        assert_eq!((header.base_offset, header.partition_leader_epoch), (1 << 40, 9));
    }

    #[test]
    fn log_append_time_is_set_as_kafka_sets_it() {
        let mut batch = vectors::mixed();
        set_log_append_time(&mut batch, 1_700_000_123_456);
        assert_eq!(batch, vectors::log_append_time());
        assert_eq!(validate(&batch).unwrap().timestamp(5), 1_700_000_123_456);
    }
}
