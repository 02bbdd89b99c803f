//! A socket that is told things as they happen: stored events in their order, or what goes on in a session of the chat.

use std::{borrow::Cow, io, pin::pin, sync::Arc};

use bytes::Bytes;
use floe_store::Followed;
use tokio::{
    io::{Interest, Ready},
    net::TcpStream,
};

use super::{
    closing::{Leaving, part},
    frame::{self, CloseCode, Decoder, Incoming},
    limits::{READ_BYTES, READS_PER_TURN, UNSENT_REPLY_BYTES_MAX},
    outbox::Outbox,
    pulse::{Beat, Pulse},
    session::ready,
};
use crate::gateway::Gateway;

/// Who talks to the client of such a socket.
pub(crate) trait Conversation: Send {
    /// The texts to send next; waits until there are some. Asked only when all before are handed to the kernel, so a slow reader
    /// holds one answer at most. Cancel-safe.
    fn next(&mut self) -> impl Future<Output = Vec<Bytes>> + Send;

    /// Takes what the client said.
    fn hear(&mut self, text: Bytes) -> Heard;

    /// Whether the client is read. Not so, it waits: what it sends stays in the kernel's buffers.
    fn is_listening(&self) -> bool {
        true
    }
}

/// What the client's words are good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// They ask for something.
    Something,
    /// Nothing: many of them in a short time are refused, as pings are.
    Nothing,
}

/// Stored events: what a slow reader has not taken yet is in the table, and nothing is lost.
impl Conversation for Followed {
    async fn next(&mut self) -> Vec<Bytes> {
        Followed::next(self).await.iter().map(|event| event.frame.clone()).collect()
    }

    fn hear(&mut self, _: Bytes) -> Heard {
        Heard::Nothing
    }
}

/// One such socket.
#[derive(Debug)]
pub(super) struct Follower<C> {
    gateway: Arc<Gateway>,
    socket: TcpStream,
    decoder: Decoder,
    outbox: Outbox,
    pulse: Pulse,
    conversation: C,
    /// What came right behind the handshake.
    early: Bytes,
    /// Whether the socket didn't take all that there was for it.
    full: bool,
}

enum Woken {
    Stopping,
    Socket(io::Result<Ready>),
    Texts(Vec<Bytes>),
    Beat(Beat),
}

impl<C: Conversation> Follower<C> {
    /// A socket after its handshake; `early` are bytes that came right behind that.
    pub(super) fn new(
        gateway: Arc<Gateway>,
        socket: TcpStream,
        early: Bytes,
        phase: f32,
        conversation: C,
    ) -> Self {
        Self {
            gateway,
            socket,
            decoder: Decoder::default(),
            outbox: Outbox::default(),
            pulse: Pulse::new(phase),
            conversation,
            early,
            full: false,
        }
    }

    /// Lives until the client or the server closes.
    pub(super) async fn run(mut self) {
        let close = match self.live().await {
            Leaving::Lost => return,
            Leaving::Asked(code) => frame::close(code, ""),
            Leaving::Close(code, reason) => frame::close(Some(code), &reason),
        };
        part(&mut self.socket, &mut self.outbox, close).await;
    }

    async fn live(&mut self) -> Leaving {
        let mut stopping = self.gateway.stopping();
        // One wait for the whole life: a new one at each turn would take the lock that all sockets share.
        let mut stopped = pin!(async move { stopping.wait_for(|stopping| *stopping).await.map(drop) });
        let early = std::mem::take(&mut self.early);
        if let Err(leaving) = self.digest(&early) {
            return leaving;
        }
        loop {
            if let Err(error) = self.flush() {
                return error.into();
            }
            let listening = self.conversation.is_listening();
            if !listening {
                // it is the server that keeps the client waiting
                self.pulse.excuse();
            }
            let interest = match (listening, self.full) {
                (true, true) => Some(Interest::READABLE | Interest::WRITABLE),
                (true, false) => Some(Interest::READABLE),
                (false, true) => Some(Interest::WRITABLE),
                (false, false) => None,
            };
            let woken = tokio::select! {
                biased;
                _ = stopped.as_mut() => Woken::Stopping,
                ready = ready(&self.socket, interest) => Woken::Socket(ready),
                beat = self.pulse.beat() => Woken::Beat(beat),
                texts = self.conversation.next(), if !self.full => Woken::Texts(texts),
            };
            if let Err(leaving) = self.act(woken) {
                return leaving;
            }
        }
    }

    /// Sends what the socket takes. A full one that takes some more has a client that reads, however slowly: its silence
    /// is then no sign that it is gone.
    fn flush(&mut self) -> io::Result<()> {
        let unsent = self.outbox.unsent_bytes();
        self.outbox.flush(&self.socket)?;
        if self.full && self.outbox.unsent_bytes() < unsent {
            self.pulse.excuse();
        }
        self.full = !self.outbox.is_empty();
        Ok(())
    }

    fn act(&mut self, woken: Woken) -> Result<(), Leaving> {
        match woken {
            Woken::Stopping => {
                Err(Leaving::Close(CloseCode::GOING_AWAY, Cow::Borrowed("the server is stopping")))
            }
            Woken::Socket(Err(_)) => Err(Leaving::Lost),
            Woken::Socket(Ok(ready)) if ready.is_readable() || ready.is_read_closed() => self.read(),
            Woken::Socket(Ok(_)) | Woken::Beat(Beat::Rest) => Ok(()),
            Woken::Beat(Beat::Ping) => {
                self.outbox.shrink();
                self.outbox.push(frame::ping());
                Ok(())
            }
            Woken::Beat(Beat::Close(violation)) => Err(violation.into()),
            Woken::Texts(texts) => {
                for text in texts {
                    self.outbox.push(frame::text_head(text.len()));
                    self.outbox.push(text);
                }
                Ok(())
            }
        }
    }

    /// Reads what is there. The buffer is on the stack of this call alone, which no waiting crosses.
    #[inline(never)]
    fn read(&mut self) -> Result<(), Leaving> {
        let mut buffer = [0; READ_BYTES];
        for _ in 0..READS_PER_TURN {
            match self.socket.try_read(&mut buffer) {
                Ok(0) => return Err(Leaving::Lost),
                Ok(length) => self.digest(&buffer[..length])?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Leaving::Lost),
            }
        }
        Ok(())
    }

    fn digest(&mut self, mut input: &[u8]) -> Result<(), Leaving> {
        while let Some(incoming) = self.decoder.next(&mut input)? {
            match incoming {
                Incoming::Text(text) => {
                    self.pulse.message_ended();
                    if self.conversation.hear(text) == Heard::Nothing {
                        self.pulse.count_control()?;
                    }
                }
                Incoming::Ping(payload) => {
                    self.pulse.count_control()?;
                    // A client that takes nothing isn't owed an answer to every ping.
                    if self.outbox.unsent_bytes() < UNSENT_REPLY_BYTES_MAX {
                        self.outbox.push(frame::pong(&payload));
                    }
                }
                Incoming::Pong => self.pulse.count_control()?,
                Incoming::Close(code) => return Err(Leaving::Asked(code)),
            }
        }
        self.pulse.heard(self.decoder.is_within_message());
        Ok(())
    }
}
