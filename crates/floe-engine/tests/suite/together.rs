//! Several processes on one cluster, as engines side by side: they share nothing but the cluster.

use std::{collections::BTreeSet, time::Duration};

use floe_engine::{Clock, DeliveryMode, Engine, EngineError, OffsetSpec, Poll, StoredRecord, Tail, TailEnd};

use crate::{
    cluster::Cluster,
    stage::{append_of, keyed, make, make_with, put, read_all, record, record_in, texts, until},
};

const LEASE: Duration = Duration::from_secs(30);

/// Two engines on an empty cluster, which is this case's as long as it holds it.
async fn two() -> (Engine, Engine, Cluster) {
    let cluster = Cluster::kraft().await;
    cluster.empty().await;
    let (one, two) = (cluster.open(Clock::system()), cluster.open(Clock::system()));
    until("both are ready", async || one.ready().await.is_ok() && two.ready().await.is_ok()).await;
    (one, two, cluster)
}

fn poll(group: &str, mode: DeliveryMode) -> Poll {
    Poll {
        group: group.into(),
        topics: vec!["t".into()],
        partition: None,
        max_records: 7,
        max_bytes: 1 << 20,
        wait: Duration::ZERO,
        mode,
        require_subscription: false,
    }
}

async fn take(tail: &mut Tail, count: usize) -> Vec<StoredRecord> {
    let mut records = Vec::new();
    while records.len() < count {
        records.extend(tail.next().await.unwrap());
    }
    records
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_reaches_those_who_follow_elsewhere() {
    let (one, two, _cluster) = two().await;
    make(&one, "t", 3).await;
    let (mut here, mut there) = (one.tail("t").await.unwrap(), two.tail("t").await.unwrap());
    for number in 0..30u32 {
        let engine = if number % 2 == 0 { &one } else { &two };
        put(engine, "t", vec![record_in(number % 3, number.to_string())]).await;
    }
    for tail in [&mut here, &mut there] {
        let mut got: Vec<u32> =
            texts(&take(tail, 30).await).iter().map(|text| text.parse().unwrap()).collect();
        got.sort_unstable();
        assert_eq!(got, (0..30).collect::<Vec<_>>());
    }
    two.delete_topic("t").await.unwrap();
    assert_eq!(here.next().await.unwrap_err(), TailEnd::Deleted, "who deleted it was somebody else");
    one.close();
    two.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_never_hand_out_the_same_record() {
    let (one, two, _cluster) = two().await;
    make(&one, "t", 2).await;
    put(&one, "t", (0..400).map(|number| record_in(number % 2, number.to_string())).collect()).await;
    for (group, mode) in [("commits", DeliveryMode::Commit), ("leases", DeliveryMode::Lease(LEASE))] {
        let readers: Vec<_> = (0..6)
            .map(|number| {
                let engine = if number % 2 == 0 { one.clone() } else { two.clone() };
                tokio::spawn(async move {
                    let (mut read, mut empty) = (Vec::new(), 0);
                    // others may hold what is left for a moment
                    while empty < 3 {
                        let delivery = engine.poll(poll(group, mode)).await.unwrap();
                        empty = if delivery.records.is_empty() { empty + 1 } else { 0 };
                        read.extend(delivery.records.iter().map(|(_, at)| (at.partition, at.offset)));
                        if let Some(id) = delivery.id {
                            engine.ack(group, &id).await.unwrap();
                        }
                    }
                    read
                })
            })
            .collect();
        let mut all = Vec::new();
        for reader in readers {
            all.extend(reader.await.unwrap());
        }
        assert_eq!(all.len(), all.iter().collect::<BTreeSet<_>>().len(), "{group}: none twice");
        // what nobody got when all had given up is still there
        while let delivery = one.poll(poll(group, mode)).await.unwrap()
            && !delivery.records.is_empty()
        {
            all.extend(delivery.records.iter().map(|(_, at)| (at.partition, at.offset)));
        }
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 400, "{group}: none lost");
    }
    one.close();
    two.close();
}

/// A delivery that one process gave out is acknowledged at another; and what a process holds when it stops is free.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_belong_to_nobody() {
    let (one, two, _cluster) = two().await;
    make(&one, "t", 1).await;
    put(&one, "t", (0..7).map(|number| record_in(0, number.to_string())).collect()).await;
    let mode = DeliveryMode::Lease(LEASE);
    let given = one.poll(Poll { max_records: 3, ..poll("g", mode) }).await.unwrap();
    two.ack("g", &given.id.unwrap()).await.unwrap();
    until("the position is behind them", async || {
        one.describe_group("g").await.unwrap().partitions[0].committed == 3
    })
    .await;
    let held = one.poll(poll("g", mode)).await.unwrap();
    assert_eq!(held.records.len(), 4);
    assert!(two.poll(poll("g", mode)).await.unwrap().records.is_empty());
    let refused = two.reset_group("g", "t", None, OffsetSpec::Earliest).await.unwrap_err();
    assert_eq!(refused, EngineError::GroupActive { group: "g".into(), members: 0, leases: 1 });
    one.close();
    assert_eq!(two.poll(poll("g", mode)).await.unwrap().records.len(), 4);
    two.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_used_once_wherever_it_is_sent() {
    let (one, two, _cluster) = two().await;
    make(&one, "t", 4).await;
    let senders: Vec<_> = (0..60)
        .map(|number| {
            let engine = if number % 2 == 0 { one.clone() } else { two.clone() };
            tokio::spawn(async move {
                let records = vec![record("a", "1"), record("b", "2"), record("c", "3")];
                engine.append(keyed(append_of("t", records), "key", 1)).await.unwrap()
            })
        })
        .collect();
    let mut answers = Vec::new();
    for sender in senders {
        answers.push(sender.await.unwrap());
    }
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    assert!(answers.iter().all(|answer| answer.placements == answers[0].placements));
    assert_eq!(read_all(&two, "t").await.len(), 3);
    let other = two.append(keyed(append_of("t", vec![record("", "other")]), "key", 2)).await.unwrap_err();
    assert_eq!(other, EngineError::IdempotencyConflict { topic: "t".into(), key: "key".into() });
    one.close();
    two.close();
}

/// Also while a process still believes in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_deleted_elsewhere_is_not_found() {
    let (one, two, _cluster) = two().await;
    make(&one, "t", 1).await;
    put(&one, "t", vec![record("", "1")]).await;
    two.delete_topic("t").await.unwrap();
    let gone = EngineError::TopicNotFound { topic: "t".into() };
    assert_eq!(one.append(append_of("t", vec![record("", "2")])).await.unwrap_err(), gone);
    make(&two, "t", 1).await;
    until("the new one is known", async || one.append(append_of("t", vec![record("", "3")])).await.is_ok())
        .await;
    assert_eq!(texts(&read_all(&two, "t").await), ["3"]);
    one.close();
    two.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_and_topics_are_known_everywhere() {
    let (one, two, _cluster) = two().await;
    make_with(&one, "t", 2, &[("floe.live.queue.size", "7"), ("retention.ms", "123456789")]).await;
    until("the other knows Floe's own settings", async || {
        two.topic_config("t").await.unwrap()["floe.live.queue.size"] == "7"
    })
    .await;
    assert_eq!(two.topic_config("t").await.unwrap()["retention.ms"], "123456789");
    one.alter_topic("t", Some(5), std::collections::BTreeMap::new()).await.unwrap();
    until("the other knows the new partitions", async || {
        two.describe_topic("t").await.unwrap().partitions.len() == 5
    })
    .await;
    let session = Duration::from_secs(10);
    let member = one.join_group("g", "here", vec!["t".into()], session).await.unwrap().member;
    one.heartbeat("g", &member, Some("busy".into())).await.unwrap();
    until("the other sees the member and what it says", async || {
        one.heartbeat("g", &member, None).await.unwrap();
        let group = two.describe_group("g").await.unwrap();
        group.members.len() == 1 && group.members[0].client_id == "here" && group.members[0].status == "busy"
    })
    .await;
    one.close();
    two.close();
}
