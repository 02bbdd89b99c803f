//! One socket's life after the handshake: a single task that reads, answers, delivers and closes.

use std::{
    borrow::Cow,
    io,
    pin::{Pin, pin},
    sync::Arc,
};

use tokio::{
    io::{Interest, Ready},
    net::TcpStream,
};

use super::{
    change::{Change, Changed},
    closing::{Leaving, leave},
    frame::{self, CloseCode, Decoder, Incoming},
    limits::{READ_BYTES, READS_PER_TURN, ROUNDS_PER_TURN, UNSENT_REPLY_BYTES_MAX},
    message::Message,
    outbox::Outbox,
    pulse::{Beat, Pulse},
    replies::Replies,
    watches::{Filled, Watches},
};
use crate::gateway::Gateway;

/// One socket.
///
/// While nothing happens it holds no buffer: bytes are read into the stack of the call that handles them, and what is
/// kept (part of a message, unsent frames) is kept only as long as it is needed. Everything it keeps is bounded in
/// `limits.rs`; what bounds a client that asks for more than it takes is that its requests are not read any more.
#[derive(Debug)]
pub(crate) struct Session {
    pub(super) gateway: Arc<Gateway>,
    pub(super) socket: TcpStream,
    decoder: Decoder,
    /// Read, and not yet decoded because too many requests wait.
    input: Vec<u8>,
    /// A request that has to wait for the replies before it.
    pub(super) held: Option<Message>,
    pub(super) change: Change,
    pub(super) outbox: Outbox,
    pub(super) replies: Replies,
    pub(super) watches: Watches,
    pub(super) pulse: Pulse,
    /// Messages in a row that could not be understood.
    pub(super) strikes: u32,
}

/// What woke the session.
enum Woken {
    Stopping,
    Socket(io::Result<Ready>),
    Replies,
    Changed(Box<Changed>),
    Watches,
    Beat(Beat),
    Turn,
}

impl Session {
    /// A session on a socket; `early` are bytes that came right behind the handshake.
    pub(crate) fn new(gateway: Arc<Gateway>, socket: TcpStream, early: &[u8], phase: f32) -> Self {
        Self {
            gateway,
            socket,
            decoder: Decoder::default(),
            input: early.to_vec(),
            held: None,
            change: Change::default(),
            outbox: Outbox::default(),
            replies: Replies::default(),
            watches: Watches::new(),
            pulse: Pulse::new(phase),
            strikes: 0,
        }
    }

    /// Lives until the client or the server closes.
    pub(crate) async fn run(mut self) {
        let mut stopping = self.gateway.stopping();
        let leaving = {
            // One wait for the whole life: a new one at each turn would take the lock that all sockets share.
            let mut stopped = pin!(async move { stopping.wait_for(|stopping| *stopping).await.map(drop) });
            self.live(stopped.as_mut()).await
        };
        // Boxed: a socket's task has the size of its largest state, and most of its life it is not closing.
        Box::pin(leave(self, leaving)).await;
    }

    async fn live<S: Future>(&mut self, mut stopped: Pin<&mut S>) -> Leaving {
        // What came with the handshake, and what came while it was answered.
        let mut readable = true;
        loop {
            let received = self.receive(readable);
            self.replies.start().await;
            let delivered = self.deliver();
            let filled = match (received, delivered) {
                (Err(leaving), _) | (Ok(()), Err(leaving)) => return leaving,
                (Ok(()), Ok(filled)) => filled,
            };
            if self.is_behind() {
                self.pulse.excuse();
            }
            let woken = self.wake(stopped.as_mut(), filled).await;
            readable =
                matches!(&woken, Woken::Socket(Ok(ready)) if ready.is_readable() || ready.is_read_closed());
            match woken {
                Woken::Stopping => {
                    return Leaving::Close(CloseCode::GOING_AWAY, Cow::Borrowed("the server is stopping"));
                }
                Woken::Socket(Err(_)) => return Leaving::Lost,
                Woken::Beat(Beat::Ping) => {
                    self.shrink();
                    self.outbox.push(frame::ping());
                }
                Woken::Beat(Beat::Close(violation)) => return violation.into(),
                Woken::Changed(changed) => self.changed(*changed),
                Woken::Socket(Ok(_))
                | Woken::Replies
                | Woken::Watches
                | Woken::Beat(Beat::Rest)
                | Woken::Turn => {}
            }
        }
    }

    /// Waits for what comes next.
    async fn wake<S: Future>(&mut self, stopped: Pin<&mut S>, filled: Filled) -> Woken {
        let interest = self.interest();
        let (socket, outbox) = (&self.socket, &mut self.outbox);
        let (all_sent, more) = (outbox.is_empty(), filled == Filled::More);
        let mut done = Vec::new();
        let woken = tokio::select! {
            biased;
            _ = stopped => Woken::Stopping,
            ready = ready(socket, interest) => Woken::Socket(ready),
            () = self.replies.next(|reply| done.push(reply)) => Woken::Replies,
            changed = self.change.done() => Woken::Changed(changed),
            () = self.watches.changed(outbox), if all_sent => Woken::Watches,
            beat = self.pulse.beat() => Woken::Beat(beat),
            () = tokio::task::yield_now(), if all_sent && more => Woken::Turn,
        };
        done.into_iter().for_each(|reply| self.outbox.push(reply));
        woken
    }

    /// What the socket is waited for. Not to be readable while nothing would be read.
    fn interest(&self) -> Option<Interest> {
        match (self.is_listening(), !self.outbox.is_empty()) {
            (true, true) => Some(Interest::READABLE | Interest::WRITABLE),
            (true, false) => Some(Interest::READABLE),
            (false, true) => Some(Interest::WRITABLE),
            (false, false) => None,
        }
    }

    /// Whether another request may be taken.
    fn is_listening(&self) -> bool {
        !self.is_behind() && self.outbox.unsent_bytes() < UNSENT_REPLY_BYTES_MAX
    }

    /// Whether it is the server that keeps the client waiting: its silence then says nothing about it.
    fn is_behind(&self) -> bool {
        self.held.is_some() || self.change.is_under_way() || self.replies.is_full()
    }

    /// Acts on what had to wait, and on what there is to read.
    fn receive(&mut self, readable: bool) -> Result<(), Leaving> {
        if let Some(message) = self.held.take() {
            self.act(message)?;
        }
        if self.is_listening() && !self.input.is_empty() {
            let input = std::mem::take(&mut self.input);
            self.digest(&input)?;
        }
        if readable { self.read() } else { Ok(()) }
    }

    /// Reads what is there and acts on it. The buffer is on the stack of this call alone, which no waiting crosses.
    #[inline(never)]
    fn read(&mut self) -> Result<(), Leaving> {
        let mut buffer = [0; READ_BYTES];
        for _ in 0..READS_PER_TURN {
            if !self.is_listening() {
                break;
            }
            match self.socket.try_read(&mut buffer) {
                Ok(0) => return Err(Leaving::Lost),
                Ok(length) => {
                    self.digest(&buffer[..length])?;
                    self.pulse.heard(self.decoder.is_within_message());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Leaving::Lost),
            }
        }
        Ok(())
    }

    /// Decodes bytes and acts on what they say; keeps what can't be acted on yet.
    fn digest(&mut self, mut input: &[u8]) -> Result<(), Leaving> {
        while self.is_listening() {
            let Some(incoming) = self.decoder.next(&mut input)? else { return Ok(()) };
            match incoming {
                Incoming::Text(text) => {
                    self.pulse.message_ended();
                    self.act(Message::parse(&text))?;
                }
                Incoming::Ping(payload) => {
                    self.pulse.count_control()?;
                    self.outbox.push(frame::pong(&payload));
                }
                Incoming::Pong => self.pulse.count_control()?,
                Incoming::Close(code) => return Err(Leaving::Asked(code)),
            }
        }
        self.input.extend_from_slice(input);
        Ok(())
    }

    /// Sends what is unsent, then takes and sends what the subscriptions have, as far as the socket takes it.
    fn deliver(&mut self) -> Result<Filled, Leaving> {
        let mut filled = Filled::More;
        self.outbox.flush(&self.socket)?;
        for _ in 0..ROUNDS_PER_TURN {
            if !self.outbox.is_empty() || filled == Filled::Idle {
                break;
            }
            filled = self.watches.fill(self.outbox.blocked(), &mut self.outbox);
            if filled == Filled::Disconnect {
                return Err(Leaving::Close(CloseCode::TOO_SLOW, Cow::Borrowed("the subscriber is too slow")));
            }
            self.outbox.flush(&self.socket)?;
        }
        if !self.outbox.is_empty() {
            self.watches.release();
        }
        Ok(filled)
    }

    /// Gives back what an idle socket doesn't need.
    fn shrink(&mut self) {
        self.outbox.shrink();
        self.replies.shrink();
    }
}

/// Waits for the socket; for ever if it is waited for nothing.
pub(super) async fn ready(socket: &TcpStream, interest: Option<Interest>) -> io::Result<Ready> {
    match interest {
        Some(interest) => socket.ready(interest).await,
        None => std::future::pending().await,
    }
}
