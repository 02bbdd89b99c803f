//! What the server says: every text frame that a client gets, written in one place.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use floe_engine::{Gap, Placement, StoredRecord};
use floe_live::{Lagged, Skipped};
use sha1::{Digest, Sha1};
use uuid::{Builder, Uuid};

use super::{
    frame::TextFrame,
    message::{ID_HEADER, Name},
};
use crate::{
    cursor,
    problem::Code,
    records::{write_key, write_number, write_str, write_value},
    timestamp,
};

/// Room for an event beside its value and topic.
const EVENT_BYTES: usize = 320;
/// Room for a reply.
const REPLY_BYTES: usize = 192;
/// The code of a subscription that was moved forward; of WebSockets only.
const SLOW_CONSUMER: &str = "SLOW_CONSUMER";
/// The namespace of the ids made for records that were stored without one.
const RECORD_IDS: Uuid = Uuid::from_u128(0x5f1b_7c52_91a4_4e0b_9c3e_6d2f_0a8b_c4d7);

/// The event that every subscriber of a topic gets for a record: the same bytes for all.
pub(crate) fn event(topic: &str, record: &StoredRecord) -> Bytes {
    let value_bytes = record.value.as_ref().map_or(0, Bytes::len);
    let mut frame = TextFrame::with_capacity(EVENT_BYTES + topic.len() + value_bytes);
    let out = frame.text();
    out.extend_from_slice(b"{\"type\":\"event\",\"topic\":");
    write_str(out, topic);
    out.extend_from_slice(b",\"message\":{\"id\":\"");
    write_id(out, record);
    out.extend_from_slice(b"\",\"payload\":");
    write_value(out, record.value.as_ref(), false);
    out.extend_from_slice(b"},\"ts\":");
    timestamp::write_json(out, record.timestamp);
    out.extend_from_slice(b",\"partition\":");
    write_number(out, record.partition);
    out.extend_from_slice(b",\"offset\":");
    write_number(out, record.offset);
    if record.key.is_some() {
        out.extend_from_slice(b",\"key\":");
        write_key(out, record.key.as_ref());
    }
    out.extend_from_slice(b",\"cursor\":\"");
    cursor::write(out, &record.cursor);
    out.extend_from_slice(b"\"}");
    frame.finish()
}

/// A message's id: that of its header if it is a UUID, else one made from the record's place.
///
/// Records that came in through another door have no id of this dialect. Theirs is a UUIDv5 (RFC 9562, 5.5) of
/// topic id, partition and offset, so every subscriber, replay and restart gives a record the same one, and a topic made
/// again under the same name gives others.
fn write_id(out: &mut Vec<u8>, record: &StoredRecord) {
    let given = record
        .headers
        .iter()
        .find(|header| header.name == ID_HEADER)
        .and_then(|header| header.value.as_ref());
    if let Some(id) = given
        && id.len() == 36
        && Uuid::try_parse_ascii(id).is_ok()
    {
        out.extend_from_slice(id);
        return;
    }
    let digest = Sha1::new()
        .chain_update(RECORD_IDS)
        .chain_update(record.cursor.topic_id().to_be_bytes())
        .chain_update(record.partition.to_be_bytes())
        .chain_update(record.offset.to_be_bytes())
        .finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    let id = Builder::from_sha1_bytes(bytes).into_uuid();
    out.extend_from_slice(id.hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes());
}

/// A request has taken effect. `note` is for people.
pub(crate) fn ack(request_id: Option<&str>, topic: &str, note: Option<&str>) -> Bytes {
    let mut reply = Reply::new("ack").request(request_id).text("topic", topic).text("status", "ok");
    if let Some(note) = note {
        reply = reply.text("note", note);
    }
    reply.finish()
}

/// A message is stored, there.
pub(crate) fn stored(request_id: Option<&str>, topic: &str, placement: &Placement) -> Bytes {
    Reply::new("ack")
        .request(request_id)
        .text("topic", topic)
        .text("status", "ok")
        .number("partition", placement.partition)
        .number("offset", placement.offset)
        .finish()
}

/// A request failed.
pub(crate) fn error(request_id: Option<&str>, code: Code, message: &str) -> Bytes {
    Reply::new("error").request(request_id).fault(code.as_str(), message).end_fault().finish()
}

/// A subscription failed, without a request.
pub(crate) fn failed(name: &Name, code: Code, message: &str) -> Bytes {
    Reply::new("error").request(None).fault(code.as_str(), message).end_fault().of(name).finish()
}

/// A subscription was moved forward.
pub(crate) fn slow_consumer(name: &Name, lagged: &Lagged) -> Bytes {
    let message =
        "the subscriber is too slow: the oldest events were skipped; reading on from 'cursor' gives them";
    let mut reply =
        Reply::new("error").request(None).fault(SLOW_CONSUMER, message).number("dropped", lagged.dropped);
    reply = reply.ranges(&lagged.skipped).key("cursor");
    let out = reply.frame.text();
    out.push(b'"');
    cursor::write(out, &lagged.after);
    out.push(b'"');
    reply.end_fault().of(name).finish()
}

/// Offsets were passed over because they are damaged on disk.
pub(crate) fn gap(name: &Name, gap: Gap) -> Bytes {
    let message = "these offsets are damaged on disk and were passed over";
    let range = Skipped { partition: gap.partition, from: gap.from, to: gap.to };
    let reply = Reply::new("error").request(None).fault(Code::Internal.as_str(), message);
    reply.number("dropped", gap.to - gap.from + 1).ranges(&[range]).end_fault().of(name).finish()
}

/// The answer to a `ping` message.
pub(crate) fn pong(request_id: Option<&str>) -> Bytes {
    Reply::new("pong").request(request_id).finish()
}

/// The topic of a subscription was deleted.
pub(crate) fn topic_deleted(name: &Name) -> Bytes {
    Reply::new("info")
        .text("topic", &name.topic)
        .text("client_id", &name.client_id)
        .text("msg", "topic_deleted")
        .finish()
}

/// A reply in the making: `{"type":…` and then field by field.
struct Reply {
    frame: TextFrame,
}

impl Reply {
    fn new(kind: &str) -> Self {
        let mut frame = TextFrame::with_capacity(REPLY_BYTES);
        frame.text().extend_from_slice(b"{\"type\":");
        write_str(frame.text(), kind);
        Self { frame }
    }

    fn key(mut self, key: &str) -> Self {
        let out = self.frame.text();
        out.extend_from_slice(b",\"");
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(b"\":");
        self
    }

    /// The request's id, or null: a client may look for the field without asking whether it is there.
    fn request(mut self, request_id: Option<&str>) -> Self {
        self = self.key("request_id");
        match request_id {
            Some(id) => write_str(self.frame.text(), id),
            None => self.frame.text().extend_from_slice(b"null"),
        }
        self
    }

    fn text(mut self, key: &str, text: &str) -> Self {
        self = self.key(key);
        write_str(self.frame.text(), text);
        self
    }

    fn number(mut self, key: &str, number: impl itoa::Integer) -> Self {
        self = self.key(key);
        write_number(self.frame.text(), number);
        self
    }

    /// Begins `"error":{"code","message"`.
    fn fault(mut self, code: &str, message: &str) -> Self {
        self = self.key("error");
        self.frame.text().extend_from_slice(b"{\"code\":");
        write_str(self.frame.text(), code);
        self.text("message", message)
    }

    fn end_fault(mut self) -> Self {
        self.frame.text().push(b'}');
        self
    }

    fn ranges(mut self, ranges: &[Skipped]) -> Self {
        self = self.key("skipped");
        let out = self.frame.text();
        out.push(b'[');
        for (at, range) in ranges.iter().enumerate() {
            out.extend_from_slice(if at == 0 { b"{\"partition\":" } else { b",{\"partition\":" });
            write_number(out, range.partition);
            out.extend_from_slice(b",\"from\":");
            write_number(out, range.from);
            out.extend_from_slice(b",\"to\":");
            write_number(out, range.to);
            out.push(b'}');
        }
        out.push(b']');
        self
    }

    /// Which subscription it is about.
    fn of(self, name: &Name) -> Self {
        self.text("topic", &name.topic).text("client_id", &name.client_id)
    }

    /// Adds the time and ends it.
    fn finish(mut self) -> Bytes {
        self = self.key("ts");
        timestamp::write_json(self.frame.text(), now_ms());
        self.frame.text().push(b'}');
        self.frame.finish()
    }
}

/// The wall clock, in milliseconds since the epoch.
fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use floe_engine::{Cursor, Header, JournalCursor};
    use serde_json::Value;

    use super::*;

    fn place(topic_id: u64) -> Cursor {
        Cursor::Journal(JournalCursor { topic_id, position: 8, records: 9 })
    }

    fn record(value: Option<&'static [u8]>, id: Option<&'static str>) -> StoredRecord {
        let header = |value: &'static str| Header {
            name: "id".into(),
            value: Some(Bytes::from_static(value.as_bytes())),
        };
        StoredRecord {
            partition: 3,
            offset: 41,
            timestamp: 1_769_853_600_000,
            key: None,
            value: value.map(Bytes::from_static),
            headers: id.map(header).into_iter().collect(),
            cursor: place(7),
        }
    }

    /// The text of a short frame.
    fn text(frame: &Bytes) -> String {
        let start = if frame[1] == 126 { 4 } else { 2 };
        String::from_utf8(frame[start..].to_vec()).unwrap()
    }

    fn json(frame: &Bytes) -> Value {
        serde_json::from_str(&text(frame)).unwrap()
    }

    #[test]
    fn an_event_has_the_payload_as_it_was_sent() {
        let id = "550e8400-e29b-41d4-a716-446655440000";
        let event = event("orders", &record(Some(b"{ \"a\": 1.50 }"), Some(id)));
        let cursor = cursor::token(&place(7));
        assert_eq!(
            text(&event),
            format!(
                r#"{{"type":"event","topic":"orders","message":{{"id":"{id}","payload":{{ "a": 1.50 }}}},"ts":"2026-01-31T10:00:00.000Z","partition":3,"offset":41,"cursor":"{cursor}"}}"#
            )
        );
    }

    #[test]
    fn a_record_without_an_id_always_gets_the_same_one() {
        let id =
            |record: &StoredRecord| json(&event("t", record))["message"]["id"].as_str().unwrap().to_owned();
        let plain = id(&record(Some(b"1"), None));
        let uuid: Uuid = plain.parse().unwrap();
        assert_eq!(uuid.get_version_num(), 5);
        assert_eq!(id(&record(Some(b"2"), None)), plain);
        for odd in ["", "x", "550e8400-e29b-41d4-a716-44665544000\"", "{550e8400-e29b-41d4-a716-44665544000}"]
        {
            assert_eq!(id(&record(Some(b"1"), Some(odd))), plain, "{odd}");
        }
        let mut other = record(Some(b"1"), None);
        other.cursor = place(8);
        assert_ne!(id(&other), plain);
    }

    #[test]
    fn what_is_not_json_is_base64_and_a_tombstone_is_null() {
        let payload = |value| json(&event("t", &record(value, None)))["message"]["payload"].clone();
        assert_eq!(payload(Some(b"hello")), serde_json::json!({"$base64": "aGVsbG8="}));
        assert_eq!(payload(None), Value::Null);
        let mut keyed = record(Some(b"1"), None);
        keyed.key = Some(Bytes::from_static(b"k\"\n"));
        assert_eq!(json(&event("t", &keyed))["key"], "k\"\n");
    }

    #[test]
    fn replies_have_the_documents_fields() {
        let ack = json(&ack(Some("r\"1"), "t", None));
        assert_eq!(
            (&ack["type"], &ack["request_id"], &ack["status"]),
            (&"ack".into(), &"r\"1".into(), &"ok".into())
        );
        assert!(timestamp::parse(ack["ts"].as_str().unwrap()).is_some());
        let stored = json(&stored(None, "t", &Placement { partition: 1, offset: 5, timestamp: 0 }));
        assert_eq!((&stored["request_id"], &stored["offset"]), (&Value::Null, &5.into()));
        let error = json(&error(None, Code::TopicNotFound, "no 'x'"));
        assert_eq!(
            (&error["error"]["code"], &error["error"]["message"]),
            (&"TOPIC_NOT_FOUND".into(), &"no 'x'".into())
        );
        assert_eq!(json(&pong(Some("p")))["type"], "pong");
        let name = Name { topic: "t".into(), client_id: "c".into() };
        assert_eq!(json(&topic_deleted(&name))["msg"], "topic_deleted");
    }

    #[test]
    fn a_slow_consumer_is_told_how_much_where_and_how_to_get_it() {
        let name = Name { topic: "t".into(), client_id: "c".into() };
        let after = place(1);
        let skipped =
            vec![Skipped { partition: 0, from: 5, to: 9 }, Skipped { partition: 2, from: 0, to: 1 }];
        let told = json(&slow_consumer(&name, &Lagged { dropped: 7, skipped, after: after.clone() }));
        assert_eq!(told["topic"], "t");
        assert_eq!(told["error"]["code"], SLOW_CONSUMER);
        assert_eq!(told["error"]["dropped"], 7);
        assert_eq!(told["error"]["skipped"][1], serde_json::json!({"partition": 2, "from": 0, "to": 1}));
        assert_eq!(told["error"]["cursor"], cursor::token(&after).as_str());
        let told = json(&gap(&name, Gap { partition: 1, from: 3, to: 4 }));
        assert_eq!((&told["error"]["code"], &told["error"]["dropped"]), (&"INTERNAL".into(), &2.into()));
    }
}
