//! What is not on disk is nobody's to see, and only so much may wait for the disk.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use floe_engine::{
    Acks, Append, Engine, EngineError, OffsetSpec, PartitionRead, StorageState, TopicRead, TopicSpec,
    TopicStart,
};

use crate::{
    gate::GatedStorage,
    stage::{
        Clocks, JANITOR, START_MS, append_of, journal, make, not_found, partition_read, put, put_counted,
        read_all, read_partition, record, record_in, texts, topic_read, until,
    },
};

fn open(storage: &GatedStorage) -> Engine {
    Engine::embedded_with(Arc::new(storage.clone()), journal(8 << 20), Clocks::new(START_MS).clock(), JANITOR)
        .unwrap()
}

/// Everything that readers can ask, while a sync doesn't come back: nothing of what waits for it is seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_on_disk_is_not_seen() {
    let storage = GatedStorage::new();
    let engine = open(&storage);
    make(&engine, "t", 1).await;
    put_counted(&engine, "t", 3).await;
    let mut tail = engine.tail("t").await.unwrap();
    let held = storage.shut();
    // accepted by the log, not on disk: the answer comes, readers see nothing
    let written = Append { acks: Some(Acks::Written), ..append_of("t", vec![record_in(0, "held")]) };
    assert_eq!(engine.append(written).await.unwrap().placements[0].offset, 3);
    let durable = {
        let engine = engine.clone();
        tokio::spawn(async move { put(&engine, "t", vec![record_in(0, "later")]).await })
    };
    let created = {
        let engine = engine.clone();
        tokio::spawn(async move {
            let spec = TopicSpec { name: "new".into(), partitions: 1, config: Default::default() };
            engine.create_topic(spec).await
        })
    };
    let grown = {
        let engine = engine.clone();
        tokio::spawn(async move { engine.alter_topic("t", Some(4), Default::default()).await })
    };
    for from in [OffsetSpec::Earliest, OffsetSpec::Offset(1), OffsetSpec::Latest] {
        let read = PartitionRead { wait: Duration::from_millis(5), ..partition_read("t", 0, from) };
        let page = engine.read(read).await.unwrap();
        assert!(page.records.iter().all(|record| record.offset < 3), "{:?}", texts(&page.records));
        assert_eq!(page.high_watermark, 3);
    }
    for from in [TopicStart::Earliest, TopicStart::Newest(10), TopicStart::Latest, TopicStart::Time(0)] {
        let read = TopicRead { wait: Duration::from_millis(5), ..topic_read("t", from) };
        assert!(engine.read_topic(read).await.unwrap().records.iter().all(|record| record.offset < 3));
    }
    let poll = crate::contract::poll::lease("g", "t", 100, Duration::from_secs(5));
    assert_eq!(engine.poll(poll).await.unwrap().records.len(), 3);
    let followed = tokio::time::timeout(Duration::from_millis(20), tail.next()).await;
    assert!(followed.is_err(), "{followed:?}");
    assert_eq!(engine.describe_topic("new").await.unwrap_err(), not_found("new"));
    assert_eq!(engine.describe_topic("t").await.unwrap().partitions.len(), 1);
    assert_eq!(engine.offset_for("t", 0, OffsetSpec::Latest).await.unwrap(), 3);
    assert!(!durable.is_finished());
    drop(held);
    assert_eq!(durable.await.unwrap().placements[0].offset, 4);
    created.await.unwrap().unwrap();
    assert_eq!(grown.await.unwrap().unwrap().partitions.len(), 4);
    let followed = tail.next().await.unwrap();
    assert_eq!(texts(&followed)[0], "held");
    assert_eq!(read_partition(&engine, "t", 0).await.len(), 5);
}

/// More than may wait is refused at once, what keeps readers going is not, and all that was taken is stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_much_that_waits_is_refused() {
    let storage = GatedStorage::new();
    let engine = open(&storage);
    make(&engine, "t", 1).await;
    let held = storage.shut();
    let mut waiting = Vec::new();
    let refused = loop {
        let send = Append { acks: Some(Acks::None), ..append_of("t", vec![record("", vec![0; 1_000_000])]) };
        match engine.append(send).await {
            Ok(_) => waiting.push(()),
            Err(error) => break error,
        }
    };
    let EngineError::Overloaded { queued_bytes } = refused else { panic!("{refused}") };
    assert!((62 << 20..=64 << 20).contains(&queued_bytes), "{queued_bytes}");
    // the writer may have taken a group ahead since
    assert!((1..=queued_bytes).contains(&engine.health().queued_bytes));
    assert_eq!(engine.health().storage, StorageState::Writable);
    let commit = {
        let engine = engine.clone();
        tokio::spawn(async move { engine.commit("g", None, vec![("t".into(), 0, 0)]).await })
    };
    drop(held);
    commit.await.unwrap().unwrap();
    put(&engine, "t", vec![record("", "after")]).await;
    assert_eq!(read_all(&engine, "t").await.len(), waiting.len() + 1);
    assert!((60..80).contains(&waiting.len()), "{}", waiting.len());
}

/// A panic of the thread that writes stops writing; nobody waits for an answer that never comes, and reads go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_of_the_writer_stops_writing() {
    let storage = GatedStorage::new();
    let engine = open(&storage);
    make(&engine, "t", 1).await;
    put_counted(&engine, "t", 3).await;
    storage.panic_at_next_write();
    let failed = EngineError::StorageFailed;
    for _ in 0..3 {
        let refused = engine.append(append_of("t", vec![record_in(0, "v")])).await.unwrap_err();
        assert_eq!(refused, failed);
    }
    assert_eq!(engine.commit("g", None, vec![("t".into(), 0, 0)]).await.unwrap_err(), failed);
    assert_eq!(engine.health().storage, StorageState::Failed);
    assert_eq!(read_all(&engine, "t").await.len(), 3);
    tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
    assert_eq!(read_all(&open(&storage), "t").await.len(), 3);
}

/// An accepted request is answered before the engine stops.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_finishes_what_was_taken() {
    let storage = GatedStorage::new();
    let engine = open(&storage);
    make(&engine, "t", 1).await;
    let held = storage.shut();
    let started = Arc::new(AtomicUsize::new(0));
    let sends: Vec<_> = (0..50)
        .map(|number: i32| {
            let (engine, started) = (engine.clone(), started.clone());
            tokio::spawn(async move {
                started.fetch_add(1, Ordering::SeqCst);
                engine.append(append_of("t", vec![record_in(0, number.to_string())])).await
            })
        })
        .collect();
    until("they are sent", async || started.load(Ordering::SeqCst) == 50).await;
    let closing = {
        let engine = engine.clone();
        tokio::task::spawn_blocking(move || engine.close())
    };
    until("it stops", async || engine.health().storage == StorageState::Stopping).await;
    drop(held);
    closing.await.unwrap();
    let mut stored = 0;
    for send in sends {
        match send.await.unwrap() {
            Ok(_) => stored += 1,
            Err(error) => assert_eq!(error, EngineError::Stopping),
        }
    }
    assert!(stored > 20, "{stored}");
    drop(engine);
    assert_eq!(read_all(&open(&storage), "t").await.len(), stored);
}
