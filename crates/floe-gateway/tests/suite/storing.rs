//! A server that stores events: SQLite in a directory of its own, and the pipeline `events-store` in the same process.

use std::{
    collections::BTreeMap,
    ops::Deref,
    path::{Path, PathBuf},
    sync::Arc,
};

use floe_engine::{Engine, EngineError, TopicSpec};
use floe_gateway::{EventService, GatewayConfig, GatewayParts};
use floe_live::Live;
use floe_pipeline::{
    DeadLetters, Directory, EVENTS_TOPIC, Log, PipelineSpec, Pipelines, Services, event_schemas, events_store,
};
use floe_store::{Database, DatabaseUrl, EventStore};
use floe_transform::Schemas;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    floe::{Floe, engine_in},
    socket::PATIENCE,
};

/// How the server is to be.
pub(crate) struct Plan {
    /// The SQLite file; `store.sqlite` in the directory unless given.
    pub(crate) store: Option<PathBuf>,
    /// Where gateways tell each other.
    pub(crate) redis: Option<String>,
    /// Whether a type without schema is refused.
    pub(crate) strict: bool,
    /// Whether pipelines run in this process.
    pub(crate) works: bool,
    /// Pipelines beside `events-store`.
    pub(crate) more: Vec<PipelineSpec>,
}

impl Default for Plan {
    fn default() -> Self {
        Self { store: None, redis: None, strict: false, works: true, more: Vec::new() }
    }
}

/// A server with its store.
pub(crate) struct Storing {
    pub(crate) floe: Floe,
    pub(crate) store: EventStore,
    pipelines: Option<Pipelines>,
}

impl Deref for Storing {
    type Target = Floe;

    fn deref(&self) -> &Floe {
        &self.floe
    }
}

impl Storing {
    /// One with the usual plan, on a directory that goes with it.
    pub(crate) async fn start() -> Self {
        Self::with(Plan::default()).await
    }

    pub(crate) async fn with(plan: Plan) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let engine = engine_in(directory.path(), true);
        let path = directory.path().to_owned();
        Self::over(engine, &path, Some(directory), plan).await
    }

    /// One on a directory that stays.
    pub(crate) async fn on(directory: &Path, plan: Plan) -> Self {
        Self::over(engine_in(directory, false), directory, None, plan).await
    }

    async fn over(engine: Engine, path: &Path, directory: Option<tempfile::TempDir>, plan: Plan) -> Self {
        // A pipeline looks for a topic that isn't there only once in a while.
        let topic = TopicSpec { name: EVENTS_TOPIC.into(), partitions: 12, config: BTreeMap::new() };
        match engine.create_topic(topic).await {
            Ok(_) | Err(EngineError::TopicExists { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        let file = plan.store.unwrap_or_else(|| path.join("store.sqlite"));
        let database = Database::new(DatabaseUrl::Sqlite(file)).unwrap();
        database.connect_in_background();
        let store = EventStore::new(database, plan.redis).unwrap();
        let mut specs = vec![events_store(BTreeMap::new(), plan.strict)];
        specs.extend(plan.more);
        let schemas = Schemas::compile(&event_schemas(&BTreeMap::new(), plan.strict)).unwrap();
        let parts = GatewayParts {
            live: Live::new(engine.clone()),
            directory: Directory::new(engine.clone(), &specs),
            dead_letters: DeadLetters::new(engine.clone()),
            chat: None,
            events: Some(EventService { store: store.clone(), schemas: Arc::new(schemas) }),
            engine: engine.clone(),
        };
        let services = Services { log: Log::Engine(engine), store: Some(store.clone()), redis: None };
        let pipelines = plan.works.then(|| Pipelines::start(services, specs).unwrap());
        let floe = Floe::before(parts, directory, &GatewayConfig::default()).await;
        Self { floe, store, pipelines }
    }

    /// Stops in order: doors, pipelines, store, engine.
    pub(crate) async fn stop(mut self) {
        self.floe.close_doors().await;
        if let Some(pipelines) = self.pipelines {
            pipelines.drain(PATIENCE).await;
        }
        self.store.database().close().await;
    }

    /// Tracks an event and waits until it is stored.
    pub(crate) async fn stored(&self, event: Value) -> Value {
        let answer = self.post("/v1/event?wait=stored&wait_ms=20000", event).await;
        answer.ok(201)
    }

    /// Waits until everything that was accepted is processed or dead-lettered.
    pub(crate) async fn rest(&self) -> Value {
        self.until("/get_status", |status| status["in_flight"] == 0 && status["lag"] == 0).await
    }

    /// Asks until the answer is as hoped for.
    pub(crate) async fn until(&self, path: &str, hoped: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let asking = async {
            loop {
                let answer = self.get(path).await;
                last = if answer.status == 200 { answer.json() } else { Value::Null };
                if hoped(&last) {
                    break;
                }
                tokio::task::yield_now().await;
            }
        };
        let in_time = timeout(PATIENCE, asking).await;
        assert!(in_time.is_ok(), "{path} stayed at {last}");
        last
    }
}

/// An event of a type without schema.
pub(crate) fn note(id: &str, user: &str) -> Value {
    json!({ "id": id, "event_type": "note", "user_id": user, "data": { "n": 1 } })
}

/// An event that the pipeline can't store: `purchase` wants a numeric amount. Only `/register_event` takes it.
pub(crate) fn poison(id: &str) -> Value {
    json!({ "id": id, "event_type": "purchase", "user_id": "u", "data": { "amount": "a lot" } })
}
