//! Each sink by itself: opened, claimed, delivered to.

mod events;
mod file;
mod file_kill;
mod redis;
mod sql;
mod stdout;
mod topic;
mod webhook;

use std::sync::Arc;

use bytes::Bytes;
use floe_engine::{Clock, Engine, Header, TopicSpec};
use floe_journal::JournalConfig;
use floe_pipeline::{
    Log, Services,
    sinks::{Batch, DeliveryError, Hold, Outgoing, Sink, SinkSpec},
};
use floe_store::PositionKey;
use floe_testkit::faulty::FaultyStorage;
use serde_json::Value;

/// An engine on a disk in memory.
struct Stage {
    engine: Engine,
}

impl Stage {
    fn new() -> Self {
        let journal = JournalConfig { segment_bytes: 4 << 20, tail_cache_bytes: 1 << 20 };
        let storage = Arc::new(FaultyStorage::new(1));
        Self { engine: Engine::embedded_on(storage, journal, Clock::system()).unwrap() }
    }

    async fn topic(&self, name: &str, partitions: u32) {
        let spec = TopicSpec { name: name.into(), partitions, config: Default::default() };
        self.engine.create_topic(spec).await.unwrap();
    }

    fn open(&self, config: Value) -> Result<Sink, String> {
        let services = Services { log: Log::Engine(self.engine.clone()), store: None, redis: None };
        Sink::open(&spec(config), &"p".into(), &services)
    }

    async fn hold(&self, config: Value) -> Hold {
        self.open(config).unwrap().claim(&key(0), "w1").await.unwrap()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.engine.close();
    }
}

/// As it comes from the configuration file.
fn spec(config: Value) -> SinkSpec {
    serde_json::from_value(config).unwrap()
}

/// What the configuration's reader says.
fn unreadable(config: Value) -> String {
    serde_json::from_value::<SinkSpec>(config).unwrap_err().to_string()
}

fn key(partition: u32) -> PositionKey {
    PositionKey { log: "L1".into(), pipeline: "p".into(), topic: "in".into(), topic_id: 9, partition }
}

fn record(offset: i64, value: &str) -> Outgoing {
    Outgoing {
        offset,
        index: 0,
        timestamp: 1_769_853_600_000,
        key: Some(Bytes::from(format!("k{offset}"))),
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
        headers: vec![],
    }
}

fn header(name: &'static str, value: &'static str) -> Header {
    Header { name: name.into(), value: Some(Bytes::from_static(value.as_bytes())) }
}

fn batch(records: Vec<Outgoing>) -> Batch {
    let next_offset = records.last().map_or(0, |record| record.offset + 1);
    Batch { records, next_offset }
}

fn fatal(error: &DeliveryError) -> &str {
    match error {
        DeliveryError::Fatal(why) => why,
        other => panic!("not fatal: {other:?}"),
    }
}

fn unavailable(error: &DeliveryError) -> &str {
    match error {
        DeliveryError::Unavailable(why) => why,
        other => panic!("not an outage: {other:?}"),
    }
}

#[test]
fn a_configuration_with_an_unknown_field_is_refused() {
    for kind in ["file", "stdout", "webhook", "redis", "topic"] {
        let said = unreadable(serde_json::json!({
            "type": kind, "path": "x", "url": "http://x", "mode": "pubsub", "topic": "t", "pathh": 1,
        }));
        assert!(said.contains("unknown field"), "{kind}: {said}");
    }
    assert!(unreadable(serde_json::json!({"type": "files"})).contains("unknown variant `files`"));
}
