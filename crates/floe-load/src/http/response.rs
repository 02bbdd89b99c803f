//! An answer's head, read strictly: framing that two readers could read in two ways is an error.

use bytes::Bytes;

use crate::limits::MAX_RESPONSE_HEADERS;

/// An answer in full.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The body, without transfer coding.
    pub body: Bytes,
    head: Bytes,
}

/// How the body's end is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// This many bytes.
    Length(usize),
    /// Chunks.
    Chunked,
    /// Everything until the connection closes.
    UntilClose,
}

/// What the head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) framing: Framing,
    pub(crate) keep_alive: bool,
    /// Where the body starts.
    pub(crate) bytes: usize,
}

impl Response {
    pub(crate) fn new(status: u16, head: Bytes, body: Bytes) -> Self {
        Self { status, body, head }
    }

    /// Whether the status is one of success.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.split(|byte| *byte == b'\n').skip(1).find_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (found, value) = (&line[..colon], &line[colon + 1..]);
            if !found.eq_ignore_ascii_case(name.as_bytes()) {
                return None;
            }
            std::str::from_utf8(value).ok().map(str::trim)
        })
    }
}

/// Reads a head from the start of `bytes`; `None` when it isn't complete yet.
pub(crate) fn parse_head(bytes: &[u8]) -> Result<Option<Head>, &'static str> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_RESPONSE_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err("too many headers"),
        Err(_) => return Err("not an HTTP/1 answer"),
    };
    let status = response.code.ok_or("no status code")?;
    let mut keep_alive = response.version == Some(1);
    let (mut content_length, mut chunked) = (None, false);
    for header in response.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            let value = parse_length(header.value)?;
            if content_length.is_some_and(|earlier| earlier != value) {
                return Err("two different Content-Length headers");
            }
            content_length = Some(value);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            if !header.value.eq_ignore_ascii_case(b"chunked") {
                return Err("a transfer coding other than chunked");
            }
            chunked = true;
        } else if header.name.eq_ignore_ascii_case("connection") {
            let said = |token: &[u8]| {
                header.value.split(|b| *b == b',').any(|t| t.trim_ascii().eq_ignore_ascii_case(token))
            };
            keep_alive = (keep_alive || said(b"keep-alive")) && !said(b"close");
        }
    }
    let framing = match (chunked, content_length) {
        _ if status < 200 || status == 204 || status == 304 => Framing::Length(0),
        (true, Some(_)) => return Err("both Content-Length and Transfer-Encoding"),
        (true, None) => Framing::Chunked,
        (false, Some(length)) => Framing::Length(length),
        (false, None) => Framing::UntilClose,
    };
    Ok(Some(Head {
        status,
        framing,
        keep_alive: keep_alive && framing != Framing::UntilClose,
        bytes: length,
    }))
}

/// Reads a Content-Length: digits only, no sign, no list.
fn parse_length(value: &[u8]) -> Result<usize, &'static str> {
    let digits = std::str::from_utf8(value.trim_ascii()).unwrap_or_default();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("a Content-Length that is no number");
    }
    digits.parse().map_err(|_| "a Content-Length that is too large")
}

/// Reads a chunk's size line (without its line end); extensions are passed over.
pub(crate) fn parse_chunk_size(line: &[u8]) -> Result<usize, &'static str> {
    let size = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if size.is_empty() || size.len() > 15 || !size.iter().all(u8::is_ascii_hexdigit) {
        return Err("a chunk size that is no number");
    }
    let size = std::str::from_utf8(size).map_err(|_| "a chunk size that is no number")?;
    usize::from_str_radix(size, 16).map_err(|_| "a chunk size that is no number")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Result<Option<Head>, &'static str> {
        parse_head(text.as_bytes())
    }

    #[test]
    fn a_head_is_read_once_it_is_complete() {
        let text = "HTTP/1.1 201 Created\r\ncontent-length: 12\r\n\r\n";
        for cut in 0..text.len() {
            assert_eq!(head(&text[..cut]), Ok(None), "{cut}");
        }
        let expected =
            Head { status: 201, framing: Framing::Length(12), keep_alive: true, bytes: text.len() };
        assert_eq!(head(text), Ok(Some(expected)));
        assert_eq!(head(&format!("{text}{{\"offset\":1}}")), Ok(Some(expected)));
    }

    #[test]
    fn the_framing_follows_the_headers() {
        let framing = |text: &str| head(text).unwrap().unwrap().framing;
        assert_eq!(framing("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"), Framing::Chunked);
        assert_eq!(framing("HTTP/1.1 200 OK\r\n\r\n"), Framing::UntilClose);
        assert_eq!(framing("HTTP/1.1 204 No Content\r\n\r\n"), Framing::Length(0));
        assert_eq!(framing("HTTP/1.1 100 Continue\r\n\r\n"), Framing::Length(0));
    }

    #[test]
    fn a_connection_is_kept_only_when_both_sides_know_where_the_answer_ends() {
        let kept = |text: &str| head(text).unwrap().unwrap().keep_alive;
        assert!(kept("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"));
        assert!(!kept("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nConnection: x, Close\r\n\r\n"));
        assert!(!kept("HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n"));
        assert!(kept("HTTP/1.0 200 OK\r\ncontent-length: 0\r\nconnection: keep-alive\r\n\r\n"));
        assert!(!kept("HTTP/1.1 200 OK\r\n\r\n"));
    }

    #[test]
    fn ambiguous_framing_is_refused() {
        for bad in [
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 1, 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
            "SSH-2.0-x\r\n\r\n",
        ] {
            assert!(head(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn chunk_sizes_are_hexadecimal_and_bounded() {
        assert_eq!(parse_chunk_size(b"1aF"), Ok(0x1af));
        assert_eq!(parse_chunk_size(b"5 ;name=value"), Ok(5));
        for bad in [&b""[..], b"-1", b"0x5", b"g", b"fffffffffffffffff"] {
            assert!(parse_chunk_size(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn headers_are_found_whatever_their_case() {
        let response = Response::new(
            200,
            Bytes::from_static(b"HTTP/1.1 200 OK\r\nIdempotency-Replayed:  true \r\nX: y\r\n\r\n"),
            Bytes::new(),
        );
        assert_eq!(response.header("idempotency-replayed"), Some("true"));
        assert_eq!(response.header("absent"), None);
    }
}
