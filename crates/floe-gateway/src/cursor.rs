//! Cursors as clients hold them: an opaque token with a check, so that an altered one is refused, not followed.
//!
//! Each is text of the URL-safe base64 alphabet; numbers are big-endian, and the last four bytes are the CRC-32C of those
//! before them.
//!
//! - Of a place in a journal, 32 characters: topic id (8 bytes), position (8), records (4).
//! - Of a place in each partition, `o.` before them: topic id (8 bytes), then of each partition its next offset as LEB128.

use data_encoding::BASE64URL_NOPAD;
use floe_engine::{Cursor, JournalCursor, OffsetsCursor};

use crate::problem::ApiError;

/// Bytes of a journal's token, and what of them is checked by the others.
const JOURNAL_BYTES: usize = 24;
const JOURNAL_CHECKED_BYTES: usize = 20;
/// Length of a journal's token as text.
const JOURNAL_CHARS: usize = 32;

/// What a token of offsets begins with: no character of the alphabet of the other one.
const OFFSETS_PREFIX: &str = "o.";
const TOPIC_ID_BYTES: usize = 8;
const CHECK_BYTES: usize = 4;
/// Partitions of one token.
const PARTITIONS_MAX: usize = 10_000;
/// An offset is not negative: 63 bits, 7 in a byte.
const OFFSET_BYTES_MAX: usize = 9;
const OFFSETS_BYTES_MAX: usize = TOPIC_ID_BYTES + PARTITIONS_MAX * OFFSET_BYTES_MAX + CHECK_BYTES;

/// Appends a cursor's token.
pub(crate) fn write(out: &mut Vec<u8>, cursor: &Cursor) {
    match cursor {
        Cursor::Journal(cursor) => write_base64(out, &journal_bytes(*cursor)),
        Cursor::Offsets(cursor) => {
            out.extend_from_slice(OFFSETS_PREFIX.as_bytes());
            write_base64(out, &offsets_bytes(cursor));
        }
    }
}

/// A cursor's token.
pub(crate) fn token(cursor: &Cursor) -> String {
    let mut out = Vec::with_capacity(JOURNAL_CHARS);
    write(&mut out, cursor);
    // The alphabet is ASCII.
    String::from_utf8(out).unwrap_or_default()
}

/// The cursor of a token that [`token`] made.
pub(crate) fn parse(token: &str) -> Result<Cursor, ApiError> {
    let cursor = match token.strip_prefix(OFFSETS_PREFIX) {
        Some(offsets) => decode_offsets(offsets).map(Cursor::Offsets),
        None => decode_journal(token).map(Cursor::Journal),
    };
    cursor.ok_or_else(|| {
        ApiError::bad_request("the cursor is not one that this server gave out: it was altered or cut")
    })
}

fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + BASE64URL_NOPAD.encode_len(bytes.len()), 0);
    BASE64URL_NOPAD.encode_mut(bytes, &mut out[start..]);
}

fn journal_bytes(cursor: JournalCursor) -> [u8; JOURNAL_BYTES] {
    let mut bytes = [0; JOURNAL_BYTES];
    bytes[..8].copy_from_slice(&cursor.topic_id.to_be_bytes());
    bytes[8..16].copy_from_slice(&cursor.position.to_be_bytes());
    bytes[16..JOURNAL_CHECKED_BYTES].copy_from_slice(&cursor.records.to_be_bytes());
    let check = crc32c::crc32c(&bytes[..JOURNAL_CHECKED_BYTES]);
    bytes[JOURNAL_CHECKED_BYTES..].copy_from_slice(&check.to_be_bytes());
    bytes
}

fn decode_journal(token: &str) -> Option<JournalCursor> {
    if token.len() != JOURNAL_CHARS {
        return None;
    }
    let bytes: [u8; JOURNAL_BYTES] = BASE64URL_NOPAD.decode(token.as_bytes()).ok()?.try_into().ok()?;
    let (body, check) = bytes.split_at(JOURNAL_CHECKED_BYTES);
    if crc32c::crc32c(body).to_be_bytes() != check {
        return None;
    }
    Some(JournalCursor {
        topic_id: u64::from_be_bytes(body[..8].try_into().ok()?),
        position: u64::from_be_bytes(body[8..16].try_into().ok()?),
        records: u32::from_be_bytes(body[16..].try_into().ok()?),
    })
}

/// A topic has no more partitions than a token takes; of more, those behind the last would be read from their start.
fn offsets_bytes(cursor: &OffsetsCursor) -> Vec<u8> {
    let offsets = cursor.next_offsets();
    let mut bytes = Vec::with_capacity(TOPIC_ID_BYTES + offsets.len() * 3 + CHECK_BYTES);
    bytes.extend_from_slice(&cursor.topic_id().to_be_bytes());
    for offset in offsets.into_iter().take(PARTITIONS_MAX) {
        put_varint(&mut bytes, u64::try_from(offset).unwrap_or(0));
    }
    let check = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&check.to_be_bytes());
    bytes
}

fn decode_offsets(token: &str) -> Option<OffsetsCursor> {
    if token.len() > BASE64URL_NOPAD.encode_len(OFFSETS_BYTES_MAX) {
        return None;
    }
    let bytes = BASE64URL_NOPAD.decode(token.as_bytes()).ok()?;
    let (body, check) = bytes.split_last_chunk::<CHECK_BYTES>()?;
    if crc32c::crc32c(body).to_be_bytes() != *check {
        return None;
    }
    let (topic_id, mut rest) = body.split_first_chunk::<TOPIC_ID_BYTES>()?;
    let mut offsets = Vec::new();
    while !rest.is_empty() {
        if offsets.len() == PARTITIONS_MAX {
            return None;
        }
        offsets.push(take_offset(&mut rest)?);
    }
    Some(OffsetsCursor::new(u64::from_be_bytes(*topic_id), offsets))
}

/// Appends a number in LEB128: seven bits a byte, the lowest first, the highest bit set in all but the last.
fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Takes an offset; `None` if it is cut, larger than an offset can be, or longer than it has to be.
fn take_offset(input: &mut &[u8]) -> Option<i64> {
    let mut offset = 0;
    for place in 0..OFFSET_BYTES_MAX {
        let (&byte, rest) = input.split_first()?;
        *input = rest;
        offset |= i64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return (byte != 0 || place == 0).then_some(offset);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_journal() -> Cursor {
        Cursor::Journal(JournalCursor { topic_id: 7, position: u64::MAX - 1, records: 3 })
    }

    fn in_partitions(offsets: &[i64]) -> Cursor {
        Cursor::Offsets(OffsetsCursor::new(u64::MAX - 7, offsets.to_vec()))
    }

    /// A token with a right check around this body.
    fn checked(body: &[u8]) -> String {
        let bytes = [body, &crc32c::crc32c(body).to_be_bytes()].concat();
        format!("{OFFSETS_PREFIX}{}", BASE64URL_NOPAD.encode(&bytes))
    }

    #[test]
    fn tokens_come_back_and_altered_ones_do_not() {
        for cursor in
            [in_journal(), in_partitions(&[0, 1, 127, 128, 16_384, i64::MAX, 5]), in_partitions(&[])]
        {
            let good = token(&cursor);
            assert_eq!(parse(&good).unwrap(), cursor);
            for at in 0..good.len() {
                let mut altered = good.clone().into_bytes();
                altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
                assert!(parse(std::str::from_utf8(&altered).unwrap()).is_err(), "byte {at}");
                assert!(parse(&good[..at]).is_err(), "cut at {at}");
            }
            assert!(parse(&format!("{good}A")).is_err());
        }
        for bad in ["", "12", "o.", "o.A", "O.AAAA", &"é".repeat(16), &format!("o.{}", "é".repeat(16))] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_tokens_are_those_that_clients_hold() {
        let cursor = Cursor::Journal(JournalCursor { topic_id: 1, position: 2, records: 3 });
        assert_eq!(token(&cursor), "AAAAAAAAAAEAAAAAAAAAAgAAAAPvZUL3");
        let cursor = Cursor::Offsets(OffsetsCursor::new(1, vec![2, 300]));
        assert_eq!(token(&cursor), "o.AAAAAAAAAAECrAKOFoUl");
    }

    #[test]
    fn a_token_has_as_many_partitions_as_a_topic() {
        let most = in_partitions(&vec![i64::MAX; PARTITIONS_MAX]);
        assert_eq!(parse(&token(&most)).unwrap(), most);
        let of = |partitions: usize| checked(&[&[0; TOPIC_ID_BYTES][..], &vec![1; partitions]].concat());
        assert!(parse(&of(PARTITIONS_MAX)).is_ok());
        assert!(parse(&of(PARTITIONS_MAX + 1)).is_err());
        assert!(parse(&format!("o.{}", "A".repeat(1 << 20))).is_err());
    }

    #[test]
    fn offsets_are_written_in_one_way_only() {
        let of = |offsets: &[u8]| parse(&checked(&[&[0; TOPIC_ID_BYTES][..], offsets].concat()));
        assert_eq!(of(&[0xac, 0x02]).unwrap(), Cursor::Offsets(OffsetsCursor::new(0, vec![300])));
        let negative = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        for bad in [&[0x80][..], &[0x80, 0x00], &[0xac, 0x82, 0x00], &[0x01, 0x80], &[0x80; 11], &negative] {
            assert!(of(bad).is_err(), "{bad:?}");
        }
        for short in 0..TOPIC_ID_BYTES {
            assert!(parse(&checked(&vec![0; short])).is_err());
        }
    }

    #[test]
    fn random_bytes_never_break_the_reader() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for length in (0..200).cycle().take(20_000) {
            let mut random = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 33) as u8
            };
            let bytes: Vec<u8> = (0..length).map(|_| random()).collect();
            let _ = parse(&checked(&bytes)).is_ok();
            let _ = parse(&BASE64URL_NOPAD.encode(&bytes)).is_ok();
            let _ = parse(&format!("o.{}", String::from_utf8_lossy(&bytes))).is_ok();
        }
    }
}
