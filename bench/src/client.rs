//! An HTTP/1.1 client that costs as little as possible: request bytes made once, answers only measured.

use std::{
    cell::Cell,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::LocalSet,
};

/// An answer, with its body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// One request's bytes.
pub(crate) fn request(method: &str, path: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// A connection that is kept.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096) })
    }

    /// Sends a request and waits for its answer. Only answers with a length are understood.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> anyhow::Result<Answer> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if let Some((status, head, length)) = parse_head(&self.buffer)? {
                while self.buffer.len() < head + length {
                    self.fill().await?;
                }
                return Ok(Answer { status, body: self.buffer[head..head + length].to_vec() });
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> anyhow::Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the server closed the connection");
        }
        Ok(())
    }
}

fn parse_head(buffer: &[u8]) -> anyhow::Result<Option<(u16, usize, usize)>> {
    let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&buffer[..end])?;
    let status = head.get(9..12).context("a status")?.parse()?;
    let length = head
        .lines()
        .find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        })
        .unwrap_or(0);
    Ok(Some((status, end + 4, length)))
}

/// One GET.
pub(crate) async fn get(address: SocketAddr, path: &str) -> anyhow::Result<Answer> {
    Connection::open(address).await?.ask(&request("GET", path, "application/json", b"")).await
}

/// One POST of JSON.
pub(crate) async fn post(address: SocketAddr, path: &str, body: &str) -> anyhow::Result<Answer> {
    Connection::open(address).await?.ask(&request("POST", path, "application/json", body.as_bytes())).await
}

/// Reads a whole answer to its end and counts its bytes.
pub(crate) async fn drain(address: SocketAddr, path: &str, accept: &str) -> anyhow::Result<u64> {
    let mut stream = TcpStream::connect(address).await?;
    let head =
        format!("GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: {accept}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut buffer = Vec::with_capacity(256 << 10);
    let mut bytes = 0;
    loop {
        buffer.clear();
        match stream.read_buf(&mut buffer).await? {
            0 => return Ok(bytes),
            count => bytes += count as u64,
        }
    }
}

/// What a load reached.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) requests_per_second: f64,
}

/// Sends `requests` in turn over `connections`, for `duration`, each request following the answer before; every answer
/// must be a success.
pub(crate) async fn load(
    address: SocketAddr,
    requests: Rc<Vec<Vec<u8>>>,
    connections: usize,
    duration: Duration,
) -> anyhow::Result<Load> {
    let answered = Rc::new(Cell::new(0u64));
    let local = LocalSet::new();
    let start = Instant::now();
    let mut tasks = Vec::new();
    for index in 0..connections {
        let (requests, answered) = (requests.clone(), answered.clone());
        tasks.push(local.spawn_local(async move {
            let mut connection = Connection::open(address).await?;
            let mut turn = index;
            while start.elapsed() < duration {
                check(&connection.ask(&requests[turn % requests.len()]).await?)?;
                answered.set(answered.get() + 1);
                turn += connections;
            }
            anyhow::Ok(())
        }));
    }
    local
        .run_until(async {
            for task in tasks {
                task.await??;
            }
            anyhow::Ok(())
        })
        .await?;
    Ok(Load { requests_per_second: answered.get() as f64 / start.elapsed().as_secs_f64() })
}

fn check(answer: &Answer) -> anyhow::Result<()> {
    if !(200..300).contains(&answer.status) {
        bail!("answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
    }
    Ok(())
}
