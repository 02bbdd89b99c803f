//! The topic `events`: how it is made, and the ids of the events in it.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use bytes::Bytes;
use floe_engine::{
    Engine, EngineError, Header, OffsetSpec, PartitionRead, Placement, StoredRecord, TopicSpec,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{json, limits::EVENT_ID_BYTES_MAX, problem::ApiError};

/// The topic that events go to when none is named; made on first use.
pub(crate) const EVENTS_TOPIC: &str = "events";
/// Its partitions: as many consumers can share the work.
const EVENTS_PARTITIONS: u32 = 12;
/// The record header that holds an event's id when its body had none.
const EVENT_ID_HEADER: &str = "event-id";

/// Makes the topic. Another first event may make it at the same time.
pub(super) async fn make(engine: &Engine) -> Result<(), EngineError> {
    let spec =
        TopicSpec { name: EVENTS_TOPIC.into(), partitions: EVENTS_PARTITIONS, config: BTreeMap::new() };
    match engine.create_topic(spec).await {
        Ok(_) | Err(EngineError::TopicExists { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// An event's id, and whether it was made here.
#[derive(Clone, Debug)]
pub(super) struct EventId {
    pub(super) text: String,
    pub(super) made: bool,
}

impl EventId {
    /// The client's own.
    pub(super) fn own(text: String) -> Self {
        Self { text, made: false }
    }

    /// A new one, and the header that keeps it with its record.
    pub(super) fn make() -> (Self, Header) {
        let text = Uuid::now_v7().to_string();
        let header = Header { name: EVENT_ID_HEADER.into(), value: Some(text.clone().into()) };
        (Self { text, made: true }, header)
    }
}

/// The first of an event's members `id` and `event_id` that is neither absent nor null.
pub(super) fn own_id(members: [Option<&RawValue>; 2]) -> Result<Option<String>, ApiError> {
    for raw in members.into_iter().flatten() {
        if let Some(id) = given_id(raw.get())? {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// The id in an event's body: a string or a number; null is none.
fn given_id(raw: &str) -> Result<Option<String>, ApiError> {
    let id = match raw.as_bytes().first() {
        Some(b'n') => return Ok(None),
        Some(b'"') => {
            serde_json::from_str::<Cow<'_, str>>(raw).map_err(|error| json::syntax(&error).at("id"))?
        }
        Some(b'-' | b'0'..=b'9') => Cow::Borrowed(raw),
        _ => return Err(ApiError::bad_request("id: an event's id is a string or a number")),
    };
    if !(1..=EVENT_ID_BYTES_MAX).contains(&id.len()) {
        let detail = format!("id: it has {} bytes, 1 to {EVENT_ID_BYTES_MAX} are taken", id.len());
        return Err(ApiError::bad_request(detail));
    }
    Ok(Some(id.into_owned()))
}

/// The id of an event that is in a topic: that in its body, else the one made when it came in, else its place.
pub(super) fn id_of(topic: &str, record: &StoredRecord) -> String {
    id_in(record.value.as_ref(), &record.headers)
        .unwrap_or_else(|| format!("{topic}-{}-{}", record.partition, record.offset))
}

/// The id that an event carries itself.
pub(super) fn id_in(value: Option<&Bytes>, headers: &[Header]) -> Option<String> {
    #[derive(Deserialize)]
    struct Ids<'a> {
        #[serde(borrow)]
        id: Option<&'a RawValue>,
        #[serde(borrow)]
        event_id: Option<&'a RawValue>,
    }
    let ids: Option<Ids<'_>> = value.and_then(|value| serde_json::from_slice(value).ok());
    let own = ids.and_then(|ids| own_id([ids.id, ids.event_id]).ok().flatten());
    own.or_else(|| header_id(headers))
}

fn header_id(headers: &[Header]) -> Option<String> {
    let header = headers.iter().find(|header| header.name == EVENT_ID_HEADER)?;
    String::from_utf8(header.value.as_ref()?.to_vec()).ok()
}

/// Of a replayed request, the ids that were made the first time: they were stored with the records. An id that is
/// gone with its record, by retention, stays the new one.
pub(super) async fn recall_ids(engine: &Engine, topic: &str, ids: &mut [EventId], placements: &[Placement]) {
    for (id, placement) in ids.iter_mut().zip(placements).filter(|(id, _)| id.made) {
        let read = PartitionRead {
            topic: topic.to_owned(),
            partition: placement.partition,
            from: OffsetSpec::Offset(placement.offset),
            max_records: 1,
            max_bytes: 1,
            wait: Duration::ZERO,
        };
        let Ok(page) = engine.read(read).await else { continue };
        let record = page.records.into_iter().find(|record| record.offset == placement.offset);
        if let Some(text) = record.and_then(|record| header_id(&record.headers)) {
            id.text = text;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(value: &'static str, header: Option<&'static str>) -> Option<String> {
        let value = Bytes::from_static(value.as_bytes());
        let headers: Vec<_> = header
            .map(|text| Header {
                name: EVENT_ID_HEADER.into(),
                value: Some(Bytes::from_static(text.as_bytes())),
            })
            .into_iter()
            .collect();
        id_in(Some(&value), &headers)
    }

    #[test]
    fn an_events_id_is_its_own_before_the_one_that_was_made() {
        assert_eq!(id(r#"{"id":"a","event_id":"b"}"#, Some("h")).as_deref(), Some("a"));
        assert_eq!(id(r#"{"id":null,"event_id":7}"#, Some("h")).as_deref(), Some("7"));
        assert_eq!(id(r#"{"id":[]}"#, Some("h")).as_deref(), Some("h"));
        assert_eq!(id("not json", Some("h")).as_deref(), Some("h"));
        assert_eq!(id("{}", None), None);
    }
}
