//! The WebSocket `/ws`: publish, subscribe, and events as they become visible; `/v1/ws/events`, which only tells; and `/chat/ws`.
//!
//! In the order of a connection's life: the [`handshake`], the [`session`] that lives on the socket, the [`frame`]s it
//! reads, the [`message`]s in them and what each of these [`requests`] does, the [`change`] of subscriptions under way, the [`replies`] that keep their order, the
//! [`watches`] that deliver events, the [`reply`] texts, the [`outbox`] they leave by, the [`pulse`] that notices
//! silence, and [`closing`]. [`follower`] is the session of a socket that is told things as they happen. Every bound is in [`limits`].

mod change;
mod closing;
mod follower;
mod frame;
mod handshake;
mod limits;
mod message;
mod outbox;
mod pulse;
mod replies;
mod reply;
mod requests;
mod session;
mod watches;

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::net::TcpStream;

pub(crate) use self::follower::{Conversation, Heard};
use self::{
    follower::Follower,
    handshake::{Handshake, Refused},
    limits::KERNEL_UNSENT_BYTES,
    session::Session,
};
use crate::{gateway::Gateway, server::ConnectionPlace};

/// Makes a request's connection a WebSocket. Host and origin were checked before, as for every request.
pub(crate) async fn upgrade(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    match Upgrade::of(request) {
        Ok(Upgrade { on_upgrade, handshake, place }) => {
            tokio::spawn(serve(gateway, on_upgrade, place));
            handshake.response()
        }
        Err(refused) => refused.into_response(),
    }
}

/// Makes a request's connection a WebSocket that is told things as they happen. Host and origin were checked before.
pub(crate) fn upgrade_to_talk(
    gateway: Arc<Gateway>,
    request: Request,
    conversation: impl Conversation + 'static,
) -> Response {
    let Upgrade { on_upgrade, handshake, place } = match Upgrade::of(request) {
        Ok(upgrade) => upgrade,
        Err(refused) => return refused.into_response(),
    };
    tokio::spawn(async move {
        // An error here is a client that left before it had the answer.
        let Ok(upgraded) = on_upgrade.await else { return };
        let Some((socket, early)) = socket_of(upgraded) else { return };
        Follower::new(gateway, socket, early, rand::random(), conversation).run().await;
        drop(place);
    });
    handshake.response()
}

/// A request that may become a WebSocket.
struct Upgrade {
    on_upgrade: OnUpgrade,
    handshake: Handshake,
    place: Option<ConnectionPlace>,
}

impl Upgrade {
    fn of(mut request: Request) -> Result<Self, Refused> {
        let on_upgrade = hyper::upgrade::on(&mut request);
        let (mut parts, _) = request.into_parts();
        let handshake = Handshake::of(&parts)?;
        Ok(Self { on_upgrade, handshake, place: parts.extensions.remove::<ConnectionPlace>() })
    }
}

/// Serves a WebSocket from the handshake's answer to its end. The place among the server's connections is held as
/// long.
async fn serve(gateway: Arc<Gateway>, on_upgrade: OnUpgrade, place: Option<ConnectionPlace>) {
    // An error here is a client that left before it had the answer.
    let Ok(upgraded) = on_upgrade.await else { return };
    let Some(session) = begin(gateway, upgraded) else { return };
    session.run().await;
    drop(place);
}

fn begin(gateway: Arc<Gateway>, upgraded: Upgraded) -> Option<Session> {
    let (socket, early) = socket_of(upgraded)?;
    Some(Session::new(gateway, socket, &early, rand::random()))
}

/// Takes the socket itself out of what HTTP leaves behind: its buffers go, and frames are written without a copy. With
/// it, the bytes that came right behind the handshake.
fn socket_of(upgraded: Upgraded) -> Option<(TcpStream, Bytes)> {
    let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else {
        tracing::error!("an upgraded connection is not a plain TCP socket");
        return None;
    };
    let socket = parts.io.into_inner();
    // Where the kernel can't bound what it holds unsent, a stalled reader is noticed later; nothing else changes.
    let _ = SockRef::from(&socket).set_tcp_notsent_lowat(KERNEL_UNSENT_BYTES);
    Some((socket, parts.read_buf))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size of the task that a function's future becomes.
    fn task_bytes<F: Future>(_: impl FnOnce(Arc<Gateway>, OnUpgrade, Option<ConnectionPlace>) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_idle_sockets_task_is_small() {
        assert!(task_bytes(serve) <= 2_304, "{}", task_bytes(serve));
    }
}
