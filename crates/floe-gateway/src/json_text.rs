//! JSON as text: what must hold before a parser sees it, and what can be said of it without building a tree.

use serde::de::IgnoredAny;

use crate::{limits::JSON_DEPTH_MAX, problem::ApiError};

/// Refuses what the parser would let pass or be harmed by: other encodings than UTF-8, nesting deeper than
/// [`JSON_DEPTH_MAX`], halves of surrogate pairs. Costs little more than looking for brackets and backslashes.
pub(crate) fn inspect(text: &[u8]) -> Result<(), ApiError> {
    if text.starts_with(b"\xef\xbb\xbf") {
        return Err(ApiError::bad_request(
            "the JSON text begins with a byte order mark (EF BB BF); send it without",
        ));
    }
    if text.starts_with(b"\xfe\xff") || text.starts_with(b"\xff\xfe") || text.iter().take(2).any(|b| *b == 0)
    {
        return Err(ApiError::bad_request("the JSON text is UTF-16 or UTF-32; UTF-8 is expected"));
    }
    if openers(text) <= JSON_DEPTH_MAX && memchr::memchr(b'\\', text).is_none() {
        return Ok(());
    }
    match walk(text) {
        Ok(()) => Ok(()),
        Err(Fault::TooDeep { at }) => Err(ApiError::bad_request(format!(
            "the JSON text nests deeper than the limit of {JSON_DEPTH_MAX} levels at byte {at}"
        ))),
        Err(Fault::LoneSurrogate { at }) => Err(ApiError::bad_request(format!(
            "the JSON text has half of a surrogate pair at byte {at}, which no UTF-8 text can hold"
        ))),
    }
}

/// Whether bytes can stand in a JSON document as they are: valid JSON in UTF-8, and no deeper than
/// [`JSON_DEPTH_MAX`] (readers' parsers have limits too, and one record must not spoil a page).
pub(crate) fn is_json(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    if openers(bytes) > JSON_DEPTH_MAX && matches!(walk(bytes), Err(Fault::TooDeep { .. })) {
        return false;
    }
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Whether valid JSON has no white space between its tokens.
pub(crate) fn is_compact(json: &[u8]) -> bool {
    let mut in_string = false;
    let mut escaped = false;
    json.iter().all(|&byte| {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            true
        } else {
            in_string = byte == b'"';
            !matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
        }
    })
}

/// Appends valid JSON without the white space between its tokens.
pub(crate) fn write_compact(out: &mut Vec<u8>, json: &[u8]) {
    let mut in_string = false;
    let mut escaped = false;
    for &byte in json {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            continue;
        } else {
            in_string = byte == b'"';
        }
        out.push(byte);
    }
}

enum Fault {
    TooDeep { at: usize },
    LoneSurrogate { at: usize },
}

/// How many `[` and `{` there are, in strings or not: an upper bound of the depth that one vectorised pass gives.
fn openers(text: &[u8]) -> usize {
    // The two differ in the bit 0x20 only.
    text.iter().filter(|byte| **byte | 0x20 == b'{').count()
}

fn walk(text: &[u8]) -> Result<(), Fault> {
    let (mut depth, mut in_string, mut at) = (0usize, false, 0usize);
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => in_string = !in_string,
            b'\\' if in_string => at += escape(text, at)?,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > JSON_DEPTH_MAX {
                    return Err(Fault::TooDeep { at });
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

/// How many bytes of the escape at `at` follow its backslash.
fn escape(text: &[u8], at: usize) -> Result<usize, Fault> {
    let Some(unit) = unicode_escape(text, at) else { return Ok(1) };
    match unit {
        0xd800..=0xdbff => match unicode_escape(text, at + 6) {
            Some(0xdc00..=0xdfff) => Ok(11),
            _ => Err(Fault::LoneSurrogate { at }),
        },
        0xdc00..=0xdfff => Err(Fault::LoneSurrogate { at }),
        _ => Ok(5),
    }
}

/// The code unit of a `\uXXXX` at `at`.
fn unicode_escape(text: &[u8], at: usize) -> Option<u16> {
    let hex = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted_outside_of_strings() {
        let nest = |open: &str, close: &str, levels: usize| {
            format!("{}1{}", open.repeat(levels), close.repeat(levels))
        };
        assert!(inspect(nest("[", "]", 64).as_bytes()).is_ok());
        assert!(inspect(nest("[", "]", 65).as_bytes()).is_err());
        assert!(inspect(nest("{\"a\":", "}", 100_000).as_bytes()).is_err());
        assert!(inspect("[".repeat(100_000).as_bytes()).is_err());
        assert!(inspect(format!("\"{}\"", "[".repeat(1_000)).as_bytes()).is_ok());
        assert!(inspect(format!("[{}]", ["[]"; 1_000].join(",")).as_bytes()).is_ok());
        assert!(!is_json("[".repeat(100_000).as_bytes()));
        assert!(!is_json(nest("[", "]", 65).as_bytes()));
        assert!(is_json(nest("[", "]", 64).as_bytes()));
    }

    #[test]
    fn other_encodings_and_half_surrogates_are_refused() {
        for bad in [
            &b"\xef\xbb\xbf{}"[..],
            b"\xff\xfe{\0}\0",
            b"\0{\0}",
            br#""\ud800""#,
            br#""\udc00""#,
            br#""\ud800\ud800""#,
            br#""\ud800x""#,
        ] {
            assert!(inspect(bad).is_err(), "{}", bad.escape_ascii());
        }
        for good in [&br#""\ud83d\ude00""#[..], br#""\\ud800""#, br#""\"[""#, br#"{"a":"\u00e9\n"}"#] {
            assert!(inspect(good).is_ok(), "{}", good.escape_ascii());
        }
    }

    #[test]
    fn json_is_told_from_other_bytes() {
        for good in [&b"null"[..], b" {\"a\": 1e999999} ", b"\"\\ud800\"", "\"\u{e9}\"".as_bytes()] {
            assert!(is_json(good), "{}", good.escape_ascii());
        }
        for bad in [&b""[..], b"hello", b"{} {}", b"\"\xff\"", b"NaN", b"{\"a\":}", b"\"\x01\""] {
            assert!(!is_json(bad), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn compacting_leaves_strings_alone() {
        let mut out = Vec::new();
        let spaced = b"{ \"a b\" : [ 1 ,\n\t\"x \\\" y\" ] }\r\n";
        assert!(!is_compact(spaced));
        write_compact(&mut out, spaced);
        assert_eq!(out, b"{\"a b\":[1,\"x \\\" y\"]}");
        assert!(is_compact(&out));
    }
}
