//! The database behind pipelines and events. Nothing here waits for it: what can't be reached is tried again for as
//! long as it takes, and said so.

use std::path::Path;

use floe_store::{Database, DatabaseUrl, EventStore};

use crate::{config::settings::Settings, exit};

/// The file of a server that has no other database.
const FILE: &str = "store.sqlite";

/// The database that is configured, or a file in the data directory; without either, none. Begins to connect.
pub(super) fn open(settings: &Settings, data_dir: Option<&Path>) -> anyhow::Result<Option<EventStore>> {
    let own = || data_dir.map(|directory| DatabaseUrl::Sqlite(directory.join(FILE)));
    let Some(url) = settings.store.clone().or_else(own) else { return Ok(None) };
    let database = Database::new(url).map_err(|why| exit::usage(format!("store.url: {why}")))?;
    let redis = settings.redis.as_ref().map(|url| url.expose().to_owned());
    let store = EventStore::new(database, redis).map_err(|why| exit::usage(format!("redis.url: {why}")))?;
    store.database().connect_in_background();
    Ok(Some(store))
}

/// The database for people; a file in the data directory isn't worth a word.
pub(super) fn shown(settings: &Settings) -> Option<String> {
    settings.store.as_ref().map(ToString::to_string)
}
