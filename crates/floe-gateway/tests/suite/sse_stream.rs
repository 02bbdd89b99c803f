//! Event streams as a browser's `EventSource` would see them.

use std::time::Duration;

use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};

use crate::{floe::Floe, socket::PATIENCE};

/// One block of a stream: its fields in their order, comments under the name ``.
#[derive(Debug)]
struct Block(Vec<(String, String)>);

impl Block {
    fn field(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    fn data(&self) -> Value {
        serde_json::from_str(self.field("data").unwrap_or("null")).unwrap()
    }
}

/// A client that follows a stream.
struct Events {
    body: Incoming,
    unread: String,
}

impl Events {
    async fn open(floe: &Floe, path: &str, last_event_id: Option<&str>) -> Self {
        let stream = TcpStream::connect(floe.address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder().uri(path).header("host", floe.address.to_string());
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let answer = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        Self { body: answer.into_body(), unread: String::new() }
    }

    /// The next block; `None` at the end of the stream.
    async fn block(&mut self) -> Option<Block> {
        loop {
            if let Some((block, rest)) = self.unread.split_once("\n\n") {
                let field = |line: &str| {
                    let (name, value) = line.split_once(':').unwrap_or((line, ""));
                    (name.to_owned(), value.strip_prefix(' ').unwrap_or(value).to_owned())
                };
                let block = Block(block.lines().map(field).collect());
                self.unread = rest.to_owned();
                return Some(block);
            }
            let frame = timeout(PATIENCE, self.body.frame()).await.expect("nothing came")?.unwrap();
            self.unread.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
    }

    /// The next block with data.
    async fn event(&mut self) -> Block {
        loop {
            let block = self.block().await.expect("the stream ended");
            if block.field("data").is_some() {
                return block;
            }
        }
    }

    /// The values of the next records.
    async fn values(&mut self, count: usize) -> Vec<Value> {
        let mut values = Vec::new();
        for _ in 0..count {
            let event = self.event().await;
            assert_eq!(event.field("event"), None, "{event:?}");
            values.push(event.data()["value"].clone());
        }
        values
    }
}

async fn produce(floe: &Floe, values: std::ops::Range<u32>) {
    let records: Vec<_> = values.map(|n| json!({ "value": n })).collect();
    floe.post("/topics/t/records", json!({ "records": records })).await.ok(201);
}

fn numbers(range: std::ops::Range<u32>) -> Vec<Value> {
    range.map(Value::from).collect()
}

#[tokio::test]
async fn records_come_as_they_are_read_and_resume_by_their_id() {
    let floe = Floe::start().await;
    floe.topic("t", 1).await;
    produce(&floe, 0..3).await;
    let mut events = Events::open(&floe, "/topics/t/stream?from=earliest", None).await;
    let first = events.event().await;
    let read = floe.get("/topics/t/records?partition=0&limit=1").await.ok(200);
    assert_eq!(first.data(), read["records"][0]);
    let second = events.event().await;
    let id = second.field("id").unwrap().to_owned();
    drop(events);
    produce(&floe, 3..6).await;
    // A browser sends the same address again; its last id goes before what that says.
    let mut again = Events::open(&floe, "/topics/t/stream?from=earliest", Some(&id)).await;
    assert_eq!(again.values(4).await, numbers(2..6));
    let mut by_cursor = Events::open(&floe, &format!("/topics/t/stream?from={id}"), None).await;
    assert_eq!(by_cursor.values(4).await, numbers(2..6));
    let mut by_time = Events::open(&floe, "/topics/t/stream?from=2020-01-01T00:00:00Z", None).await;
    assert_eq!(by_time.values(6).await, numbers(0..6));
    produce(&floe, 6..8).await;
    assert_eq!(again.values(2).await, numbers(6..8));
}

#[tokio::test]
async fn a_stream_starts_at_the_end_and_knows_where_that_is() {
    let floe = Floe::start().await;
    floe.topic("t", 1).await;
    produce(&floe, 0..3).await;
    let mut events = Events::open(&floe, "/topics/t/stream", None).await;
    let opening = events.block().await.unwrap();
    assert_eq!(opening.field("retry"), Some("1000"));
    assert_eq!(opening.field("data"), None, "an id without data is no event");
    let id = opening.field("id").unwrap().to_owned();
    assert_eq!(floe.get("/health").await.ok(200)["subscribers"], 1);
    // Broken before its first record, it still loses nothing.
    drop(events);
    produce(&floe, 3..5).await;
    let mut again = Events::open(&floe, "/topics/t/stream", Some(&id)).await;
    assert_eq!(again.values(2).await, numbers(3..5));
}

#[tokio::test]
async fn a_slow_reader_loses_nothing() {
    let floe = Floe::start().await;
    floe.topic("t", 3).await;
    let mut events = Events::open(&floe, "/topics/t/stream", None).await;
    events.block().await.unwrap();
    let pad = "x".repeat(10_000);
    for first in (0..2_000u32).step_by(200) {
        let records: Vec<_> =
            (first..first + 200).map(|n| json!({ "value": { "n": n, "pad": pad } })).collect();
        floe.post("/topics/t/records", json!({ "records": records })).await.ok(201);
    }
    let mut seen = Vec::new();
    for _ in 0..2_000 {
        seen.push(events.event().await.data()["value"]["n"].as_u64().unwrap());
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..2_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_place_that_is_none_is_refused() {
    let floe = Floe::start().await;
    floe.topic("t", 1).await;
    for from in ["", "yesterday", "-1", "12", &"A".repeat(32), &"x".repeat(10_000)] {
        let detail = floe.get(&format!("/topics/t/stream?from={from}")).await.problem(400, "BAD_REQUEST");
        assert!(detail.contains("from"), "{detail}");
        if !from.is_empty() {
            let call = floe.call("GET", "/topics/t/stream").header("last-event-id", from);
            assert!(call.send().await.problem(400, "BAD_REQUEST").contains("Last-Event-ID"));
        }
    }
    floe.get("/topics/t/stream?form=earliest").await.problem(400, "BAD_REQUEST");
    floe.get("/topics/nowhere/stream").await.problem(404, "TOPIC_NOT_FOUND");
    floe.get("/topics/a%2fb/stream").await.problem(400, "BAD_REQUEST");
    assert_eq!(floe.get("/health").await.ok(200)["subscribers"], 0);
}

#[tokio::test]
async fn a_deleted_topic_ends_its_streams_and_a_new_one_is_told_apart() {
    let floe = Floe::start().await;
    floe.topic("t", 1).await;
    produce(&floe, 0..2).await;
    let mut events = Events::open(&floe, "/topics/t/stream?from=earliest", None).await;
    events.values(1).await;
    let last = events.event().await;
    let id = last.field("id").unwrap().to_owned();
    floe.call("DELETE", "/topics/t").send().await.ok(200);
    let deleted = events.event().await;
    assert_eq!((deleted.field("event"), deleted.data()), (Some("deleted"), json!({ "topic": "t" })));
    assert!(events.block().await.is_none());
    floe.topic("t", 1).await;
    produce(&floe, 10..12).await;
    let mut again = Events::open(&floe, "/topics/t/stream", Some(&id)).await;
    let reset = again.event().await;
    assert_eq!((reset.field("event"), &reset.data()["topic"]), (Some("reset"), &json!("t")));
    assert_eq!(again.values(2).await, numbers(10..12));
}

#[tokio::test]
async fn streams_end_when_the_server_stops() {
    let mut floe = Floe::start().await;
    floe.topic("t", 1).await;
    let mut events = Events::open(&floe, "/topics/t/stream", None).await;
    events.block().await.unwrap();
    floe.begin_stop();
    let goodbye = events.block().await.unwrap();
    assert_eq!(goodbye.field(""), Some("the server is stopping"));
    assert!(events.block().await.is_none());
    timeout(Duration::from_secs(5), floe.stop()).await.unwrap();
}

#[tokio::test]
async fn no_value_breaks_out_of_its_event() {
    let floe = Floe::start().await;
    floe.topic("t", 1).await;
    let mut events = Events::open(&floe, "/topics/t/stream", None).await;
    events.block().await.unwrap();
    let odd = "\n\nid: 5\r\ndata: x\r\revent: gap\0";
    let pretty = "{\n  \"a\":\r\n 1\n}";
    floe.post("/topics/t/records", json!({ "value": odd, "key": odd, "headers": { odd: odd } }))
        .await
        .ok(201);
    floe.call("POST", "/topics/t/records").body("application/octet-stream", pretty).send().await.ok(201);
    floe.call("POST", "/topics/t/records").body("application/octet-stream", odd).send().await.ok(201);
    let first = events.event().await;
    assert_eq!((first.0.len(), &first.data()["value"], &first.data()["key"]), (2, &json!(odd), &json!(odd)));
    let second = events.event().await;
    assert_eq!((second.0.len(), &second.data()["value"]), (2, &json!({ "a": 1 })));
    let third = events.event().await;
    assert!(third.data()["value"]["$base64"].is_string(), "{third:?}");
    assert_eq!(third.0.len(), 2);
}
