//! A record as clients write it in JSON: `{key?, value, headers?, partition?, timestamp?}`, or `{records:[…]}` of those.
//!
//! Nothing is built in between: key and value are slices of the body, checked once by the parser.

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use data_encoding::BASE64;
use floe_engine::{Header, NewRecord};
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    json_text,
    limits::{RECORD_HEADERS_MAX, TIMESTAMP_MS_MAX},
    problem::ApiError,
    timestamp,
};

/// A record's fields as JSON text, each a part of the body.
#[derive(Debug, Default)]
pub(crate) struct Envelope<'a> {
    key: Option<&'a RawValue>,
    value: Option<&'a RawValue>,
    headers: Option<&'a RawValue>,
    partition: Option<&'a RawValue>,
    timestamp: Option<&'a RawValue>,
    /// The records of a batch; then nothing else is given.
    pub(crate) records: Option<Vec<Envelope<'a>>>,
}

impl Envelope<'_> {
    /// The record. `body` is the buffer that the envelope was parsed from.
    pub(crate) fn into_record(self, body: &Bytes) -> Result<NewRecord, ApiError> {
        if self.records.is_some() {
            return Err(ApiError::bad_request("a record has the field 'records'; batches don't nest"));
        }
        let Some(value) = self.value else {
            return Err(ApiError::bad_request(
                "the field 'value' is missing; a record is {\"key\"?, \"value\", \"headers\"?, \"partition\"?, \"timestamp\"?}",
            ));
        };
        let mut headers = self.headers.map_or_else(|| Ok(Vec::new()), |raw| parse_headers(body, raw))?;
        let (value, is_json) = value_bytes(body, value.get())?;
        if is_json && !headers.iter().any(|header| header.name.eq_ignore_ascii_case("content-type")) {
            headers.push(json_content_type());
        }
        Ok(NewRecord {
            key: self.key.map_or(Ok(None), |key| key_bytes(body, key.get()))?,
            value,
            headers,
            partition: self.partition.map_or(Ok(None), |raw| parse_partition(raw.get()))?,
            timestamp: self.timestamp.map_or(Ok(None), |raw| parse_timestamp(raw.get()))?,
        })
    }

    /// Refuses a batch with a record's fields beside it.
    pub(crate) fn into_batch(self) -> Result<Vec<Self>, ApiError> {
        let beside = [self.key, self.value, self.headers, self.partition, self.timestamp];
        if beside.iter().any(Option::is_some) {
            return Err(ApiError::bad_request(
                "there is 'records' and a record's own field beside it; send one or the other",
            ));
        }
        Ok(self.records.unwrap_or_default())
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    Key,
    Value,
    Headers,
    Partition,
    Timestamp,
    Records,
    #[serde(other)]
    Other,
}

impl<'de> Deserialize<'de> for Envelope<'de> {
    /// By hand, since a derived one would also take an array's items for the fields.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Envelope<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a record as a JSON object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Envelope<'de>, M::Error> {
                let mut envelope = Envelope::default();
                while let Some(field) = map.next_key()? {
                    let (slot, name) = match field {
                        Field::Key => (&mut envelope.key, "key"),
                        Field::Value => (&mut envelope.value, "value"),
                        Field::Headers => (&mut envelope.headers, "headers"),
                        Field::Partition => (&mut envelope.partition, "partition"),
                        Field::Timestamp => (&mut envelope.timestamp, "timestamp"),
                        Field::Records if envelope.records.is_some() => {
                            return Err(M::Error::duplicate_field("records"));
                        }
                        Field::Records => {
                            envelope.records = Some(map.next_value()?);
                            continue;
                        }
                        Field::Other => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    if slot.replace(map.next_value()?).is_some() {
                        return Err(M::Error::duplicate_field(name));
                    }
                }
                Ok(envelope)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// The header that says a value is JSON text.
pub(crate) fn json_content_type() -> Header {
    Header { name: "content-type".into(), value: Some(Bytes::from_static(b"application/json")) }
}

/// A key's bytes: a JSON string is its UTF-8, null is no key, `{"$base64":…}` its bytes, other JSON its compact text.
pub(crate) fn key_bytes(body: &Bytes, raw: &str) -> Result<Option<Bytes>, ApiError> {
    if raw == "null" {
        return Ok(None);
    }
    if let Some(text) = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        if !text.contains('\\') {
            return Ok(Some(body.slice_ref(text.as_bytes())));
        }
        let text: String =
            serde_json::from_str(raw).map_err(|error| crate::json::syntax(&error).at("key"))?;
        return Ok(Some(text.into()));
    }
    if let Some(bytes) = base64_object(raw).map_err(|error| error.at("key"))? {
        return Ok(Some(bytes));
    }
    if json_text::is_compact(raw.as_bytes()) {
        return Ok(Some(body.slice_ref(raw.as_bytes())));
    }
    let mut compact = Vec::with_capacity(raw.len());
    json_text::write_compact(&mut compact, raw.as_bytes());
    Ok(Some(compact.into()))
}

/// A value's bytes and whether they are JSON text: null is a tombstone, `{"$base64":…}` its bytes, other JSON the text
/// as it was sent.
fn value_bytes(body: &Bytes, raw: &str) -> Result<(Option<Bytes>, bool), ApiError> {
    if raw == "null" {
        return Ok((None, false));
    }
    match base64_object(raw).map_err(|error| error.at("value"))? {
        Some(bytes) => Ok((Some(bytes), false)),
        None => Ok((Some(body.slice_ref(raw.as_bytes())), true)),
    }
}

/// The bytes of exactly `{"$base64":"…"}`, the form in which bytes that aren't JSON are read.
fn base64_object(raw: &str) -> Result<Option<Bytes>, ApiError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Encoded<'a> {
        #[serde(rename = "$base64", borrow)]
        text: Cow<'a, str>,
    }
    let first_name = raw.strip_prefix('{').map(str::trim_ascii_start);
    if !first_name.is_some_and(|rest| rest.starts_with("\"$base64\"")) {
        return Ok(None);
    }
    let Ok(encoded) = serde_json::from_str::<Encoded<'_>>(raw) else { return Ok(None) };
    match BASE64.decode(encoded.text.as_bytes()) {
        Ok(bytes) => Ok(Some(bytes.into())),
        Err(why) => Err(ApiError::bad_request(format!("$base64 is not base64 with padding: {why}"))),
    }
}

fn parse_partition(raw: &str) -> Result<Option<u32>, ApiError> {
    if raw == "null" {
        return Ok(None);
    }
    raw.parse().map(Some).map_err(|_| {
        ApiError::bad_request(format!("partition: {} is not a whole number from 0 on", shown(raw)))
    })
}

fn parse_timestamp(raw: &str) -> Result<Option<i64>, ApiError> {
    if raw == "null" {
        return Ok(None);
    }
    let ms = match serde_json::from_str::<Cow<'_, str>>(raw) {
        Ok(text) => timestamp::parse(&text),
        Err(_) => raw.parse().ok().filter(|ms| (0..=TIMESTAMP_MS_MAX).contains(ms)),
    };
    ms.map(Some).ok_or_else(|| {
        let shown = shown(raw);
        ApiError::bad_request(format!(
            "timestamp: {shown} is neither an RFC 3339 time nor milliseconds since 1970, up to the year 9999"
        ))
    })
}

/// Headers as an object: `{"name": "value"}`; an array of values repeats the name.
pub(crate) fn parse_headers(body: &Bytes, raw: &RawValue) -> Result<Vec<Header>, ApiError> {
    let named = match serde_json::from_str::<HeaderFields<'_>>(raw.get()) {
        Ok(HeaderFields(named)) => named,
        Err(_) if raw.get() == "null" => return Ok(Vec::new()),
        Err(error) => return Err(crate::json::syntax(&error).at("headers")),
    };
    let mut headers = Vec::with_capacity(named.len() + 1);
    for (name, value) in named {
        let values = match serde_json::from_str::<Vec<&RawValue>>(value.get()) {
            Ok(values) if values.is_empty() => {
                return Err(
                    ApiError::bad_request("an array of values may not be empty").at(&in_headers(&name))
                );
            }
            Ok(values) => values,
            Err(_) => vec![value],
        };
        for value in values {
            let value = header_value(body, value.get()).map_err(|error| error.at(&in_headers(&name)))?;
            headers.push(Header { name: name.clone().into(), value });
        }
    }
    if headers.len() > RECORD_HEADERS_MAX {
        let detail = format!("headers: there are {}, at most {RECORD_HEADERS_MAX} are taken", headers.len());
        return Err(ApiError::bad_request(detail));
    }
    Ok(headers)
}

fn header_value(body: &Bytes, raw: &str) -> Result<Option<Bytes>, ApiError> {
    if raw.starts_with('[') {
        return Err(ApiError::bad_request("arrays of values don't nest"));
    }
    key_bytes(body, raw)
}

fn in_headers(name: &str) -> String {
    format!("headers.{}", name.escape_debug())
}

/// At most the beginning of what was given, for an answer.
fn shown(raw: &str) -> String {
    raw.chars().take(40).collect()
}

struct HeaderFields<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for HeaderFields<'de> {
    /// By hand, to keep the order and to refuse a name that is given twice.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = HeaderFields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of names and values")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<HeaderFields<'de>, M::Error> {
                let mut fields: Vec<(String, &'de RawValue)> = Vec::new();
                let mut seen = std::collections::HashSet::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    if !seen.insert(name.clone()) {
                        let name = name.escape_debug();
                        return Err(M::Error::custom(format!(
                            "'{name}' is given twice; an array of values repeats a name"
                        )));
                    }
                    fields.push((name, value));
                }
                Ok(HeaderFields(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}
