//! Cursors as clients hold them: an opaque token with a check, so that an altered one is refused, not followed.

use data_encoding::BASE64URL_NOPAD;
use floe_engine::Cursor;

use crate::problem::ApiError;

/// Topic id (8), position (8), records (4), CRC-32C of those (4), all big-endian.
const TOKEN_BYTES: usize = 24;
const CHECKED_BYTES: usize = 20;
/// Length of a token as text.
pub(crate) const TOKEN_CHARS: usize = 32;

/// Appends a cursor's token: 32 characters of the URL-safe base64 alphabet.
pub(crate) fn write(out: &mut Vec<u8>, cursor: Cursor) {
    let mut bytes = [0; TOKEN_BYTES];
    bytes[..8].copy_from_slice(&cursor.topic_id.to_be_bytes());
    bytes[8..16].copy_from_slice(&cursor.position.to_be_bytes());
    bytes[16..CHECKED_BYTES].copy_from_slice(&cursor.records.to_be_bytes());
    let check = crc32c::crc32c(&bytes[..CHECKED_BYTES]);
    bytes[CHECKED_BYTES..].copy_from_slice(&check.to_be_bytes());
    let start = out.len();
    out.resize(start + TOKEN_CHARS, 0);
    BASE64URL_NOPAD.encode_mut(&bytes, &mut out[start..]);
}

/// A cursor's token.
pub(crate) fn token(cursor: Cursor) -> String {
    let mut out = Vec::with_capacity(TOKEN_CHARS);
    write(&mut out, cursor);
    // The alphabet is ASCII.
    String::from_utf8(out).unwrap_or_default()
}

/// The cursor of a token that [`token`] made.
pub(crate) fn parse(token: &str) -> Result<Cursor, ApiError> {
    decode(token).ok_or_else(|| {
        ApiError::bad_request("the cursor is not one that this server gave out: it was altered or cut")
    })
}

fn decode(token: &str) -> Option<Cursor> {
    if token.len() != TOKEN_CHARS {
        return None;
    }
    let bytes: [u8; TOKEN_BYTES] = BASE64URL_NOPAD.decode(token.as_bytes()).ok()?.try_into().ok()?;
    let (body, check) = bytes.split_at(CHECKED_BYTES);
    if crc32c::crc32c(body).to_be_bytes() != check {
        return None;
    }
    Some(Cursor {
        topic_id: u64::from_be_bytes(body[..8].try_into().ok()?),
        position: u64::from_be_bytes(body[8..16].try_into().ok()?),
        records: u32::from_be_bytes(body[16..].try_into().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_and_altered_ones_do_not() {
        let cursor = Cursor { topic_id: 7, position: u64::MAX - 1, records: 3 };
        let good = token(cursor);
        assert_eq!(parse(&good).unwrap(), cursor);
        for at in 0..good.len() {
            let mut altered = good.clone().into_bytes();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            assert!(parse(std::str::from_utf8(&altered).unwrap()).is_err(), "byte {at}");
        }
        for bad in ["", "12", &good[..31], &format!("{good}A"), &"é".repeat(16)] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
