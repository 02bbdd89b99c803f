//! A server in a box that speaks as much of the protocols as the generator uses, and that can be told to misbehave.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use floe_load::http::Target;
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::sleep,
};
use tokio_tungstenite::tungstenite::Message;

const PARTITIONS: u64 = 2;

/// What the server does to the n-th record (from 0) it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Stores and hangs up without an answer.
    HangUpAfterStoring(u64),
    /// Hangs up without storing.
    HangUpBeforeStoring(u64),
    /// Acknowledges and stores nothing.
    Lose(u64),
    /// Stores it twice.
    Repeat(u64),
    /// Stores it before the one that came before it.
    Swap(u64),
    /// Stores other bytes.
    Flip(u64),
    /// Says no and stores all the same.
    RefuseAndStore(u64),
    /// Says that it can't now, and stores nothing.
    Overloaded(u64),
    /// Takes this long to answer.
    Stall(u64, Duration),
}

#[derive(Clone, Debug)]
struct Stored {
    key: Value,
    value: String,
    headers: String,
}

#[derive(Debug, Default)]
struct State {
    faults: Vec<Fault>,
    seen: u64,
    partitions: HashMap<u64, Vec<Stored>>,
    answered: HashMap<String, String>,
}

/// A running fake; ends with the test.
#[derive(Clone, Debug)]
pub(crate) struct Fake {
    pub(crate) target: Target,
    state: Arc<Mutex<State>>,
}

/// What is to be done about a request.
enum Answer {
    Say(u16, String, bool),
    HangUp,
    Later(Duration, Box<Answer>),
}

impl Fake {
    pub(crate) async fn start(faults: &[Fault]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let state = Arc::new(Mutex::new(State { faults: faults.to_vec(), ..State::default() }));
        let fake = Self { target, state };
        let server = fake.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                tokio::spawn(server.clone().connection(stream));
            }
        });
        fake
    }

    pub(crate) fn stored(&self) -> usize {
        self.state.lock().unwrap().partitions.values().map(Vec::len).sum()
    }

    async fn connection(self, mut stream: TcpStream) {
        let mut first = [0; 7];
        if stream.peek(&mut first).await.unwrap_or(0) == 7 && &first == b"GET /ws" {
            return self.socket(stream).await;
        }
        let mut buffer = Vec::new();
        while let Some((request, body)) = read_request(&mut stream, &mut buffer).await {
            let mut answer = self.answer(&request, &body);
            if let Answer::Later(pause, then) = answer {
                sleep(pause).await;
                answer = *then;
            }
            let Answer::Say(status, body, replayed) = answer else { return };
            let replayed = if replayed { "Idempotency-Replayed: true\r\n" } else { "" };
            let head = format!("HTTP/1.1 {status} X\r\n{replayed}Content-Length: {}\r\n\r\n", body.len());
            if stream.write_all(format!("{head}{body}").as_bytes()).await.is_err() {
                return;
            }
        }
    }

    fn answer(&self, request: &Request, body: &str) -> Answer {
        let ok = |body: String| Answer::Say(200, body, false);
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", path) if path.ends_with("/records") => ok(self.read(&request.query)),
            ("GET", _) => ok(self.describe()),
            ("POST", "/topics") => Answer::Say(201, "{}".to_owned(), false),
            ("POST", _) => self.write(request, body),
            _ => Answer::Say(405, "{}".to_owned(), false),
        }
    }

    fn describe(&self) -> String {
        let state = self.state.lock().unwrap();
        let end = |partition: &u64| state.partitions.get(partition).map_or(0, Vec::len);
        let all: Vec<_> =
            (0..PARTITIONS).map(|p| json!({"partition": p, "start": 0, "end": end(&p)})).collect();
        json!({ "partitions": all }).to_string()
    }

    fn read(&self, query: &HashMap<String, String>) -> String {
        let number = |name: &str| query[name].parse::<u64>().unwrap();
        let (partition, offset) = (number("partition"), number("offset"));
        let state = self.state.lock().unwrap();
        let records = state.partitions.get(&partition).map(Vec::as_slice).unwrap_or_default();
        let lines = records.iter().zip(0..).skip(offset as usize).take(100).map(|(record, offset)| {
            let Stored { key, value, headers } = record;
            format!("{{\"partition\":{partition},\"offset\":{offset},\"timestamp\":\"t\",\"key\":{key},\"value\":{value},\"headers\":{headers}}}\n")
        });
        lines.collect()
    }

    fn write(&self, request: &Request, body: &str) -> Answer {
        let mut state = self.state.lock().unwrap();
        if let Some(answer) = request.idempotency_key.as_ref().and_then(|key| state.answered.get(key)) {
            return Answer::Say(201, answer.clone(), true);
        }
        let event = request.path == "/register_event";
        let records: Vec<_> = body.lines().map(|line| record_of(line, event)).collect();
        let text = json!({"offsets": vec![json!({"partition": 0}); records.len()]}).to_string();
        let fault = records.into_iter().filter_map(|record| state.take(record)).last();
        let nothing_done = matches!(fault, Some(Fault::HangUpBeforeStoring(_) | Fault::Overloaded(_)));
        if let (Some(key), false) = (&request.idempotency_key, nothing_done) {
            state.answered.insert(key.clone(), text.clone());
        }
        match fault {
            Some(Fault::HangUpAfterStoring(_) | Fault::HangUpBeforeStoring(_)) => Answer::HangUp,
            Some(Fault::RefuseAndStore(_)) => {
                Answer::Say(507, r#"{"code":"STORAGE_FULL"}"#.to_owned(), false)
            }
            Some(Fault::Overloaded(_)) => Answer::Say(503, r#"{"code":"OVERLOADED"}"#.to_owned(), false),
            Some(Fault::Stall(_, pause)) => Answer::Later(pause, Box::new(Answer::Say(201, text, false))),
            _ => Answer::Say(201, text, false),
        }
    }

    async fn socket(self, stream: TcpStream) {
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        while let Some(Ok(frame)) = socket.next().await {
            let Message::Text(text) = frame else { continue };
            let frame: Frame<'_> = serde_json::from_str(&text).unwrap();
            let record = Stored {
                key: frame.key.unwrap_or(Value::Null),
                value: frame.message.payload.get().to_owned(),
                headers: frame.headers.map_or_else(|| "{}".to_owned(), |headers| headers.get().to_owned()),
            };
            let fault = self.state.lock().unwrap().take(record);
            let id = frame.request_id;
            let answer = match fault {
                Some(Fault::HangUpAfterStoring(_) | Fault::HangUpBeforeStoring(_)) => return,
                Some(Fault::Overloaded(_)) => {
                    json!({"type": "error", "request_id": id, "error": {"code": "RATE_LIMITED", "message": ""}})
                }
                _ => json!({"type": "ack", "request_id": id, "topic": "t", "status": "ok"}),
            };
            if socket.send(Message::text(answer.to_string())).await.is_err() {
                return;
            }
        }
    }
}

impl State {
    /// Stores a record, or does with it what was planned for it; then the fault is returned.
    fn take(&mut self, record: Stored) -> Option<Fault> {
        let at = self.seen;
        self.seen += 1;
        let fault = self.faults.iter().copied().find(|fault| fault.at() == at);
        let key = record.key.to_string();
        let partition = key.bytes().map(u64::from).sum::<u64>() % PARTITIONS;
        let records = self.partitions.entry(partition).or_default();
        match fault {
            Some(Fault::Lose(_) | Fault::HangUpBeforeStoring(_) | Fault::Overloaded(_)) => {}
            Some(Fault::Repeat(_)) => records.extend([record.clone(), record]),
            Some(Fault::Swap(_)) => records.insert(records.len().saturating_sub(1), record),
            Some(Fault::Flip(_)) => records.push(Stored { value: "{\"not\":\"that\"}".to_owned(), ..record }),
            _ => records.push(record),
        }
        fault
    }
}

impl Fault {
    fn at(self) -> u64 {
        match self {
            Self::HangUpAfterStoring(n)
            | Self::HangUpBeforeStoring(n)
            | Self::Lose(n)
            | Self::Repeat(n)
            | Self::Swap(n)
            | Self::Flip(n)
            | Self::RefuseAndStore(n)
            | Self::Overloaded(n)
            | Self::Stall(n, _) => n,
        }
    }
}

#[derive(Deserialize)]
struct Frame<'a> {
    request_id: &'a str,
    #[serde(borrow)]
    message: Published<'a>,
    key: Option<Value>,
    #[serde(borrow)]
    headers: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Published<'a> {
    #[serde(borrow)]
    payload: &'a RawValue,
}

#[derive(Deserialize)]
struct Line<'a> {
    key: Option<Value>,
    #[serde(borrow)]
    value: &'a RawValue,
    #[serde(borrow)]
    headers: Option<&'a RawValue>,
}

fn record_of(line: &str, event: bool) -> Stored {
    if event {
        let fields: Value = serde_json::from_str(line).unwrap();
        return Stored { key: fields["key"].clone(), value: line.to_owned(), headers: "{}".to_owned() };
    }
    let line: Line<'_> = serde_json::from_str(line).unwrap();
    Stored {
        key: line.key.unwrap_or(Value::Null),
        value: line.value.get().to_owned(),
        headers: line.headers.map_or_else(|| "{}".to_owned(), |headers| headers.get().to_owned()),
    }
}

#[derive(Debug)]
struct Request {
    method: String,
    path: String,
    query: HashMap<String, String>,
    idempotency_key: Option<String>,
}

/// The next request and its body; none when the client hung up.
async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<(Request, String)> {
    let head_end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(buffer.drain(..head_end).collect()).unwrap();
    let mut lines = head.lines();
    let mut words = lines.next().unwrap().split(' ');
    let (method, target) = (words.next().unwrap().to_owned(), words.next().unwrap());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query = query.split('&').filter_map(|pair| pair.split_once('='));
    let header = |name: &str| {
        let found = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_owned())
    };
    let length: usize = header("content-length").map_or(0, |length| length.parse().unwrap());
    while buffer.len() < length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    let body = String::from_utf8(buffer.drain(..length).collect()).unwrap();
    let request = Request {
        method,
        path: path.to_owned(),
        query: query.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        idempotency_key: header("idempotency-key"),
    };
    Some((request, body))
}
