//! What can be wrong with bytes that claim to be a record batch.

use std::fmt;

use super::Compression;
use crate::BrokerError;

/// Why bytes are not a record batch that may be stored or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchError {
    /// There are fewer bytes than the header takes, or than it says.
    Truncated {
        /// Bytes there should be.
        needed: usize,
        /// Bytes there are.
        given: usize,
    },
    /// More bytes follow than the batch has.
    Trailing {
        /// Bytes behind its end.
        bytes: usize,
    },
    /// The format is not version 2.
    Magic {
        /// The version it says.
        magic: i8,
    },
    /// The length field is smaller than a header.
    Length {
        /// What it says.
        length: i32,
    },
    /// The checksum doesn't fit the content.
    Checksum {
        /// What the header says.
        stored: u32,
        /// What the content gives.
        computed: u32,
    },
    /// The count is not positive or not the last offset delta plus one.
    Count {
        /// The count of records.
        count: i32,
        /// The last offset delta.
        last_offset_delta: i32,
    },
    /// The bytes can't hold so many records.
    CountBeyondBytes {
        /// The count of records.
        count: i32,
        /// Bytes behind the header.
        bytes: usize,
    },
    /// The base offset is negative, makes the last one overflow, or isn't 0 in a batch from a producer.
    BaseOffset {
        /// The base offset.
        base_offset: i64,
    },
    /// There is a producer id, but no sequence or no epoch.
    Sequence {
        /// The producer epoch.
        producer_epoch: i16,
        /// The base sequence.
        base_sequence: i32,
    },
    /// A producer may not write control batches.
    Control,
    /// A producer may not say that its timestamps are the log's.
    LogAppendTime,
    /// Codec 5, 6 or 7.
    UnknownCompression {
        /// The codec's number.
        codec: u8,
    },
    /// The records are compressed: they can't be looked at here.
    Compressed(Compression),
    /// One record is not well-formed.
    Record {
        /// Which one, counted from 0.
        index: u32,
        /// What is wrong with it.
        fault: RecordFault,
    },
}

/// What is wrong with one record of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordFault {
    /// A number is cut off or doesn't fit its type.
    Number,
    /// The record's length is negative or reaches beyond the batch.
    Length,
    /// The key's length is below -1 or reaches beyond the record.
    Key,
    /// The value's length is below -1 or reaches beyond the record.
    Value,
    /// The number of headers is negative or more than the record can hold.
    HeaderCount,
    /// A header's name has no length or reaches beyond the record.
    HeaderName,
    /// A header's value has a length below -1 or reaches beyond the record.
    HeaderValue,
    /// Offsets don't rise by one from record to record.
    Offset,
    /// Bytes are left behind the last header.
    Trailing,
}

impl BatchError {
    /// The rule that is broken, as a phrase that can follow "the record batch is invalid: ".
    #[must_use]
    pub fn why(&self) -> &'static str {
        match self {
            Self::Truncated { .. } => "it is shorter than it says",
            Self::Trailing { .. } => "bytes follow behind its end",
            Self::Magic { .. } => "its format (magic) is not version 2",
            Self::Length { .. } => "its length is smaller than a batch header",
            Self::Checksum { .. } => "its CRC-32C does not fit its content",
            Self::Count { .. } => "its record count is not positive or not its last offset delta plus one",
            Self::CountBeyondBytes { .. } => "it is too short for its record count",
            Self::BaseOffset { .. } => {
                "its base offset is negative, too large, or not 0 as a producer's must be"
            }
            Self::Sequence { .. } => "it has a producer id without a sequence and an epoch",
            Self::Control => "only the broker writes control batches",
            Self::LogAppendTime => "only the broker sets timestamps of type LogAppendTime",
            Self::UnknownCompression { .. } => "its compression codec is unknown",
            Self::Compressed(_) => "its records are compressed",
            Self::Record { fault, .. } => fault.why(),
        }
    }
}

impl RecordFault {
    fn why(self) -> &'static str {
        match self {
            Self::Number => "a number in a record is cut off or too large",
            Self::Length => "a record's length reaches beyond the batch",
            Self::Key => "a record's key reaches beyond the record",
            Self::Value => "a record's value reaches beyond the record",
            Self::HeaderCount => "a record has not as many headers as it says",
            Self::HeaderName => "a header's name is null or reaches beyond its record",
            Self::HeaderValue => "a header's value reaches beyond its record",
            Self::Offset => "the offsets of its records don't rise by one",
            Self::Trailing => "bytes are left behind a record's last header",
        }
    }
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.why())
    }
}

impl std::error::Error for BatchError {}

impl From<BatchError> for BrokerError {
    fn from(error: BatchError) -> Self {
        Self::InvalidBatch { why: error.why() }
    }
}
