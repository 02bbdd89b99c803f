//! One WebSocket of a run: publishes as records are due, with a window of them waiting for their acknowledgement.

use std::{collections::VecDeque, sync::Arc};

use anyhow::{Context, bail};
use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use serde::Deserialize;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, Message},
};

use crate::{
    LoadOptions, Payloads,
    backoff::Backoff,
    encode::Encoder,
    feed::{Puller, Work},
    http::Target,
    ledger::{Fate, Ledger},
    limits::CONNECT_TIMEOUT,
    record_id::RunId,
    tally::{Outcome, Tally},
};

/// A client's socket to a server's `/ws`.
pub type Socket = WebSocketStream<TcpStream>;

/// A WebSocket with all that it needs.
#[derive(Debug)]
pub(crate) struct WsWorker {
    options: Arc<LoadOptions>,
    payloads: Arc<Payloads>,
    puller: Puller,
    window: usize,
    publisher: Publisher,
    backoff: Backoff,
}

/// The side that needs no socket: frames, and the publishes that wait.
#[derive(Debug)]
struct Publisher {
    tally: Arc<Tally>,
    encoder: Encoder,
    ledger: Option<Ledger>,
    next_counter: u64,
    /// In the order of sending; a publish that was answered before earlier ones leaves a hole.
    waiting: VecDeque<Option<Waiting>>,
    /// The counter of the first of them.
    first_waiting: u64,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    intended: Instant,
    sent: Instant,
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(default)]
    request_id: Option<&'a str>,
    #[serde(default)]
    error: Option<FrameError>,
}

#[derive(Deserialize)]
struct FrameError {
    code: String,
}

/// Opens a WebSocket to `path` (`/ws`) of a server.
pub async fn open_socket(target: &Target, path: &str) -> anyhow::Result<Socket> {
    let connecting = async {
        let stream = TcpStream::connect((target.host(), target.port())).await?;
        stream.set_nodelay(true)?;
        let url = format!("ws://{}{}", target.authority(), target.path(path));
        let (socket, _) = client_async(url, stream).await?;
        anyhow::Ok(socket)
    };
    timeout(CONNECT_TIMEOUT, connecting)
        .await
        .unwrap_or_else(|_| bail!("no answer within {CONNECT_TIMEOUT:?}"))
        .with_context(|| format!("cannot open a WebSocket to {target}"))
}

impl WsWorker {
    pub(crate) fn new(
        options: &Arc<LoadOptions>,
        payloads: &Arc<Payloads>,
        puller: Puller,
        tally: &Arc<Tally>,
        run: RunId,
        (connection, window): (u16, usize),
    ) -> Self {
        let tracked = options.verify != crate::Verify::Skip;
        let publisher = Publisher {
            tally: Arc::clone(tally),
            encoder: Encoder::new(options, run, connection),
            ledger: tracked.then(|| Ledger::new(connection)),
            next_counter: 0,
            waiting: VecDeque::with_capacity(window),
            first_waiting: 0,
        };
        let (options, payloads) = (Arc::clone(options), Arc::clone(payloads));
        Self { options, payloads, puller, window, publisher, backoff: Backoff::default() }
    }

    /// Publishes until the feed ends and everything is answered; returns what it knows of each record, when asked for.
    pub(crate) async fn run(mut self) -> Option<Ledger> {
        // A record is taken from the feed only when there is a socket for it, except while none can be opened:
        // then what is due fails, as it does for a client that has nowhere to send it.
        loop {
            match open_socket(&self.options.target, "/ws").await {
                Ok(socket) => {
                    self.backoff.reset();
                    let kind = match self.publish_over(socket).await {
                        Ok(()) => return self.publisher.ledger,
                        Err(kind) => kind,
                    };
                    self.publisher.give_up(kind);
                }
                Err(_) => {
                    let Some(work) = self.puller.next().await else { return self.publisher.ledger };
                    self.publisher.fail_unsent(&work, &self.payloads);
                }
            }
            sleep(self.backoff.next_pause()).await;
        }
    }

    /// Ends with `Ok` when the feed has ended and everything is answered, else with what broke.
    async fn publish_over(&mut self, socket: Socket) -> Result<(), &'static str> {
        let (mut sink, mut frames) = socket.split();
        let mut fed = true;
        loop {
            let room = fed && self.publisher.waiting.len() < self.window;
            if !fed && self.publisher.waiting.is_empty() {
                let _ = sink.close().await;
                return Ok(());
            }
            let deadline = self.publisher.oldest().map(|sent| sent + self.options.timeout);
            tokio::select! {
                biased;
                frame = frames.next() => self.publisher.take_frame(frame)?,
                work = self.puller.next(), if room => match work {
                    Some(work) => self.send_what_is_due(work, &mut sink).await?,
                    None => fed = false,
                },
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    return Err("no answer in time");
                }
            }
            self.publisher.take_ready(&mut frames)?;
        }
    }

    /// Publishes one record and all others that are due now and fit the window, in as few writes as possible.
    async fn send_what_is_due(
        &mut self,
        first: Work,
        sink: &mut SplitSink<Socket, Message>,
    ) -> Result<(), &'static str> {
        let mut next = Some(first);
        while let Some(work) = next {
            let frame = self.publisher.open(&work, &self.payloads);
            sink.feed(Message::text(frame)).await.map_err(|_| BROKE)?;
            next = match self.publisher.waiting.len() < self.window {
                true => self.puller.try_next(),
                false => None,
            };
        }
        sink.flush().await.map_err(|_| BROKE)
    }
}

const BROKE: &str = "connection broke";

impl Publisher {
    /// Notes a record that goes out and returns its frame.
    fn open(&mut self, work: &Work, payloads: &Payloads) -> String {
        // A WebSocket's batch is 1: one record a frame.
        let payload = payloads.get(work.indices.first().copied().unwrap_or_default());
        let counter = self.next_counter;
        self.next_counter += 1;
        self.tally.sending(1, payload.value.len() as u64);
        if let Some(ledger) = &mut self.ledger {
            ledger.open(1);
        }
        if self.waiting.is_empty() {
            self.first_waiting = counter;
        }
        self.waiting.push_back(Some(Waiting { intended: work.intended, sent: Instant::now() }));
        self.encoder.publish(payload, counter)
    }

    /// Counts a record as failed for which there was no socket.
    fn fail_unsent(&mut self, work: &Work, payloads: &Payloads) {
        self.open(work, payloads);
        self.settle(self.next_counter - 1, &Outcome::Failed("cannot connect".to_owned()));
    }

    fn oldest(&self) -> Option<Instant> {
        self.waiting.front().copied().flatten().map(|waiting| waiting.sent)
    }

    /// Takes what has arrived without waiting for more.
    fn take_ready(&mut self, frames: &mut SplitStream<Socket>) -> Result<(), &'static str> {
        use futures_util::FutureExt;
        while let Some(frame) = frames.next().now_or_never() {
            self.take_frame(frame)?;
        }
        Ok(())
    }

    fn take_frame(&mut self, frame: Option<Result<Message, tungstenite::Error>>) -> Result<(), &'static str> {
        let text = match frame {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(BROKE),
            Some(Ok(_)) => return Ok(()),
        };
        let Ok(frame) = serde_json::from_str::<Frame<'_>>(&text) else { return Ok(()) };
        let Some(counter) = frame.request_id.and_then(|id| id.parse().ok()) else { return Ok(()) };
        match (frame.kind, frame.error) {
            ("ack", _) => self.settle(counter, &Outcome::Acknowledged),
            // These codes leave open whether the write happened: see their meanings in the HTTP contract.
            ("error", Some(error))
                if matches!(error.code.as_str(), "INTERNAL" | "STORAGE_FAILED" | "OUTCOME_UNKNOWN") =>
            {
                self.settle(counter, &Outcome::Unknown(error.code));
            }
            ("error", error) => {
                let code =
                    error.map_or_else(|| "error".to_owned(), |error| error.code.escape_debug().to_string());
                self.settle(counter, &Outcome::Failed(code));
            }
            _ => {}
        }
        Ok(())
    }

    /// Settles one publish; answers that nobody waits for are passed over.
    fn settle(&mut self, counter: u64, outcome: &Outcome) {
        let Some(at) = counter.checked_sub(self.first_waiting) else { return };
        let Some(waiting) = self.waiting.get_mut(at as usize).and_then(Option::take) else { return };
        self.tally.settle(outcome, 1);
        if *outcome == Outcome::Acknowledged {
            self.tally.acknowledged_after(waiting.intended.elapsed());
        }
        if let Some(ledger) = &mut self.ledger {
            ledger.settle(counter, Fate::of(outcome));
        }
        while self.waiting.front().is_some_and(Option::is_none) {
            self.waiting.pop_front();
            self.first_waiting += 1;
        }
    }

    /// The socket is gone: whatever waits may have been stored.
    fn give_up(&mut self, kind: &str) {
        let outcome = Outcome::Unknown(kind.to_owned());
        for counter in self.first_waiting..self.next_counter {
            self.settle(counter, &outcome);
        }
    }
}
