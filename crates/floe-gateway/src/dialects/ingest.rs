//! Seed 001, the way in: `POST /register_event` takes any JSON object and stores it as it was sent.

use std::{fmt, sync::Arc};

use axum::{
    extract::{Request, State},
    response::Response,
};
use bytes::Bytes;
use floe_engine::{Append, Appended, EngineError, NewRecord, Placement};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::events_topic::{self, EVENTS_TOPIC, EventId, own_id, recall_ids};
use crate::{
    body,
    gateway::Gateway,
    idempotency, json, json_text,
    params::{Params, write_failure},
    problem::{ApiError, Problem},
    records::{count, json_content_type, key_bytes, lines, write_number, write_str},
};

/// Register events
///
/// Any JSON object; or an array of them, or one per line (`application/x-ndjson`), which is stored whole or not at
/// all. The event's id is its own `id` or `event_id`, else a new UUIDv7; its key is its `key`, else its `user_id`,
/// else none. The body is stored as it was sent.
#[utoipa::path(
    post,
    path = "/register_event",
    tag = "ingestion (seed 001)",
    params(
        ("topic" = Option<String>, Query, description = "`events` if absent; that topic is made on first use"),
        ("acks" = Option<String>, Query, description = "`all`, `1` or `0`; the topic's default if absent"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeat returns the first answer"),
    ),
    request_body(
        content(
            (serde_json::Value = "application/json", example = json!({"event_type": "purchase", "user_id": "u1", "data": {"amount": 12.5}})),
            (String = "application/x-ndjson"),
        ),
    ),
    responses(
        (status = 202, description = "Accepted, on disk; of several events, `{status, topic, accepted, events: [{event_id, partition, offset}]}`", body = Registered),
        (status = 400, description = "Not JSON objects", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such topic", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The Idempotency-Key was used for other content", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Overloaded, the disk failed, or the log can't be reached", body = Problem, content_type = "application/problem+json"),
        (status = 504, description = "`OUTCOME_UNKNOWN`: it may be stored or not; with the same Idempotency-Key a repeat is safe", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "The disk is full", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn register_event(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let params = Params::parse(parts.uri.query(), &["topic", "acks"])?;
    let topic = params.text("topic").unwrap_or(EVENTS_TOPIC);
    let in_lines = says_lines(&parts.headers)?;
    let received = body::receive(&gateway, &parts.headers, body).await?;
    let idempotency = idempotency::of(&parts.headers, &[&received.bytes])?;
    let mut topic_made = false;
    let (mut ids, single, appended) = loop {
        let Batch { records, ids, single } =
            body::parse(&received.bytes, move |body| Batch::parse(body, in_lines)).await?;
        let append = Append {
            topic: topic.to_owned(),
            records,
            acks: gateway.acks(params.acks()?),
            idempotency: idempotency.clone(),
        };
        match gateway.engine().append(append).await {
            Ok(appended) => break (ids, single, appended),
            // The first event of all. Its records are gone with the attempt, its text is still there.
            Err(EngineError::TopicNotFound { .. }) if topic == EVENTS_TOPIC && !topic_made => {
                events_topic::make(gateway.engine()).await?;
                topic_made = true;
            }
            Err(error) => return Err(write_failure(error)),
        }
    };
    if appended.replayed {
        recall_ids(gateway.engine(), topic, &mut ids, &appended.placements).await;
    }
    let known = ids.iter().zip(&appended.placements).filter(|(_, placement)| placement.offset >= 0);
    gateway.receipts().note(topic, known.map(|(id, placement)| (id.text.as_str(), *placement)));
    Ok(answer(topic, &ids, &appended, single))
}

/// Where an event went.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes to the OpenAPI document what is written by hand")]
pub(crate) struct Registered {
    #[schema(example = "accepted")]
    status: String,
    event_id: String,
    topic: String,
    partition: u32,
    offset: i64,
}

pub(super) fn says_lines(headers: &HeaderMap) -> Result<bool, ApiError> {
    if json::is_plain_json(headers) {
        return Ok(false);
    }
    match json::media_type(headers).as_deref() {
        Some(
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines",
        ) => Ok(true),
        _ => json::require_json(headers).map(|()| false),
    }
}

struct Batch {
    records: Vec<NewRecord>,
    ids: Vec<EventId>,
    single: bool,
}

impl Batch {
    fn parse(body: &Bytes, in_lines: bool) -> Result<Self, ApiError> {
        let mut batch = Self { records: Vec::new(), ids: Vec::new(), single: false };
        if in_lines {
            for (number, line) in lines(body) {
                batch.add(body, line).map_err(|error| error.at(&format!("line {number}")))?;
            }
        } else if body.trim_ascii_start().starts_with(b"[") {
            json_text::inspect(body)?;
            let events: Vec<&RawValue> =
                serde_json::from_slice(body).map_err(|error| json::syntax(&error))?;
            for (at, event) in events.into_iter().enumerate() {
                batch.add(body, event.get().as_bytes()).map_err(|error| error.at(&format!("event {at}")))?;
            }
        } else {
            batch.add(body, body)?;
            batch.single = true;
        }
        count(batch.records.len())?;
        Ok(batch)
    }

    /// Adds the event that is `text`, a part of `body`.
    fn add(&mut self, body: &Bytes, text: &[u8]) -> Result<(), ApiError> {
        let text = text.trim_ascii();
        json::require_object(text)?;
        json_text::inspect(text)?;
        let event: Event<'_> = serde_json::from_slice(text).map_err(|error| json::syntax_in_line(&error))?;
        let id = own_id([event.id, event.event_id])?;
        let mut headers = Vec::with_capacity(2);
        headers.push(json_content_type());
        let id = match id {
            Some(text) => EventId::own(text),
            None => {
                let (id, header) = EventId::make();
                headers.push(header);
                id
            }
        };
        let key = match event.key.map(|raw| key_bytes(body, raw.get())).transpose()?.flatten() {
            Some(key) => Some(key),
            None => event.user_id.map(|raw| key_bytes(body, raw.get())).transpose()?.flatten(),
        };
        self.records.push(NewRecord {
            key,
            value: Some(body.slice_ref(text)),
            headers,
            ..NewRecord::default()
        });
        self.ids.push(id);
        Ok(())
    }
}

/// The members of an event that are looked at; everything else is passed over.
#[derive(Default)]
struct Event<'a> {
    id: Option<&'a RawValue>,
    event_id: Option<&'a RawValue>,
    key: Option<&'a RawValue>,
    user_id: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    Id,
    EventId,
    Key,
    UserId,
    #[serde(other)]
    Other,
}

impl<'de> Deserialize<'de> for Event<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Event<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event as a JSON object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Event<'de>, M::Error> {
                let mut event = Event::default();
                while let Some(field) = map.next_key()? {
                    let (slot, name) = match field {
                        Field::Id => (&mut event.id, "id"),
                        Field::EventId => (&mut event.event_id, "event_id"),
                        Field::Key => (&mut event.key, "key"),
                        Field::UserId => (&mut event.user_id, "user_id"),
                        Field::Other => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    if slot.replace(map.next_value()?).is_some() {
                        return Err(M::Error::duplicate_field(name));
                    }
                }
                Ok(event)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

fn answer(topic: &str, ids: &[EventId], appended: &Appended, single: bool) -> Response {
    let mut out = Vec::with_capacity(128 + 96 * ids.len());
    out.extend_from_slice(b"{\"status\":\"accepted\",");
    let placed = ids.iter().zip(&appended.placements);
    if single {
        for (id, placement) in placed {
            write_event(&mut out, id, placement);
        }
        out.extend_from_slice(b",\"topic\":");
        write_str(&mut out, topic);
    } else {
        out.extend_from_slice(b"\"topic\":");
        write_str(&mut out, topic);
        out.extend_from_slice(b",\"accepted\":");
        write_number(&mut out, ids.len());
        out.extend_from_slice(b",\"events\":[");
        for (at, (id, placement)) in placed.enumerate() {
            out.extend_from_slice(if at == 0 { b"{" } else { b",{" });
            write_event(&mut out, id, placement);
            out.push(b'}');
        }
        out.push(b']');
    }
    out.push(b'}');
    let mut response = Response::new(out.into());
    *response.status_mut() = StatusCode::ACCEPTED;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    idempotency::mark(response.headers_mut(), appended.replayed);
    response
}

fn write_event(out: &mut Vec<u8>, id: &EventId, placement: &Placement) {
    out.extend_from_slice(b"\"event_id\":");
    write_str(out, &id.text);
    out.extend_from_slice(b",\"partition\":");
    write_number(out, placement.partition);
    out.extend_from_slice(b",\"offset\":");
    write_number(out, placement.offset);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, in_lines: bool) -> Result<Batch, ApiError> {
        Batch::parse(&Bytes::copy_from_slice(text.as_bytes()), in_lines)
    }

    #[test]
    fn ids_and_keys_come_from_the_body() {
        let batch = parse(r#" {"id":"a","event_id":"b","key":"k","user_id":"u"} "#, false).unwrap();
        assert!(batch.single);
        assert_eq!(batch.ids[0].text, "a");
        assert_eq!(batch.records[0].key.as_deref(), Some(&b"k"[..]));
        assert_eq!(
            batch.records[0].value.as_deref(),
            Some(&br#"{"id":"a","event_id":"b","key":"k","user_id":"u"}"#[..])
        );
        let batch = parse("[{\"event_id\":7,\"user_id\":42},{}]", false).unwrap();
        assert!(!batch.single);
        assert_eq!(batch.ids[0].text, "7");
        assert_eq!(batch.records[0].key.as_deref(), Some(&b"42"[..]));
        assert_eq!(uuid::Uuid::parse_str(&batch.ids[1].text).unwrap().get_version_num(), 7);
        assert_eq!(batch.records[1].headers[1].name, "event-id");
    }

    #[test]
    fn anything_but_objects_is_refused_by_its_place() {
        for (text, in_lines, expected) in [
            ("", false, "the body is empty"),
            ("null", false, "a JSON object is expected"),
            ("[]", false, "there are no records"),
            ("[{},1]", false, "event 1: a JSON object is expected, this is a number"),
            ("{}\n\n{\"id\":[]}", true, "line 3: id: an event's id is a string or a number"),
            ("{\"id\":1,\"id\":2}", false, "duplicate field `id`"),
            ("{\"id\":\"\"}", false, "id: it has 0 bytes"),
            ("{} {}", false, "trailing characters at column 4"),
        ] {
            let error = parse(text, in_lines).err().unwrap();
            assert!(error.detail().contains(expected), "{text}: {}", error.detail());
        }
    }
}
