//! Requests as bytes, built in place: one buffer, one write.

use std::io::Write;

use crate::{
    Acks, CRC_HEADER, Door, ID_HEADER, LoadOptions, Payload, Payloads, RecordId, Retry, RunId, Verify,
    http::escape,
};

/// The field in which an event of `/register_event`, which has no headers, carries its CRC.
const CRC_FIELD: &str = "floe_load_crc";

/// Builds the requests of one connection.
#[derive(Debug)]
pub(crate) struct Encoder {
    door: Door,
    run: RunId,
    connection: u16,
    tag: bool,
    key_requests: bool,
    batch: bool,
    topic_json: String,
    head: Vec<u8>,
    body: Vec<u8>,
    request: Vec<u8>,
}

impl Encoder {
    pub(crate) fn new(options: &LoadOptions, run: RunId, connection: u16) -> Self {
        let batch = options.batch > 1;
        let topic = escape(&options.topic);
        let (path, first) = match options.door {
            Door::RegisterEvent => (format!("/register_event?topic={topic}"), '&'),
            Door::Records | Door::WebSocket { .. } => (format!("/topics/{topic}/records"), '?'),
        };
        let path = match options.acks {
            Acks::Topic => path,
            Acks::None => format!("{path}{first}acks=0"),
            Acks::Written => format!("{path}{first}acks=1"),
            Acks::All => format!("{path}{first}acks=all"),
        };
        let content_type = if batch { "application/x-ndjson" } else { "application/json" };
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: floe-load\r\nContent-Type: {content_type}\r\n",
            options.target.path(&path),
            options.target.authority()
        );
        Self {
            door: options.door,
            run,
            connection,
            tag: options.verify != Verify::Skip,
            key_requests: options.retry != Retry::Never,
            batch,
            topic_json: serde_json::Value::from(options.topic.as_str()).to_string(),
            head: head.into_bytes(),
            body: Vec::new(),
            request: Vec::new(),
        }
    }

    /// A whole HTTP request with these records; the first has this counter.
    pub(crate) fn request(&mut self, payloads: &Payloads, indices: &[u64], first_counter: u64) -> &[u8] {
        self.body.clear();
        for (index, counter) in indices.iter().zip(first_counter..) {
            let id = self.run.record(self.connection, counter);
            match self.door {
                Door::RegisterEvent => self.put_event(payloads.get(*index), id),
                Door::Records | Door::WebSocket { .. } => self.put_record(payloads.get(*index), id),
            }
            if self.batch {
                self.body.push(b'\n');
            }
        }
        self.request.clear();
        self.request.extend_from_slice(&self.head);
        if self.key_requests {
            put(
                &mut self.request,
                format_args!("Idempotency-Key: {}\r\n", self.run.record(self.connection, first_counter)),
            );
        }
        put(&mut self.request, format_args!("Content-Length: {}\r\n\r\n", self.body.len()));
        self.request.extend_from_slice(&self.body);
        &self.request
    }

    /// The text of a `publish` frame; its `request_id` is the counter.
    pub(crate) fn publish(&mut self, payload: &Payload, counter: u64) -> String {
        let id = self.run.record(self.connection, counter);
        self.body.clear();
        put(
            &mut self.body,
            format_args!(
                r#"{{"type":"publish","topic":{},"request_id":"{counter}","message":{{"id":"{}","payload":{}}}"#,
                self.topic_json,
                id.uuid(),
                payload.value
            ),
        );
        if let Some(key) = &payload.key {
            put(&mut self.body, format_args!(r#","key":{key}"#));
        }
        self.put_headers(payload, id);
        self.body.push(b'}');
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn put_record(&mut self, payload: &Payload, id: RecordId) {
        self.body.push(b'{');
        if let Some(key) = &payload.key {
            put(&mut self.body, format_args!(r#""key":{key},"#));
        }
        put(&mut self.body, format_args!(r#""value":{}"#, payload.value));
        self.put_headers(payload, id);
        self.body.push(b'}');
    }

    fn put_headers(&mut self, payload: &Payload, id: RecordId) {
        if self.tag {
            let crc = payload.crc;
            put(
                &mut self.body,
                format_args!(r#","headers":{{"{ID_HEADER}":"{id}","{CRC_HEADER}":"{crc:08x}"}}"#),
            );
        }
    }

    /// An event is a JSON object as it is; what is no object, or has a field that is added here, becomes the field
    /// `payload` of one.
    fn put_event(&mut self, payload: &Payload, id: RecordId) {
        let mut rest = Vec::with_capacity(payload.value.len() + 64);
        if let Some(key) = &payload.key {
            put(&mut rest, format_args!(r#""key":{key},"#));
        }
        let has = |field: &str| payload.value.contains(field);
        let clash = (payload.key.is_some() && has("\"key\""))
            || (self.tag && (has("\"event_id\"") || has(CRC_FIELD)));
        match payload.value.trim().strip_prefix('{').filter(|_| !clash) {
            Some(fields) if fields.trim_start() == "}" => {
                if rest.last() == Some(&b',') {
                    rest.pop();
                }
                rest.push(b'}');
            }
            Some(fields) => rest.extend_from_slice(fields.as_bytes()),
            None => put(&mut rest, format_args!(r#""payload":{}}}"#, payload.value)),
        }
        self.body.push(b'{');
        if self.tag {
            let crc = crc32c::crc32c(&rest);
            put(&mut self.body, format_args!(r#""event_id":"{id}","{CRC_FIELD}":"{crc:08x}""#));
            if rest != b"}" {
                self.body.push(b',');
            }
        }
        self.body.extend_from_slice(&rest);
    }
}

/// An event's id, and whether its text is what was sent; `None` when it is no event of a verified run.
pub(crate) fn check_event(value: &str) -> Option<(RecordId, bool)> {
    let (id, rest) = value.strip_prefix(r#"{"event_id":""#)?.split_at_checked(RecordId::TEXT_BYTES)?;
    let id = RecordId::parse(id)?;
    let crc_start = format!(r#"","{CRC_FIELD}":""#);
    let intact =
        rest.strip_prefix(&crc_start).and_then(|rest| rest.split_at_checked(8)).is_some_and(|(crc, rest)| {
            let rest = rest.strip_prefix('"').unwrap_or_default();
            let rest = rest.strip_prefix(',').unwrap_or(rest);
            crc == format!("{:08x}", crc32c::crc32c(rest.as_bytes()))
        });
    Some((id, intact))
}

/// Writing to memory can't fail.
fn put(buffer: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    let _ = buffer.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::http::Target;

    fn encoder(change: impl FnOnce(&mut LoadOptions)) -> Encoder {
        let mut options = LoadOptions::new(Target::parse("http://h:1/base").unwrap(), "my topic");
        change(&mut options);
        Encoder::new(&options, RunId::random(), 3)
    }

    fn payloads(text: &str) -> Payloads {
        Payloads::from_lines(text.as_bytes(), None).unwrap()
    }

    fn split(request: &[u8]) -> (String, String) {
        let text = String::from_utf8(request.to_vec()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
        (head.to_owned(), body.to_owned())
    }

    #[test]
    fn a_plain_record_carries_nothing_of_ours() {
        let mut encoder = encoder(|_| ());
        let (head, body) = split(encoder.request(&payloads(r#"{"key":"k","value":{"a": 1}}"#), &[0], 0));
        assert!(head.starts_with("POST /base/topics/my%20topic/records HTTP/1.1\r\nHost: h:1\r\n"), "{head}");
        assert!(!head.contains("Idempotency-Key"));
        assert_eq!(body, r#"{"key":"k","value":{"a": 1}}"#);
    }

    #[test]
    fn a_verified_record_carries_its_id_and_crc() {
        let mut encoder = encoder(|options| {
            options.verify = Verify::ReadBack;
            options.retry = Retry::For(std::time::Duration::from_secs(1));
            options.batch = 2;
            options.acks = Acks::Written;
        });
        let (head, body) = split(encoder.request(&payloads("1\n[2]"), &[0, 1], 7));
        let ids = [encoder.run.record(3, 7).to_string(), encoder.run.record(3, 8).to_string()];
        assert!(
            head.contains(&format!("Idempotency-Key: {}", ids[0])) && head.contains("records?acks=1 "),
            "{head}"
        );
        let lines: Vec<Value> = body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0]["headers"][ID_HEADER], json!(ids[0]));
        assert_eq!(lines[1]["headers"][ID_HEADER], json!(ids[1]));
        assert_eq!(lines[1]["headers"][CRC_HEADER], json!(format!("{:08x}", crc32c::crc32c(b"[2]"))));
    }

    #[test]
    fn events_of_any_shape_are_objects_and_are_recognised_again() {
        for (tag, line, expected) in [
            (false, r#"{"a":1}"#, json!({"a":1})),
            (false, r#"{"key":"k","value":{"a":1}}"#, json!({"a":1,"key":"k"})),
            (false, "{ }", json!({})),
            (false, "7", json!({"payload":7})),
            (true, r#"{"key":"k","value":{ }}"#, json!({"key":"k"})),
            (true, r#"{"key":"k","value":{"key":1}}"#, json!({"key":"k","payload":{"key":1}})),
            (true, r#"{"event_id":"mine"}"#, json!({"payload":{"event_id":"mine"}})),
            (true, "{}", json!({})),
            (true, r#"{"a":{"b":[1]}}"#, json!({"a":{"b":[1]}})),
        ] {
            let mut encoder = encoder(|options| {
                options.door = Door::RegisterEvent;
                options.verify = if tag { Verify::ReadBack } else { Verify::Skip };
            });
            let (head, body) = split(encoder.request(&payloads(line), &[0], 0));
            assert!(head.starts_with("POST /base/register_event?topic=my%20topic "), "{head}");
            let mut event: Value = serde_json::from_str(&body).unwrap();
            if tag {
                assert_eq!(check_event(&body), Some((encoder.run.record(3, 0), true)), "{body}");
                assert!(!check_event(&format!("{body} ")).unwrap().1);
                let event = event.as_object_mut().unwrap();
                event.remove("event_id").unwrap();
                event.remove(CRC_FIELD).unwrap();
            }
            assert_eq!(event, expected);
        }
        assert_eq!(check_event("{}"), None);
        assert_eq!(check_event(r#"{"event_id":"é"}"#), None);
    }

    #[test]
    fn a_publish_is_the_documents_frame() {
        let mut encoder = encoder(|options| options.verify = Verify::ReadBack);
        let frame: Value =
            serde_json::from_str(&encoder.publish(payloads(r#"{"key":"k","value":[1]}"#).get(0), 9)).unwrap();
        let id = encoder.run.record(3, 9);
        assert_eq!(
            frame,
            json!({"type":"publish","topic":"my topic","request_id":"9","message":{"id":id.uuid().to_string(),"payload":[1]},
                "key":"k","headers":{ID_HEADER:id.to_string(),CRC_HEADER:format!("{:08x}", crc32c::crc32c(b"[1]"))}})
        );
    }
}
