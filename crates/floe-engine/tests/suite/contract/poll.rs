//! Polling a group: each record to one reader at a time.

use std::{collections::BTreeSet, time::Duration};

use floe_engine::{Delivery, DeliveryMode, EngineError, OffsetSpec, Poll};

use crate::stage::{PATIENCE, Stage, make, put, put_counted, record_in};

const LEASE: Duration = Duration::from_secs(30);

pub(crate) fn lease(group: &str, topic: &str, max_records: usize, lease: Duration) -> Poll {
    Poll {
        group: group.into(),
        topics: vec![topic.into()],
        partition: None,
        max_records,
        max_bytes: 1 << 20,
        wait: Duration::ZERO,
        mode: DeliveryMode::Lease(lease),
        require_subscription: false,
    }
}

fn commit(group: &str, topic: &str, max_records: usize) -> Poll {
    Poll { mode: DeliveryMode::Commit, ..lease(group, topic, max_records, LEASE) }
}

fn got(delivery: &Delivery) -> Vec<i64> {
    delivery.records.iter().map(|(_, record)| record.offset).collect()
}

pub(crate) async fn committed(engine: &floe_engine::Engine, group: &str) -> Vec<i64> {
    engine
        .describe_group(group)
        .await
        .unwrap()
        .partitions
        .iter()
        .map(|partition| partition.committed)
        .collect()
}

pub(crate) async fn records_are_acknowledged_once(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 1).await;
    put_counted(&engine, "t", 10).await;
    let first = engine.poll(lease("g", "t", 4, LEASE)).await.unwrap();
    assert_eq!(got(&first), [0, 1, 2, 3]);
    assert_eq!(first.next_offsets, [("t".to_owned(), 0, 4)]);
    let id = first.id.unwrap();
    engine.ack("g", &id).await.unwrap();
    assert_eq!(committed(&engine, "g").await, [4]);
    let not_open = EngineError::DeliveryNotOpen { group: "g".into(), delivery: id.clone() };
    assert_eq!(engine.ack("g", &id).await.unwrap_err(), not_open);
    assert!(engine.ack("g", "nonsense").await.is_err());
    let missing = engine.ack("none", &id).await.unwrap_err();
    assert_eq!(missing, EngineError::GroupNotFound { group: "none".into() });
    assert_eq!(got(&engine.poll(lease("g", "t", 100, LEASE)).await.unwrap()), [4, 5, 6, 7, 8, 9]);
    let empty = engine.poll(lease("g", "t", 100, LEASE)).await.unwrap();
    assert!(empty.id.is_none() && empty.records.is_empty());
}

pub(crate) async fn a_lease_that_runs_out_is_given_out_again(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 1).await;
    put_counted(&engine, "t", 3).await;
    let first = engine.poll(lease("g", "t", 10, LEASE)).await.unwrap();
    stage.clocks.pass(LEASE - Duration::from_millis(1));
    assert!(engine.poll(lease("g", "t", 10, LEASE)).await.unwrap().records.is_empty());
    stage.clocks.pass(Duration::from_millis(1));
    let again = engine.poll(lease("g", "t", 10, LEASE)).await.unwrap();
    assert_eq!(got(&again), got(&first));
    assert!(engine.ack("g", &first.id.unwrap()).await.is_err(), "the first lease is over");
    engine.ack("g", &again.id.unwrap()).await.unwrap();
    assert_eq!(committed(&engine, "g").await, [3]);
    // the wall clock decides nothing here
    put_counted(&engine, "t", 1).await;
    let held = engine.poll(lease("g", "t", 10, LEASE)).await.unwrap();
    stage.clocks.set_ahead(Duration::from_secs(10 * 365 * 86_400));
    assert!(engine.poll(lease("g", "t", 10, LEASE)).await.unwrap().records.is_empty());
    engine.ack("g", &held.id.unwrap()).await.unwrap();
}

pub(crate) async fn acknowledgements_may_come_in_any_order(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 1).await;
    put_counted(&engine, "t", 9).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(engine.poll(lease("g", "t", 3, LEASE)).await.unwrap().id.unwrap());
    }
    engine.ack("g", &ids[2]).await.unwrap();
    assert!(committed(&engine, "g").await.is_empty(), "nothing is committed before what is open");
    engine.ack("g", &ids[0]).await.unwrap();
    assert_eq!(committed(&engine, "g").await, [3]);
    engine.ack("g", &ids[1]).await.unwrap();
    assert_eq!(committed(&engine, "g").await, [9]);
}

pub(crate) async fn two_readers_never_get_the_same_record(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 2).await;
    let values = (0..600).map(|number| record_in(number % 2, number.to_string()));
    put(&engine, "t", values.collect()).await;
    for group in ["commits", "leases"] {
        let readers: Vec<_> = (0..8)
            .map(|_| {
                let engine = engine.clone();
                tokio::spawn(async move {
                    let mut read = Vec::new();
                    loop {
                        let poll = if group == "commits" {
                            commit(group, "t", 7)
                        } else {
                            lease(group, "t", 7, LEASE)
                        };
                        let delivery = engine.poll(poll).await.unwrap();
                        if delivery.records.is_empty() {
                            return read;
                        }
                        read.extend(
                            delivery.records.iter().map(|(_, record)| (record.partition, record.offset)),
                        );
                        if let Some(id) = delivery.id {
                            engine.ack(group, &id).await.unwrap();
                        }
                    }
                })
            })
            .collect();
        let mut all = Vec::new();
        for reader in readers {
            all.extend(reader.await.unwrap());
        }
        assert_eq!(all.len(), 600, "{group}");
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 600, "{group}");
        assert_eq!(committed(&engine, group).await, [300, 300]);
    }
}

pub(crate) async fn what_is_committed_at_once_survives_a_restart(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 1).await;
    put_counted(&engine, "t", 6).await;
    let first = engine.poll(commit("g", "t", 2)).await.unwrap();
    assert!(first.id.is_none());
    assert_eq!(got(&first), [0, 1]);
    let engine = stage.reopen();
    assert_eq!(got(&engine.poll(commit("g", "t", 2)).await.unwrap()), [2, 3]);
    let left = engine.poll(lease("g", "t", 10, LEASE)).await.unwrap();
    assert_eq!(got(&left), [4, 5]);
    // a lease doesn't outlive the engine
    assert_eq!(got(&stage.reopen().poll(lease("g", "t", 10, LEASE)).await.unwrap()), [4, 5]);
}

/// A position can't be committed over records that somebody else may still have to be given again.
pub(crate) async fn committing_readers_wait_for_open_leases(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 1).await;
    put_counted(&engine, "t", 6).await;
    let open = engine.poll(lease("g", "t", 2, LEASE)).await.unwrap();
    assert!(engine.poll(commit("g", "t", 10)).await.unwrap().records.is_empty());
    engine.ack("g", &open.id.unwrap()).await.unwrap();
    assert_eq!(got(&engine.poll(commit("g", "t", 10)).await.unwrap()), [2, 3, 4, 5]);
    assert_eq!(committed(&engine, "g").await, [6]);
}

pub(crate) async fn a_poll_without_subscription_is_refused_when_one_is_required(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 2).await;
    put_counted(&engine, "t", 2).await;
    let required = || Poll { require_subscription: true, ..commit("g", "t", 10) };
    let refused = EngineError::NotSubscribed { group: "g".into(), topic: "t".into() };
    assert_eq!(engine.poll(required()).await.unwrap_err(), refused);
    engine.subscribe_group("g", "t", OffsetSpec::Earliest).await.unwrap();
    assert_eq!(engine.poll(required()).await.unwrap().records.len(), 2);
    engine.unsubscribe_group("g", "t").await.unwrap();
    assert_eq!(engine.poll(required()).await.unwrap_err(), refused);
    assert_eq!(engine.unsubscribe_group("g", "t").await.unwrap_err(), refused);
}

pub(crate) async fn one_partition_can_be_polled_alone(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 3).await;
    put(&engine, "t", (0..3).map(|partition| record_in(partition, "v")).collect()).await;
    let one = |partition| Poll { partition: Some(partition), ..commit("g", "t", 10) };
    let delivery = engine.poll(one(1)).await.unwrap();
    assert_eq!(delivery.records.len(), 1);
    assert_eq!(delivery.next_offsets, [("t".to_owned(), 1, 1)]);
    assert!(engine.poll(one(1)).await.unwrap().records.is_empty());
    assert!(matches!(engine.poll(one(3)).await, Err(EngineError::PartitionNotFound { .. })));
    assert_eq!(engine.poll(commit("g", "t", 10)).await.unwrap().records.len(), 2);
}

pub(crate) async fn a_poll_that_waits_is_woken(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "a", 1).await;
    make(&engine, "b", 1).await;
    let poll = Poll { topics: vec!["a".into(), "b".into()], wait: PATIENCE, ..lease("g", "a", 10, LEASE) };
    let waiting = {
        let engine = engine.clone();
        tokio::spawn(async move { engine.poll(poll).await })
    };
    put_counted(&engine, "b", 1).await;
    assert_eq!(waiting.await.unwrap().unwrap().records[0].0, "b");
}
