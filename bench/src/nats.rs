//! A NATS server with its WebSocket door open.

use std::{net::SocketAddr, path::Path, process::Command, time::Duration};

use anyhow::bail;

use crate::{
    fanout::{Peer, connect},
    server::{Server, free_port},
};

/// Starts it with its defaults, apart from the ports.
pub(crate) async fn start(binary: &Path, work: &Path) -> anyhow::Result<Server> {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let config = work.join("nats.conf");
    std::fs::write(
        &config,
        format!(
            "listen: \"127.0.0.1:{}\"\nwebsocket {{\n  listen: \"{address}\"\n  no_tls: true\n}}\n",
            free_port()?
        ),
    )?;
    let mut command = Command::new(binary);
    command.arg("-c").arg(&config);
    let server = Server::spawned(command, address)?;
    for _ in 0..500 {
        if connect(address, Peer::Nats).await.is_ok() {
            return Ok(server);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bail!("the NATS server did not open its WebSocket door")
}
