//! An HTTP/1.1 client that costs as little as possible: request bytes made once, answers only measured.

use std::{
    cell::RefCell,
    io::{Read, Write},
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
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
    pub(crate) p99_ms: f64,
    pub(crate) p50_ms: f64,
}

/// Sends `requests` in turn over `connections`, for `duration`, each request following the answer before; every answer
/// must be a success.
pub(crate) async fn load(
    address: SocketAddr,
    requests: Rc<Vec<Vec<u8>>>,
    connections: usize,
    duration: Duration,
) -> anyhow::Result<Load> {
    let times = Rc::new(RefCell::new(Histogram::<u64>::new(3)?));
    let local = LocalSet::new();
    let start = Instant::now();
    let mut tasks = Vec::new();
    for index in 0..connections {
        let (requests, times) = (requests.clone(), times.clone());
        tasks.push(local.spawn_local(async move {
            let mut connection = Connection::open(address).await?;
            let mut turn = index;
            while start.elapsed() < duration {
                let sent = Instant::now();
                check(&connection.ask(&requests[turn % requests.len()]).await?)?;
                times.borrow_mut().record(u64::try_from(sent.elapsed().as_micros())?)?;
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
    Ok(Load::of(&times.borrow(), start.elapsed()))
}

/// Sends one request again and again at a rate over all connections, whatever the answers do; times count from the
/// moment at which a request was due. A thread for each connection: the runtime's timers are too coarse for this.
pub(crate) fn open_loop(
    address: SocketAddr,
    request: &[u8],
    connections: u32,
    duration: Duration,
    rate: f64,
) -> anyhow::Result<Load> {
    let each = Duration::from_secs_f64(f64::from(connections) / rate);
    let streams =
        (0..connections).map(|_| std::net::TcpStream::connect(address)).collect::<Result<Vec<_>, _>>()?;
    // all threads are there and asleep before the first request is due
    let start = Instant::now() + Duration::from_millis(300);
    let times = std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..connections)
            .zip(streams)
            .map(|(lane, stream)| {
                let first = start + each.mul_f64(f64::from(lane) / f64::from(connections));
                scope.spawn(move || open_lane(stream, request, first, each, duration))
            })
            .collect();
        let mut all = Histogram::<u64>::new(3)?;
        for lane in lanes {
            all.add(lane.join().map_err(|_| anyhow::anyhow!("a lane panicked"))??)?;
        }
        anyhow::Ok(all)
    })?;
    Ok(Load::of(&times, duration))
}

fn open_lane(
    mut stream: std::net::TcpStream,
    request: &[u8],
    first: Instant,
    each: Duration,
    duration: Duration,
) -> anyhow::Result<Histogram<u64>> {
    stream.set_nodelay(true)?;
    let mut times = Histogram::new(3)?;
    let mut buffer = vec![0; 4096];
    let mut due = first;
    while due < first + duration {
        #[expect(clippy::disallowed_methods, reason = "the pace is what is measured at")]
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        stream.write_all(request)?;
        let mut filled = 0;
        loop {
            filled += stream.read(&mut buffer[filled..])?;
            if let Some((status, head, length)) = parse_head(&buffer[..filled])?
                && filled >= head + length
            {
                check(&Answer { status, body: Vec::new() })?;
                break;
            }
        }
        times.record(u64::try_from(due.elapsed().as_micros())?)?;
        due += each;
    }
    Ok(times)
}

fn check(answer: &Answer) -> anyhow::Result<()> {
    if !(200..300).contains(&answer.status) {
        bail!("answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
    }
    Ok(())
}

impl Load {
    fn of(times: &Histogram<u64>, took: Duration) -> Self {
        Self {
            requests_per_second: times.len() as f64 / took.as_secs_f64(),
            p99_ms: times.value_at_quantile(0.99) as f64 / 1000.0,
            p50_ms: times.value_at_quantile(0.50) as f64 / 1000.0,
        }
    }
}
