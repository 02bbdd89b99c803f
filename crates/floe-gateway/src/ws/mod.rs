//! The WebSocket `/ws`: publish, subscribe, and events as they become visible.
//!
//! In the order of a connection's life: the [`handshake`], the [`session`] that lives on the socket, the [`frame`]s it
//! reads, the [`message`]s in them and what each of these [`requests`] does, the [`replies`] that keep their order, the
//! [`watches`] that deliver events, the [`reply`] texts, the [`outbox`] they leave by, the [`pulse`] that notices
//! silence, and [`closing`]. Every bound is in [`limits`].

mod closing;
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
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::net::TcpStream;

use self::{handshake::Handshake, limits::KERNEL_UNSENT_BYTES, session::Session};
use crate::{gateway::Gateway, server::ConnectionPlace};

/// Makes a request's connection a WebSocket. Host and origin were checked before, as for every request.
pub(crate) async fn upgrade(State(gateway): State<Arc<Gateway>>, mut request: Request) -> Response {
    let on_upgrade = hyper::upgrade::on(&mut request);
    let (mut parts, _) = request.into_parts();
    let handshake = match Handshake::of(&parts) {
        Ok(handshake) => handshake,
        Err(refused) => return refused.into_response(),
    };
    let place = parts.extensions.remove::<ConnectionPlace>();
    tokio::spawn(serve(gateway, on_upgrade, place));
    handshake.response()
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

/// Takes the socket itself out of what HTTP leaves behind: its buffers go, and frames are written without a copy.
fn begin(gateway: Arc<Gateway>, upgraded: Upgraded) -> Option<Session> {
    let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else {
        tracing::error!("an upgraded connection is not a plain TCP socket");
        return None;
    };
    let socket = parts.io.into_inner();
    // Where the kernel can't bound what it holds unsent, a stalled reader is noticed later; nothing else changes.
    let _ = SockRef::from(&socket).set_tcp_notsent_lowat(KERNEL_UNSENT_BYTES);
    Some(Session::new(gateway, socket, &parts.read_buf, rand::random()))
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
