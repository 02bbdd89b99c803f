//! What all doors share: the engine, the live fan-out, the rules of who may call, and the counters.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use floe_engine::Engine;
use floe_live::Live;
use tokio::sync::watch;

use crate::{body::BodyBudget, guard::GuardRules, metrics::Metrics, rates::Rates, receipts::Receipts};

/// How the doors are set up. The default is what a bare `floe serve` uses.
#[derive(Clone, Debug, Default)]
pub struct GatewayConfig {
    /// Names besides loopback's own that a `Host` header may have on a loopback listener; with or without a port.
    pub allowed_hosts: Vec<String>,
    /// Origins (`https://app.example`) whose pages may change state, open WebSockets and read answers.
    pub allowed_origins: Vec<String>,
    /// Connections at once; `None` is [`crate::limits::CONNECTIONS_MAX`].
    pub max_connections: Option<usize>,
}

/// The state behind every route.
pub struct Gateway {
    engine: Engine,
    live: Live,
    guard: GuardRules,
    metrics: Metrics,
    receipts: Receipts,
    rates: Rates,
    body_budget: BodyBudget,
    max_connections: usize,
    started: Instant,
    stopping: watch::Sender<bool>,
}

impl Gateway {
    /// The doors of `engine`. Nothing runs until [`crate::serve`] is called.
    #[must_use]
    pub fn new(engine: Engine, live: Live, config: &GatewayConfig) -> Arc<Self> {
        Arc::new(Self {
            engine,
            live,
            guard: GuardRules::new(&config.allowed_hosts, &config.allowed_origins),
            metrics: Metrics::new(),
            receipts: Receipts::default(),
            rates: Rates::default(),
            body_budget: BodyBudget::default(),
            max_connections: config.max_connections.unwrap_or(crate::limits::CONNECTIONS_MAX),
            started: Instant::now(),
            stopping: watch::Sender::new(false),
        })
    }

    /// The log.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The live fan-out.
    #[must_use]
    pub fn live(&self) -> &Live {
        &self.live
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
            .field("engine", &self.engine)
            .field("guard", &self.guard)
            .finish_non_exhaustive()
    }
}
