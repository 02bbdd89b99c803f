//! `floe produce`: records from standard input, a line each.

use std::{
    io::{BufRead, BufReader, Read, Stdin, stdin},
    sync::mpsc::{Receiver, TryRecvError, sync_channel},
    thread,
};

use anyhow::Context;
use clap::{Args, ValueEnum};
use data_encoding::BASE64;
use floe_load::{
    Backoff, RunId,
    http::{CallError, Client, accept, escape},
};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tokio::time::sleep;

use super::{Server, pair};
use crate::output::{Output, tell};

/// Records of one request; fewer when the input pauses.
const MAX_BATCH_RECORDS: usize = 1_000;
/// Bytes of one request, about.
const MAX_BATCH_BYTES: usize = 1 << 20;
/// A line of input.
const MAX_LINE_BYTES: u64 = 16 << 20;
/// Lines read ahead of the server. The reader waits.
const MAX_LINES_AHEAD: usize = 4_096;
/// Attempts to send one request.
const MAX_ATTEMPTS: u32 = 8;

#[derive(Args, Debug)]
pub(crate) struct ProduceArgs {
    /// The topic.
    topic: String,
    /// The key of every record.
    #[arg(short, long)]
    key: Option<String>,
    /// A header of every record; repeatable.
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE", value_parser = pair)]
    headers: Vec<(String, String)>,
    /// The partition of every record.
    #[arg(short, long)]
    partition: Option<u32>,
    /// How a line is read: `%v` the whole line (the default), or `%k`, a separator and `%v`, such as '%k:%v' or '%k\t%v'.
    #[arg(short = 'f', long, value_name = "FORMAT", default_value = "%v", value_parser = LineFormat::parse)]
    format: LineFormat,
    /// `ndjson`: each line is a record {"key", "value", "headers", "partition", "timestamp"} as the HTTP door takes it.
    #[arg(long, value_enum, default_value_t, conflicts_with = "format")]
    input: InputForm,
    /// The promise to wait for: all (on disk), 1 (accepted), 0 (none); the topic's own unless given.
    #[arg(long, value_parser = ["all", "1", "0"])]
    acks: Option<String>,
    /// Print nothing about the records that were written.
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum InputForm {
    #[default]
    Lines,
    Ndjson,
}

/// How a line becomes key and value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum LineFormat {
    Value,
    KeyThenValue(String),
}

impl LineFormat {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.strip_suffix("\\n").unwrap_or(text).replace("%s", "%v").replace("\\t", "\t");
        if text == "%v" {
            return Ok(Self::Value);
        }
        match text.strip_prefix("%k").and_then(|rest| rest.strip_suffix("%v")) {
            Some(separator) if !separator.is_empty() && !separator.contains('%') => {
                Ok(Self::KeyThenValue(separator.to_owned()))
            }
            _ => Err("expected %v, or %k, a separator and %v".to_owned()),
        }
    }
}

/// Requests of one call of `floe produce`.
#[derive(Debug)]
struct Producer {
    args: ProduceArgs,
    client: Client,
    path: String,
    run: RunId,
    requests: u64,
    out: Output,
    written: u64,
}

#[derive(Deserialize)]
struct Answer {
    offsets: Vec<Place>,
}

#[derive(Deserialize)]
struct Place {
    #[serde(default)]
    partition: i64,
    #[serde(default)]
    offset: i64,
    #[serde(default)]
    error: Option<Value>,
}

impl ProduceArgs {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let client = self.server.client()?;
        let acks = self.acks.as_ref().map_or_else(String::new, |acks| format!("?acks={acks}"));
        let path = format!("/topics/{}/records{acks}", escape(&self.topic));
        let mut producer = Producer {
            args: self,
            client,
            path,
            run: RunId::random(),
            requests: 0,
            out: Output::stdout(),
            written: 0,
        };
        // Reading standard input blocks, so it has a thread of its own; the batch is sent whenever it pauses.
        let (lines, input) = sync_channel(MAX_LINES_AHEAD);
        thread::spawn(move || {
            let mut reader = BufReader::new(stdin());
            while let Some(line) = next_line(&mut reader) {
                if lines.send(line).is_err() {
                    break;
                }
            }
        });
        let input = std::sync::Arc::new(std::sync::Mutex::new(input));
        loop {
            let shared = std::sync::Arc::clone(&input);
            let batch = tokio::task::spawn_blocking(move || {
                let input = shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                next_batch(&input)
            });
            let batch = batch.await??;
            if batch.is_empty() {
                break;
            }
            producer.send(&batch).await?;
        }
        producer.out.flush()?;
        if !producer.args.quiet {
            tell(&format!("{} records written to {}", producer.written, producer.args.topic));
        }
        Ok(())
    }
}

type InputLine = Result<Vec<u8>, String>;

fn next_line(reader: &mut BufReader<Stdin>) -> Option<InputLine> {
    let mut line = Vec::new();
    match reader.by_ref().take(MAX_LINE_BYTES + 1).read_until(b'\n', &mut line) {
        Ok(0) => None,
        Ok(_) if line.len() as u64 > MAX_LINE_BYTES => {
            Some(Err(format!("a line has more than {MAX_LINE_BYTES} bytes")))
        }
        Ok(_) => {
            if line.last() == Some(&b'\n') {
                line.pop();
            }
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            Some(Ok(line))
        }
        Err(error) => Some(Err(error.to_string())),
    }
}

/// Waits for a line and takes what else is there; empty at the end of the input.
fn next_batch(input: &Receiver<InputLine>) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut batch = Vec::new();
    let mut bytes = 0;
    let Ok(first) = input.recv() else { return Ok(batch) };
    let mut next = Ok(first);
    while let Ok(line) = next {
        let line = line.map_err(anyhow::Error::msg).context("cannot read standard input")?;
        bytes += line.len();
        batch.push(line);
        next = match batch.len() < MAX_BATCH_RECORDS && bytes < MAX_BATCH_BYTES {
            true => input.try_recv(),
            false => Err(TryRecvError::Empty),
        };
    }
    Ok(batch)
}

impl Producer {
    async fn send(&mut self, lines: &[Vec<u8>]) -> anyhow::Result<()> {
        let mut body = Vec::new();
        let mut count = 0;
        for line in lines.iter().filter(|line| !line.is_empty()) {
            body.extend_from_slice(&self.record(line)?);
            body.push(b'\n');
            count += 1;
        }
        if count == 0 {
            return Ok(());
        }
        let key = self.run.record(0, self.requests).to_string();
        self.requests += 1;
        let answer: Answer = serde_json::from_slice(&self.deliver(&body, &key).await?)
            .context("the answer of the server is not what was expected")?;
        for place in answer.offsets {
            if let Some(error) = place.error {
                let detail = error["detail"]
                    .as_str()
                    .or_else(|| error.as_str())
                    .map_or_else(|| error.to_string(), str::to_owned);
                anyhow::bail!("a record was refused: {detail}");
            }
            self.written += 1;
            if !self.args.quiet {
                self.out.line(&format!("partition {} offset {}", place.partition, place.offset))?;
            }
        }
        Ok(self.out.flush()?)
    }

    /// Sends a request until it is answered; the same key each time, so that it is stored once.
    async fn deliver(&mut self, body: &[u8], key: &str) -> anyhow::Result<bytes::Bytes> {
        let headers = [("Content-Type", "application/x-ndjson"), ("Idempotency-Key", key)];
        let mut backoff = Backoff::default();
        let mut attempt = 1;
        loop {
            let answer = self.client.send("POST", &self.path, &headers, body).await;
            let error = match answer.map_err(CallError::from).and_then(accept) {
                Ok(response) => return Ok(response.body),
                Err(error) => error,
            };
            let passing = error.status().is_none_or(|status| status >= 500 || status == 429);
            // A server that was never there is not waited for.
            let absent =
                matches!(&error, CallError::Http(error) if error.nothing_was_sent()) && self.written == 0;
            if !passing || absent || attempt == MAX_ATTEMPTS {
                return Err(error.into());
            }
            attempt += 1;
            sleep(backoff.next_pause()).await;
        }
    }

    /// One record as a line of the request.
    fn record(&self, line: &[u8]) -> anyhow::Result<Vec<u8>> {
        if self.args.input == InputForm::Ndjson {
            return Ok(line.to_vec());
        }
        let (key, value) = match &self.args.format {
            LineFormat::Value => (None, line),
            LineFormat::KeyThenValue(separator) => {
                let at = line.windows(separator.len()).position(|window| window == separator.as_bytes());
                let at = at.with_context(|| {
                    format!("a line has no '{}' between key and value", separator.escape_debug())
                })?;
                (Some(&line[..at]), &line[at + separator.len()..])
            }
        };
        let mut record = json!({});
        let key = key.or(self.args.key.as_ref().map(String::as_bytes));
        if let Some(key) = key {
            record["key"] = text_or_bytes(key);
        }
        if let Some(partition) = self.args.partition {
            record["partition"] = partition.into();
        }
        for (name, value) in &self.args.headers {
            let values = &mut record["headers"][name];
            match values.as_array_mut() {
                Some(values) => values.push(value.as_str().into()),
                None => *values = json!([value]),
            }
        }
        let mut json = record.to_string().into_bytes();
        json.pop();
        if json.len() > 1 {
            json.push(b',');
        }
        json.extend_from_slice(b"\"value\":");
        json.extend_from_slice(&value_json(value));
        json.push(b'}');
        Ok(json)
    }
}

fn text_or_bytes(bytes: &[u8]) -> Value {
    std::str::from_utf8(bytes).map_or_else(|_| json!({ "$base64": BASE64.encode(bytes) }), Value::from)
}

/// A value that is JSON goes as it is; anything else as its bytes, so that it is stored without quotation marks. The
/// word `null` would be a tombstone.
fn value_json(value: &[u8]) -> Vec<u8> {
    let is_json = serde_json::from_slice::<&RawValue>(value).is_ok();
    if is_json && value.trim_ascii() == value && value != b"null" {
        return value.to_vec();
    }
    json!({ "$base64": BASE64.encode(value) }).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: ProduceArgs,
    }

    fn record(flags: &[&str], line: &[u8]) -> anyhow::Result<String> {
        let args = Line::try_parse_from([&["produce", "t"], flags].concat()).unwrap().args;
        let client = args.server.client().unwrap();
        let producer = Producer {
            args,
            client,
            path: String::new(),
            run: RunId::random(),
            requests: 0,
            out: Output::stdout(),
            written: 0,
        };
        producer.record(line).map(|line| String::from_utf8(line).unwrap())
    }

    #[test]
    fn lines_keep_their_bytes() {
        assert_eq!(record(&[], b"{\"a\": 1e400}").unwrap(), r#"{"value":{"a": 1e400}}"#);
        assert_eq!(record(&[], b"hello").unwrap(), r#"{"value":{"$base64":"aGVsbG8="}}"#);
        assert_eq!(record(&[], b"null").unwrap(), r#"{"value":{"$base64":"bnVsbA=="}}"#);
        assert_eq!(record(&[], b" 1").unwrap(), r#"{"value":{"$base64":"IDE="}}"#);
        assert_eq!(record(&[], b"\xff").unwrap(), r#"{"value":{"$base64":"/w=="}}"#);
    }

    #[test]
    fn keys_and_headers_come_from_flags_or_the_line() {
        assert_eq!(
            record(&["-k", "K", "-H", "a=b", "-H", "a=c", "-p", "3"], b"1").unwrap(),
            r#"{"headers":{"a":["b","c"]},"key":"K","partition":3,"value":1}"#
        );
        assert_eq!(
            record(&["-f", "%k\\t%v\\n", "-k", "K"], b"k1\t1\t2").unwrap(),
            r#"{"key":"k1","value":{"$base64":"MQky"}}"#
        );
        assert!(record(&["-f", "%k:%v"], b"no separator").is_err());
        assert_eq!(record(&["--input", "ndjson"], b"{\"value\":1}").unwrap(), "{\"value\":1}");
    }

    #[test]
    fn formats_that_say_nothing_are_refused() {
        for bad in ["", "%k", "%k%v", "%v%k", "%k %T %v"] {
            assert!(LineFormat::parse(bad).is_err(), "{bad}");
        }
    }
}
