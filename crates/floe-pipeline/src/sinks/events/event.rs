//! An event in a record: each is read once, and its data is not copied.

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use floe_store::{NewEvent, PositionKey};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::sinks::{EVENT_ID_HEADER, Outgoing};

/// An id in a body that is longer isn't one, as where events come in.
const ID_BYTES_MAX: usize = 255;

/// The members of an event that have a column of their own. Of repeated members the last one counts.
#[derive(Debug, Default)]
struct Body<'a> {
    id: Option<&'a RawValue>,
    event_id: Option<&'a RawValue>,
    event_type: Option<&'a RawValue>,
    kind: Option<&'a RawValue>,
    user_id: Option<&'a RawValue>,
    timestamp: Option<&'a RawValue>,
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Member {
    Id,
    EventId,
    EventType,
    Type,
    UserId,
    Timestamp,
    Data,
    #[serde(other)]
    Other,
}

struct BodyVisitor;

impl<'de> Visitor<'de> for BodyVisitor {
    type Value = Body<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Body<'de>, A::Error> {
        let mut body = Body::default();
        while let Some(member) = map.next_key()? {
            let slot = match member {
                Member::Id => &mut body.id,
                Member::EventId => &mut body.event_id,
                Member::EventType => &mut body.event_type,
                Member::Type => &mut body.kind,
                Member::UserId => &mut body.user_id,
                Member::Timestamp => &mut body.timestamp,
                Member::Data => &mut body.data,
                Member::Other => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *slot = Some(map.next_value()?);
        }
        Ok(body)
    }
}

impl<'de> Deserialize<'de> for Body<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(BodyVisitor)
    }
}

/// Reads an event; `Err` says why there is none in the record.
pub(super) fn read(key: &PositionKey, record: &Outgoing) -> Result<NewEvent, String> {
    let value = record.value.as_ref().ok_or("the record has no value; an event is a JSON object")?;
    let text = std::str::from_utf8(value).map_err(|_| "the value is not UTF-8; an event is a JSON object")?;
    let body: Body<'_> = serde_json::from_str(text).map_err(|error| {
        format!("the value is not an event, which is a JSON object: {}", place_of(&error))
    })?;
    let own_id = [body.id, body.event_id].into_iter().flatten().find(|raw| raw.get() != "null");
    let own_id = own_id.and_then(scalar).filter(|id| (1..=ID_BYTES_MAX).contains(&id.len()));
    let timestamp = body.timestamp.and_then(scalar).and_then(|text| rfc3339_ms(&text));
    Ok(NewEvent {
        offset: record.offset,
        id: own_id.map_or_else(|| given_id(key, record), Cow::into_owned),
        event_type: body
            .event_type
            .and_then(string)
            .or_else(|| body.kind.and_then(string))
            .map(Cow::into_owned),
        user_id: body.user_id.and_then(scalar).map(Cow::into_owned),
        data: body.data.map_or_else(|| value.clone(), |data| part_of(value, data)),
        timestamp: timestamp.unwrap_or(record.timestamp),
    })
}

/// Where the text stops being what it should be; what stands there is left out, it is somebody's data.
fn place_of(error: &serde_json::Error) -> String {
    let why = match error.classify() {
        serde_json::error::Category::Data => "it is another JSON value",
        serde_json::error::Category::Eof => "it ends too early",
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => "it is not JSON",
    };
    format!("{why} (line {}, column {})", error.line(), error.column())
}

/// The id that was given when the event came in, else one made of its place in the log.
fn given_id(key: &PositionKey, record: &Outgoing) -> String {
    let header = record.headers.iter().find(|header| header.name == EVENT_ID_HEADER);
    let given = header.and_then(|header| std::str::from_utf8(header.value.as_deref()?).ok());
    let id = given
        .filter(|id| !id.is_empty())
        .map_or_else(|| format!("{}-{}-{}", key.topic, key.partition, record.offset), str::to_owned);
    // A map that made several events of one record: each needs an id of its own.
    if record.index == 0 { id } else { format!("{id}-{}", record.index) }
}

fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    let inner = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str::<String>(raw.get()).ok().map(Cow::Owned)
}

/// A string, or a number as it was written.
fn scalar(raw: &RawValue) -> Option<Cow<'_, str>> {
    match raw.get().as_bytes().first() {
        Some(b'-' | b'0'..=b'9') => Some(Cow::Borrowed(raw.get())),
        Some(_) | None => string(raw),
    }
}

fn part_of(value: &Bytes, part: &RawValue) -> Bytes {
    value.slice_ref(part.get().as_bytes())
}

/// Milliseconds since the epoch; `None` if the text isn't RFC 3339.
pub(in crate::sinks) fn rfc3339_ms(text: &str) -> Option<i64> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000_000)).ok()
}

#[cfg(test)]
mod tests {
    use floe_engine::Header;

    use super::*;

    fn key() -> PositionKey {
        PositionKey {
            log: "l".into(),
            pipeline: "p".into(),
            topic: "events".into(),
            topic_id: 1,
            partition: 3,
        }
    }

    fn record(value: &'static str) -> Outgoing {
        let value = Some(Bytes::from_static(value.as_bytes()));
        Outgoing { offset: 7, index: 0, timestamp: 42, key: None, value, headers: Vec::new() }
    }

    #[test]
    fn members_go_where_they_belong() {
        let value = r#" {"event_type":"a\"b","type":"c","user_id":12,"id":null,"event_id":"e",
            "data":{"x": 1},"timestamp":"2026-01-31T11:00:00.5+01:00","more":[{}]} "#;
        let event = read(&key(), &record(value)).expect("an event");
        let expected = NewEvent {
            offset: 7,
            id: "e".into(),
            event_type: Some("a\"b".into()),
            user_id: Some("12".into()),
            data: Bytes::from_static(br#"{"x": 1}"#),
            timestamp: 1_769_853_600_500,
        };
        assert_eq!(event, expected);
    }

    #[test]
    fn what_is_not_there_is_taken_from_the_record() {
        let value = r#"{"type":"t","timestamp":"yesterday","user_id":{"no":"id"},"id":""}"#;
        let event = read(&key(), &record(value)).expect("an event");
        assert_eq!((event.id.as_str(), event.timestamp, event.user_id), ("events-3-7", 42, None));
        assert_eq!((event.event_type.as_deref(), &event.data[..]), (Some("t"), value.as_bytes()));
        let mut second = record("{}");
        second.index = 1;
        assert_eq!(read(&key(), &second).expect("an event").id, "events-3-7-1");
        second.headers =
            vec![Header { name: EVENT_ID_HEADER.into(), value: Some(Bytes::from_static(b"given")) }];
        assert_eq!(read(&key(), &second).expect("an event").id, "given-1");
    }

    #[test]
    fn what_is_no_object_is_poison_and_not_repeated() {
        for value in ["", "secret", "[\"secret\"]", "\"secret\"", "{\"secret\":", "null", "{} {}"] {
            let why = read(&key(), &record(value)).expect_err("no event");
            assert!(why.contains("JSON object") && !why.contains("secret"), "{why}");
        }
    }
}
