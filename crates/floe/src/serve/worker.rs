//! `floe serve --services pipelines`: a process that works on another node's records, or on those of a cluster. It has no data
//! directory and no doors, keeps nothing, and can be started and killed as one likes: what it held goes to the others.

use std::{io::Write, time::Instant};

use floe_engine::Engine;
use floe_pipeline::{Log, PipelineSpec, Pipelines, RemoteLog, Services};
use floe_store::EventStore;

use super::{engine, signals, store};
use crate::{
    config::{
        Loaded,
        settings::{EngineKind, LogFormat},
    },
    exit,
};

/// Whose records are worked on.
struct Source {
    log: Log,
    /// For people.
    shown: String,
    /// The cluster's engine, which has to be closed.
    engine: Option<Engine>,
}

/// Works until a signal ends it.
pub(super) async fn work(loaded: Loaded, started: Instant) -> anyhow::Result<()> {
    let settings = &loaded.settings;
    let source = source(&loaded)?;
    let store = store::open(settings, None)?;
    let specs = specs(&loaded, store.as_ref());
    if specs.is_empty() {
        return Err(exit::usage(
            "there is nothing to work on: the configuration has no pipeline (and no store.url for the built-in one)",
        ));
    }
    let shutdown = signals::Shutdown::install()?;
    let names: Vec<_> = specs.iter().map(|spec| spec.name.clone()).collect();
    let services = Services {
        log: source.log,
        store: store.clone(),
        redis: settings.redis.as_ref().map(|url| url.expose().to_owned()),
    };
    let pipelines = start(services, specs)?;
    announce(&loaded, &source.shown, &names, started);

    shutdown.requested().await;
    pipelines.drain(settings.shutdown_grace).await;
    if let Some(store) = store {
        store.database().close().await;
    }
    if let Some(engine) = source.engine {
        engine::close(engine).await;
    }
    tracing::info!("stopped");
    Ok(())
}

fn source(loaded: &Loaded) -> anyhow::Result<Source> {
    let settings = &loaded.settings;
    match settings.engine {
        EngineKind::Kafka => {
            let engine = engine::kafka(settings)?;
            let shown = settings.kafka.bootstrap.clone().unwrap_or_default();
            Ok(Source { log: Log::Engine(engine.clone()), shown, engine: Some(engine) })
        }
        EngineKind::Embedded => {
            let log = RemoteLog::new(&settings.server);
            let log = log.map_err(|why| exit::usage(format!("server.url: {why}")))?;
            let shown = log.url().to_owned();
            Ok(Source { log: Log::Remote(log), shown, engine: None })
        }
    }
}

/// The pipelines that can be worked on here: the built-in one needs a database, and one that others share.
pub(super) fn specs(loaded: &Loaded, store: Option<&EventStore>) -> Vec<PipelineSpec> {
    let mut specs = loaded.specs();
    if store.is_none()
        && let Some(events) = &loaded.events
    {
        specs.retain(|spec| spec.name != events.name);
        tracing::info!(
            pipeline = %events.name,
            "left to others, since this process has no database that is theirs too: POSTGRES_URL or store.url names one"
        );
    }
    specs
}

/// Starts pipelines; one that can't be is an error of the configuration.
pub(super) fn start(services: Services, specs: Vec<PipelineSpec>) -> anyhow::Result<Pipelines> {
    Pipelines::start(services, specs).map_err(exit::usage)
}

fn announce(loaded: &Loaded, server: &str, names: &[String], started: Instant) {
    let ready_ms = started.elapsed().as_millis();
    let names = names.join(", ");
    if loaded.settings.log.format == LogFormat::Json {
        tracing::info!(server, pipelines = names, ready_ms = ready_ms as u64, "working");
        return;
    }
    let (version, process) = (env!("CARGO_PKG_VERSION"), std::process::id());
    let mut text = format!("floe {version}, process {process}, a worker, ready in {ready_ms} ms\n");
    text += &format!("  server     {server}\n  pipelines  {names}\n");
    if let Some(store) = store::shown(&loaded.settings) {
        text += &format!("  store      {store}\n");
    }
    // A worker whose standard error is closed works all the same.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
