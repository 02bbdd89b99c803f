//! A record as it was read, with its bytes as they were written.

use std::borrow::Cow;

use anyhow::Context;
use data_encoding::BASE64;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) partition: u32,
    pub(crate) offset: i64,
    pub(crate) timestamp_ms: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, default)]
    topic: Option<Cow<'a, str>>,
    partition: u32,
    offset: i64,
    #[serde(default)]
    timestamp: Option<Value>,
    #[serde(borrow, default)]
    key: Option<&'a RawValue>,
    #[serde(borrow, default)]
    value: Option<&'a RawValue>,
    #[serde(default)]
    headers: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bytes<'a> {
    #[serde(rename = "$base64", borrow)]
    text: Cow<'a, str>,
}

impl Record {
    /// Reads a record from the JSON of an answer; also its topic, where that is said.
    pub(crate) fn parse(json: &str) -> anyhow::Result<(Option<String>, Self)> {
        let line: Line<'_> =
            serde_json::from_str(json).context("a record of the answer is not what was expected")?;
        let record = Self {
            partition: line.partition,
            offset: line.offset,
            timestamp_ms: line.timestamp.as_ref().and_then(millis).unwrap_or(-1),
            key: line.key.map(|key| key_bytes(key.get())).transpose()?,
            value: line.value.map(|value| value_bytes(value.get())).transpose()?,
            headers: headers_of(&line.headers),
        };
        Ok((line.topic.map(Cow::into_owned), record))
    }
}

/// A key's bytes: a string's text, base64's bytes.
fn key_bytes(json: &str) -> anyhow::Result<Vec<u8>> {
    match serde_json::from_str::<Cow<'_, str>>(json) {
        Ok(text) => Ok(text.into_owned().into_bytes()),
        Err(_) => value_bytes(json),
    }
}

/// A value's bytes: base64's bytes, else the JSON as it stands.
fn value_bytes(json: &str) -> anyhow::Result<Vec<u8>> {
    match serde_json::from_str::<Bytes<'_>>(json) {
        Ok(bytes) => {
            BASE64.decode(bytes.text.as_bytes()).context("a record of the answer has invalid base64")
        }
        Err(_) => Ok(json.as_bytes().to_vec()),
    }
}

fn millis(timestamp: &Value) -> Option<i64> {
    match timestamp {
        Value::String(text) => {
            let nanos = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp_nanos();
            i64::try_from(nanos.div_euclid(1_000_000)).ok()
        }
        Value::Number(number) => number.as_i64(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn headers_of(headers: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut all = Vec::new();
    for (name, value) in headers.as_object().into_iter().flatten() {
        match value.as_array() {
            Some(values) => all.extend(values.iter().map(|value| (name.clone(), text(value)))),
            None => all.push((name.clone(), text(value))),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_as_they_were_written() {
        let json = r#"{"topic":"t","partition":1,"offset":2,"timestamp":"2026-01-31T10:00:00.123Z","key":"k\"1","value":{ "a": 1e400 },"headers":{"n":["1","2"],"m":null}}"#;
        let (topic, record) = Record::parse(json).unwrap();
        assert_eq!(topic.as_deref(), Some("t"));
        assert_eq!((record.partition, record.offset, record.timestamp_ms), (1, 2, 1_769_853_600_123));
        assert_eq!(record.key.as_deref(), Some(&b"k\"1"[..]));
        assert_eq!(record.value.as_deref(), Some(&b"{ \"a\": 1e400 }"[..]));
        assert_eq!(record.headers.len(), 3);
    }

    #[test]
    fn bytes_that_are_no_text_come_as_base64() {
        let (_, record) = Record::parse(
            r#"{"partition":0,"offset":0,"key":{"$base64":"/w=="},"value":{"$base64":"AAE="}}"#,
        )
        .unwrap();
        assert_eq!((record.key, record.value), (Some(vec![255]), Some(vec![0, 1])));
        let (_, tombstone) = Record::parse(r#"{"partition":0,"offset":0,"key":null,"value":null}"#).unwrap();
        assert_eq!((tombstone.key, tombstone.value), (None, None));
        assert!(Record::parse(r#"{"partition":0,"offset":0,"value":{"$base64":"?"}}"#).is_err());
    }
}
