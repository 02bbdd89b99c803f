//! A record as one line of JSON, in the shape in which the HTTP interface shows records.

use bytes::Bytes;
use data_encoding::BASE64;
use floe_engine::Header;
use floe_store::PositionKey;
use serde::de::IgnoredAny;
use time::{OffsetDateTime, format_description::StaticFormatDescription, macros::format_description};

use super::{Outgoing, fields::LineFormat};

/// JSON that nests deeper is written as bytes: readers' parsers have limits, and one record must not spoil a file.
const JSON_DEPTH_MAX: usize = 64;

const TIMESTAMP: StaticFormatDescription =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// Appends the record and a line break. There is none inside the line.
pub(super) fn write_line(out: &mut Vec<u8>, key: &PositionKey, record: &Outgoing, format: LineFormat) {
    match format {
        LineFormat::Envelope => write_envelope(out, key, record),
        LineFormat::Value => write_value(out, record.value.as_ref()),
    }
    out.push(b'\n');
}

fn write_envelope(out: &mut Vec<u8>, key: &PositionKey, record: &Outgoing) {
    out.extend_from_slice(b"{\"topic\":");
    write_str(out, &key.topic);
    out.extend_from_slice(
        format!(",\"partition\":{},\"offset\":{}", key.partition, record.offset).as_bytes(),
    );
    if record.index > 0 {
        out.extend_from_slice(format!(",\"index\":{}", record.index).as_bytes());
    }
    out.extend_from_slice(b",\"timestamp\":");
    write_timestamp(out, record.timestamp);
    out.extend_from_slice(b",\"key\":");
    write_text(out, record.key.as_ref());
    out.extend_from_slice(b",\"value\":");
    write_value(out, record.value.as_ref());
    out.extend_from_slice(b",\"headers\":");
    write_headers(out, &record.headers);
    out.push(b'}');
}

/// Appends a value: its own text without line breaks if that is JSON, null for a tombstone, else `{"$base64":"…"}`.
pub(super) fn write_value(out: &mut Vec<u8>, value: Option<&Bytes>) {
    match value {
        None => out.extend_from_slice(b"null"),
        Some(value) if !is_json(value) => write_base64(out, value),
        Some(value) if value.iter().any(|byte| matches!(byte, b'\n' | b'\r')) => write_compact(out, value),
        Some(value) => out.extend_from_slice(value),
    }
}

/// Whether bytes can stand in a JSON document as they are.
pub(super) fn is_json(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let openers = bytes.iter().filter(|byte| matches!(byte, b'[' | b'{')).count();
    (openers <= JSON_DEPTH_MAX || depth(bytes) <= JSON_DEPTH_MAX)
        && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

fn depth(json: &[u8]) -> usize {
    let (mut deepest, mut depth) = (0, 0_usize);
    walk(json, |byte, in_string| match byte {
        b'[' | b'{' if !in_string => {
            depth += 1;
            deepest = deepest.max(depth);
        }
        b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
        _ => {}
    });
    deepest
}

fn write_compact(out: &mut Vec<u8>, json: &[u8]) {
    walk(json, |byte, in_string| {
        if in_string || !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            out.push(byte);
        }
    });
}

/// Hands out each byte and whether it lies in a string.
fn walk(json: &[u8], mut each: impl FnMut(u8, bool)) {
    let (mut in_string, mut escaped) = (false, false);
    for &byte in json {
        each(byte, in_string);
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else {
            in_string = byte == b'"';
        }
    }
}

fn write_timestamp(out: &mut Vec<u8>, ms: i64) {
    let text = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000)
        .ok()
        .filter(|time| (1970..=9999).contains(&time.year()))
        .and_then(|time| time.format(TIMESTAMP).ok());
    match text {
        None => out.extend_from_slice(b"null"),
        Some(text) => write_str(out, &text),
    }
}

/// Appends UTF-8 as a string, null for none, else `{"$base64":"…"}`.
fn write_text(out: &mut Vec<u8>, bytes: Option<&Bytes>) {
    match bytes.map(|bytes| std::str::from_utf8(bytes).map_err(|_| bytes)) {
        None => out.extend_from_slice(b"null"),
        Some(Ok(text)) => write_str(out, text),
        Some(Err(bytes)) => write_base64(out, bytes),
    }
}

/// An object; a name that repeats has an array of its values.
fn write_headers(out: &mut Vec<u8>, headers: &[Header]) {
    out.push(b'{');
    let mut first = true;
    for (at, header) in headers.iter().enumerate() {
        if headers[..at].iter().any(|earlier| earlier.name == header.name) {
            continue;
        }
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        write_str(out, &header.name);
        out.push(b':');
        let mut again = headers[at + 1..].iter().filter(|later| later.name == header.name).peekable();
        if again.peek().is_none() {
            write_text(out, header.value.as_ref());
            continue;
        }
        out.push(b'[');
        write_text(out, header.value.as_ref());
        for later in again {
            out.push(b',');
            write_text(out, later.value.as_ref());
        }
        out.push(b']');
    }
    out.push(b'}');
}

fn write_str(out: &mut Vec<u8>, text: &str) {
    // Writing a string to memory can't fail.
    let _ = serde_json::to_writer(out, text);
}

fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(b"{\"$base64\":\"");
    out.extend_from_slice(BASE64.encode(bytes).as_bytes());
    out.extend_from_slice(b"\"}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_json_without_a_break_inside() {
        let key = PositionKey {
            log: "log".into(),
            pipeline: "p".into(),
            topic: "t".into(),
            topic_id: 1,
            partition: 2,
        };
        let record = Outgoing {
            offset: 41,
            index: 0,
            timestamp: 1_769_853_600_000,
            key: Some(Bytes::from_static(b"k\"\n")),
            value: Some(Bytes::from_static(b"{\r\n \"a\": \"x\\\" y\" }")),
            headers: ["n", "m", "n"]
                .map(|name| Header { name: name.into(), value: Some(Bytes::from_static(b"\xff")) })
                .to_vec(),
        };
        let mut out = Vec::new();
        write_line(&mut out, &key, &record, LineFormat::Envelope);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"{"topic":"t","partition":2,"offset":41,"timestamp":"2026-01-31T10:00:00.000Z","#,
                r#""key":"k\"\n","value":{"a":"x\" y"},"#,
                r#""headers":{"n":[{"$base64":"/w=="},{"$base64":"/w=="}],"m":{"$base64":"/w=="}}}"#,
                "\n"
            )
        );
    }

    #[test]
    fn what_is_not_json_is_base64_and_so_is_what_nests_too_deep() {
        for value in [&b"hello"[..], b"[1,]", b"\xff", "[".repeat(200).as_bytes(), &deep(65)] {
            assert!(!is_json(value));
        }
        for value in [&b"null"[..], b" 1e999 ", &deep(64), format!("\"{}\"", "[".repeat(500)).as_bytes()] {
            assert!(is_json(value));
        }
    }

    fn deep(levels: usize) -> Vec<u8> {
        [b"[".repeat(levels), b"]".repeat(levels)].concat()
    }
}
