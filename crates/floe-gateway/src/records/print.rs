//! A record as it is written in our JSON. Values that are JSON are copied as they are stored; nothing is built.

use bytes::Bytes;
use data_encoding::BASE64;
use floe_engine::{Header, StoredRecord};

use crate::{cursor, json_text, timestamp};

/// What goes with a record besides its own fields.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RecordStyle<'a> {
    /// The topic, where an answer has records of several.
    pub(crate) topic: Option<&'a str>,
    /// The cursor behind the record.
    pub(crate) cursor: bool,
    /// No line break inside, for formats that end a record with one.
    pub(crate) one_line: bool,
}

/// Appends `{partition,offset,timestamp,key,value,headers}`.
pub(crate) fn write_record(out: &mut Vec<u8>, record: &StoredRecord, style: RecordStyle<'_>) {
    out.push(b'{');
    if let Some(topic) = style.topic {
        out.extend_from_slice(b"\"topic\":");
        write_str(out, topic);
        out.push(b',');
    }
    out.extend_from_slice(b"\"partition\":");
    write_number(out, record.partition);
    out.extend_from_slice(b",\"offset\":");
    write_number(out, record.offset);
    out.extend_from_slice(b",\"timestamp\":");
    timestamp::write_json(out, record.timestamp);
    out.extend_from_slice(b",\"key\":");
    write_key(out, record.key.as_ref());
    out.extend_from_slice(b",\"value\":");
    write_value(out, record.value.as_ref(), style.one_line);
    out.extend_from_slice(b",\"headers\":");
    write_headers(out, &record.headers);
    if style.cursor {
        out.extend_from_slice(b",\"cursor\":\"");
        cursor::write(out, &record.cursor);
        out.push(b'"');
    }
    out.push(b'}');
}

/// Appends a value: its own text if that is JSON, null for a tombstone, else `{"$base64":"…"}`.
pub(crate) fn write_value(out: &mut Vec<u8>, value: Option<&Bytes>, one_line: bool) {
    match value {
        None => out.extend_from_slice(b"null"),
        Some(value) if !json_text::is_json(value) => write_base64(out, value),
        Some(value) if one_line && memchr::memchr2(b'\n', b'\r', value).is_some() => {
            json_text::write_compact(out, value)
        }
        Some(value) => out.extend_from_slice(value),
    }
}

/// Appends a key: UTF-8 as a string, null for none, else `{"$base64":"…"}`.
pub(crate) fn write_key(out: &mut Vec<u8>, key: Option<&Bytes>) {
    match key.map(|key| std::str::from_utf8(key).map_err(|_| key)) {
        None => out.extend_from_slice(b"null"),
        Some(Ok(text)) => write_str(out, text),
        Some(Err(key)) => write_base64(out, key),
    }
}

/// Appends headers as an object; a name that repeats has an array of its values.
pub(crate) fn write_headers(out: &mut Vec<u8>, headers: &[Header]) {
    out.push(b'{');
    for (at, header) in headers.iter().enumerate() {
        if headers[..at].iter().any(|earlier| earlier.name == header.name) {
            continue;
        }
        if at > 0 {
            out.push(b',');
        }
        write_str(out, &header.name);
        out.push(b':');
        let mut again = headers[at + 1..].iter().filter(|later| later.name == header.name).peekable();
        if again.peek().is_none() {
            write_key(out, header.value.as_ref());
            continue;
        }
        out.push(b'[');
        write_key(out, header.value.as_ref());
        for later in again {
            out.push(b',');
            write_key(out, later.value.as_ref());
        }
        out.push(b']');
    }
    out.push(b'}');
}

/// Appends a number.
pub(crate) fn write_number(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends a JSON string.
pub(crate) fn write_str(out: &mut Vec<u8>, text: &str) {
    // Writing a string to memory can't fail.
    let _ = serde_json::to_writer(out, text);
}

fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(b"{\"$base64\":\"");
    let start = out.len();
    out.resize(start + BASE64.encode_len(bytes.len()), 0);
    BASE64.encode_mut(bytes, &mut out[start..]);
    out.extend_from_slice(b"\"}");
}

#[cfg(test)]
mod tests {
    use floe_engine::{Cursor, JournalCursor};

    use super::*;

    fn printed(
        key: Option<&'static [u8]>,
        value: Option<&'static [u8]>,
        headers: &[(&'static str, &'static [u8])],
        one_line: bool,
    ) -> String {
        let record = StoredRecord {
            partition: 2,
            offset: 41,
            timestamp: 1_769_853_600_000,
            key: key.map(Bytes::from_static),
            value: value.map(Bytes::from_static),
            headers: headers
                .iter()
                .map(|(name, value)| Header { name: (*name).into(), value: Some(Bytes::from_static(value)) })
                .collect(),
            cursor: Cursor::Journal(JournalCursor { topic_id: 1, position: 2, records: 3 }),
        };
        let mut out = Vec::new();
        write_record(&mut out, &record, RecordStyle { one_line, ..RecordStyle::default() });
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_stays_as_it_is_and_bytes_become_base64() {
        let start = r#"{"partition":2,"offset":41,"timestamp":"2026-01-31T10:00:00.000Z","#;
        assert_eq!(
            printed(Some(b"k\"1"), Some(b"{ \"a\": 1e999999 }"), &[("n", b"v")], false),
            format!(r#"{start}"key":"k\"1","value":{{ "a": 1e999999 }},"headers":{{"n":"v"}}}}"#)
        );
        assert_eq!(
            printed(Some(b"\xff"), Some(b"hello"), &[("n", b"1"), ("m", b"\xff"), ("n", b"2")], false),
            format!(
                r#"{start}"key":{{"$base64":"/w=="}},"value":{{"$base64":"aGVsbG8="}},"headers":{{"n":["1","2"],"m":{{"$base64":"/w=="}}}}}}"#
            )
        );
        assert_eq!(
            printed(None, None, &[], false),
            format!(r#"{start}"key":null,"value":null,"headers":{{}}}}"#)
        );
    }

    #[test]
    fn a_line_has_no_break_inside() {
        let line = printed(None, Some(b"{\n  \"a\": \"x y\"\r\n}"), &[], true);
        assert!(line.contains(r#""value":{"a":"x y"}"#), "{line}");
    }

    #[test]
    fn what_is_printed_can_be_read_by_a_parser() {
        for value in
            [&b"\"\x01\""[..], b"\"\\ud800\"", b"[1,]", b"\xef\xbb\xbf1", b"<script>alert(1)</script>"]
        {
            let text = printed(Some(b"\x1b[31m\0\n"), Some(value), &[("a\r\nb", b"\0")], true);
            assert!(serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok(), "{text}");
            assert!(!text.contains('\n'));
        }
    }
}
