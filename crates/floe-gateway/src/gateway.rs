//! What all doors share: the engine, the live fan-out, the desks of the pipelines, the rules of who may call, and the
//! counters.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use floe_chat::Chat;
use floe_engine::{Acks, Engine, StorageState};
use floe_live::Live;
use floe_pipeline::{DeadLetters, Directory};
use floe_store::EventStore;
use floe_transform::Schemas;
use tokio::sync::watch;

use crate::{
    body::BodyBudget, dialects::Recalled, guard::GuardRules, metrics::Metrics, rates::Rates,
    receipts::Receipts,
};

/// How the doors are set up. The default is what a bare `floe serve` uses.
#[derive(Clone, Debug, Default)]
pub struct GatewayConfig {
    /// Names besides loopback's own that a `Host` header may have on a loopback listener; with or without a port.
    pub allowed_hosts: Vec<String>,
    /// Origins (`https://app.example`) whose pages may change state, open WebSockets and read answers.
    pub allowed_origins: Vec<String>,
    /// Connections at once; `None` is [`crate::limits::CONNECTIONS_MAX`].
    pub max_connections: Option<usize>,
    /// The doors that are open here; `None` opens all.
    pub doors: Option<Vec<Door>>,
}

/// A set of routes that can be opened by itself. What people who look after a server need (health, metrics, documents) is always
/// open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Topics, records, groups, pipelines, live delivery, and the dialects of pub/sub, ingestion and activity events.
    Records,
    /// Messages of the chat, in.
    Producer,
    /// Messages of the chat, out.
    Consumer,
    /// The chat itself.
    Chat,
}

/// What the doors lead to.
#[derive(Clone, Debug)]
pub struct GatewayParts {
    /// The log.
    pub engine: Engine,
    /// The live fan-out of the same log.
    pub live: Live,
    /// The desk of its pipelines.
    pub directory: Directory,
    /// What they could not deliver.
    pub dead_letters: DeadLetters,
    /// The event service; `None` where nothing stores events: `/v1/event` then only accepts.
    pub events: Option<EventService>,
    /// The chat of the same log, where there is one.
    pub chat: Option<Chat>,
}

/// The event service behind `/v1`.
#[derive(Clone, Debug)]
pub struct EventService {
    /// Where the pipeline `events-store` puts events.
    pub store: EventStore,
    /// What an event of each type must fulfil to be accepted at `/v1`: the same that the pipeline asks.
    pub schemas: Arc<Schemas>,
}

impl GatewayParts {
    /// Those of an engine without configured pipelines and without event service. Must be called inside a tokio runtime.
    #[must_use]
    pub fn of(engine: Engine) -> Self {
        Self {
            live: Live::new(engine.clone()),
            directory: Directory::new(engine.clone(), &[]),
            dead_letters: DeadLetters::new(engine.clone()),
            events: None,
            chat: None,
            engine,
        }
    }
}

/// The state behind every route.
pub struct Gateway {
    parts: GatewayParts,
    guard: GuardRules,
    metrics: Metrics,
    receipts: Receipts,
    recalled: Recalled,
    rates: Rates,
    body_budget: BodyBudget,
    max_connections: usize,
    doors: Option<Vec<Door>>,
    /// What events are answered with, whatever they or their topic ask for.
    promise: Option<Acks>,
    started: Instant,
    stopping: watch::Sender<bool>,
}

impl Gateway {
    /// The doors to these parts. Nothing runs until [`crate::serve`] is called.
    #[must_use]
    pub fn new(parts: GatewayParts, config: &GatewayConfig) -> Arc<Self> {
        Self::promising(None, parts, config)
    }

    /// The doors of a process that may stand still, or be gone, once it has answered: events are durable before, whatever
    /// they or their topic ask for.
    pub(crate) fn durable(parts: GatewayParts) -> Arc<Self> {
        Self::promising(Some(Acks::Durable), parts, &GatewayConfig::default())
    }

    fn promising(promise: Option<Acks>, parts: GatewayParts, config: &GatewayConfig) -> Arc<Self> {
        Arc::new(Self {
            parts,
            guard: GuardRules::new(&config.allowed_hosts, &config.allowed_origins),
            metrics: Metrics::new(),
            receipts: Receipts::default(),
            recalled: Recalled::default(),
            rates: Rates::default(),
            body_budget: BodyBudget::default(),
            max_connections: config.max_connections.unwrap_or(crate::limits::CONNECTIONS_MAX),
            doors: config.doors.clone(),
            promise,
            started: Instant::now(),
            stopping: watch::Sender::new(false),
        })
    }

    /// The log.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.parts.engine
    }

    /// Whether the log is known to be out of reach. Who looks after the server is then answered without asking the log, for
    /// nobody should wait for an answer that won't come.
    pub(crate) fn is_log_away(&self) -> bool {
        self.engine().health().storage == StorageState::Unreachable
    }

    /// The live fan-out.
    #[must_use]
    pub fn live(&self) -> &Live {
        &self.parts.live
    }

    /// The promise that an event is answered with; `None` is its topic's own.
    pub(crate) fn acks(&self, asked: Option<Acks>) -> Option<Acks> {
        self.promise.or(asked)
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.parts.directory
    }

    pub(crate) fn dead_letters(&self) -> &DeadLetters {
        &self.parts.dead_letters
    }

    pub(crate) fn events(&self) -> Option<&EventService> {
        self.parts.events.as_ref()
    }

    pub(crate) fn chat(&self) -> Option<&Chat> {
        self.parts.chat.as_ref()
    }

    /// Whether these routes are open here.
    pub(crate) fn has_door(&self, door: Door) -> bool {
        self.doors.as_ref().is_none_or(|doors| doors.contains(&door))
    }

    /// Turns true, once, when the server begins to stop: waits end early, streams say goodbye.
    #[must_use]
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// Whether the server has begun to stop.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Resolves when the server begins to stop. Cancel-safe.
    pub async fn stopped(&self) {
        let mut stopping = self.stopping();
        // The sender lives in `self`, so the channel can't close under this borrow.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }

    /// How long the doors have been open.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn begin_stop(&self) {
        self.stopping.send_replace(true);
    }

    pub(crate) fn guard(&self) -> &GuardRules {
        &self.guard
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(crate) fn receipts(&self) -> &Receipts {
        &self.receipts
    }

    /// How far it was looked for events that others have accepted.
    pub(crate) fn recalled(&self) -> &Recalled {
        &self.recalled
    }

    pub(crate) fn rates(&self) -> &Rates {
        &self.rates
    }

    pub(crate) fn body_budget(&self) -> &BodyBudget {
        &self.body_budget
    }

    pub(crate) fn max_connections(&self) -> usize {
        self.max_connections
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("engine", &self.parts.engine)
            .field("guard", &self.guard)
            .finish_non_exhaustive()
    }
}
