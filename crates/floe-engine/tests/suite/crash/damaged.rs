//! Damaged records cost themselves and nothing else: readers are told, groups get past them.

use std::time::Duration;

use floe_engine::{DeliveryMode, Engine, OffsetSpec, TopicStart};
use floe_testkit::faulty::FaultyStorage;

use super::workload::open;
use crate::{
    contract::poll::lease,
    stage::{make, offsets, partition_read, put, record_in, texts, topic_read},
};

/// Ten records, each in a frame of its own, of which `damaged` are not what was written.
async fn damaged(damaged: std::ops::Range<i64>) -> Engine {
    let storage = FaultyStorage::new(5);
    let engine = open(&storage);
    make(&engine, "t", 1).await;
    for number in 0..10 {
        put(&engine, "t", vec![record_in(0, format!("record number {number}"))]).await;
    }
    tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
    for (name, content) in storage.snapshot() {
        for number in damaged.clone() {
            let text = format!("record number {number}");
            let at = content.windows(text.len()).position(|window| window == text.as_bytes());
            if let Some(at) = at {
                storage.damage(&name, |bytes| bytes[at..at + 3].copy_from_slice(b"BAD"));
            }
        }
    }
    open(&storage)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_are_told_and_read_on() {
    let engine = damaged(3..5).await;
    let page = engine.read(partition_read("t", 0, OffsetSpec::Earliest)).await.unwrap();
    assert_eq!(offsets(&page.records), [0, 1, 2, 5, 6, 7, 8, 9]);
    let gaps: Vec<_> = page.gaps.iter().map(|gap| (gap.partition, gap.from, gap.to)).collect();
    assert_eq!(gaps, [(0, 3, 3), (0, 4, 4)]);
    let page = engine.read_topic(topic_read("t", TopicStart::Earliest)).await.unwrap();
    assert_eq!(texts(&page.records).len(), 8);
    assert_eq!(page.gaps.len(), 2);
    let told: Vec<_> = engine.health().damage.into_iter().filter_map(|damage| damage.records).collect();
    assert!(told.contains(&("t".into(), 0, 3, 3)) && told.contains(&("t".into(), 0, 4, 4)), "{told:?}");
    put(&engine, "t", vec![record_in(0, "on")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_get_past_damage() {
    let engine = damaged(0..4).await;
    for (group, mode) in
        [("commits", DeliveryMode::Commit), ("leases", DeliveryMode::Lease(Duration::from_secs(30)))]
    {
        let mut read = Vec::new();
        while read.len() < 6 {
            let poll = floe_engine::Poll { mode, ..lease(group, "t", 2, Duration::from_secs(30)) };
            let delivery = engine.poll(poll).await.unwrap();
            assert_eq!(delivery.id.is_some(), mode != DeliveryMode::Commit && !delivery.records.is_empty());
            read.extend(delivery.records.iter().map(|(_, record)| record.offset));
            if let Some(id) = delivery.id {
                engine.ack(group, &id).await.unwrap();
            }
        }
        assert_eq!(read, [4, 5, 6, 7, 8, 9]);
        assert_eq!(engine.describe_group(group).await.unwrap().partitions[0].committed, 10);
    }
    // of a partition that is damaged all through nothing can be given, and nobody waits for it
    let engine = damaged(0..10).await;
    let delivery = engine.poll(lease("g", "t", 100, Duration::from_secs(30))).await.unwrap();
    assert!(delivery.id.is_none() && delivery.records.is_empty());
    assert_eq!(engine.describe_group("g").await.unwrap().partitions[0].lag, 0);
}
