//! Kafka's variable-length numbers: zigzag, then 7 bits a byte, lowest first, the top bit set on all but the last.

/// Appends a 32-bit number: 1 to 5 bytes.
#[inline]
pub(super) fn put_varint(out: &mut Vec<u8>, value: i32) {
    put_unsigned(out, u64::from(zigzag32(value)));
}

/// Appends a 64-bit number: 1 to 10 bytes.
#[inline]
pub(super) fn put_varlong(out: &mut Vec<u8>, value: i64) {
    put_unsigned(out, zigzag64(value));
}

/// How many bytes [`put_varint`] writes.
#[inline]
pub(super) fn varint_len(value: i32) -> usize {
    unsigned_len(u64::from(zigzag32(value)))
}

/// How many bytes [`put_varlong`] writes.
#[inline]
pub(super) fn varlong_len(value: i64) -> usize {
    unsigned_len(zigzag64(value))
}

/// Takes a 32-bit number off the front; `None` when it is cut off or larger than its type.
#[inline]
pub(super) fn take_varint(bytes: &mut &[u8]) -> Option<i32> {
    let raw = u32::try_from(take_unsigned(bytes)?).ok()?;
    Some((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
}

/// Takes a 64-bit number off the front; `None` when it is cut off or larger than its type.
#[inline]
pub(super) fn take_varlong(bytes: &mut &[u8]) -> Option<i64> {
    let raw = take_unsigned(bytes)?;
    Some((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
}

fn zigzag32(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)).cast_unsigned()
}

fn zigzag64(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

#[inline]
fn put_unsigned(out: &mut Vec<u8>, mut raw: u64) {
    while raw >= 0x80 {
        out.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    out.push(raw as u8);
}

#[inline]
fn unsigned_len(raw: u64) -> usize {
    let bits = u64::BITS - (raw | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

#[inline]
fn take_unsigned(bytes: &mut &[u8]) -> Option<u64> {
    let (&first, rest) = bytes.split_first()?;
    if first < 0x80 {
        *bytes = rest;
        return Some(u64::from(first));
    }
    let mut raw = u64::from(first & 0x7f);
    for (i, &byte) in rest.iter().enumerate().take(9) {
        // The tenth byte holds the one bit that is left of 64.
        if i == 8 && byte > 1 {
            return None;
        }
        raw |= u64::from(byte & 0x7f) << (7 * (i + 1));
        if byte < 0x80 {
            *bytes = &rest[i + 1..];
            return Some(raw);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    use super::*;
    use crate::batch::vectors::unhex;

    // Printed by ByteUtils.writeVarlong of Apache Kafka 3.9.0.
    const VARLONGS: [(i64, &str); 12] = [
        (0, "00"),
        (-1, "01"),
        (1, "02"),
        (63, "7e"),
        (-64, "7f"),
        (64, "8001"),
        (-65, "8101"),
        (2147483647, "feffffff0f"),
        (-2147483648, "ffffffff0f"),
        (4000000000000, "8080a2a9eae801"),
        (i64::MAX, "feffffffffffffffff01"),
        (i64::MIN, "ffffffffffffffffff01"),
    ];

    #[test]
    fn numbers_are_written_as_kafka_writes_them() {
        for (value, hex) in VARLONGS {
            let expected = unhex(hex);
            let mut out = Vec::new();
            put_varlong(&mut out, value);
            assert_eq!(out, expected, "{value}");
            assert_eq!(varlong_len(value), out.len());
            assert_eq!(take_varlong(&mut &out[..]), Some(value));
            if let Ok(small) = i32::try_from(value) {
                out.clear();
                put_varint(&mut out, small);
                assert_eq!(out, expected, "{value}");
                assert_eq!(varint_len(small), out.len());
                assert_eq!(take_varint(&mut &out[..]), Some(small));
            }
        }
    }

    #[test]
    fn any_number_comes_back_and_leaves_what_follows() {
        let mut rng = StdRng::seed_from_u64(1);
        for _ in 0..20_000 {
            let value = rng.random::<i64>() >> rng.random_range(0..64);
            let mut out = Vec::new();
            put_varlong(&mut out, value);
            assert_eq!(out.len(), varlong_len(value));
            out.push(7);
            let mut rest = &out[..];
            assert_eq!(take_varlong(&mut rest), Some(value));
            assert_eq!(rest, [7]);
        }
    }

    #[test]
    fn cut_off_and_oversized_numbers_are_refused() {
        for bad in ["", "80", "ffffffffffffffffff", "ffffffffffffffffff02", "ffffffffffffffffffff01"] {
            assert_eq!(take_varlong(&mut &unhex(bad)[..]), None, "{bad}");
        }
        for bad in ["", "ffffffff", "ffffffff10", "ffffffffff01", "808080808080808080808000"] {
            assert_eq!(take_varint(&mut &unhex(bad)[..]), None, "{bad}");
        }
    }
}
