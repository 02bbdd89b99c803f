//! Whether the sinks of a configuration could be opened, found out without connecting to anything.

use std::sync::Arc;

use floe_pipeline::{Log, RemoteLog, Services, sinks::Sink};
use floe_store::{Database, DatabaseUrl, EventStore};

use super::super::{ConfigErrors, Loaded};

/// What stands for a server, a database and a Redis that the environment or flags may name later.
const SERVER: &str = "http://127.0.0.1:8080";
const DATABASE: &str = "store.sqlite";
const REDIS: &str = "redis://127.0.0.1:6379";

/// Tries all sinks; tells all that can't be opened. Must be called inside a tokio runtime.
pub(crate) fn try_sinks(loaded: &Loaded) -> Result<(), ConfigErrors> {
    let services = stand_ins(loaded).map_err(|why| ConfigErrors(vec![why]))?;
    let mut errors = Vec::new();
    for pipeline in &loaded.pipelines {
        let name: Arc<str> = pipeline.spec.name.as_str().into();
        for (number, sink) in pipeline.spec.sinks.iter().enumerate() {
            if let Err(why) = Sink::open(sink, &name, &services) {
                let origin = &pipeline.origin;
                errors.push(format!("{origin}: pipeline '{name}', sink {}: {why}", number + 1));
            }
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(ConfigErrors(errors)) }
}

fn stand_ins(loaded: &Loaded) -> Result<Services, String> {
    let settings = &loaded.settings;
    let url = settings.store.clone().unwrap_or_else(|| DatabaseUrl::Sqlite(DATABASE.into()));
    let redis = settings.redis.as_ref().map_or(REDIS, |url| url.expose());
    Ok(Services {
        log: Log::Remote(RemoteLog::new(SERVER)?),
        store: Some(EventStore::new(Database::new(url)?, None)?),
        redis: Some(redis.to_owned()),
    })
}
