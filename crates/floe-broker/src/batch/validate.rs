//! What a batch must be before it is stored, and what is checked again after it was read.

use super::{
    BATCH_HEADER_BYTES, BatchError, BatchHeader, Compression, RecordFault, Records, TimestampType,
    header::ATTRIBUTES,
};

/// A record of nothing: its length and six more bytes.
const SMALLEST_RECORD_BYTES: usize = 7;

/// Checks that `bytes` are exactly one batch: its length, checksum, count and offsets, in this order. Reads each byte once
/// and allocates nothing. Records are not looked at ([`check_records`]); the count of a compressed batch is only known to
/// fit its last offset.
pub fn validate(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
    let header = BatchHeader::parse(bytes)?;
    let size = header.total_size();
    if bytes.len() < size {
        return Err(BatchError::Truncated { needed: size, given: bytes.len() });
    }
    if bytes.len() > size {
        return Err(BatchError::Trailing { bytes: bytes.len() - size });
    }
    let computed = crc32c::crc32c(&bytes[ATTRIBUTES..]);
    if computed != header.crc {
        return Err(BatchError::Checksum { stored: header.crc, computed });
    }
    let (count, last_offset_delta) = (header.record_count, header.last_offset_delta);
    if count <= 0 || last_offset_delta != count - 1 {
        return Err(BatchError::Count { count, last_offset_delta });
    }
    let records = size - BATCH_HEADER_BYTES;
    if header.compression() == Compression::None && records / SMALLEST_RECORD_BYTES < count as usize {
        return Err(BatchError::CountBeyondBytes { count, bytes: records });
    }
    // The last offset is below i64::MAX, so that the one behind it exists as well.
    if header.base_offset < 0 || header.base_offset.checked_add(i64::from(count)).is_none() {
        return Err(BatchError::BaseOffset { base_offset: header.base_offset });
    }
    Ok(header)
}

/// [`validate`], and the rules for a batch that a producer sends: base offset 0, no control batch, timestamps of its
/// own, a sequence and an epoch if there is a producer id.
pub fn validate_produced(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
    let header = validate(bytes)?;
    if header.base_offset != 0 {
        return Err(BatchError::BaseOffset { base_offset: header.base_offset });
    }
    if header.is_control() {
        return Err(BatchError::Control);
    }
    if header.timestamp_type() == TimestampType::LogAppend {
        return Err(BatchError::LogAppendTime);
    }
    let BatchHeader { producer_id, producer_epoch, base_sequence, .. } = header;
    if producer_id >= 0 && (base_sequence < 0 || producer_epoch < 0) {
        return Err(BatchError::Sequence { producer_epoch, base_sequence });
    }
    Ok(header)
}

/// Walks over all records of an uncompressed batch: every length, and offsets that rise by one. Answers the newest
/// timestamp, which a producer may have noted wrongly in the header.
pub fn check_records(batch: &[u8]) -> Result<i64, BatchError> {
    let records = Records::new(batch)?;
    let header = *records.header();
    let mut newest = i64::MIN;
    for (index, record) in (0..).zip(records) {
        let record = record?;
        if i64::from(record.offset_delta) != i64::from(index) {
            return Err(BatchError::Record { index, fault: RecordFault::Offset });
        }
        for field in record.headers {
            field.map_err(|fault| BatchError::Record { index, fault })?;
        }
        newest = newest.max(header.timestamp(record.timestamp_delta));
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    use super::*;
    use crate::{
        BrokerError,
        batch::{set_base_offset, vectors},
    };

    fn patched(at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut batch = vectors::mixed();
        batch[at..at + bytes.len()].copy_from_slice(bytes);
        batch
    }

    fn resealed(mut batch: Vec<u8>) -> Vec<u8> {
        let crc = crc32c::crc32c(&batch[21..]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
        batch
    }

    #[test]
    fn kafkas_batches_are_valid() {
        for batch in [
            vectors::mixed(),
            vectors::log_append_time(),
            vectors::gzip(),
            vectors::idempotent(),
            vectors::wide_delta(),
            vectors::control(),
        ] {
            validate(&batch).unwrap();
        }
        validate_produced(&vectors::idempotent()).unwrap();
        validate_produced(&vectors::gzip()).unwrap();
        assert_eq!(check_records(&vectors::mixed()), Ok(1_700_000_000_005));
        assert_eq!(check_records(&vectors::wide_delta()), Ok(4_000_000_000_000));
        assert_eq!(check_records(&vectors::gzip()), Err(BatchError::Compressed(Compression::Gzip)));
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        let good = vectors::mixed();
        for end in 0..good.len() {
            assert!(matches!(validate(&good[..end]), Err(BatchError::Truncated { .. })), "{end}");
        }
        assert_eq!(
            validate(&[good.clone(), good].concat()),
            Err(BatchError::Trailing { bytes: vectors::mixed().len() })
        );
        for length in [-1, 0, 48, i32::MIN] {
            assert_eq!(validate(&patched(8, &length.to_be_bytes())), Err(BatchError::Length { length }));
        }
        let huge = validate(&patched(8, &i32::MAX.to_be_bytes()));
        assert_eq!(
            huge,
            Err(BatchError::Truncated { needed: (1 << 31) + 11, given: vectors::mixed().len() })
        );
    }

    #[test]
    fn other_versions_are_refused_even_when_short() {
        for magic in [0, 1, 3, -1] {
            let bytes = patched(16, &[magic as u8]);
            assert_eq!(validate(&bytes), Err(BatchError::Magic { magic }));
            assert_eq!(validate(&bytes[..30]), Err(BatchError::Magic { magic }));
        }
    }

    #[test]
    fn every_flipped_bit_behind_the_checksum_is_found() {
        let good = vectors::mixed();
        for at in 17..good.len() {
            for bit in 0..8 {
                let mut batch = good.clone();
                batch[at] ^= 1 << bit;
                assert!(validate(&batch).is_err(), "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn counts_that_lie_are_refused_whatever_the_checksum_says() {
        for count in [i32::MAX, -1, 0, 4, 6, i32::MIN] {
            let batch = resealed(patched(57, &count.to_be_bytes()));
            assert_eq!(validate(&batch), Err(BatchError::Count { count, last_offset_delta: 4 }));
        }
        let mut batch = patched(57, &i32::MAX.to_be_bytes());
        batch[23..27].copy_from_slice(&(i32::MAX - 1).to_be_bytes());
        assert!(matches!(validate(&resealed(batch)), Err(BatchError::CountBeyondBytes { .. })));
        assert!(matches!(
            validate(&resealed(patched(23, &(-1_i32).to_be_bytes()))),
            Err(BatchError::Count { .. })
        ));
    }

    #[test]
    fn unknown_codecs_are_refused() {
        for codec in 5..8 {
            let batch = resealed(patched(21, &[0, codec]));
            assert_eq!(validate(&batch), Err(BatchError::UnknownCompression { codec }));
        }
    }

    #[test]
    fn what_a_producer_may_not_send_is_refused() {
        assert_eq!(validate_produced(&vectors::mixed()), Err(BatchError::BaseOffset { base_offset: 42 }));
        for base in [-1, i64::MIN, i64::MAX, i64::MAX - 4] {
            let bad = validate(&patched(0, &base.to_be_bytes()));
            assert_eq!(bad, Err(BatchError::BaseOffset { base_offset: base }));
        }
        for (attribute, error) in [(0x20, BatchError::Control), (0x08, BatchError::LogAppendTime)] {
            let mut batch = resealed(patched(21, &[0, attribute]));
            set_base_offset(&mut batch, 0);
            assert_eq!(validate_produced(&batch), Err(error));
        }
        let mut unnumbered = vectors::idempotent();
        unnumbered[53..57].copy_from_slice(&(-1_i32).to_be_bytes());
        assert_eq!(
            validate_produced(&resealed(unnumbered)),
            Err(BatchError::Sequence { producer_epoch: 3, base_sequence: -1 })
        );
    }

    #[test]
    fn offsets_with_holes_are_refused() {
        // The offset delta of the only record of `idempotent` follows its length, attributes and timestamp delta.
        let mut batch = vectors::idempotent();
        batch[64] = 2;
        let batch = resealed(batch);
        validate(&batch).unwrap();
        let hole = BatchError::Record { index: 0, fault: RecordFault::Offset };
        assert_eq!(check_records(&batch), Err(hole));
    }

    #[test]
    fn no_damage_to_records_makes_reading_panic() {
        let mut rng = StdRng::seed_from_u64(7);
        let good = vectors::mixed();
        let mut refused = 0;
        for _ in 0..50_000 {
            let mut batch = good.clone();
            for _ in 0..rng.random_range(1..4) {
                batch[rng.random_range(61..good.len())] = rng.random();
            }
            refused += u32::from(check_records(&resealed(batch)).is_err());
        }
        assert!(refused > 10_000, "{refused}");
    }

    #[test]
    fn the_reason_reaches_the_caller() {
        let error = BrokerError::from(validate(&patched(16, &[1])).unwrap_err());
        assert_eq!(error.to_string(), "the record batch is invalid: its format (magic) is not version 2");
    }
}
