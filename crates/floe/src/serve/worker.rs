//! `floe serve --services pipelines`, or `chat`, or both: a process that works on another node's records, or on those of a cluster. It has no data
//! directory and no doors, keeps nothing, and can be started and killed as one likes: what it held goes to the others.

use std::{io::Write, time::Instant};

use floe_chat::{ChatWorkers, Knowledge};
use floe_engine::Engine;
use floe_pipeline::{Log, PipelineSpec, Pipelines, RemoteLog, Services};
use floe_store::EventStore;

use super::{Workers, engine, signals, store};
use crate::{
    config::{
        Loaded,
        settings::{EngineKind, LogFormat, Service},
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
    let works_on = |service| settings.services.contains(&service);
    let specs = if works_on(Service::Pipelines) { specs(&loaded, store.as_ref()) } else { Vec::new() };
    if specs.is_empty() && !works_on(Service::Chat) {
        return Err(exit::usage(
            "there is nothing to work on: the configuration has no pipeline (and no store.url for the built-in one)",
        ));
    }
    let shutdown = signals::Shutdown::install()?;
    let names: Vec<_> = specs.iter().map(|spec| spec.name.clone()).collect();
    let chat = chat(&loaded, &source.log)?;
    let services = Services {
        log: source.log,
        store: store.clone(),
        redis: settings.redis.as_ref().map(|url| url.expose().to_owned()),
    };
    let pipelines = (!specs.is_empty()).then(|| start(services, specs)).transpose()?;
    announce(&loaded, &source.shown, &names, started);

    shutdown.requested().await;
    Workers { pipelines, chat }.drain(settings.shutdown_grace).await;
    if let Some(store) = store {
        store.database().close().await;
    }
    if let Some(engine) = source.engine {
        engine::close(engine).await;
    }
    tracing::info!("stopped");
    Ok(())
}

/// The chat's workers of this process, unless others are.
fn chat(loaded: &Loaded, log: &Log) -> anyhow::Result<Option<ChatWorkers>> {
    if !loaded.settings.services.contains(&Service::Chat) {
        return Ok(None);
    }
    let settings = loaded.chat();
    let workers = Knowledge::open(log, &settings)
        .and_then(|knowledge| ChatWorkers::start(log.clone(), &settings, knowledge));
    workers.map(Some).map_err(|why| exit::usage(format!("chat: {why}")))
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
    let mut names = names.to_vec();
    if loaded.settings.services.contains(&Service::Chat) {
        names.push("chat".to_owned());
    }
    let names = names.join(", ");
    if loaded.settings.log.format == LogFormat::Json {
        tracing::info!(server, works_on = names, ready_ms = ready_ms as u64, "working");
        return;
    }
    let (version, process) = (env!("CARGO_PKG_VERSION"), std::process::id());
    let mut text = format!("floe {version}, process {process}, a worker, ready in {ready_ms} ms\n");
    text += &format!("  server    {server}\n  works on  {names}\n");
    if let Some(store) = store::shown(&loaded.settings) {
        text += &format!("  store     {store}\n");
    }
    // A worker whose standard error is closed works all the same.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
