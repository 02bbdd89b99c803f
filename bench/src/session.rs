//! A session of the chat over its WebSocket, spoken raw.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{bail, ensure};
use serde::{Deserialize, de::IgnoredAny};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::fanout::{frame, open};

const TEXT: u8 = 1;
const CLOSE: u8 = 8;

/// A session with one socket.
#[derive(Debug)]
pub(crate) struct Session {
    stream: TcpStream,
    /// What was read and not yet looked at.
    buffer: Vec<u8>,
    asked: u64,
}

/// When a question was answered, from the moment at which it was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered {
    /// The first words; those of the whole answer, if it came before.
    pub(crate) first_delta: Duration,
    pub(crate) answer: Duration,
    /// Whether it is made of passages.
    pub(crate) has_sources: bool,
}

/// As much of a frame as is looked at.
#[derive(Debug, Deserialize)]
struct Told {
    #[serde(rename = "type")]
    kind: String,
    request_id: Option<String>,
    #[serde(default)]
    sources: Vec<IgnoredAny>,
}

impl Session {
    /// Opens a new one.
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let (stream, buffer) = open(address, "/chat/ws").await?;
        let mut session = Self { stream, buffer, asked: 0 };
        let opening = session.next().await?;
        ensure!(told(&opening)?.kind == "session", "began with {}", String::from_utf8_lossy(&opening));
        Ok(session)
    }

    /// Asks, and waits for the answer.
    pub(crate) async fn ask(&mut self, question: &str) -> anyhow::Result<Answered> {
        self.asked += 1;
        let id = self.asked.to_string();
        let query = serde_json::json!({"type": "query", "content": question, "request_id": id}).to_string();
        let query = frame(TEXT, query.as_bytes());
        let sent = Instant::now();
        self.stream.write_all(&query).await?;
        let mut first_delta = None;
        loop {
            let text = self.next().await?;
            let after = sent.elapsed();
            let told = told(&text)?;
            ensure!(told.kind != "error", "a question: {}", String::from_utf8_lossy(&text));
            if told.request_id.as_ref() != Some(&id) {
                continue;
            }
            match told.kind.as_str() {
                "delta" => {
                    first_delta.get_or_insert(after);
                }
                "answer" => {
                    return Ok(Answered {
                        first_delta: first_delta.unwrap_or(after),
                        answer: after,
                        has_sources: !told.sources.is_empty(),
                    });
                }
                _ => {}
            }
        }
    }

    /// The text of the next frame that has one.
    async fn next(&mut self) -> anyhow::Result<Vec<u8>> {
        loop {
            if let Some((opcode, from, to)) = extent(&self.buffer)
                && to <= self.buffer.len()
            {
                let payload = self.buffer[from..to].to_vec();
                self.buffer.drain(..to);
                match opcode {
                    TEXT => return Ok(payload),
                    CLOSE => bail!("the server closed the socket: {}", String::from_utf8_lossy(&payload)),
                    // pings needn't be answered in so short a time
                    _ => {}
                }
            } else if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the server closed the connection");
            }
        }
    }
}

fn told(text: &[u8]) -> anyhow::Result<Told> {
    Ok(serde_json::from_slice(text)?)
}

/// The opcode of the frame that begins here and where its payload is, as soon as its head is there. A server's frames carry no
/// mask, and Floe's come in one piece.
fn extent(buffer: &[u8]) -> Option<(u8, usize, usize)> {
    let (&[first, second], rest) = buffer.split_first_chunk()?;
    let (head, length) = match second & 0x7F {
        126 => (4, usize::from(u16::from_be_bytes(*rest.first_chunk()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(*rest.first_chunk()?)).ok()?),
        length => (2, usize::from(length)),
    };
    Some((first & 0x0F, head, head + length))
}
