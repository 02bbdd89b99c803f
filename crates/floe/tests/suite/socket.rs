//! A WebSocket of a server, message by message.

use std::time::Duration;

use floe_load::{Socket, http::Target, open_socket};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::node::Node;

/// How long a message may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// An open socket.
pub(crate) struct Wire(Socket);

impl Wire {
    pub(crate) async fn open(server: &Node, path: &str) -> Self {
        Self(open_socket(&Target::parse(&server.url).unwrap(), path).await.unwrap())
    }

    pub(crate) async fn send(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> Value {
        let next = async {
            loop {
                if let Message::Text(text) = self.0.next().await.expect("the server closed").unwrap() {
                    return serde_json::from_str(&text).unwrap();
                }
            }
        };
        timeout(PATIENCE, next).await.expect("no message came")
    }

    /// The next message, which has this type.
    pub(crate) async fn expect(&mut self, kind: &str) -> Value {
        let message = self.next().await;
        assert_eq!(message["type"], kind, "{message}");
        message
    }

    /// Subscribes, and is told so.
    pub(crate) async fn subscribe(&mut self, topic: &str, last_n: u32) {
        self.send(
            &json!({ "type": "subscribe", "topic": topic, "client_id": "c", "last_n": last_n, "request_id": "s" }),
        )
        .await;
        let ack = self.expect("ack").await;
        assert_eq!(
            (&ack["request_id"], &ack["topic"], &ack["status"]),
            (&"s".into(), &topic.into(), &"ok".into())
        );
    }

    /// Publishes, and is told where it went.
    pub(crate) async fn publish(&mut self, topic: &str, id: &str, payload: &Value) -> Value {
        self.send(
            &json!({ "type": "publish", "topic": topic, "message": { "id": id, "payload": payload }, "request_id": id }),
        )
        .await;
        let ack = self.expect("ack").await;
        assert_eq!((&ack["request_id"], &ack["status"]), (&id.into(), &"ok".into()));
        ack
    }
}
