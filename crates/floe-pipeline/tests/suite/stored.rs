//! The built-in pipeline: events into the event store, each once.

use std::{collections::BTreeMap, path::Path, time::Duration};

use floe_engine::NewRecord;
use floe_pipeline::{
    DeadLetters, Directory, EVENTS_STORE, EVENTS_TOPIC, Log, Pipelines, Services, events_store,
};
use floe_store::{Database, DatabaseUrl, EventFilter, EventStore, ListOrder, PositionKey};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use crate::stage::{Stage, until};

fn store(file: &Path) -> EventStore {
    let database = Database::new(DatabaseUrl::Sqlite(file.to_owned())).unwrap();
    EventStore::new(database, None).unwrap()
}

fn start(stage: &Stage, store: &EventStore) -> Pipelines {
    let services = Services { log: Log::Engine(stage.engine()), store: Some(store.clone()), redis: None };
    Pipelines::start(services, vec![events_store(BTreeMap::new(), false)]).unwrap()
}

async fn put(stage: &Stage, events: Vec<(u32, Value)>) {
    let record = |(partition, event): (u32, Value)| NewRecord {
        partition: Some(partition),
        value: Some(event.to_string().into()),
        ..NewRecord::default()
    };
    stage.put_records(EVENTS_TOPIC, events.into_iter().map(record).collect()).await;
}

async fn lag(stage: &Stage) -> Option<u64> {
    let group = stage.engine().describe_group("pipeline:events-store").await.ok()?;
    (!group.partitions.is_empty()).then(|| group.partitions.iter().map(|at| at.lag).sum())
}

async fn rows(store: &EventStore) -> Vec<String> {
    let (mut ids, mut cursor) = (Vec::new(), None);
    loop {
        let page =
            store.page(&EventFilter::default(), ListOrder::OldestFirst, cursor, 1_000).await.unwrap().events;
        cursor = page.last().map(|event| event.seq).or(cursor);
        if page.is_empty() {
            return ids;
        }
        ids.extend(page.into_iter().map(|event| event.id));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_checked_and_stored() {
    let stage = Stage::new();
    stage.make(EVENTS_TOPIC, 1).await;
    let store = store(&stage.path("store.sqlite"));
    let event = |id: &str, kind: &str, data: Value| {
        (0, json!({ "id": id, "event_type": kind, "user_id": "u", "data": data }))
    };
    put(
        &stage,
        vec![
            event("a", "purchase", json!({ "amount": 12.5 })),
            event("b", "purchase", json!({ "amount": "a lot" })),
            event("c", "login", json!({})),
            (0, json!({ "id": "d", "type": "purchase", "user_id": "u", "data": {} })),
            event("e", "something else", json!({ "amount": "whatever" })),
            (0, json!({ "whatever": "there is" })),
            (0, json!("not an object")),
            event("a", "purchase", json!({ "amount": 1 })),
        ],
    )
    .await;
    let running = start(&stage, &store);
    until("all is done", async || lag(&stage).await == Some(0)).await;
    assert_eq!(rows(&store).await, ["a", "c", "e", "events-0-5"]);
    let letters = DeadLetters::new(stage.engine()).list(EVENTS_STORE, None, 10, false).await.unwrap().letters;
    let offsets: Vec<_> = letters.iter().map(|letter| letter.origin.as_ref().unwrap().offset).collect();
    assert_eq!(offsets, [1, 3, 6]);
    assert!(letters[0].error.contains("/data/amount"), "{}", letters[0].error);
    running.drain(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_knows_more_than_the_log_stops_the_pipeline() {
    let stage = Stage::new();
    stage.make(EVENTS_TOPIC, 1).await;
    let store = store(&stage.path("store.sqlite"));
    let key = PositionKey {
        log: stage.engine().log_id().await.unwrap().into(),
        pipeline: EVENTS_STORE.into(),
        topic: EVENTS_TOPIC.into(),
        topic_id: stage.engine().topic_summary(EVENTS_TOPIC).await.unwrap().id,
        partition: 0,
    };
    let claim = store.claim(&key, "an earlier life").await.unwrap();
    store.write(&key, &claim, Vec::new(), 1_000).await.unwrap();
    put(&stage, vec![(0, json!({ "id": "a", "event_type": "click", "user_id": "u" }))]).await;
    let running = start(&stage, &store);
    let directory = Directory::new(stage.engine(), &[]);
    for _ in 0..2 {
        until("it has failed", async || {
            let view = directory.get(EVENTS_STORE).await.unwrap();
            view.is_some_and(|view| {
                view.state == "failed" && view.reason.is_some_and(|why| why.contains("older copy of the log"))
            })
        })
        .await;
        assert!(rows(&store).await.is_empty());
        // resuming alone changes nothing
        directory.resume(EVENTS_STORE).await.unwrap();
    }
    running.drain(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_workers_store_each_event_once() {
    let seed = std::env::var("FLOE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(24);
    // FLOE_TORTURE=1 for a long run
    let kills = if std::env::var_os("FLOE_TORTURE").is_some() { 200 } else { 20 };
    println!("FLOE_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let stage = Stage::new();
    stage.make(EVENTS_TOPIC, 3).await;
    let file = stage.path("store.sqlite");
    let store = store(&file);
    let mut workers = vec![start(&stage, &store), start(&stage, &store)];
    let mut count = 0;
    for _ in 0..kills {
        let mut events = Vec::new();
        for _ in 0..random.random_range(50..400) {
            // no id of its own: a repeat would be another row, were it not for the positions
            events.push((
                random.random_range(0..3),
                json!({ "event_type": "click", "user_id": "u", "n": count }),
            ));
            count += 1;
        }
        put(&stage, events).await;
        let enough = random.random_range(0..count);
        until("some are done", async || lag(&stage).await.is_some_and(|lag| lag <= enough)).await;
        drop(workers.swap_remove(random.random_range(0..workers.len())));
        if random.random_bool(0.7) {
            stage.pass(Duration::from_secs(10));
        }
        workers.push(start(&stage, &store));
    }
    stage.pass(Duration::from_secs(60));
    until("all is done", async || lag(&stage).await == Some(0)).await;
    let mut ids = rows(&store).await;
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!((all as u64, ids.len() as u64), (count, count), "each once");
    let directory = Directory::new(stage.engine(), &[]);
    assert_eq!(directory.get(EVENTS_STORE).await.unwrap().unwrap().dead_lettered, 0);
    for worker in workers {
        worker.drain(Duration::from_secs(10)).await;
    }
}
