//! An event as those who follow get it.

use std::io::Write as _;

use bytes::Bytes;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::StoredEvent;
use crate::clock;

/// An event and its frame: `{id, event_type, user_id, data, timestamp, stored_at, cursor}` as JSON text, encoded once.
#[derive(Debug)]
pub struct FollowedEvent {
    /// The event.
    pub event: StoredEvent,
    /// JSON text.
    pub frame: Bytes,
}

impl From<StoredEvent> for FollowedEvent {
    fn from(event: StoredEvent) -> Self {
        let frame = encode(&event);
        Self { event, frame }
    }
}

#[derive(Serialize)]
struct Frame<'a> {
    id: &'a str,
    event_type: Option<&'a str>,
    user_id: Option<&'a str>,
    #[serde(serialize_with = "raw")]
    data: &'a [u8],
    timestamp: String,
    stored_at: String,
    cursor: i64,
}

/// JSON text goes out as it is; what isn't JSON, though the table holds it, goes out as a JSON text.
fn raw<S: Serializer>(data: &&[u8], serializer: S) -> Result<S::Ok, S::Error> {
    match serde_json::from_slice::<&RawValue>(data) {
        Ok(json) => json.serialize(serializer),
        Err(_) => serializer.serialize_str(&String::from_utf8_lossy(data)),
    }
}

fn encode(event: &StoredEvent) -> Bytes {
    let frame = Frame {
        id: &event.id,
        event_type: event.event_type.as_deref(),
        user_id: event.user_id.as_deref(),
        data: &event.data,
        timestamp: clock::rfc3339(event.timestamp),
        stored_at: clock::rfc3339(event.stored_at),
        cursor: event.seq,
    };
    let mut text = Vec::with_capacity(160 + event.data.len());
    if serde_json::to_writer(&mut text, &frame).is_err() {
        // Writing to memory doesn't fail, and no part of a frame is without a JSON form.
        text.clear();
        let _ = write!(text, "{{\"cursor\":{}}}", event.seq);
    }
    text.into()
}
