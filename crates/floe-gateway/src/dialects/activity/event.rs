//! An activity event on its way in: what it must have, and the record it becomes.

use std::borrow::Cow;

use bytes::Bytes;
use floe_engine::NewRecord;
use floe_transform::Schemas;
use serde::Deserialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;

use super::super::events_topic::EventId;
use crate::{
    json, json_text,
    limits::{EVENT_ID_BYTES_MAX, EVENT_NAME_BYTES_MAX, FIELD_FAULTS_MAX},
    problem::{ApiError, FieldFault},
    records::{count, json_content_type, lines, write_str},
    timestamp,
};

/// Events of one request, each a record; or none of them.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) records: Vec<NewRecord>,
    pub(super) ids: Vec<EventId>,
    faults: Faults,
}

/// What is wrong with a request's events: how much in all, and the first of it.
#[derive(Debug, Default)]
struct Faults {
    found: usize,
    named: Vec<FieldFault>,
}

/// The members of an event; all others are passed over.
#[derive(Deserialize)]
struct Given<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    event_type: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    user_id: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
}

/// One event in a JSON object.
pub(super) fn parse_one(body: &[u8], schemas: Option<&Schemas>) -> Result<Batch, ApiError> {
    json_text::inspect(body)?;
    let event: &RawValue = serde_json::from_slice(body).map_err(|error| json::syntax(&error))?;
    let mut batch = Batch::default();
    batch.add("", event.get(), schemas)?;
    batch.finish()
}

/// Several events: an array, `{events: […]}`, or one per line.
pub(super) fn parse_several(
    body: &[u8],
    in_lines: bool,
    schemas: Option<&Schemas>,
) -> Result<Batch, ApiError> {
    let mut batch = Batch::default();
    if in_lines {
        for (at, (number, line)) in lines(body).enumerate() {
            count(at + 1)?;
            let place = |error: ApiError| error.at(&format!("line {number}"));
            json_text::inspect(line).map_err(place)?;
            let event: &RawValue =
                serde_json::from_slice(line).map_err(|error| place(json::syntax_in_line(&error)))?;
            batch.add(&format!("/{at}"), event.get(), schemas)?;
        }
    } else {
        json_text::inspect(body)?;
        let (before, events) = array(body)?;
        count(events.len())?;
        for (at, event) in events.into_iter().enumerate() {
            batch.add(&format!("{before}/{at}"), event.get(), schemas)?;
        }
    }
    count(batch.ids.len())?;
    batch.finish()
}

/// The events of a JSON body, and the pointer to their array.
fn array(body: &[u8]) -> Result<(&'static str, Vec<&RawValue>), ApiError> {
    #[derive(Deserialize)]
    struct Wrapped<'a> {
        #[serde(borrow)]
        events: Vec<&'a RawValue>,
    }
    if body.trim_ascii_start().starts_with(b"[") {
        return Ok(("", serde_json::from_slice(body).map_err(|error| json::syntax(&error))?));
    }
    json::require_object(body)?;
    let wrapped: Wrapped<'_> = serde_json::from_slice(body).map_err(|error| json::syntax(&error))?;
    Ok(("/events", wrapped.events))
}

impl Batch {
    /// Adds the event that is `text`; what is wrong with it is noted under `pointer`.
    fn add(&mut self, pointer: &str, text: &str, schemas: Option<&Schemas>) -> Result<(), ApiError> {
        let before = self.faults.found;
        let mut check = Check { pointer, faults: &mut self.faults };
        if !text.starts_with('{') {
            check.fault("", "a JSON object is expected");
            self.ids.push(EventId::own(String::new()));
            return Ok(());
        }
        let given: Given<'_> = serde_json::from_str(text).map_err(|error| {
            let fault = json::syntax_in_line(&error);
            if pointer.is_empty() { fault } else { fault.at(pointer) }
        })?;
        let (type_at, kind) = match (given.event_type, given.kind) {
            (None, Some(kind)) => ("/type", Some(kind)),
            (kind, _) => ("/event_type", kind),
        };
        let kind = check.text(type_at, kind, EVENT_NAME_BYTES_MAX, "the event's type");
        let user = check.text("/user_id", given.user_id, EVENT_NAME_BYTES_MAX, "whose event it is");
        let own_id = given.id.map(|id| check.text("/id", Some(id), EVENT_ID_BYTES_MAX, "an id of its own"));
        let at = check.time(given.timestamp);
        let data = check.data(given.data);
        if self.faults.found > before {
            self.ids.push(EventId::own(String::new()));
            return Ok(());
        }
        let mut headers = vec![json_content_type()];
        let id = match own_id {
            Some(text) => EventId::own(text.into_owned()),
            None => {
                let (id, header) = EventId::make();
                headers.push(header);
                id
            }
        };
        let value = canonical(&id.text, &kind, &user, data, at);
        if let Some(Err(faults)) = schemas.map(|schemas| schemas.check(&value)) {
            let mut check = Check { pointer, faults: &mut self.faults };
            for fault in faults {
                let at = if fault.pointer == "/event_type" { type_at } else { &fault.pointer };
                check.fault(at, &fault.detail);
            }
        }
        let key = Some(Bytes::copy_from_slice(user.as_bytes()));
        self.records.push(NewRecord { key, value: Some(value.into()), headers, ..NewRecord::default() });
        self.ids.push(id);
        Ok(())
    }

    /// Refuses the whole if anything is wrong with one of them.
    fn finish(mut self) -> Result<Self, ApiError> {
        let Faults { found, named } = std::mem::take(&mut self.faults);
        let detail = match found {
            0 => return Ok(self),
            1 => "one field is not as expected; nothing was stored".to_owned(),
            n if n == named.len() => format!("{n} fields are not as expected; nothing was stored"),
            n => format!(
                "{n} fields are not as expected, the first {FIELD_FAULTS_MAX} are named; nothing was stored"
            ),
        };
        Err(ApiError::unprocessable(detail, named))
    }
}

/// Looks at an event's members and notes what is wrong.
struct Check<'a> {
    pointer: &'a str,
    faults: &'a mut Faults,
}

impl Check<'_> {
    fn fault(&mut self, at: &str, detail: &str) {
        self.faults.found += 1;
        if self.faults.named.len() < FIELD_FAULTS_MAX {
            let pointer = format!("{}{at}", self.pointer);
            self.faults.named.push(FieldFault { pointer, detail: detail.to_owned() });
        }
    }

    /// A member that is text of 1 to `most` bytes.
    fn text<'a>(&mut self, at: &str, raw: Option<&'a RawValue>, most: usize, what: &str) -> Cow<'a, str> {
        let Some(raw) = raw else {
            self.fault(at, &format!("is missing: {what}, a string of 1 to {most} bytes"));
            return Cow::Borrowed("");
        };
        let Ok(text) = serde_json::from_str::<Text<'a>>(raw.get()) else {
            self.fault(at, &format!("is not a string: {what}, a string of 1 to {most} bytes"));
            return Cow::Borrowed("");
        };
        let text = text.0;
        if !(1..=most).contains(&text.len()) {
            self.fault(at, &format!("has {} bytes: {what}, a string of 1 to {most} bytes", text.len()));
        } else if text.contains('\0') {
            self.fault(at, "has the character U+0000 in it, which databases can't store");
        }
        text
    }

    /// When it happened: now unless it says.
    fn time(&mut self, raw: Option<&RawValue>) -> i64 {
        let Some(raw) = raw else { return now_ms() };
        let text = serde_json::from_str::<Text<'_>>(raw.get()).ok();
        text.and_then(|text| timestamp::parse(&text.0)).unwrap_or_else(|| {
            self.fault("/timestamp", "is not an RFC 3339 time such as \"2026-01-31T10:00:00.000Z\"");
            0
        })
    }

    fn data<'a>(&mut self, raw: Option<&'a RawValue>) -> &'a str {
        match raw.map(RawValue::get) {
            None => "{}",
            Some(text) if text.starts_with('{') => text,
            Some(_) => {
                self.fault("/data", "is not a JSON object");
                "{}"
            }
        }
    }
}

/// A JSON string, borrowed if it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The event as it is stored, whichever way it was given; `data` is the text that was sent.
fn canonical(id: &str, kind: &str, user: &str, data: &str, at: i64) -> Vec<u8> {
    let mut out = Vec::with_capacity(128 + id.len() + kind.len() + user.len() + data.len());
    out.extend_from_slice(b"{\"id\":");
    write_str(&mut out, id);
    out.extend_from_slice(b",\"event_type\":");
    write_str(&mut out, kind);
    out.extend_from_slice(b",\"user_id\":");
    write_str(&mut out, user);
    out.extend_from_slice(b",\"data\":");
    out.extend_from_slice(data.as_bytes());
    out.extend_from_slice(b",\"timestamp\":");
    timestamp::write_json(&mut out, at);
    out.push(b'}');
    out
}

fn now_ms() -> i64 {
    i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{limits::RECORDS_PER_REQUEST_MAX, problem::Code};

    fn faults(text: &str) -> Vec<String> {
        let error = parse_one(text.as_bytes(), None).unwrap_err();
        error.faults().iter().map(|fault| fault.pointer.clone()).collect()
    }

    #[test]
    fn an_event_becomes_its_canonical_record() {
        let text = r#" {"type":"login","user_id":"u\"1","data":{ "a": 1e400 },"timestamp":"2026-01-31T11:00:00+01:00","id":"e-1","more":[]} "#;
        let batch = parse_one(text.as_bytes(), None).unwrap();
        assert_eq!(
            batch.records[0].value.as_deref().map(<[u8]>::escape_ascii).unwrap().to_string(),
            br#"{"id":"e-1","event_type":"login","user_id":"u\"1","data":{ "a": 1e400 },"timestamp":"2026-01-31T10:00:00.000Z"}"#
                .escape_ascii()
                .to_string()
        );
        assert_eq!(batch.records[0].key.as_deref(), Some(&b"u\"1"[..]));
        assert_eq!(batch.records[0].headers.len(), 1);
        let made = parse_one(br#"{"event_type":"x","user_id":"u"}"#, None).unwrap();
        assert!(made.ids[0].made && made.records[0].headers[1].name == "event-id");
    }

    #[test]
    fn every_wrong_member_is_pointed_at() {
        assert_eq!(faults("{}"), ["/event_type", "/user_id"]);
        assert_eq!(
            faults(r#"{"type":"","user_id":7,"data":[],"timestamp":"now","id":""}"#),
            ["/type", "/user_id", "/id", "/timestamp", "/data"]
        );
        assert_eq!(faults(r#"{"event_type":"a\u0000b","user_id":null}"#), ["/event_type", "/user_id"]);
        assert_eq!(faults("[]"), [""]);
        assert_eq!(faults("7"), [""]);
    }

    #[test]
    fn of_several_each_is_pointed_at_by_its_index() {
        let good = r#"{"event_type":"a","user_id":"u"}"#;
        let pointers = |text: String, in_lines| -> Vec<String> {
            let error = parse_several(text.as_bytes(), in_lines, None).unwrap_err();
            error.faults().iter().map(|fault| fault.pointer.clone()).collect()
        };
        assert_eq!(pointers(format!("[{good},1,{{\"user_id\":\"u\"}}]"), false), ["/1", "/2/event_type"]);
        assert_eq!(pointers(format!("{{\"events\":[{good},{{}}]}}"), false).len(), 2);
        assert_eq!(pointers(format!("{good}\n\n{{\"event_type\":\"a\"}}\n"), true), ["/1/user_id"]);
        assert_eq!(parse_several(format!("[{good},{good}]").as_bytes(), false, None).unwrap().ids.len(), 2);
        for (bad, in_lines) in [("[]", false), ("{}", false), ("", true), ("[1", false), ("{\"a\"\n", true)] {
            assert!(parse_several(bad.as_bytes(), in_lines, None).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_flood_of_faults_is_cut() {
        let text = format!("[{}]", ["1"; FIELD_FAULTS_MAX + 50].join(","));
        let error = parse_several(text.as_bytes(), false, None).unwrap_err();
        assert_eq!(error.faults().len(), FIELD_FAULTS_MAX);
    }

    #[test]
    fn too_many_events_are_refused_before_they_are_looked_at() {
        let text = format!("[{}]", vec!["1"; RECORDS_PER_REQUEST_MAX + 1].join(","));
        assert_eq!(parse_several(text.as_bytes(), false, None).unwrap_err().code(), Code::RecordTooLarge);
        let lines = "1\n".repeat(RECORDS_PER_REQUEST_MAX + 1);
        assert_eq!(parse_several(lines.as_bytes(), true, None).unwrap_err().code(), Code::RecordTooLarge);
    }
}
