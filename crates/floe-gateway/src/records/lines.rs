//! Newline-delimited JSON on its way in: one record per line, CRLF and a missing last newline are fine, empty lines
//! are passed over. One bad line refuses the whole request, by its number.

use bytes::Bytes;
use floe_engine::NewRecord;

use crate::{
    json, json_text,
    limits::RECORDS_PER_REQUEST_MAX,
    problem::{ApiError, Code},
    records::Envelope,
};

/// The lines that hold something, with their numbers from 1.
pub(crate) fn lines(body: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut rest = Some(body);
    let mut number = 0;
    std::iter::from_fn(move || {
        loop {
            let text = rest.take()?;
            let line = match memchr::memchr(b'\n', text) {
                Some(end) => {
                    rest = Some(&text[end + 1..]);
                    &text[..end]
                }
                None => text,
            };
            number += 1;
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !line.trim_ascii().is_empty() {
                return Some((number, line));
            }
        }
    })
}

/// Refuses a request with no records, or with too many.
pub(crate) fn count(records: usize) -> Result<(), ApiError> {
    match records {
        0 => Err(ApiError::bad_request("there are no records in the request; at least one is expected")),
        1..=RECORDS_PER_REQUEST_MAX => Ok(()),
        _ => {
            let detail = format!("there are more than {RECORDS_PER_REQUEST_MAX} records in the request");
            Err(ApiError::new(Code::RecordTooLarge, detail))
        }
    }
}

/// A record per line.
pub(super) fn parse(body: &Bytes) -> Result<Vec<NewRecord>, ApiError> {
    json_text::inspect(&body[..body.len().min(4)])?;
    let at_most = memchr::memchr_iter(b'\n', body).count() + 1;
    let mut records = Vec::with_capacity(at_most.min(RECORDS_PER_REQUEST_MAX));
    for (number, line) in lines(body) {
        let record = parse_line(body, line).map_err(|error| error.at(&format!("line {number}")))?;
        records.push(record);
        if records.len() > RECORDS_PER_REQUEST_MAX {
            break;
        }
    }
    count(records.len())?;
    Ok(records)
}

fn parse_line(body: &Bytes, line: &[u8]) -> Result<NewRecord, ApiError> {
    json_text::inspect(line)?;
    // checked once for the whole line: the parser then needn't check each string in it
    let envelope: Result<Envelope<'_>, _> = match std::str::from_utf8(line) {
        Ok(text) => serde_json::from_str(text),
        // the parser says where
        Err(_) => serde_json::from_slice(line),
    };
    envelope.map_err(|error| json::syntax_in_line(&error))?.into_record(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_as_they_like() {
        let found = |body: &'static str| -> Vec<_> {
            lines(body.as_bytes())
                .map(|(number, line)| (number, std::str::from_utf8(line).unwrap()))
                .collect()
        };
        assert_eq!(found("a\nb\n"), [(1, "a"), (2, "b")]);
        assert_eq!(found("a\r\n\r\n\n b"), [(1, "a"), (4, " b")]);
        assert_eq!(found(""), []);
    }

    #[test]
    fn a_bad_line_is_named() {
        let mut text = "{\"value\":1}\n".repeat(499);
        text.push_str("{\"value\":\n{\"value\":2}\n");
        let error = parse(&Bytes::from(text)).unwrap_err();
        assert!(error.detail().starts_with("line 500: "), "{}", error.detail());
        assert!(parse(&Bytes::from_static(b"\n\n")).is_err());
        let error = parse(&Bytes::from_static(b"{\"value\":1}\n{\"v\":1}")).unwrap_err();
        assert!(error.detail().starts_with("line 2: the field 'value' is missing"), "{}", error.detail());
    }

    #[test]
    fn values_are_parts_of_the_body() {
        let body = Bytes::from_static(
            b"{\"key\":\"k\",\"value\":{ \"a\": 1 },\"partition\":3}\r\n{\"value\":null,\"key\":[1, 2]}",
        );
        let records = parse(&body).unwrap();
        assert_eq!(records[0].key.as_deref(), Some(&b"k"[..]));
        assert_eq!(records[0].value.as_deref(), Some(&b"{ \"a\": 1 }"[..]));
        assert_eq!(records[0].partition, Some(3));
        assert!(body.as_ptr_range().contains(&records[0].value.as_ref().unwrap().as_ptr()));
        assert_eq!(records[0].headers[0].name, "content-type");
        assert_eq!(records[1].value, None);
        assert_eq!(records[1].key.as_deref(), Some(&b"[1,2]"[..]));
        assert!(records[1].headers.is_empty());
    }

    #[test]
    fn fields_are_refused_by_name() {
        for (line, expected) in [
            (r#"{"value":1,"value":2}"#, "duplicate field `value`"),
            (r#"{"value":1,"partition":-1}"#, "partition: -1 is not a whole number"),
            (r#"{"value":1,"timestamp":"now"}"#, "timestamp: \"now\" is neither"),
            (r#"{"value":1,"headers":{"a":1,"a":2}}"#, "headers: "),
            (r#"{"value":1,"headers":{"a":[[1]]}}"#, "headers.a: arrays of values don't nest"),
            (r#"{"value":{"$base64":"?"}}"#, "value: $base64 is not base64"),
            (r#"{"records":[{"value":1}]}"#, "batches don't nest"),
            (r#"["k","v"]"#, "a record as a JSON object"),
            (r#"{"value":1} x"#, "trailing characters at column 13"),
        ] {
            let error = parse(&Bytes::from_static(line.as_bytes())).unwrap_err();
            assert!(error.detail().contains(expected), "{line}: {}", error.detail());
        }
    }

    #[test]
    fn headers_repeat_by_arrays_and_bytes_come_back() {
        let line = r#"{"value":{"$base64":"AAE="},"headers":{"b":["1",null],"a":"\u00e9","n":7}}"#;
        let record = parse(&Bytes::from_static(line.as_bytes())).unwrap().remove(0);
        assert_eq!(record.value.as_deref(), Some(&b"\0\x01"[..]));
        let shown: Vec<_> = record.headers.iter().map(|h| (h.name.as_ref(), h.value.as_deref())).collect();
        assert_eq!(
            shown,
            [("b", Some(&b"1"[..])), ("b", None), ("a", Some("é".as_bytes())), ("n", Some(b"7"))]
        );
    }
}
