//! Request bodies: read within bounds of size, time and total memory, and with their content coding undone.

use std::{io::Read, sync::Arc, time::Instant};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    gateway::Gateway,
    limits::{
        BODY_BYTES_MAX, BODY_BYTES_PER_SECOND_MIN, BODY_TIMEOUT, BUFFERED_BODY_BYTES_MAX,
        DECODED_BODY_BYTES_MAX, LINGER_BYTES_MAX, LINGER_TIMEOUT, PARSE_INLINE_BYTES, SMALL_BODY_BYTES,
        ZSTD_WINDOW_LOG_MAX,
    },
    problem::{ApiError, Code},
};

/// How much of all large bodies may be in memory at once.
#[derive(Clone, Debug)]
pub(crate) struct BodyBudget(Arc<Semaphore>);

impl Default for BodyBudget {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(BUFFERED_BODY_BYTES_MAX)))
    }
}

impl BodyBudget {
    fn charge(&self, bytes: usize) -> Result<OwnedSemaphorePermit, ApiError> {
        u32::try_from(bytes)
            .ok()
            .and_then(|bytes| self.0.clone().try_acquire_many_owned(bytes).ok())
            .ok_or_else(|| {
                ApiError::new(Code::Overloaded, "too many large bodies are being received; try again soon")
                    .retry_after(1)
            })
    }
}

/// A body that was read to its end. Large ones count against the budget until this is dropped.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    _charge: Option<OwnedSemaphorePermit>,
}

/// Reads a body to its end and undoes its content coding.
pub(crate) async fn receive(
    gateway: &Gateway,
    headers: &HeaderMap,
    mut body: Body,
) -> Result<Received, ApiError> {
    let coding = Coding::of(headers)?;
    let outcome = match collect(gateway.body_budget(), &mut body).await {
        Ok(received) => received,
        Err(error) => {
            if !headers.contains_key(header::EXPECT) {
                linger(&mut body).await;
            }
            return Err(error.closing());
        }
    };
    let Some(coding) = coding else { return Ok(outcome) };
    let budget = gateway.body_budget().clone();
    let decoded = tokio::task::spawn_blocking(move || coding.decode(&outcome.bytes, &budget));
    decoded.await.map_err(|_| ApiError::new(Code::Internal, "the body could not be decoded"))?
}

/// Parses a body; a large one on the blocking pool, so that no socket waits for it.
pub(crate) async fn parse<T: Send + 'static>(
    body: &Bytes,
    parse: impl FnOnce(&Bytes) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    if body.len() <= PARSE_INLINE_BYTES {
        return parse(body);
    }
    let body = body.clone();
    let parsed = tokio::task::spawn_blocking(move || parse(&body));
    parsed.await.map_err(|_| ApiError::new(Code::Internal, "the body could not be parsed"))?
}

async fn collect(budget: &BodyBudget, body: &mut Body) -> Result<Received, ApiError> {
    let announced = body.size_hint().exact();
    if announced.is_some_and(|bytes| bytes > BODY_BYTES_MAX as u64) {
        return Err(too_large(announced));
    }
    let announced = announced.and_then(|bytes| usize::try_from(bytes).ok());
    let mut charge = match announced {
        Some(bytes) if bytes > SMALL_BODY_BYTES => Some(budget.charge(bytes)?),
        _ => None,
    };
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    let mut started = None;
    let mut received = 0;
    while let Some(data) = next_data(body, &mut started, received).await? {
        received += data.len();
        if received > BODY_BYTES_MAX {
            return Err(too_large(None));
        }
        if announced.is_none() && received > SMALL_BODY_BYTES {
            let more = budget.charge(data.len())?;
            match &mut charge {
                Some(charge) => charge.merge(more),
                None => charge = Some(more),
            }
        }
        if received == data.len() {
            // Nearly every body is one piece: it is used as it was read.
            first = data;
            continue;
        }
        if whole.is_empty() {
            whole.reserve(announced.unwrap_or(received * 2).max(received));
            whole.extend_from_slice(&first);
        }
        whole.extend_from_slice(&data);
    }
    let bytes = if whole.is_empty() { first } else { whole.freeze() };
    Ok(Received { bytes, _charge: charge })
}

/// The next piece of a body; `None` at its end.
async fn next_data(
    body: &mut Body,
    started: &mut Option<Instant>,
    received: usize,
) -> Result<Option<Bytes>, ApiError> {
    loop {
        if body.is_end_stream() {
            return Ok(None);
        }
        if received > 0 {
            let elapsed = started.get_or_insert_with(Instant::now).elapsed();
            if elapsed > BODY_TIMEOUT && (received as u64) < elapsed.as_secs() * BODY_BYTES_PER_SECOND_MIN {
                return Err(too_slow());
            }
        }
        match tokio::time::timeout(BODY_TIMEOUT, body.frame()).await {
            Err(_) => return Err(too_slow()),
            Ok(None) => return Ok(None),
            Ok(Some(Err(_))) => {
                return Err(ApiError::bad_request("the body ended early, or its chunks are malformed"));
            }
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) if !data.is_empty() => return Ok(Some(data)),
                // Trailers, or an empty piece.
                _ => {}
            },
        }
    }
}

/// Reads on for a moment after a refusal: closing a socket with bytes unread would reset it, and the sender would see
/// a broken connection in place of the answer.
async fn linger(body: &mut Body) {
    let drain = async {
        let mut thrown_away = 0;
        while let Some(Ok(frame)) = body.frame().await {
            thrown_away += frame.data_ref().map_or(0, Bytes::len);
            if thrown_away > LINGER_BYTES_MAX {
                return;
            }
        }
    };
    // Over the time limit it is simply cut.
    let _ = tokio::time::timeout(LINGER_TIMEOUT, drain).await;
}

fn too_large(announced: Option<u64>) -> ApiError {
    let size = announced.map_or_else(|| "more".to_owned(), |bytes| format!("{bytes} bytes"));
    ApiError::new(
        Code::RecordTooLarge,
        format!("the body has {size}, at most {BODY_BYTES_MAX} bytes are taken"),
    )
}

fn too_slow() -> ApiError {
    let detail = format!("the body did not arrive within {} s, nor at 1 KiB/s", BODY_TIMEOUT.as_secs());
    ApiError::protocol(StatusCode::REQUEST_TIMEOUT, detail)
}

/// A content coding that is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Coding {
    /// The one coding of a body, if any; several on top of each other are refused.
    fn of(headers: &HeaderMap) -> Result<Option<Self>, ApiError> {
        let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let name = value.as_bytes().trim_ascii().to_ascii_lowercase();
        let coding = match name.as_slice() {
            b"" | b"identity" => None,
            b"gzip" | b"x-gzip" => Some(Self::Gzip),
            b"deflate" => Some(Self::Deflate),
            b"br" => Some(Self::Brotli),
            b"zstd" => Some(Self::Zstd),
            _ => return Err(unknown_coding(&name)),
        };
        if values.next().is_some() { Err(unknown_coding(b"several")) } else { Ok(coding) }
    }

    /// Undoes the coding. What turns out large is charged before it is decoded to its end.
    fn decode(self, coded: &[u8], budget: &BodyBudget) -> Result<Received, ApiError> {
        let invalid =
            |_| ApiError::bad_request(format!("the body is not valid {self:?} as Content-Encoding says"));
        let mut reader = self.reader(coded).map_err(invalid)?;
        let mut plain = Vec::new();
        reader.by_ref().take(SMALL_BODY_BYTES as u64).read_to_end(&mut plain).map_err(invalid)?;
        let mut charge = None;
        if plain.len() == SMALL_BODY_BYTES {
            charge = Some(budget.charge(DECODED_BODY_BYTES_MAX)?);
            let rest = (DECODED_BODY_BYTES_MAX - SMALL_BODY_BYTES) as u64 + 1;
            reader.take(rest).read_to_end(&mut plain).map_err(invalid)?;
        }
        if plain.len() > DECODED_BODY_BYTES_MAX {
            let detail = format!("the body has more than {DECODED_BODY_BYTES_MAX} bytes once it is decoded");
            return Err(ApiError::new(Code::RecordTooLarge, detail));
        }
        Ok(Received { bytes: plain.into(), _charge: charge })
    }

    fn reader<'a>(self, coded: &'a [u8]) -> std::io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(coded)),
            Self::Deflate if is_zlib(coded) => Box::new(flate2::read::ZlibDecoder::new(coded)),
            Self::Deflate => Box::new(flate2::read::DeflateDecoder::new(coded)),
            Self::Brotli => Box::new(brotli_decompressor::Decompressor::new(coded, SMALL_BODY_BYTES)),
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(coded)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Box::new(decoder)
            }
        })
    }
}

/// Some clients mean raw DEFLATE by `deflate`; the standard means zlib, which can be told by its two header bytes.
fn is_zlib(coded: &[u8]) -> bool {
    matches!(coded, [a, b, ..] if a & 0x0f == 8 && (u16::from(*a) << 8 | u16::from(*b)) % 31 == 0)
}

fn unknown_coding(name: &[u8]) -> ApiError {
    let detail = format!(
        "the content coding '{}' is not taken; use one of gzip, deflate, br, zstd",
        name.escape_ascii()
    );
    ApiError::new(Code::UnsupportedMediaType, detail)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn decode(coding: Coding, coded: &[u8]) -> Result<Bytes, ApiError> {
        coding.decode(coded, &BodyBudget::default()).map(|received| received.bytes)
    }

    #[test]
    fn every_coding_is_undone() {
        let plain = br#"{"a":1}"#.repeat(100);
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        zlib.write_all(&plain).unwrap();
        let mut raw = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        raw.write_all(&plain).unwrap();
        for (coding, coded) in [
            (Coding::Gzip, gzip(&plain)),
            (Coding::Deflate, zlib.finish().unwrap()),
            (Coding::Deflate, raw.finish().unwrap()),
            (Coding::Zstd, zstd::encode_all(&plain[..], 1).unwrap()),
        ] {
            assert_eq!(decode(coding, &coded).unwrap(), plain, "{coding:?}");
            let cut = decode(coding, &coded[..coded.len() - 3]);
            assert_eq!(cut.unwrap_err().code(), Code::BadRequest, "{coding:?} cut");
        }
        // "hello" as one uncompressed brotli block.
        assert_eq!(decode(Coding::Brotli, b"\x0b\x02\x80hello\x03").unwrap(), "hello");
    }

    #[test]
    fn a_bomb_is_refused_at_the_decoded_limit() {
        let bomb = gzip(&vec![0; DECODED_BODY_BYTES_MAX + 1]);
        assert!(bomb.len() < 100_000);
        assert_eq!(decode(Coding::Gzip, &bomb).unwrap_err().code(), Code::RecordTooLarge);
        let exact = gzip(&vec![0; DECODED_BODY_BYTES_MAX]);
        assert_eq!(decode(Coding::Gzip, &exact).unwrap().len(), DECODED_BODY_BYTES_MAX);
    }

    #[test]
    fn only_large_bodies_take_from_the_budget() {
        let budget = BodyBudget::default();
        let small = gzip(&[0; 1_000]);
        let large = gzip(&vec![0; SMALL_BODY_BYTES + 1]);
        let held: Vec<_> =
            std::iter::repeat_with(|| Coding::Gzip.decode(&large, &budget)).map_while(Result::ok).collect();
        assert_eq!(held.len(), BUFFERED_BODY_BYTES_MAX / DECODED_BODY_BYTES_MAX);
        assert_eq!(Coding::Gzip.decode(&large, &budget).unwrap_err().code(), Code::Overloaded);
        assert!(Coding::Gzip.decode(&small, &budget).is_ok());
        drop(held);
        assert!(Coding::Gzip.decode(&large, &budget).is_ok());
    }

    #[test]
    fn unknown_and_stacked_codings_are_refused() {
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONTENT_ENCODING, http::HeaderValue::from_static(value));
            }
            Coding::of(&headers)
        };
        assert_eq!(of(&[]).unwrap(), None);
        assert_eq!(of(&["GZIP"]).unwrap(), Some(Coding::Gzip));
        for bad in [&["compress"][..], &["gzip, gzip"], &["gzip", "br"]] {
            assert_eq!(of(bad).unwrap_err().code(), Code::UnsupportedMediaType, "{bad:?}");
        }
    }
}
