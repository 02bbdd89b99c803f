//! A request, as a language model of tests gets it.

use std::{
    collections::BTreeMap,
    io::{Error, ErrorKind, Result},
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    net::tcp::OwnedReadHalf,
};

/// Of a request's body.
const BODY_BYTES_MAX: usize = 16 << 20;
/// Of a line of its head.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// A request that has come.
#[derive(Clone, Debug)]
pub struct AskedRequest {
    /// Such as `POST`.
    pub method: String,
    /// Such as `/v1/chat/completions`.
    pub path: String,
    /// By their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Null if it is no JSON.
    pub body: Value,
}

impl AskedRequest {
    /// Reads one; none if the connection ends before it.
    pub(super) async fn read(from: &mut BufReader<OwnedReadHalf>) -> Result<Option<Self>> {
        let first = line(from).await?;
        if first.is_empty() {
            return Ok(None);
        }
        let mut words = first.split(' ').map(str::to_owned);
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut headers = BTreeMap::new();
        loop {
            let line = line(from).await?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.insert(name.to_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").map_or(Ok(0), |length| length.parse());
        let length = length.ok().filter(|length| *length <= BODY_BYTES_MAX);
        let mut body = vec![0; length.ok_or(ErrorKind::InvalidData)?];
        from.read_exact(&mut body).await?;
        let body = serde_json::from_slice(&body).unwrap_or_default();
        Ok(Some(Self { method, path, headers, body }))
    }

    /// The text of its last message.
    #[must_use]
    pub fn last_message(&self) -> String {
        let messages = self.body["messages"].as_array();
        let last = messages.and_then(|messages| messages.last());
        last.and_then(|message| message["content"].as_str()).unwrap_or_default().to_owned()
    }

    /// The header `Authorization`, or nothing.
    #[must_use]
    pub fn authorization(&self) -> &str {
        self.headers.get("authorization").map_or("", String::as_str)
    }
}

/// One line without its end; empty at the end of the connection too.
async fn line(from: &mut BufReader<OwnedReadHalf>) -> Result<String> {
    let mut line = Vec::new();
    from.take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await?;
    let line = String::from_utf8(line).map_err(|error| Error::new(ErrorKind::InvalidData, error))?;
    Ok(line.trim_end().to_owned())
}
