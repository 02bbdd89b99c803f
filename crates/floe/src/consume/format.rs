//! Output formats with kcat's tokens: `%k %v\n`.

use std::fmt::Write;

use super::record::Record;

/// A format, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Format(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Vec<u8>),
    Topic,
    Partition,
    Offset,
    Timestamp,
    Key,
    KeyBytes,
    Value,
    ValueBytes,
    Headers,
}

/// The tokens, for the error.
const TOKENS: &str = "%t topic, %p partition, %o offset, %T timestamp in ms, %k key, %K its length, %s or %v value, %S or %V its length, %h headers, %% a percent sign";

impl Format {
    /// Reads a format; for clap. `\n`, `\r`, `\t`, `\0`, `\\` and `\xNN` stand for their bytes.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '\\' => literal.push(escaped(&mut chars)?),
                '%' => match token(chars.next())? {
                    None => literal.push(b'%'),
                    Some(part) => {
                        if !literal.is_empty() {
                            parts.push(Part::Literal(std::mem::take(&mut literal)));
                        }
                        parts.push(part);
                    }
                },
                c => literal.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self(parts))
    }

    /// Appends a record in this format.
    pub(crate) fn write(&self, topic: &str, record: &Record, out: &mut Vec<u8>) {
        let number = |out: &mut Vec<u8>, number: i64| out.extend_from_slice(number.to_string().as_bytes());
        let length = |bytes: Option<&[u8]>| bytes.map_or(-1, |bytes| bytes.len() as i64);
        for part in &self.0 {
            match part {
                Part::Literal(bytes) => out.extend_from_slice(bytes),
                Part::Topic => out.extend_from_slice(topic.as_bytes()),
                Part::Partition => number(out, i64::from(record.partition)),
                Part::Offset => number(out, record.offset),
                Part::Timestamp => number(out, record.timestamp_ms),
                Part::Key => out.extend_from_slice(record.key.as_deref().unwrap_or_default()),
                Part::KeyBytes => number(out, length(record.key.as_deref())),
                Part::Value => out.extend_from_slice(record.value.as_deref().unwrap_or_default()),
                Part::ValueBytes => number(out, length(record.value.as_deref())),
                Part::Headers => out.extend_from_slice(headers(record).as_bytes()),
            }
        }
    }
}

fn headers(record: &Record) -> String {
    let mut text = String::new();
    for (name, value) in &record.headers {
        let comma = if text.is_empty() { "" } else { "," };
        let _ = write!(text, "{comma}{name}={value}");
    }
    text
}

fn token(c: Option<char>) -> Result<Option<Part>, String> {
    Ok(Some(match c {
        Some('%') => return Ok(None),
        Some('t') => Part::Topic,
        Some('p') => Part::Partition,
        Some('o') => Part::Offset,
        Some('T') => Part::Timestamp,
        Some('k') => Part::Key,
        Some('K') => Part::KeyBytes,
        Some('s' | 'v') => Part::Value,
        Some('S' | 'V') => Part::ValueBytes,
        Some('h') => Part::Headers,
        Some(other) => return Err(format!("%{} is not a token: {TOKENS}", other.escape_debug())),
        None => return Err(format!("a format can't end in a single %: {TOKENS}")),
    }))
}

fn escaped(chars: &mut std::str::Chars<'_>) -> Result<u8, String> {
    Ok(match chars.next() {
        Some('n') => b'\n',
        Some('r') => b'\r',
        Some('t') => b'\t',
        Some('0') => 0,
        Some('\\') => b'\\',
        Some('x') => {
            let digits: String = chars.take(2).collect();
            let byte = Some(digits)
                .filter(|digits| digits.len() == 2)
                .and_then(|digits| u8::from_str_radix(&digits, 16).ok());
            byte.ok_or("\\x takes two hexadecimal digits")?
        }
        _ => return Err("a backslash stands before n, r, t, 0, xNN or another backslash".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            partition: 2,
            offset: 7,
            timestamp_ms: 1_769_853_600_000,
            key: Some(b"k".to_vec()),
            value: Some(b"{\"a\": 1}".to_vec()),
            headers: vec![("h".to_owned(), "1".to_owned()), ("i".to_owned(), "2".to_owned())],
        }
    }

    fn written(format: &str, record: &Record) -> String {
        let mut out = Vec::new();
        Format::parse(format).unwrap().write("orders", record, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn tokens_stand_for_a_records_parts() {
        assert_eq!(written("%k %v\\n", &record()), "k {\"a\": 1}\n");
        assert_eq!(
            written("%t[%p]@%o %T %K %S %s %h%%", &record()),
            "orders[2]@7 1769853600000 1 8 {\"a\": 1} h=1,i=2%"
        );
        assert_eq!(written("\\t\\x41\\\\\\0é", &record()), "\tA\\\0é");
    }

    #[test]
    fn what_is_absent_is_empty_and_has_the_length_minus_one() {
        let record = Record { key: None, value: None, ..record() };
        assert_eq!(written("[%k|%v|%K|%V]", &record), "[||-1|-1]");
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for bad in ["%", "%q", "\\", "\\q", "\\x", "\\x4", "\\xzz"] {
            assert!(Format::parse(bad).is_err(), "{bad}");
        }
    }
}
