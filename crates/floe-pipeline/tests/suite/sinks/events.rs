//! The event store as a sink.

use floe_pipeline::{
    Log, Services,
    sinks::{Batch, DeliveryError, Sink},
};
use floe_store::{Database, DatabaseUrl, EventFilter, EventStore, ListOrder};
use serde_json::json;
use tempfile::TempDir;

use super::{Stage, batch, header, key, record, spec};

struct Store {
    store: EventStore,
    sink: Sink,
    _folder: TempDir,
}

fn open(stage: &Stage) -> Store {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::new(DatabaseUrl::Sqlite(folder.path().join("store.sqlite"))).unwrap();
    let store = EventStore::new(database, None).unwrap();
    let log = Log::Engine(stage.engine.clone());
    let services = Services { log, store: Some(store.clone()), redis: None };
    let sink = Sink::open(&spec(json!({"type": "events"})), &"p".into(), &services).unwrap();
    Store { store, sink, _folder: folder }
}

async fn ids(store: &EventStore) -> Vec<String> {
    let events = store.page(&EventFilter::default(), ListOrder::OldestFirst, None, 100).await.unwrap().events;
    events.into_iter().map(|event| event.id).collect()
}

#[tokio::test]
async fn events_are_stored_with_their_place() {
    let stage = Stage::new();
    let store = open(&stage);
    assert_eq!(store.sink.label(), "events");
    let mut hold = store.sink.claim(&key(2), "w1").await.unwrap();
    let value = r#"{"id": "e1", "type": "login", "user_id": 7, "data": {"a":  1}, "timestamp": "2026-01-31T09:00:00Z"}"#;
    let mut second = record(8, r#"{"note": "nothing else"}"#);
    second.headers = vec![header("event-id", "made")];
    hold.deliver(&batch(vec![record(7, value), second, record(9, "{}")])).await.unwrap();
    assert_eq!(hold.position(), Some(10));
    assert_eq!(ids(&store.store).await, ["e1", "made", "in-2-9"]);
    let event = store.store.get("e1").await.unwrap().unwrap();
    assert_eq!((event.topic.as_str(), event.partition, event.offset), ("in", 2, 7));
    assert_eq!((event.event_type.as_deref(), event.user_id.as_deref()), (Some("login"), Some("7")));
    assert_eq!((&event.data[..], event.timestamp), (&br#"{"a":  1}"#[..], 1_769_850_000_000));
    let event = store.store.get("made").await.unwrap().unwrap();
    assert_eq!((&event.data[..], event.timestamp), (&br#"{"note": "nothing else"}"#[..], 1_769_853_600_000));
}

#[tokio::test]
async fn what_is_no_event_is_poison_by_its_place() {
    let stage = Stage::new();
    let store = open(&stage);
    let mut hold = store.sink.claim(&key(0), "w1").await.unwrap();
    hold.deliver(&batch(vec![record(0, "{}")])).await.unwrap();
    let long = format!(r#"{{"user_id": "{}"}}"#, "x".repeat(2_000));
    let records = |bad: &str| vec![record(0, "{}"), record(1, "{}"), record(2, bad)];
    for bad in ["[1]", "no JSON", long.as_str()] {
        let refused = hold.deliver(&batch(records(bad))).await.unwrap_err();
        let DeliveryError::Poison { delivered: 1, records } = refused else { panic!("{refused:?}") };
        assert_eq!((records.len(), records[0].0), (1, 2), "{records:?}");
    }
    assert_eq!(hold.position(), Some(1), "nothing of such a batch is stored");
    hold.deliver(&Batch { records: vec![record(1, "{}")], next_offset: 3 }).await.unwrap();
    assert_eq!(ids(&store.store).await, ["in-0-0", "in-0-1"]);
}

#[tokio::test]
async fn a_partition_has_one_owner() {
    let stage = Stage::new();
    let store = open(&stage);
    let mut old = store.sink.claim(&key(0), "w1").await.unwrap();
    let mut new = store.sink.claim(&key(0), "w2").await.unwrap();
    assert_eq!(old.deliver(&batch(vec![record(0, "{}")])).await, Err(DeliveryError::Fenced));
    new.deliver(&batch(vec![record(0, "{}")])).await.unwrap();
    assert_eq!(ids(&store.store).await, ["in-0-0"]);
    let without = Services { log: Log::Engine(stage.engine.clone()), store: None, redis: None };
    let why = Sink::open(&spec(json!({"type": "events"})), &"p".into(), &without).unwrap_err();
    assert!(why.contains("no event store"), "{why}");
}
