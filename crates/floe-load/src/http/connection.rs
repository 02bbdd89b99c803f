//! One kept-alive connection with at most one request in flight.

use std::{io, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{
    Response, Target,
    response::{Framing, Head, parse_chunk_size, parse_head},
};
use crate::limits::{CONNECT_TIMEOUT, MAX_RESPONSE_BODY_BYTES, MAX_RESPONSE_HEAD_BYTES};

const READ_BUFFER_BYTES: usize = 16 << 10;

/// Why an exchange brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No connection could be opened: nothing was sent.
    #[error("cannot connect to {address}: {why}")]
    Connect {
        /// Where to.
        address: String,
        /// What the system said.
        why: io::Error,
    },
    /// The answer did not come in time. The server may have done what was asked.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The connection broke. The server may have done what was asked.
    #[error("the connection broke before the answer")]
    Broken(#[source] io::Error),
    /// The answer is not HTTP as this client reads it.
    #[error("the answer is malformed: {0}")]
    Malformed(&'static str),
    /// The answer is larger than this client takes.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

impl HttpError {
    /// Whether the server can't have seen the request.
    #[must_use]
    pub fn nothing_was_sent(&self) -> bool {
        matches!(self, Self::Connect { .. })
    }
}

/// A connection to a server, used for one exchange after another.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
    reusable: bool,
}

impl Connection {
    /// Connects, within [`CONNECT_TIMEOUT`].
    pub async fn open(target: &Target) -> Result<Self, HttpError> {
        let refused = |why| HttpError::Connect { address: target.authority().to_owned(), why };
        let connecting = TcpStream::connect((target.host(), target.port()));
        let stream = match timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(connected) => connected.map_err(refused)?,
            Err(_) => return Err(refused(io::ErrorKind::TimedOut.into())),
        };
        stream.set_nodelay(true).map_err(refused)?;
        Ok(Self { stream, buffer: BytesMut::with_capacity(READ_BUFFER_BYTES), reusable: true })
    }

    /// Whether another request may be sent: the last exchange ended cleanly and the server hasn't hung up since.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        let mut byte = [0];
        // Anything readable between two exchanges is the end of the stream or an answer nobody asked for.
        self.reusable
            && self.buffer.is_empty()
            && matches!(self.stream.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Sends a whole request and reads its answer. After an error the connection is of no more use.
    pub async fn exchange(&mut self, request: &[u8], within: Duration) -> Result<Response, HttpError> {
        self.reusable = false;
        match timeout(within, self.exchange_unbounded(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(HttpError::TimedOut(within)),
        }
    }

    async fn exchange_unbounded(&mut self, request: &[u8]) -> Result<Response, HttpError> {
        // A server may answer and close before it has read everything (413): the answer counts, so a failed write
        // is told only when no answer can be read either.
        let written = self.stream.write_all(request).await;
        let head = match self.read_head().await {
            Ok(head) => head,
            Err(HttpError::Broken(error)) => return Err(HttpError::Broken(written.err().unwrap_or(error))),
            Err(error) => return Err(error),
        };
        let head_bytes = self.buffer.split_to(head.bytes).freeze();
        let body = match head.framing {
            Framing::Length(length) => self.read_exact(length).await?,
            Framing::Chunked => self.read_chunked().await?,
            Framing::UntilClose => self.read_to_close().await?,
        };
        self.reusable = head.keep_alive && written.is_ok();
        Ok(Response::new(head.status, head_bytes, body))
    }

    /// Reads the head of the final answer; interim ones (1xx) are passed over.
    async fn read_head(&mut self) -> Result<Head, HttpError> {
        loop {
            match parse_head(&self.buffer).map_err(HttpError::Malformed)? {
                Some(head) if head.status == 101 => return Ok(head),
                Some(head) if head.status < 200 => {
                    let _ = self.buffer.split_to(head.bytes);
                }
                Some(head) => return Ok(head),
                None if self.buffer.len() > MAX_RESPONSE_HEAD_BYTES => {
                    return Err(HttpError::TooLarge(MAX_RESPONSE_HEAD_BYTES));
                }
                None => self.fill().await?,
            }
        }
    }

    async fn read_exact(&mut self, length: usize) -> Result<Bytes, HttpError> {
        if length > MAX_RESPONSE_BODY_BYTES {
            return Err(HttpError::TooLarge(MAX_RESPONSE_BODY_BYTES));
        }
        while self.buffer.len() < length {
            self.fill().await?;
        }
        Ok(self.buffer.split_to(length).freeze())
    }

    async fn read_chunked(&mut self) -> Result<Bytes, HttpError> {
        let mut body = BytesMut::new();
        loop {
            let size = parse_chunk_size(&self.read_line().await?).map_err(HttpError::Malformed)?;
            if size == 0 {
                break;
            }
            if body.len() + size > MAX_RESPONSE_BODY_BYTES {
                return Err(HttpError::TooLarge(MAX_RESPONSE_BODY_BYTES));
            }
            let chunk = self.read_exact(size).await?;
            body.extend_from_slice(&chunk);
            if !self.read_line().await?.is_empty() {
                return Err(HttpError::Malformed("a chunk that is longer than its size"));
            }
        }
        // Trailers end with an empty line, as headers do.
        while !self.read_line().await?.is_empty() {}
        Ok(body.freeze())
    }

    async fn read_to_close(&mut self) -> Result<Bytes, HttpError> {
        loop {
            if self.buffer.len() > MAX_RESPONSE_BODY_BYTES {
                return Err(HttpError::TooLarge(MAX_RESPONSE_BODY_BYTES));
            }
            if self.stream.read_buf(&mut self.buffer).await.map_err(HttpError::Broken)? == 0 {
                return Ok(self.buffer.split().freeze());
            }
        }
    }

    /// One line without its CRLF.
    async fn read_line(&mut self) -> Result<Bytes, HttpError> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let mut line = self.buffer.split_to(end + 1).freeze();
                line.truncate(end);
                if line.last() == Some(&b'\r') {
                    line.truncate(end - 1);
                }
                return Ok(line);
            }
            if self.buffer.len() > MAX_RESPONSE_HEAD_BYTES {
                return Err(HttpError::TooLarge(MAX_RESPONSE_HEAD_BYTES));
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<(), HttpError> {
        self.buffer.reserve(READ_BUFFER_BYTES / 4);
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) => Err(HttpError::Broken(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => Ok(()),
            Err(error) => Err(HttpError::Broken(error)),
        }
    }
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
