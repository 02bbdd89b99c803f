//! The header `Idempotency-Key`, and the digest that tells one request's content from another's.

use floe_engine::IdempotencyKey;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{limits::IDEMPOTENCY_KEY_BYTES_MAX, problem::ApiError};

/// A client's key for one write.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer is that of the first time.
pub(crate) const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The request's key, if it has one. `content` is what a repeat must have in common with the first time.
pub(crate) fn of(headers: &HeaderMap, content: &[&[u8]]) -> Result<Option<IdempotencyKey>, ApiError> {
    let mut values = headers.get_all(&IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = std::str::from_utf8(value.as_bytes()).ok().filter(|text| {
        (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic())
    });
    match (text, values.next()) {
        (Some(key), None) => {
            Ok(Some(IdempotencyKey { key: key.to_owned(), fingerprint: fingerprint(content) }))
        }
        _ => Err(ApiError::bad_request(format!(
            "the header Idempotency-Key has to be given once, as 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters"
        ))),
    }
}

/// Marks an answer that is a repeat's.
pub(crate) fn mark(headers: &mut HeaderMap, replayed: bool) {
    if replayed {
        headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
}

/// Length and CRC-32C of the content. It is kept across restarts, so it has to be a digest that never changes; it
/// guards against a client's mistakes, not against forgery.
fn fingerprint(content: &[&[u8]]) -> u64 {
    let (mut bytes, mut check) = (0u64, 0);
    for part in content {
        bytes += part.len() as u64;
        check = crc32c::crc32c_append(check, part);
    }
    bytes << 32 | u64::from(check)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(values: &[&[u8]]) -> Result<Option<IdempotencyKey>, ApiError> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IDEMPOTENCY_KEY, HeaderValue::from_bytes(value).unwrap());
        }
        of(&headers, &[b"body"])
    }

    #[test]
    fn a_key_is_visible_ascii() {
        assert_eq!(key(&[]).unwrap(), None);
        assert_eq!(key(&[b"a-1"]).unwrap().unwrap().key, "a-1");
        assert!(key(&[&[b'x'; 255]]).is_ok());
        for bad in [&[&b""[..]][..], &[&[b'x'; 256]], &[b"a b"], &["é".as_bytes()], &[b"a", b"a"]] {
            assert!(key(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_digest_is_pinned() {
        assert_eq!(fingerprint(&[b"body"]), fingerprint(&[b"bo", b"dy"]));
        assert_ne!(fingerprint(&[b"body"]), fingerprint(&[b"bodz"]));
        assert_eq!(fingerprint(&[b"123456789"]), 9 << 32 | 0xe306_9283);
    }
}
