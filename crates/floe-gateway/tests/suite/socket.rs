//! Two WebSocket clients: a real one that follows the rules, and a bare one that can break them.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

use crate::floe::Floe;

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A message's id.
pub(crate) fn id(n: u32) -> String {
    format!("550e8400-e29b-41d4-a716-{n:012}")
}

/// A client that follows the rules.
pub(crate) struct Client {
    stream: WebSocketStream<TcpStream>,
}

impl Client {
    pub(crate) async fn connect(floe: &Floe) -> Self {
        Self::at(floe, "/ws").await
    }

    /// A socket that leads elsewhere than `/ws`.
    pub(crate) async fn at(floe: &Floe, path: &str) -> Self {
        let stream = TcpStream::connect(floe.address).await.unwrap();
        let (stream, answer) = client_async(format!("ws://{}{path}", floe.address), stream).await.unwrap();
        assert_eq!(answer.status(), 101);
        Self { stream }
    }

    pub(crate) async fn send(&mut self, message: Value) {
        self.send_text(message.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: impl Into<String>) {
        self.stream.send(Message::text(text.into())).await.unwrap();
    }

    pub(crate) async fn send_message(&mut self, message: Message) {
        self.stream.send(message).await.unwrap();
    }

    /// The next frame of any kind.
    pub(crate) async fn frame(&mut self) -> Message {
        let frame = timeout(PATIENCE, self.stream.next()).await.expect("no frame came");
        frame.expect("the server closed").unwrap()
    }

    /// The next JSON message; pings are answered on the way.
    pub(crate) async fn next(&mut self) -> Value {
        loop {
            match self.frame().await {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next message, which has this type.
    #[track_caller]
    pub(crate) fn expect<'a>(&'a mut self, kind: &'a str) -> impl Future<Output = Value> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let message = self.next().await;
            assert_eq!(message["type"], kind, "at {caller}: {message}");
            message
        }
    }

    /// The close that the server sends: code and reason.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        loop {
            if let Message::Close(close) = self.frame().await {
                let close = close.expect("a close without a code");
                return (close.code.into(), close.reason.to_string());
            }
        }
    }

    /// Closes, or ends the close that the server began, and waits for the end of the connection.
    pub(crate) async fn close(mut self) {
        let _ = self.stream.close(None).await;
        while let Some(Ok(_)) = self.stream.next().await {}
    }

    pub(crate) async fn subscribe(&mut self, topic: &str, client_id: &str, more: Value) -> Value {
        let mut message = json!({ "type": "subscribe", "topic": topic, "client_id": client_id });
        message.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        self.send(message).await;
        self.expect("ack").await
    }

    /// Publishes and waits for the answer.
    pub(crate) async fn publish(&mut self, topic: &str, n: u32) -> Value {
        self.send(publish(topic, n)).await;
        self.expect("ack").await
    }

    /// The payloads of the next events.
    pub(crate) async fn payloads(&mut self, count: usize) -> Vec<Value> {
        let mut payloads = Vec::new();
        while payloads.len() < count {
            payloads.push(self.expect("event").await["message"]["payload"].clone());
        }
        payloads
    }

    /// Waits until everything sent before has been answered, and checks that nothing else was.
    pub(crate) async fn settle(&mut self) {
        self.send(json!({ "type": "ping", "request_id": "settle" })).await;
        assert_eq!(self.expect("pong").await["request_id"], "settle");
    }
}

/// How many subscribers the server says it has.
pub(crate) async fn subscribers(floe: &Floe) -> u64 {
    floe.get("/health").await.ok(200)["subscribers"].as_u64().unwrap()
}

/// Waits until the server says that nobody is subscribed.
pub(crate) async fn nobody_left(floe: &Floe) {
    let gone = async { while subscribers(floe).await > 0 {} };
    timeout(PATIENCE, gone).await.expect("a subscriber that is gone is still counted");
}

/// A publish of the payload `n` under the id of `n`.
pub(crate) fn publish(topic: &str, n: u32) -> Value {
    json!({ "type": "publish", "topic": topic, "message": { "id": id(n), "payload": n } })
}

/// A handshake as it goes over the wire; `more` are further header lines.
pub(crate) fn handshake(floe: &Floe, more: &str) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n",
        floe.address
    )
}

/// A client that sends any bytes.
pub(crate) struct Bare {
    pub(crate) stream: TcpStream,
}

impl Bare {
    pub(crate) async fn connect(floe: &Floe) -> Self {
        let mut stream = TcpStream::connect(floe.address).await.unwrap();
        stream.write_all(handshake(floe, "").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap());
        }
        assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", answer.escape_ascii());
        Self { stream }
    }

    /// Sends bytes; a server that has closed already is no failure.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Reads a frame: its first byte and its payload. `None` at the end.
    pub(crate) async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        timeout(PATIENCE, async {
            let first = self.stream.read_u8().await.ok()?;
            let second = self.stream.read_u8().await.ok()?;
            assert_eq!(second & 0x80, 0, "a server's frames are not masked");
            let length = match second {
                126 => usize::from(self.stream.read_u16().await.ok()?),
                127 => usize::try_from(self.stream.read_u64().await.ok()?).unwrap(),
                short => usize::from(short),
            };
            let mut payload = vec![0; length];
            self.stream.read_exact(&mut payload).await.ok()?;
            Some((first, payload))
        })
        .await
        .expect("no frame came")
    }

    /// The code of the server's close frame; other frames before it are passed over.
    pub(crate) async fn close_code(&mut self) -> Option<u16> {
        loop {
            let (first, payload) = self.frame().await?;
            if first == 0x88 {
                return payload.first_chunk().map(|code| u16::from_be_bytes(*code));
            }
        }
    }
}

/// A masked client frame.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [1, 2, 3, 4];
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..126 => bytes.push(0x80 | u8::try_from(short).unwrap()),
        medium @ 126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend(u16::try_from(medium).unwrap().to_be_bytes());
        }
        long => {
            bytes.push(0x80 | 127);
            bytes.extend((long as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}
