//! CRC-32C, and putting one flipped bit right with it.

/// CRC-32C (Castagnoli) of `bytes`.
pub(crate) fn crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// Castagnoli's polynomial, reflected.
const POLYNOMIAL: u32 = 0x82F6_3B78;

/// Finds the one bit of `bytes` whose flip explains why they don't have the checksum `stored`, and flips it back.
///
/// CRC is linear: the difference of the two checksums depends only on how far the flipped bit is from the end, so
/// one pass over the bit positions finds it. CRC-32C keeps a Hamming distance of at least 4 over any length that
/// the journal uses (Koopman, "32-bit cyclic redundancy codes for internet applications", DSN 2002), so a single
/// flip is never mistaken for another one. Used for the journal's own heads and state only: records are refused
/// rather than mended. Returns whether the bytes are right now.
pub(crate) fn repair_one_bit(bytes: &mut [u8], stored: u32) -> bool {
    let difference = crc(bytes) ^ stored;
    if difference == 0 {
        return true;
    }
    // the flipped bit is in the stored checksum itself
    if difference.is_power_of_two() {
        return true;
    }
    let mut state = 1u32;
    for from_end in 0..bytes.len() * 8 {
        state = if state & 1 == 1 { (state >> 1) ^ POLYNOMIAL } else { state >> 1 };
        if state == difference {
            let bit = bytes.len() * 8 - 1 - from_end;
            bytes[bit / 8] ^= 1 << (bit % 8);
            return crc(bytes) == stored;
        }
    }
    false
}
