//! `floe serve`: everything in order, up and down.
//!
//! Up: log, data directory, ports (taken, not yet served), engine, database (not waited for), pipelines, doors. Down:
//! doors close and let accepted requests finish, then pipelines deliver what they hold and commit, then the engine
//! writes what it holds. The ports come before the engine because finding one taken should not cost a recovery, and
//! because who connects during one is then served late instead of being refused.
//!
//! Without a service that has doors there are none here: see [`worker`].

mod data_dir;
mod engine;
mod listen;
mod logging;
mod signals;
mod store;
mod worker;

use std::{
    io::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use floe_chat::{Chat, ChatWorkers, Knowledge};
use floe_engine::Engine;
use floe_gateway::{Door, EventService, Gateway, GatewayConfig, GatewayParts};
use floe_live::Live;
use floe_pipeline::{DeadLetters, Directory, Log, Pipelines, Services};
use floe_store::EventStore;
use tokio::{net::TcpListener, sync::oneshot};

use crate::{
    config::{
        Loaded,
        settings::{EngineKind, LogFormat, Service, Settings},
    },
    exit,
};

/// What pipelines get at least of the grace period to finish what they hold, however long the doors take to close.
const LEAST_DRAIN: Duration = Duration::from_secs(2);
/// What is left of the grace period to close the database and the engine, so that all of it fits.
const CLOSING: Duration = Duration::from_millis(250);

/// Serves until a signal ends it.
pub(crate) async fn serve(loaded: Loaded) -> anyhow::Result<()> {
    let started = Instant::now();
    logging::start(&loaded.settings.log)?;
    for notice in &loaded.notices {
        tracing::warn!("{notice}");
    }
    if !loaded.settings.services.iter().any(|service| service.has_door()) {
        return worker::work(loaded, started).await;
    }
    if let Some(origin) = loaded.origins.get("server.url") {
        tracing::warn!("{origin}: server.url changes nothing here: the records are this process's own");
    }
    let settings = &loaded.settings;
    let directory = match settings.engine {
        EngineKind::Embedded => Some(data_dir::prepare(settings)?),
        EngineKind::Kafka => None,
    };
    let listeners = listen::bind(&settings.http).await?;
    let engine = engine::open(settings, directory.as_ref()).await?;
    let served = with_engine(&loaded, &engine, directory.as_ref(), listeners, started).await;
    engine::close(engine).await;
    served?;
    tracing::info!("stopped");
    Ok(())
}

/// Everything between the engine's opening and its closing.
async fn with_engine(
    loaded: &Loaded,
    engine: &Engine,
    directory: Option<&data_dir::DataDirectory>,
    listeners: Vec<TcpListener>,
    started: Instant,
) -> anyhow::Result<()> {
    let settings = &loaded.settings;
    let store = store::open(settings, directory.map(data_dir::DataDirectory::path))?;
    let chat = chat(loaded, engine)?;
    let gateway = gateway(loaded, engine, store.clone(), chat.doors)?;
    let workers = Workers { pipelines: pipelines(loaded, engine, store.clone())?, chat: chat.workers };
    announce(settings, directory, &listeners, started)?;

    let shutdown = signals::Shutdown::install()?;
    let grace = settings.shutdown_grace;
    let (closed, doors_closed) = oneshot::channel::<()>();
    let doors = async {
        let ended = tokio::select! {
            ended = floe_gateway::serve(listeners, gateway, shutdown.requested()) => ended,
            () = shutdown.grace_is_over(grace) => Ok(()),
        };
        drop(closed);
        ended
    };
    let (doors, ()) = tokio::join!(doors, drain(workers, &shutdown, grace, doors_closed));
    if let Some(store) = store {
        store.database().close().await;
    }
    doors.context("serving failed")
}

/// Lets the workers finish what they hold once the doors are closed: a request may wait for them until then. Doors that
/// take all of the grace period don't keep the workers from their part of it.
async fn drain(
    workers: Workers,
    shutdown: &signals::Shutdown,
    grace: Duration,
    mut doors_closed: oneshot::Receiver<()>,
) {
    let grace = grace.saturating_sub(CLOSING);
    let least = LEAST_DRAIN.min(grace);
    let asked = tokio::select! {
        biased;
        () = shutdown.requested() => Instant::now(),
        // They failed by themselves.
        _ = &mut doors_closed => return workers.drain(least).await,
    };
    tokio::select! {
        _ = doors_closed => {}
        () = tokio::time::sleep(grace.saturating_sub(least)) => {}
    }
    workers.drain(grace.saturating_sub(asked.elapsed()).max(least)).await;
}

/// What works on records here.
struct Workers {
    pipelines: Option<Pipelines>,
    chat: Option<ChatWorkers>,
}

impl Workers {
    /// Lets all finish what they hold, at most so long.
    async fn drain(self, limit: Duration) {
        let pipelines = async {
            if let Some(pipelines) = self.pipelines {
                pipelines.drain(limit).await;
            }
        };
        let chat = async {
            if let Some(chat) = self.chat {
                chat.drain(limit).await;
            }
        };
        tokio::join!(pipelines, chat);
    }
}

/// The doors and what they lead to.
fn gateway(
    loaded: &Loaded,
    engine: &Engine,
    store: Option<EventStore>,
    chat: Option<Chat>,
) -> anyhow::Result<Arc<Gateway>> {
    let http = &loaded.settings.http;
    let config = GatewayConfig {
        allowed_hosts: http.allowed_hosts.clone(),
        allowed_origins: http.allowed_origins.clone(),
        max_connections: http.max_connections,
        doors: Some(doors(&loaded.settings.services)),
    };
    let events = match (store, loaded.event_schemas()) {
        (Some(store), Some(set)) => {
            let schemas = floe_transform::Schemas::compile(set)
                .map_err(|why| exit::usage(format!("events.schemas: {why}")))?;
            Some(EventService { store, schemas: Arc::new(schemas) })
        }
        _ => None,
    };
    let parts = GatewayParts {
        engine: engine.clone(),
        live: Live::new(engine.clone()),
        directory: Directory::new(engine.clone(), &loaded.specs()),
        dead_letters: DeadLetters::new(engine.clone()),
        events,
        chat,
    };
    Ok(Gateway::new(parts, &config))
}

/// The doors of these services.
fn doors(services: &[Service]) -> Vec<Door> {
    let door = |service: &Service| match service {
        Service::Http => Some(Door::Records),
        Service::Producer => Some(Door::Producer),
        Service::Consumer => Some(Door::Consumer),
        Service::Gateway => Some(Door::Chat),
        Service::Pipelines | Service::Chat => None,
    };
    services.iter().filter_map(door).collect()
}

/// What of the chat is in this process.
#[derive(Default)]
struct ChatParts {
    /// Behind its doors.
    doors: Option<Chat>,
    workers: Option<ChatWorkers>,
}

fn chat(loaded: &Loaded, engine: &Engine) -> anyhow::Result<ChatParts> {
    let does = |wanted: &[Service]| loaded.settings.services.iter().any(|service| wanted.contains(service));
    let has_doors = does(&[Service::Producer, Service::Consumer, Service::Gateway]);
    if !has_doors && !does(&[Service::Chat]) {
        return Ok(ChatParts::default());
    }
    let (log, settings) = (Log::Engine(engine.clone()), loaded.chat());
    let refused = |why: String| exit::usage(format!("chat: {why}"));
    let knowledge = Knowledge::open(&log, &settings).map_err(refused)?;
    let open = || Chat::open(engine.clone(), &settings, knowledge.clone());
    let start = || ChatWorkers::start(log, &settings, knowledge.clone());
    Ok(ChatParts {
        doors: has_doors.then(open).transpose().map_err(refused)?,
        workers: does(&[Service::Chat]).then(start).transpose().map_err(refused)?,
    })
}

/// The pipelines of this process, unless others run them.
fn pipelines(
    loaded: &Loaded,
    engine: &Engine,
    store: Option<EventStore>,
) -> anyhow::Result<Option<Pipelines>> {
    if !loaded.settings.services.contains(&Service::Pipelines) {
        return Ok(None);
    }
    let redis = loaded.settings.redis.as_ref().map(|url| url.expose().to_owned());
    let specs = worker::specs(loaded, store.as_ref());
    if specs.is_empty() {
        return Ok(None);
    }
    let services = Services { log: Log::Engine(engine.clone()), store, redis };
    worker::start(services, specs).map(Some)
}

/// Says where everything is: on standard error for people, as log lines for machines.
fn announce(
    settings: &Settings,
    directory: Option<&data_dir::DataDirectory>,
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
    match (directory, &settings.kafka.bootstrap) {
        (Some(directory), _) => text += &format!("  data  {}\n", directory.shown()),
        (None, Some(brokers)) => text += &format!("  kafka {brokers}\n"),
        (None, None) => {}
    }
    if let Some(store) = store::shown(settings) {
        text += &format!("  store {store}\n");
    }
    for address in addresses {
        text += &format!(
            "  http  http://{address}  (sockets at /ws, documents at /docs, metrics at /metrics, chat at /chat)\n"
        );
    }
    // A server whose standard error is closed serves all the same.
    let _ = std::io::stderr().write_all(text.as_bytes());
    Ok(())
}
