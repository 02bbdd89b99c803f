//! One connection to a language model of tests.

use std::{future::pending, io::Result, sync::Arc};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    time::sleep,
};

use super::{
    behaviour::{Behaviour, Part, Script},
    request::AskedRequest,
};

/// What all connections share.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) script: Mutex<Script>,
    pub(super) requests: Mutex<Vec<AskedRequest>>,
    pub(super) counts: watch::Sender<Counts>,
}

/// What tests wait for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) open: usize,
    pub(super) seen: usize,
    pub(super) requests: usize,
}

/// Counts a connection as open for as long as it lives.
struct Open(Arc<State>);

impl Open {
    fn count(state: Arc<State>) -> Self {
        state.counts.send_modify(|counts| {
            counts.open += 1;
            counts.seen += 1;
        });
        Self(state)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.counts.send_modify(|counts| counts.open -= 1);
    }
}

/// Whether the connection is of use for another request.
enum Then {
    Next,
    Close,
}

/// Answers one request after the other, until the client goes away (even in the middle of an answer).
pub(super) async fn serve(socket: TcpStream, state: Arc<State>) {
    let open = Open::count(Arc::clone(&state));
    // What is sent late because of this is only sent late.
    let _ = socket.set_nodelay(true);
    let (reading, mut to) = socket.into_split();
    let mut from = BufReader::new(reading);
    while let Ok(Some(request)) = AskedRequest::read(&mut from).await {
        let part = state.script.lock().take();
        state.requests.lock().push(request.clone());
        state.counts.send_modify(|counts| counts.requests += 1);
        let answered = tokio::select! {
            answered = answer(&mut to, &request, part) => answered,
            () = gone(&mut from) => break,
        };
        if !matches!(answered, Ok(Then::Next)) {
            break;
        }
    }
    // Only what is closed is no longer counted.
    drop((from, to));
    drop(open);
}

/// Ends when the client has gone away.
async fn gone(from: &mut BufReader<OwnedReadHalf>) {
    match from.fill_buf().await {
        Ok([]) | Err(_) => {}
        // The client is early with its next request.
        Ok(_) => pending().await,
    }
}

async fn answer(to: &mut OwnedWriteHalf, request: &AskedRequest, part: Part) -> Result<Then> {
    let text = part.text.clone().unwrap_or_else(|| request.last_message());
    let complaint = |message: &str| json!({ "error": { "message": format!("{message} (authorization: {})", request.authorization()) } });
    match &part.behaviour {
        Behaviour::NeverAnswers => pending().await,
        Behaviour::Fails { status, retry_after } => {
            let retry_after =
                retry_after.as_ref().map_or_else(String::new, |after| format!("retry-after: {after}\r\n"));
            send_json(to, *status, &retry_after, &complaint("failed as told")).await
        }
        Behaviour::SendsPage => {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 14\r\n\r\n";
            to.write_all(format!("{head}<h1>Hello</h1>").as_bytes()).await?;
            Ok(Then::Next)
        }
        Behaviour::AnswersWhole => {
            sleep(part.before_first).await;
            let message = json!({ "role": "assistant", "content": text });
            let body = json!({ "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }] });
            send_json(to, 200, "", &body).await
        }
        Behaviour::Streams => {
            send_words(to, &text, usize::MAX, &part).await?;
            send_event(to, &chunk(&json!({}), Some("stop"))).await?;
            send_event(to, "[DONE]").await?;
            end(to).await
        }
        Behaviour::Stalls { after_words } => {
            send_words(to, &text, *after_words, &part).await?;
            pending().await
        }
        Behaviour::CutsOff { after_words } => {
            send_words(to, &text, *after_words, &part).await?;
            Ok(Then::Close)
        }
        Behaviour::EndsEarly { after_words } => {
            send_words(to, &text, *after_words, &part).await?;
            end(to).await
        }
        Behaviour::FailsInStream { after_words, message } => {
            send_words(to, &text, *after_words, &part).await?;
            send_event(to, &complaint(message).to_string()).await?;
            end(to).await
        }
        Behaviour::TalksGarbage { after_words } => {
            send_words(to, &text, *after_words, &part).await?;
            send_event(to, "{\"choices\":[{\"delta\":{\"cont").await?;
            end(to).await
        }
    }
}

async fn send_json(to: &mut OwnedWriteHalf, status: u16, headers: &str, body: &Value) -> Result<Then> {
    let body = body.to_string();
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} \r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{headers}"
    );
    to.write_all(format!("{head}\r\n{body}").as_bytes()).await?;
    Ok(Then::Next)
}

/// The head of a stream, and the first words of a text.
async fn send_words(to: &mut OwnedWriteHalf, text: &str, words: usize, part: &Part) -> Result<()> {
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    to.write_all(head).await?;
    send_event(to, &chunk(&json!({ "role": "assistant", "content": "" }), None)).await?;
    let mut pause = part.before_first;
    for word in text.split_inclusive(' ').take(words) {
        sleep(pause).await;
        pause = part.before_others;
        send_event(to, &chunk(&json!({ "content": word }), None)).await?;
    }
    Ok(())
}

fn chunk(delta: &Value, finish: Option<&str>) -> String {
    json!({
        "object": "chat.completion.chunk",
        "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }],
    })
    .to_string()
}

/// One event, in a piece of its own.
async fn send_event(to: &mut OwnedWriteHalf, data: &str) -> Result<()> {
    let event = format!("data: {data}\n\n");
    to.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await
}

/// The end of a stream, in good order.
async fn end(to: &mut OwnedWriteHalf) -> Result<Then> {
    to.write_all(b"0\r\n\r\n").await?;
    Ok(Then::Next)
}
