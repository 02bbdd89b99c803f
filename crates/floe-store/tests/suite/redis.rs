//! Notices between gateways.

use std::time::{Duration, Instant};

use floe_store::{ConnectionState, EventFilter, EventStore};
use floe_testkit::services::Redis;
use futures_util::StreamExt as _;

use crate::stage::{PATIENCE, Stage, claimed, events, key};

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn store(stage: &Stage, redis: &Redis) -> EventStore {
    EventStore::new(stage.database(), Some(redis.url())).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_tell_each_other_and_anybody_can_listen() {
    let (stage, redis) = (Stage::postgres(), Redis::start());
    let (here, there) = (store(&stage, &redis), store(&stage, &redis));
    until("connected", || here.redis_state() == Some(ConnectionState::Connected)).await;
    let client = redis::Client::open(redis.url()).unwrap();
    let mut listener = client.get_async_pubsub().await.unwrap();
    listener.subscribe("events").await.unwrap();
    let mut follower = there.follow(Some(0), EventFilter::default());
    let claim = claimed(&here, 0).await;
    for offset in 0..50 {
        here.write(&key(0), &claim, events(0, offset..offset + 1), offset + 1).await.unwrap();
    }
    let mut seen = 0;
    while seen < 50 {
        for event in follower.next().await {
            seen += 1;
            assert_eq!(event.event.seq, seen);
        }
    }
    let mut messages = listener.on_message();
    for cursor in 1..=50 {
        let message = messages.next().await.unwrap();
        let frame: serde_json::Value = serde_json::from_slice(message.get_payload_bytes()).unwrap();
        assert_eq!(frame["cursor"], cursor);
    }
    assert_eq!(here.unpublished(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_publish_shows_nothing_that_is_not_stored() {
    let (stage, redis) = (Stage::sqlite(), Redis::start());
    let store = store(&stage, &redis);
    let mut follower = store.follow(Some(0), EventFilter::default());
    let client = redis::Client::open(redis.url()).unwrap();
    let mut other = client.get_multiplexed_async_connection().await.unwrap();
    // Until the follower's process listens.
    let forged = r#"{"id":"forged","cursor":1,"data":{}}"#;
    loop {
        let heard: i64 =
            redis::cmd("PUBLISH").arg("events").arg(forged).query_async(&mut other).await.unwrap();
        if heard > 0 {
            break;
        }
    }
    for noise in ["", "{", "{\"cursor\":\"x\"}", "{\"cursor\":9223372036854775807}", "\u{1}"] {
        let _: i64 = redis::cmd("PUBLISH").arg("events").arg(noise).query_async(&mut other).await.unwrap();
    }
    let claim = claimed(&store, 0).await;
    store.write(&key(0), &claim, events(0, 0..1), 1).await.unwrap();
    let first = follower.next().await;
    assert_eq!((first.len(), first[0].event.id.as_str()), (1, "0-0"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_everything_still_arrives() {
    let (stage, redis) = (Stage::sqlite(), Redis::start());
    let (here, there) = (store(&stage, &redis), store(&stage, &redis));
    let mut follower = there.follow(Some(0), EventFilter::default());
    let claim = claimed(&here, 0).await;
    let mut seen = 0;
    for round in 0..6_i64 {
        match round {
            1 => redis.kill(),
            4 => redis.restart(),
            _ => {}
        }
        let (from, to) = (round * 10, round * 10 + 10);
        let started = Instant::now();
        here.write(&key(0), &claim, events(0, from..to), to).await.unwrap();
        assert!(started.elapsed() < Duration::from_secs(5), "Redis doesn't hold up a write");
        while seen < to {
            for event in follower.next().await {
                seen += 1;
                assert_eq!(event.event.seq, seen);
            }
        }
        match round {
            2 => {
                let failing = || matches!(here.redis_state(), Some(ConnectionState::Failing { .. }));
                until("failing", failing).await;
            }
            5 => until("connected", || here.redis_state() == Some(ConnectionState::Connected)).await,
            _ => {}
        }
    }
    assert!(here.unpublished() > 0);
}

#[tokio::test]
async fn a_wrong_address_is_refused_without_being_repeated() {
    let stage = Stage::sqlite();
    let why = EventStore::new(stage.database(), Some("redas://user:canary@host".into())).unwrap_err();
    assert!(why.contains("redis://") && !why.contains("canary"), "{why}");
    let absent = EventStore::new(stage.database(), Some("redis://user:canary@127.0.0.1:1/0".into())).unwrap();
    until("failing", || matches!(absent.redis_state(), Some(ConnectionState::Failing { .. }))).await;
    assert!(!format!("{absent:?} {:?}", absent.redis_state()).contains("canary"));
}
