//! How a socket ends: what was accepted is answered, the close frame says why, and nothing waits for ever.

use std::{borrow::Cow, io};

use bytes::Bytes;
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};

use super::{
    frame::{self, CloseCode, Violation},
    limits::{CLOSE_TIMEOUT, LINGER_READS_MAX, READ_BYTES, STOP_TIMEOUT},
    outbox::Outbox,
    session::Session,
    watches::Watches,
};

/// Why a session ends.
#[derive(Debug)]
pub(crate) enum Leaving {
    /// The client sent a close frame.
    Asked(Option<CloseCode>),
    /// We close.
    Close(CloseCode, Cow<'static, str>),
    /// The connection is gone.
    Lost,
}

impl From<Violation> for Leaving {
    fn from(violation: Violation) -> Self {
        Self::Close(violation.code, Cow::Borrowed(violation.reason))
    }
}

impl From<io::Error> for Leaving {
    fn from(_: io::Error) -> Self {
        Self::Lost
    }
}

/// Ends a session.
pub(super) async fn leave(mut session: Session, leaving: Leaving) {
    // Nobody is subscribed any more from here on, however long the rest takes.
    session.watches = Watches::new();
    let close = match leaving {
        Leaving::Lost => return,
        Leaving::Asked(code) => frame::close(code, ""),
        Leaving::Close(code, reason) => frame::close(Some(code), &reason),
    };
    // What was accepted is answered first. A client that breaks rules may lose what comes after, never what came before.
    if timeout(STOP_TIMEOUT, answer(&mut session)).await.is_err() {
        tracing::warn!("a socket was closed before its publishes were answered");
    }
    part(&mut session.socket, &mut session.outbox, close).await;
}

/// Sends all that is unsent and the close frame, and waits for the client's end; not longer than it may take.
pub(super) async fn part(socket: &mut TcpStream, outbox: &mut Outbox, close: Bytes) {
    outbox.push(close);
    // A client that doesn't take it, or never answers it, is not waited for longer.
    let _ = timeout(CLOSE_TIMEOUT, finish(socket, outbox)).await;
}

async fn answer(session: &mut Session) {
    let Session { replies, outbox, .. } = session;
    while !replies.is_empty() {
        replies.next(|reply| outbox.push(reply)).await;
    }
}

/// Sends all that is unsent, then waits for the client's end of the connection: bytes that are unread when a socket is
/// dropped make the kernel reset it, and the close frame could be lost on its way.
async fn finish(socket: &mut TcpStream, outbox: &mut Outbox) -> io::Result<()> {
    while !outbox.is_empty() {
        outbox.flush(socket)?;
        if !outbox.is_empty() {
            socket.writable().await?;
        }
    }
    socket.shutdown().await?;
    for _ in 0..LINGER_READS_MAX {
        socket.readable().await?;
        if is_at_end(socket)? {
            break;
        }
    }
    Ok(())
}

/// Reads and throws away; answers whether the client has closed its side.
fn is_at_end(socket: &TcpStream) -> io::Result<bool> {
    let mut buffer = [0; READ_BYTES];
    match socket.try_read(&mut buffer) {
        Ok(length) => Ok(length == 0),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}
