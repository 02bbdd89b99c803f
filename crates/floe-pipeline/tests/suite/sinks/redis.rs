//! Redis, a real one: what arrives, and what an outage is.

use std::collections::HashMap;

use floe_pipeline::sinks::DeliveryError;
use floe_testkit::services::Redis;
use redis::{AsyncCommands, Value as Answer};
use serde_json::{Value, json};

use super::{Stage, batch, fatal, header, record, unavailable};

async fn client(redis: &Redis) -> redis::aio::MultiplexedConnection {
    redis::Client::open(redis.url()).unwrap().get_multiplexed_async_connection().await.unwrap()
}

fn stream(redis: &Redis) -> Value {
    json!({"type": "redis", "url": redis.url(), "mode": "stream", "key": "s"})
}

/// Fields of each entry.
async fn entries(redis: &Redis) -> Vec<HashMap<String, String>> {
    let mut range = redis::cmd("XRANGE");
    range.arg("s").arg("-").arg("+");
    let found: Vec<(String, HashMap<String, String>)> =
        range.query_async(&mut client(redis).await).await.unwrap();
    found.into_iter().map(|(_, fields)| fields).collect()
}

#[tokio::test]
async fn a_stream_has_an_entry_per_record_with_its_place() {
    let (stage, server) = (Stage::new(), Redis::start());
    let sink = stage.open(stream(&server)).unwrap();
    assert_eq!(sink.label(), format!("redis stream s at 127.0.0.1:{}", server.port()));
    let mut hold = sink.claim(&super::key(0), "w1").await.unwrap();
    let mut own_id = record(1, "\r\n$3\r\nGET\0\"");
    own_id.headers = vec![header("event-id", "ev-1")];
    hold.deliver(&batch(vec![record(0, "{\"a\":1}"), own_id])).await.unwrap();
    let found = entries(&server).await;
    let text = |at: usize, field: &str| found[at][field].clone();
    assert_eq!(found.len(), 2);
    assert_eq!(
        ["value", "key", "topic", "partition", "offset", "id"].map(|field| text(0, field)),
        ["{\"a\":1}", "k0", "in", "0", "0", "in-0-0-0"]
    );
    assert_eq!((text(1, "value").as_str(), text(1, "id").as_str()), ("\r\n$3\r\nGET\0\"", "ev-1"));
}

#[tokio::test]
async fn a_large_batch_goes_in_order_and_old_entries_are_let_go() {
    let (stage, server) = (Stage::new(), Redis::start());
    let mut config = stream(&server);
    config["maxlen"] = json!(500);
    let mut hold = stage.hold(config).await;
    hold.deliver(&batch((0..2_500).map(|offset| record(offset, "1")).collect())).await.unwrap();
    let found = entries(&server).await;
    assert!((500..2_500).contains(&found.len()), "{}", found.len());
    let offsets: Vec<i64> = found.iter().map(|entry| entry["offset"].parse().unwrap()).collect();
    assert!(offsets.is_sorted() && offsets.last() == Some(&2_499));
}

#[tokio::test]
async fn a_channel_gets_the_values() {
    let (stage, server) = (Stage::new(), Redis::start());
    let client = redis::Client::open(server.url()).unwrap();
    let (mut subscribe, mut messages) = client.get_async_pubsub().await.unwrap().split();
    subscribe.subscribe("events").await.unwrap();
    let config = json!({"type": "redis", "url": server.url(), "mode": "pubsub", "channel": "events"});
    let mut hold = stage.hold(config).await;
    hold.deliver(&batch(vec![record(0, "{\"n\":0}"), record(1, "{\"n\":1}")])).await.unwrap();
    for expected in ["{\"n\":0}", "{\"n\":1}"] {
        let message = futures_util::StreamExt::next(&mut messages).await.unwrap();
        assert_eq!(message.get_payload::<String>().unwrap(), expected);
    }
}

#[tokio::test]
async fn an_outage_is_told_and_ends_by_itself() {
    let (stage, server) = (Stage::new(), Redis::start());
    let mut hold = stage.hold(stream(&server)).await;
    hold.deliver(&batch(vec![record(0, "1")])).await.unwrap();
    server.kill();
    for _ in 0..3 {
        let error = hold.deliver(&batch(vec![record(1, "1")])).await.unwrap_err();
        assert!(unavailable(&error).contains("can't be reached"), "{error:?}");
    }
    server.restart();
    hold.deliver(&batch(vec![record(1, "1")])).await.unwrap();
    assert_eq!(entries(&server).await.len(), 1);
}

#[tokio::test]
async fn a_server_without_room_is_an_outage_and_a_wrong_type_needs_a_person() {
    let (stage, server) = (Stage::new(), Redis::start());
    let mut hold = stage.hold(stream(&server)).await;
    let mut admin = client(&server).await;
    let set = |name: &str, value: &str| redis::cmd("CONFIG").arg("SET").arg(name).arg(value).clone();
    let _: Answer = set("maxmemory", "1").query_async(&mut admin).await.unwrap();
    let error = hold.deliver(&batch(vec![record(0, "1")])).await.unwrap_err();
    assert!(unavailable(&error).contains("OOM"), "{error:?}");
    let _: Answer = set("maxmemory", "0").query_async(&mut admin).await.unwrap();
    hold.deliver(&batch(vec![record(0, "1")])).await.unwrap();

    let _: Answer = redis::cmd("DEL").arg("s").query_async(&mut admin).await.unwrap();
    let _: () = admin.set("s", "text").await.unwrap();
    let error = hold.deliver(&batch(vec![record(1, "1")])).await.unwrap_err();
    assert!(fatal(&error).contains("WRONGTYPE"), "{error:?}");
}

#[tokio::test]
async fn a_password_that_is_wrong_is_fatal_and_no_password_is_shown() {
    let (stage, server) = (Stage::new(), Redis::start());
    let mut admin = client(&server).await;
    let _: Answer = redis::cmd("CONFIG")
        .arg("SET")
        .arg("requirepass")
        .arg("right")
        .query_async(&mut admin)
        .await
        .unwrap();
    let url = format!("redis://:canary-4242@127.0.0.1:{}", server.port());
    let config = json!({"type": "redis", "url": url, "mode": "stream", "key": "s"});
    let sink = stage.open(config.clone()).unwrap();
    let mut hold = sink.claim(&super::key(0), "w1").await.unwrap();
    let error = hold.deliver(&batch(vec![record(0, "1")])).await.unwrap_err();
    assert!(matches!(error, DeliveryError::Fatal(_)), "{error:?}");
    let shown = format!("{error:?} {} {sink:?} {hold:?} {:?}", sink.label(), super::spec(config));
    assert!(!shown.contains("canary"), "{shown}");
}

#[tokio::test]
async fn tls_to_a_server_without_it_is_an_outage() {
    let (stage, server) = (Stage::new(), Redis::start());
    let url = format!("rediss://127.0.0.1:{}", server.port());
    let mut hold = stage.hold(json!({"type": "redis", "url": url, "mode": "stream", "key": "s"})).await;
    let error = hold.deliver(&batch(vec![record(0, "1")])).await.unwrap_err();
    assert!(unavailable(&error).contains("can't be reached"), "{error:?}");
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused_with_words() {
    let stage = Stage::new();
    let url = "redis://127.0.0.1:1";
    for (config, told) in [
        (json!({"type": "redis", "mode": "stream", "key": "s"}), "'url' is missing"),
        (json!({"type": "redis", "url": url, "mode": "stream"}), "'key' is missing"),
        (json!({"type": "redis", "url": url, "mode": "pubsub"}), "'channel' is missing"),
        (json!({"type": "redis", "url": url, "mode": "pubsub", "channel": "c", "key": "s"}), "goes with"),
        (json!({"type": "redis", "url": url, "mode": "pubsub", "channel": "c", "maxlen": 5}), "goes with"),
        (json!({"type": "redis", "url": url, "mode": "stream", "key": "s", "maxlen": 0}), "above 0"),
        (
            json!({"type": "redis", "url": "http://x:canary@y", "mode": "pubsub", "channel": "c"}),
            "not of the form",
        ),
    ] {
        let why = stage.open(config).unwrap_err();
        assert!(why.contains(told) && !why.contains("canary"), "{why}");
    }
}
