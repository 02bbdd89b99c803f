//! `floe serve`: everything in order, up and down.
//!
//! Up: log, data directory, ports (taken, not yet served), engine, doors. Down: doors close and let accepted requests
//! finish, then the engine writes what it holds. The ports come before the engine because finding one taken should not
//! cost a recovery, and because who connects during one is then served late instead of being refused.

mod data_dir;
mod engine;
mod listen;
mod logging;
mod signals;

use std::{io::Write, time::Instant};

use anyhow::Context;
use floe_gateway::{Gateway, GatewayConfig};
use floe_live::Live;
use tokio::net::TcpListener;

use crate::config::{
    Loaded,
    settings::{LogFormat, Settings},
};

/// Serves until a signal ends it.
pub(crate) async fn serve(loaded: Loaded) -> anyhow::Result<()> {
    let started = Instant::now();
    let settings = loaded.settings;
    logging::start(&settings.log)?;
    for notice in &loaded.notices {
        tracing::warn!("{notice}");
    }
    let directory = data_dir::prepare(&settings)?;
    let listeners = listen::bind(&settings.http).await?;
    let engine = engine::open(&settings, &directory).await?;
    let config = GatewayConfig {
        allowed_hosts: settings.http.allowed_hosts.clone(),
        allowed_origins: settings.http.allowed_origins.clone(),
        max_connections: settings.http.max_connections,
    };
    let gateway = Gateway::new(engine.clone(), Live::new(engine.clone()), &config);
    announce(&settings, &directory, &listeners, started)?;

    let shutdown = signals::Shutdown::install()?;
    let doors = floe_gateway::serve(listeners, gateway, shutdown.requested());
    let doors = tokio::select! {
        ended = doors => ended,
        () = shutdown.grace_is_over(settings.shutdown_grace) => Ok(()),
    };
    engine::close(engine).await;
    doors.context("serving failed")?;
    tracing::info!("stopped");
    Ok(())
}

/// Says where everything is: on standard error for people, as log lines for machines.
fn announce(
    settings: &Settings,
    directory: &data_dir::DataDirectory,
    listeners: &[TcpListener],
    started: Instant,
) -> anyhow::Result<()> {
    let ready_ms = started.elapsed().as_millis();
    let addresses = listeners.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
    if settings.log.format == LogFormat::Json {
        for address in addresses {
            tracing::info!(url = %format_args!("http://{address}"), ready_ms = ready_ms as u64, "listening");
        }
        return Ok(());
    }
    let mut text = format!(
        "floe {}, process {}, ready in {ready_ms} ms\n",
        env!("CARGO_PKG_VERSION"),
        std::process::id()
    );
    text += &format!("  data  {}\n", directory.shown());
    for address in addresses {
        text +=
            &format!("  http  http://{address}  (sockets at /ws, documents at /docs, metrics at /metrics)\n");
    }
    // A server whose standard error is closed serves all the same.
    let _ = std::io::stderr().write_all(text.as_bytes());
    Ok(())
}
