//! Kafka's record batch, version 2: the one form in which records are stored, sent and received.
//!
//! ```text
//! at  bytes  field                    at  bytes  field
//!  0      8  base offset              23      4  last offset delta
//!  8      4  length behind this field 27      8  base timestamp
//! 12      4  partition leader epoch   35      8  max timestamp
//! 16      1  magic, 2                 43      8  producer id
//! 17      4  CRC-32C of all from 21   51      2  producer epoch
//! 21      2  attributes               53      4  base sequence
//!                                     57      4  count of records, which follow from 61 on
//! ```
//!
//! All numbers are big-endian. The checksum starts at the attributes, so that a broker sets base offset and leader epoch
//! without touching what the producer sealed. A record is a length and then attributes, timestamp delta, offset delta,
//! key, value and headers, with every number a zigzag varint (`varint.rs`).

mod builder;
mod error;
mod header;
mod records;
mod validate;
mod varint;

#[cfg(test)]
mod vectors;

pub use builder::BatchBuilder;
pub use error::{BatchError, RecordFault};
pub use header::{
    BATCH_HEADER_BYTES, BatchHeader, Compression, TimestampType, set_base_offset, set_leader_epoch,
    set_log_append_time,
};
pub use records::{BatchPlace, HeaderView, RecordHeaders, RecordView, Records, StoredRecords};
pub use validate::{check_records, validate, validate_produced};
