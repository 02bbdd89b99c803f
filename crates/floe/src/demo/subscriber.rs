//! A live subscriber that holds the server to its word: every record once, in order, across its death.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use floe_load::{Backoff, Socket, http::Target, open_socket};
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use tokio::{sync::watch, time::sleep};
use tokio_tungstenite::tungstenite::Message;

/// Where each partition ends, once that is known.
pub(super) type Ends = BTreeMap<u32, i64>;

/// What a subscriber saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) name: String,
    pub(super) events: u64,
    pub(super) connections: u64,
    /// Offsets passed over, and offsets seen again.
    pub(super) gaps: u64,
    pub(super) repeats: u64,
    /// CRC-32C over every event's place and payload, per partition in its order: subscribers of one topic must agree.
    pub(super) digests: BTreeMap<u32, u32>,
    next: Ends,
    cursor: Option<String>,
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(default)]
    partition: Option<u32>,
    #[serde(default)]
    offset: Option<i64>,
    #[serde(default)]
    cursor: Option<&'a str>,
    #[serde(borrow, default)]
    message: Option<Content<'a>>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow)]
    payload: &'a RawValue,
}

/// Subscribes from the beginning and follows until everything up to `ends` was seen; after a broken connection it
/// goes on behind the last cursor it got.
pub(super) async fn follow(
    target: Target,
    topic: String,
    name: String,
    mut ends: watch::Receiver<Option<Ends>>,
) -> anyhow::Result<Seen> {
    let mut seen = Seen { name, ..Seen::default() };
    let mut backoff = Backoff::default();
    loop {
        if let Ok(mut socket) = open_socket(&target, "/ws").await {
            backoff.reset();
            subscribe(&mut socket, &topic, &seen).await?;
            seen.connections += 1;
            if read(&mut socket, &mut seen, &mut ends).await? {
                return Ok(seen);
            }
        }
        sleep(backoff.next_pause()).await;
    }
}

async fn subscribe(socket: &mut Socket, topic: &str, seen: &Seen) -> anyhow::Result<()> {
    let from = seen.cursor.as_ref().map_or_else(|| json!("earliest"), |cursor| json!({ "cursor": cursor }));
    let frame =
        json!({"type": "subscribe", "topic": topic, "client_id": seen.name, "from": from, "request_id": "s"});
    // A server that dies right now is found out by the next read.
    let _ = socket.send(Message::text(frame.to_string())).await;
    Ok(())
}

/// True when everything was seen, false when the connection broke.
async fn read(
    socket: &mut Socket,
    seen: &mut Seen,
    ends: &mut watch::Receiver<Option<Ends>>,
) -> anyhow::Result<bool> {
    loop {
        if ends.borrow().as_ref().is_some_and(|ends| seen.has_all(ends)) {
            return Ok(true);
        }
        tokio::select! {
            frame = socket.next() => match frame {
                Some(Ok(Message::Text(text))) => seen.take(&text)?,
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(false),
                Some(Ok(_)) => {}
            },
            changed = ends.changed() => changed.context("the demo ended early")?,
        }
    }
}

impl Seen {
    fn take(&mut self, text: &str) -> anyhow::Result<()> {
        let frame: Frame<'_> = serde_json::from_str(text).context("a frame is not what was expected")?;
        match frame.kind {
            "event" => {
                let place =
                    frame.partition.zip(frame.offset).context("an event has no partition and offset")?;
                let content = frame.message.context("an event has no message")?;
                self.cursor = frame.cursor.map(str::to_owned).or(self.cursor.take());
                self.note(place, content.payload.get());
                Ok(())
            }
            "error" => bail!(
                "subscriber {}: the server said {}",
                self.name,
                frame.error.map_or("error", RawValue::get)
            ),
            _ => Ok(()),
        }
    }

    fn note(&mut self, (partition, offset): (u32, i64), payload: &str) {
        self.events += 1;
        let next = self.next.entry(partition).or_insert(0);
        if offset < *next {
            self.repeats += 1;
            return;
        }
        self.gaps += (offset - *next).unsigned_abs();
        *next = offset + 1;
        let digest = self.digests.entry(partition).or_insert(0);
        *digest = crc32c::crc32c_append(*digest, format!("{offset} {payload}").as_bytes());
    }

    fn has_all(&self, ends: &Ends) -> bool {
        ends.iter().all(|(partition, end)| self.next.get(partition).copied().unwrap_or(0) >= *end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(partition: u32, offset: i64) -> String {
        json!({"type": "event", "topic": "t", "message": {"id": "x", "payload": {"n": offset}}, "ts": "t",
            "partition": partition, "offset": offset, "cursor": format!("c{offset}")})
        .to_string()
    }

    #[test]
    fn gaps_and_repeats_are_counted_per_partition() {
        let mut seen = Seen::default();
        for (partition, offset) in [(0, 0), (1, 0), (0, 1), (0, 1), (0, 4), (1, 1)] {
            seen.take(&event(partition, offset)).unwrap();
        }
        assert_eq!((seen.events, seen.gaps, seen.repeats), (6, 2, 1));
        assert_eq!(seen.cursor.as_deref(), Some("c1"));
        assert!(seen.has_all(&Ends::from([(0, 5), (1, 2), (2, 0)])));
        assert!(!seen.has_all(&Ends::from([(0, 6)])));
    }

    #[test]
    fn an_error_of_the_server_ends_the_demo() {
        let error =
            r#"{"type":"error","request_id":null,"error":{"code":"SLOW_CONSUMER","message":""},"ts":"t"}"#;
        assert!(Seen::default().take(error).unwrap_err().to_string().contains("SLOW_CONSUMER"));
    }
}
