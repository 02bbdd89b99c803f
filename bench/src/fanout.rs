//! One publisher, many WebSocket subscribers: the same client for Floe and for NATS. Each payload holds one `~` with
//! the time it was sent at, so counting and timing need no parsing of either protocol. (A frame's head may hold the same
//! byte; only one with a digit behind it is a mark.)

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
    task::LocalSet,
};

const PAYLOAD_BYTES: usize = 200;
/// Messages on their way at once when going as fast as possible: below Floe's default queue of a subscriber.
const WINDOW: u64 = 50;

/// Who is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Floe,
    Nats,
}

/// What was reached.
#[derive(Debug)]
pub(crate) struct Reached {
    pub(crate) deliveries_per_second: f64,
    pub(crate) p99_ms: f64,
}

/// A frame as a client sends it: masked with a key of zeros, which leaves the bytes as they are.
pub(crate) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80 | opcode];
    match payload.len() {
        length @ 0..126 => bytes.push(0x80 | length as u8),
        length => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(payload);
    bytes
}

impl Peer {
    fn path(self) -> &'static str {
        match self {
            Self::Floe => "/ws",
            Self::Nats => "/",
        }
    }

    fn hello(self) -> Vec<u8> {
        match self {
            Self::Floe => Vec::new(),
            Self::Nats => frame(2, b"CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":false}\r\n"),
        }
    }

    fn subscribe(self, topic: &str, index: usize) -> Vec<u8> {
        match self {
            Self::Floe => {
                let text = format!(
                    r#"{{"type":"subscribe","topic":"{topic}","client_id":"c{index}","request_id":"r"}}"#
                );
                frame(1, text.as_bytes())
            }
            Self::Nats => frame(2, format!("SUB {topic} 1\r\nPING\r\n").as_bytes()),
        }
    }

    /// What tells that a subscription is in force.
    fn subscribed(self) -> &'static [u8] {
        match self {
            Self::Floe => b"\"ack\"",
            Self::Nats => b"PONG",
        }
    }

    fn publish(self, topic: &str, nanos: u128) -> Vec<u8> {
        let mark = format!("~{nanos:019}~");
        let fill = "x".repeat(PAYLOAD_BYTES - mark.len() - 2);
        let payload = format!("\"{}{fill}\"", &mark[..20]);
        match self {
            Self::Floe => {
                let text = format!(
                    r#"{{"type":"publish","topic":"{topic}","message":{{"id":"550e8400-e29b-41d4-a716-446655440000","payload":{payload}}}}}"#
                );
                frame(1, text.as_bytes())
            }
            Self::Nats => frame(2, format!("PUB {topic} {}\r\n{payload}\r\n", payload.len()).as_bytes()),
        }
    }
}

/// A WebSocket connection, spoken raw.
pub(crate) async fn connect(address: SocketAddr, peer: Peer) -> anyhow::Result<TcpStream> {
    let mut stream = upgrade(address, peer.path()).await?;
    stream.write_all(&peer.hello()).await?;
    Ok(stream)
}

/// A WebSocket connection to a path where the server doesn't speak first.
pub(crate) async fn upgrade(address: SocketAddr, path: &str) -> anyhow::Result<TcpStream> {
    Ok(open(address, path).await?.0)
}

/// A WebSocket connection to a path, with what was read of the frames already.
pub(crate) async fn open(address: SocketAddr, path: &str) -> anyhow::Result<(TcpStream, Vec<u8>)> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let end = b"\r\n\r\n";
    let mut answer = read_until(&mut stream, end).await?;
    if !answer.starts_with(b"HTTP/1.1 101") {
        bail!("no upgrade: {}", String::from_utf8_lossy(&answer));
    }
    let head = answer.windows(end.len()).position(|window| window == end).unwrap_or(0) + end.len();
    Ok((stream, answer.split_off(head)))
}

async fn read_until(stream: &mut TcpStream, mark: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut buffer = Vec::with_capacity(1024);
    while !buffer.windows(mark.len()).any(|window| window == mark) {
        if stream.read_buf(&mut buffer).await? == 0 {
            bail!("closed before {}", String::from_utf8_lossy(mark));
        }
    }
    Ok(buffer)
}

/// Subscribers that are connected and subscribed, and do nothing.
pub(crate) async fn idle_subscribers(
    address: SocketAddr,
    peer: Peer,
    topic: &str,
    count: usize,
) -> anyhow::Result<Vec<TcpStream>> {
    let mut streams = Vec::with_capacity(count);
    for index in 0..count {
        let mut stream = connect(address, peer).await?;
        stream.write_all(&peer.subscribe(topic, index)).await?;
        read_until(&mut stream, peer.subscribed()).await?;
        streams.push(stream);
    }
    Ok(streams)
}

/// What subscribers got.
#[derive(Debug)]
pub(crate) struct Counters {
    delivered: Cell<u64>,
    times: RefCell<Histogram<u64>>,
    progress: Notify,
    start: Instant,
    timed: bool,
}

impl Counters {
    /// Marks hold nanoseconds since now; they are looked at if `timed`.
    pub(crate) fn new(timed: bool) -> anyhow::Result<Rc<Self>> {
        Ok(Rc::new(Self {
            delivered: Cell::new(0),
            times: RefCell::new(Histogram::new_with_bounds(1, 60_000_000, 3)?),
            progress: Notify::new(),
            start: Instant::now(),
            timed,
        }))
    }

    /// Since when marks count.
    pub(crate) fn start(&self) -> Instant {
        self.start
    }

    /// From mark to delivery, milliseconds.
    pub(crate) fn quantile_ms(&self, quantile: f64) -> f64 {
        self.times.borrow().value_at_quantile(quantile) as f64 / 1000.0
    }

    /// Waits until so many were delivered; fails when nothing comes for 20 s.
    pub(crate) async fn wait_for(&self, count: u64) -> anyhow::Result<()> {
        while self.delivered.get() < count {
            let waited = tokio::time::timeout(Duration::from_secs(20), self.progress.notified()).await;
            waited.with_context(|| format!("{} of {count} were delivered", self.delivered.get()))?;
        }
        Ok(())
    }

    /// Counts the marks in what was read behind `last`, the byte before it. A mark's time may be cut off by the end of
    /// the buffer and is left out then.
    fn see(&self, last: u8, bytes: &[u8]) {
        let mut before = last;
        let mut count = 0;
        for (at, byte) in bytes.iter().copied().enumerate() {
            if before == b'~' && byte.is_ascii_digit() {
                count += 1;
                self.time(bytes.get(at..at + 19));
            }
            before = byte;
        }
        self.delivered.set(self.delivered.get() + count);
        self.progress.notify_one();
    }

    fn time(&self, digits: Option<&[u8]>) {
        if self.timed
            && let Some(digits) = digits
            && let Ok(nanos) = std::str::from_utf8(digits).unwrap_or_default().parse::<u64>()
        {
            let now = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
            // saturates at the histogram's end, which no figure comes near
            self.times.borrow_mut().saturating_record(now.saturating_sub(nanos) / 1000);
        }
    }
}

/// Reads what a subscriber gets until the connection ends.
pub(crate) async fn count(mut stream: TcpStream, counters: Rc<Counters>) {
    let mut buffer = Vec::with_capacity(64 << 10);
    let mut last = 0;
    loop {
        buffer.clear();
        match stream.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => counters.see(last, &buffer),
        }
        last = buffer.last().copied().unwrap_or(0);
    }
}

/// Publishes to `subscribers` for this long: at a rate, or (without one) as fast as all of them keep up.
pub(crate) async fn run(
    address: SocketAddr,
    peer: Peer,
    subscribers: usize,
    duration: Duration,
    rate: Option<f64>,
) -> anyhow::Result<Reached> {
    let topic = "fanout";
    let streams = idle_subscribers(address, peer, topic, subscribers).await?;
    let counters = Counters::new(rate.is_some())?;
    let local = LocalSet::new();
    for stream in streams {
        local.spawn_local(count(stream, counters.clone()));
    }
    let publisher = connect(address, peer).await?;
    let (mut answers, mut publisher) = publisher.into_split();
    local.spawn_local(async move {
        let mut buffer = Vec::with_capacity(64 << 10);
        // the publisher's acknowledgements are read and not looked at
        while answers.read_buf(&mut buffer).await.is_ok_and(|count| count > 0) {
            buffer.clear();
        }
    });
    let start = Instant::now();
    let published = local
        .run_until(async {
            let mut published = 0u64;
            while start.elapsed() < duration {
                if let Some(rate) = rate {
                    tokio::time::sleep_until(
                        (start + Duration::from_secs_f64(published as f64 / rate)).into(),
                    )
                    .await;
                } else {
                    let window = WINDOW * subscribers as u64;
                    counters.wait_for((published * subscribers as u64 + 1).saturating_sub(window)).await?;
                }
                publisher.write_all(&peer.publish(topic, counters.start.elapsed().as_nanos())).await?;
                published += 1;
            }
            counters.wait_for(published * subscribers as u64).await?;
            anyhow::Ok(published)
        })
        .await?;
    let seconds = start.elapsed().as_secs_f64();
    Ok(Reached {
        deliveries_per_second: (published * subscribers as u64) as f64 / seconds,
        p99_ms: counters.quantile_ms(0.99),
    })
}
