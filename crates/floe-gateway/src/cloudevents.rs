//! CloudEvents 1.0 over HTTP to records, as its Kafka binding lays them out.
//!
//! A binary event becomes `ce_*` headers, the data as value and its type as `content-type`. A structured one stays the
//! text that was sent, with `content-type: application/cloudevents+json`; of a batch, each event. The extension
//! `partitionkey` is the record's key.

use std::{borrow::Cow, collections::HashSet, fmt};

use bytes::Bytes;
use floe_engine::{Header, NewRecord};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use percent_encoding::percent_decode;
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{json, json_text, problem::ApiError, records, timestamp};

/// The header whose presence makes a request a binary event.
pub(crate) const SPEC_VERSION: HeaderName = HeaderName::from_static("ce-specversion");

const REQUIRED: [&str; 4] = ["id", "source", "specversion", "type"];

/// An event whose attributes are in headers and whose data is the body.
pub(crate) fn binary(headers: &HeaderMap, body: &Bytes) -> Result<NewRecord, ApiError> {
    let mut record = NewRecord::default();
    let mut seen = HashSet::new();
    for (name, value) in headers {
        let Some(attribute) = name.as_str().strip_prefix("ce-") else { continue };
        let text = percent_decode(value.as_bytes()).decode_utf8().map_err(|_| {
            ApiError::bad_request("its value is not UTF-8 once its %-escapes are undone").at(name.as_str())
        })?;
        if !seen.insert(attribute) {
            return Err(ApiError::bad_request("the header is given twice").at(name.as_str()));
        }
        check_attribute(attribute, &text)?;
        if attribute == "partitionkey" {
            record.key = Some(Bytes::copy_from_slice(text.as_bytes()));
        }
        let value = Some(Bytes::copy_from_slice(text.as_bytes()));
        record.headers.push(Header { name: format!("ce_{attribute}").into(), value });
    }
    check_complete(|required| seen.contains(required), "the header ce-")?;
    if let Some(kind) = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes) {
        let value = Some(Bytes::copy_from_slice(kind));
        record.headers.push(Header { name: "content-type".into(), value });
    }
    record.value = Some(body.clone());
    Ok(record)
}

/// One event as a JSON object.
pub(crate) fn structured(body: &Bytes) -> Result<NewRecord, ApiError> {
    json::require_object(body)?;
    json_text::inspect(body)?;
    let text: &RawValue = serde_json::from_slice(body).map_err(|error| json::syntax(&error))?;
    event(body, text)
}

/// Several events as a JSON array.
pub(crate) fn batch(body: &Bytes) -> Result<Vec<NewRecord>, ApiError> {
    json_text::inspect(body)?;
    let texts: Vec<&RawValue> = serde_json::from_slice(body).map_err(|error| json::syntax(&error))?;
    records::count(texts.len())?;
    let place = |at: usize| format!("event {at}");
    texts
        .iter()
        .enumerate()
        .map(|(at, text)| event(body, text).map_err(|error| error.at(&place(at))))
        .collect()
}

fn event(body: &Bytes, text: &RawValue) -> Result<NewRecord, ApiError> {
    let Attributes(members) = serde_json::from_str(text.get()).map_err(|error| json::syntax(&error))?;
    let mut key = None;
    for (name, value) in &members {
        if matches!(name.as_ref(), "data" | "data_base64") {
            continue;
        }
        let value = scalar(name, value.get())?;
        check_attribute(name, &value)?;
        if name == "partitionkey" {
            key = Some(Bytes::copy_from_slice(value.as_bytes()));
        }
    }
    let has = |wanted: &str| members.iter().any(|(name, value)| name == wanted && value.get() != "null");
    check_complete(has, "the attribute ")?;
    if has("data") && has("data_base64") {
        return Err(ApiError::bad_request("an event has either data or data_base64, this one has both"));
    }
    let content_type = Bytes::from_static(b"application/cloudevents+json; charset=UTF-8");
    Ok(NewRecord {
        key,
        value: Some(body.slice_ref(text.get().as_bytes())),
        headers: vec![Header { name: "content-type".into(), value: Some(content_type) }],
        ..NewRecord::default()
    })
}

/// An attribute is a string, a number or a boolean.
fn scalar<'a>(name: &str, raw: &'a str) -> Result<Cow<'a, str>, ApiError> {
    match raw.as_bytes().first() {
        Some(b'"') => {
            serde_json::from_str::<String>(raw).map(Cow::Owned).map_err(|error| json::syntax(&error).at(name))
        }
        Some(b'{' | b'[') => {
            Err(ApiError::bad_request("an attribute is a string, a number or a boolean").at(name))
        }
        _ => Ok(Cow::Borrowed(raw)),
    }
}

fn check_attribute(name: &str, value: &str) -> Result<(), ApiError> {
    let wrong = |why: &'static str| Err(ApiError::bad_request(why).at(&name.escape_debug().to_string()));
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
        return wrong("an attribute's name has only a to z and 0 to 9");
    }
    match name {
        "specversion" if value != "1.0" => wrong("only version 1.0 of CloudEvents is taken"),
        "id" | "source" | "type" if value.is_empty() || value == "null" => {
            wrong("the attribute may not be empty")
        }
        "time" if value != "null" && timestamp::parse(value).is_none() => {
            wrong("the attribute is an RFC 3339 time")
        }
        _ => Ok(()),
    }
}

fn check_complete(has: impl Fn(&str) -> bool, what: &str) -> Result<(), ApiError> {
    match REQUIRED.iter().find(|required| !has(required)) {
        None => Ok(()),
        Some(missing) => Err(ApiError::bad_request(format!(
            "{what}{missing} is missing; a CloudEvent has id, source, specversion and type"
        ))),
    }
}

/// An event's members in their order, each once.
struct Attributes<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Attributes<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Attributes<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a CloudEvent as a JSON object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Attributes<'de>, M::Error> {
                let mut members = Vec::new();
                let mut seen = HashSet::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    if !seen.insert(name.clone()) {
                        return Err(M::Error::custom(format!("'{}' is given twice", name.escape_debug())));
                    }
                    members.push((name, value));
                }
                Ok(Attributes(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str =
        r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","partitionkey":"k","data":{"a":1}}"#;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    fn shown(record: &NewRecord) -> Vec<(&str, &[u8])> {
        record.headers.iter().map(|h| (h.name.as_ref(), h.value.as_deref().unwrap())).collect()
    }

    #[test]
    fn a_binary_event_becomes_headers_and_a_value() {
        let given = headers(&[
            ("ce-specversion", "1.0"),
            ("ce-id", "1"),
            ("ce-source", "/caf%C3%A9"),
            ("ce-type", "t"),
            ("ce-partitionkey", "k"),
            ("content-type", "text/plain"),
            ("accept", "*/*"),
        ]);
        let record = binary(&given, &Bytes::from_static(b"hi")).unwrap();
        assert_eq!(record.key.as_deref(), Some(&b"k"[..]));
        assert_eq!(record.value.as_deref(), Some(&b"hi"[..]));
        let mut found = shown(&record);
        found.sort_unstable();
        assert_eq!(
            found,
            [
                ("ce_id", &b"1"[..]),
                ("ce_partitionkey", b"k"),
                ("ce_source", "/café".as_bytes()),
                ("ce_specversion", b"1.0"),
                ("ce_type", b"t"),
                ("content-type", b"text/plain"),
            ]
        );
    }

    #[test]
    fn a_structured_event_stays_as_it_was_sent() {
        let body = Bytes::from(format!(" {EVENT} "));
        let record = structured(&body).unwrap();
        assert_eq!(record.value.as_deref(), Some(EVENT.as_bytes()));
        assert_eq!(record.key.as_deref(), Some(&b"k"[..]));
        assert_eq!(shown(&record), [("content-type", &b"application/cloudevents+json; charset=UTF-8"[..])]);
        let batched = batch(&Bytes::from(format!("[{EVENT},\n{EVENT}]"))).unwrap();
        assert_eq!(batched, [record.clone(), record]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, expected) in [
            (EVENT.replace("\"id\":\"1\",", ""), "the attribute id is missing"),
            (EVENT.replace("1.0", "0.3"), "specversion: only version 1.0"),
            (EVENT.replace("\"t\"", "\"\""), "type: the attribute may not be empty"),
            (EVENT.replace("partitionkey", "partitionKey"), "partitionKey: an attribute's name"),
            (EVENT.replace("\"k\"", "[1]"), "partitionkey: an attribute is a string"),
            (EVENT.replace("partitionkey", "time"), "time: the attribute is an RFC 3339 time"),
            (EVENT.replace("partitionkey", "data_base64"), "either data or data_base64"),
            (EVENT.replace("partitionkey", "id"), "'id' is given twice"),
            ("[]".to_owned(), "a JSON object is expected"),
        ] {
            let error = structured(&Bytes::from(text.clone())).unwrap_err();
            assert!(error.detail().contains(expected), "{text}: {}", error.detail());
        }
        let error = batch(&Bytes::from(format!("[{EVENT},{{}}]"))).unwrap_err();
        assert!(error.detail().starts_with("event 1: "), "{}", error.detail());
        assert!(batch(&Bytes::from_static(b"[]")).is_err());
        let error = binary(&headers(&[("ce-specversion", "1.0")]), &Bytes::new()).unwrap_err();
        assert!(error.detail().starts_with("the header ce-id is missing"), "{}", error.detail());
    }
}
