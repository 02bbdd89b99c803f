//! `GET /topics/{topic}/stream`: a topic as Server-Sent Events.
//!
//! The `id:` of each event is its cursor, so a browser that reconnects resumes where it was. Nothing is ever skipped for
//! being slow: the client pulls, a slow one is served from the log a page at a time, and what could not be
//! delivered (damage on disk, a topic made again) is an event of its own. Named events: `gap`, `reset`, `note`, `deleted`;
//! records have no event name, so `onmessage` gets them and nothing else.

use std::{pin::Pin, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Path, Request, State},
    response::Response,
};
use bytes::Bytes;
use floe_engine::{EngineError, Gap, StoredRecord, TopicStart};
use floe_live::{Blocked, Dialect, End, Lagged, LiveRecord, Room, Signal, Subscription, Taken};
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::json;
use tokio::{
    sync::watch,
    time::{Instant, Sleep, sleep_until},
};

use crate::{
    cursor,
    gateway::Gateway,
    params::{Params, check_topic},
    problem::{ApiError, code_of},
    records::{RecordStyle, write_record},
    timestamp,
};

/// How often a stream without events shows that it is alive.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);
/// What is sent at once; a single record may be larger.
const ROOM: Room = Room { records: 256, bytes: 64 * 1024 };
/// How long a client waits before it reconnects.
const RETRY_MS: u32 = 1_000;
/// Room for an event beside its key, value and headers.
const EVENT_BYTES: usize = 256;
/// The last words of a server that stops; the client will reconnect, to it or another.
const STOPPING: Bytes = Bytes::from_static(b": the server is stopping\n\n");

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Answers a request for a topic's stream.
pub(crate) async fn stream(
    State(gateway): State<Arc<Gateway>>,
    Path(topic): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    check_topic(&topic)?;
    let params = Params::parse(request.uri().query(), &["from"])?;
    let start = start(request.headers(), &params)?;
    let (subscription, opening) = open(&gateway, &topic, start).await?;
    let follower = Follower::new(&gateway, subscription, opening);
    let events = stream::unfold(follower, |mut follower| async move {
        let chunk = follower.next().await?;
        Some((Ok::<_, std::convert::Infallible>(chunk), follower))
    });
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Asks proxies that would collect a response before they pass it on not to.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

/// Where a stream starts. A reconnecting browser sends the same address again, so its `Last-Event-ID` goes first.
fn start(headers: &HeaderMap, params: &Params) -> Result<TopicStart, ApiError> {
    if let Some(id) = headers.get(LAST_EVENT_ID).filter(|id| !id.is_empty()) {
        let id = id.to_str().map_err(|_| ApiError::bad_request("Last-Event-ID is not a cursor"))?;
        return cursor::parse(id).map(TopicStart::After).map_err(|error| error.at("Last-Event-ID"));
    }
    params
        .text("from")
        .map_or(Ok(TopicStart::Latest), |text| start_of(text).map_err(|error| error.at("from")))
}

/// A place to start from as text: `earliest`, `latest`, a cursor, or an RFC 3339 time.
pub(crate) fn start_of(text: &str) -> Result<TopicStart, ApiError> {
    match text {
        "earliest" => return Ok(TopicStart::Earliest),
        "latest" => return Ok(TopicStart::Latest),
        _ => {}
    }
    if let Ok(cursor) = cursor::parse(text) {
        return Ok(TopicStart::After(cursor));
    }
    timestamp::parse(text).map(TopicStart::Time).ok_or_else(|| {
        let shown: String = text.escape_debug().take(40).collect();
        ApiError::bad_request(format!("'{shown}' is none of: earliest, latest, a cursor, an RFC 3339 time"))
    })
}

/// Subscribes, and says what there is to say before the first record.
async fn open(
    gateway: &Gateway,
    topic: &str,
    start: TopicStart,
) -> Result<(Subscription, Vec<u8>), ApiError> {
    let mut opening = format!("retry: {RETRY_MS}\n").into_bytes();
    let signal = Signal::new();
    let subscription = match gateway.live().subscribe(topic, start, &signal).await {
        Err(EngineError::ForeignCursor { .. }) => {
            // The topic was deleted and made again: all of it is new to this client, and it has to know.
            let subscription = gateway.live().subscribe(topic, TopicStart::Earliest, &signal).await?;
            opening.push(b'\n');
            let reason =
                "the topic was deleted and made again: from here on it is the new one, from its start";
            write_event(&mut opening, "reset", &json!({ "topic": topic, "reason": reason }));
            return Ok((subscription, opening));
        }
        subscribed => subscribed?,
    };
    // An id without data sets where a reconnect resumes and is no event: a stream that breaks before its first record
    // loses nothing either.
    if let Some(cursor) = subscription.starts_after() {
        opening.extend_from_slice(b"id: ");
        cursor::write(&mut opening, cursor);
        opening.push(b'\n');
    }
    opening.push(b'\n');
    if subscription.started_beyond_end() {
        let reason = "the cursor lies past the topic's end; waiting at the end";
        write_event(&mut opening, "note", &json!({ "topic": topic, "reason": reason }));
    }
    Ok((subscription, opening))
}

/// One client's stream.
struct Follower {
    subscription: Subscription,
    stopping: watch::Receiver<bool>,
    opening: Option<Vec<u8>>,
    taken: Vec<Arc<LiveRecord>>,
    heartbeat: Pin<Box<Sleep>>,
    is_over: bool,
}

/// What woke a stream.
enum Woken {
    Taken(Result<Taken, EngineError>),
    Heartbeat,
    Stopping,
}

impl Follower {
    fn new(gateway: &Gateway, subscription: Subscription, opening: Vec<u8>) -> Self {
        Self {
            subscription,
            stopping: gateway.stopping(),
            opening: Some(opening),
            taken: Vec::new(),
            heartbeat: Box::pin(sleep_until(Instant::now() + HEARTBEAT_EVERY)),
            is_over: false,
        }
    }

    /// The next bytes; `None` ends the stream.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(opening) = self.opening.take() {
            return Some(opening.into());
        }
        if self.is_over {
            return None;
        }
        let Self { subscription, stopping, taken, heartbeat, .. } = self;
        let woken = tokio::select! {
            biased;
            _ = stopping.wait_for(|stopping| *stopping) => Woken::Stopping,
            // Never said to be blocked, and therefore never skipped: see the head of this file.
            found = subscription.next(Blocked::default(), ROOM, taken) => Woken::Taken(found),
            () = heartbeat.as_mut() => Woken::Heartbeat,
        };
        // Until the client asks again it may be slow; no topic waits for it.
        self.subscription.release();
        self.heartbeat.as_mut().reset(Instant::now() + HEARTBEAT_EVERY);
        Some(match woken {
            Woken::Taken(taken) => self.chunk(taken),
            Woken::Heartbeat => Bytes::from_static(b": heartbeat\n\n"),
            Woken::Stopping => {
                self.is_over = true;
                STOPPING
            }
        })
    }

    fn chunk(&mut self, taken: Result<Taken, EngineError>) -> Bytes {
        match taken {
            Ok(Taken::Gap(gap)) => gap_event(gap),
            Ok(Taken::Lagged(lagged)) => lagged_event(&lagged),
            Ok(Taken::Ended(end)) => {
                self.is_over = true;
                self.farewell(&end)
            }
            Ok(Taken::Records | Taken::Nothing | Taken::ReadLog) => self.records(),
            Err(error) => {
                self.is_over = true;
                tracing::error!(topic = self.subscription.topic(), %error, "an event stream could not read the log");
                let (code, _) = code_of(&error);
                let data = json!({ "code": code.as_str(), "reason": error.to_string() });
                event("fault", &data)
            }
        }
    }

    fn records(&mut self) -> Bytes {
        let mut records = self.taken.drain(..).map(|record| record.encoded(Dialect::EventStream, encode));
        let first = records.next().unwrap_or_default();
        let Some(second) = records.next() else { return first };
        let mut chunk = [first, second].concat();
        records.for_each(|record| chunk.extend_from_slice(&record));
        chunk.into()
    }

    fn farewell(&self, end: &End) -> Bytes {
        match end {
            End::Deleted => event("deleted", &json!({ "topic": self.subscription.topic() })),
            End::Stopped => STOPPING,
            End::TooSlow(lagged) => lagged_event(lagged),
        }
    }
}

/// A record as an event: one line of data, whatever its value holds.
fn encode(record: &StoredRecord) -> Bytes {
    let bytes = record.value.as_ref().map_or(0, Bytes::len) + record.key.as_ref().map_or(0, Bytes::len);
    let mut out = Vec::with_capacity(EVENT_BYTES + bytes);
    out.extend_from_slice(b"id: ");
    cursor::write(&mut out, &record.cursor);
    out.extend_from_slice(b"\ndata: ");
    write_record(&mut out, record, RecordStyle { one_line: true, ..RecordStyle::default() });
    out.extend_from_slice(b"\n\n");
    out.into()
}

fn gap_event(gap: Gap) -> Bytes {
    let reason = "these offsets are damaged on disk and were passed over";
    event("gap", &json!({ "partition": gap.partition, "from": gap.from, "to": gap.to, "reason": reason }))
}

fn lagged_event(lagged: &Lagged) -> Bytes {
    let range = |skipped: &floe_live::Skipped| json!({ "partition": skipped.partition, "from": skipped.from, "to": skipped.to });
    let skipped: Vec<_> = lagged.skipped.iter().map(range).collect();
    event(
        "gap",
        &json!({ "dropped": lagged.dropped, "skipped": skipped, "cursor": cursor::token(&lagged.after) }),
    )
}

fn event(name: &str, data: &serde_json::Value) -> Bytes {
    let mut out = Vec::new();
    write_event(&mut out, name, data);
    out.into()
}

/// Appends a named event. Compact JSON has no line break inside.
fn write_event(out: &mut Vec<u8>, name: &str, data: &serde_json::Value) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    out.extend_from_slice(data.to_string().as_bytes());
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use floe_engine::{Clock, Cursor, EmbeddedConfig, Engine, Header, JournalCursor, TopicSpec};

    use super::*;
    use crate::{GatewayConfig, GatewayParts};

    fn place() -> Cursor {
        Cursor::Journal(JournalCursor { topic_id: 1, position: 2, records: 3 })
    }

    #[test]
    fn no_value_can_end_its_event_or_begin_another() {
        for value in
            ["{\n\"a\":\r\n1}", "\"x\\nid: 5\\n\\n\"", "plain\n\nevent: gap\ndata: x\r\rid: 1\0", "\u{0}"]
        {
            let record = StoredRecord {
                partition: 0,
                offset: 1,
                timestamp: 0,
                key: Some(Bytes::from_static(b"k\r\n\r\nid: 9")),
                value: Some(Bytes::copy_from_slice(value.as_bytes())),
                headers: vec![Header { name: "n\n\n".into(), value: Some(Bytes::from_static(b"\r\r")) }],
                cursor: place(),
            };
            let event = encode(&record);
            let text = std::str::from_utf8(&event).unwrap();
            let lines: Vec<_> = text.split('\n').collect();
            assert_eq!(lines.len(), 4, "{text:?}");
            assert!(lines[0].starts_with("id: ") && lines[1].starts_with("data: {"), "{text:?}");
            assert!(!text.contains(['\r', '\0']), "{text:?}");
        }
    }

    #[test]
    fn a_stream_starts_at_a_word_a_cursor_or_a_time() {
        let cursor = place();
        assert_eq!(start_of("earliest").unwrap(), TopicStart::Earliest);
        assert_eq!(start_of(&cursor::token(&cursor)).unwrap(), TopicStart::After(cursor));
        assert_eq!(start_of("1970-01-01T00:00:01Z").unwrap(), TopicStart::Time(1000));
        for bad in ["", "-1", "7", &"x".repeat(1 << 20), "tomorrow"] {
            assert!(start_of(bad).unwrap_err().detail().len() < 200);
        }
    }

    #[test]
    fn the_last_event_id_goes_before_the_address() {
        let cursor = place();
        let params = Params::parse(Some("from=earliest"), &["from"]).unwrap();
        let mut headers = HeaderMap::new();
        assert_eq!(start(&headers, &params).unwrap(), TopicStart::Earliest);
        headers.insert(LAST_EVENT_ID, cursor::token(&cursor).parse().unwrap());
        assert_eq!(start(&headers, &params).unwrap(), TopicStart::After(cursor));
        headers.insert(LAST_EVENT_ID, HeaderValue::from_static("-1"));
        assert!(start(&headers, &params).is_err());
        headers.insert(LAST_EVENT_ID, HeaderValue::from_static(""));
        assert_eq!(start(&headers, &params).unwrap(), TopicStart::Earliest);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_without_events_shows_that_it_is_alive() {
        let directory = tempfile::tempdir().unwrap();
        let engine = Engine::open_embedded(EmbeddedConfig {
            data_dir: directory.path().join("data"),
            ephemeral: true,
            journal: floe_journal::JournalConfig { segment_bytes: 1 << 20, tail_cache_bytes: 1 << 20 },
            clock: Clock::system(),
        })
        .unwrap();
        let spec = TopicSpec { name: "t".into(), partitions: 1, config: Default::default() };
        engine.create_topic(spec).await.unwrap();
        let gateway = Gateway::new(GatewayParts::of(engine.clone()), &GatewayConfig::default());
        let (subscription, opening) = open(&gateway, "t", TopicStart::Latest).await.unwrap();
        let mut follower = Follower::new(&gateway, subscription, opening);
        assert!(follower.next().await.unwrap().starts_with(b"retry: 1000\nid: "));
        for _ in 0..3 {
            let since = Instant::now();
            assert_eq!(follower.next().await.unwrap(), ": heartbeat\n\n");
            assert_eq!(since.elapsed().as_secs(), HEARTBEAT_EVERY.as_secs());
        }
        engine.close();
        assert_eq!(follower.next().await.unwrap(), STOPPING);
        assert_eq!(follower.next().await, None);
    }
}
