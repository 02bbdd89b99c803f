//! Clients that don't read.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    floe::Floe,
    socket::{Client, id},
};

/// A topic with a queue of 100 and its policy.
async fn topic(floe: &Floe, policy: &str) {
    let config = json!({ "floe.live.queue.size": "100", "floe.live.policy": policy });
    floe.post("/topics", json!({ "name": "t", "config": config })).await.ok(201);
}

/// Publishes `count` large messages over the engine's own door, `first` on.
async fn burst(floe: &Floe, first: u32, count: u32) {
    let pad = "x".repeat(16 << 10);
    for chunk in (first..first + count).collect::<Vec<_>>().chunks(200) {
        let records: Vec<Value> = chunk
            .iter()
            .map(|n| json!({ "value": { "n": n, "pad": pad }, "headers": { "id": id(*n) } }))
            .collect();
        floe.post("/topics/t/records", json!({ "records": records })).await.ok(201);
    }
}

#[tokio::test]
async fn a_client_that_stops_reading_is_told_what_it_missed_and_others_miss_nothing() {
    let floe = Floe::start().await;
    topic(&floe, "drop_oldest").await;
    let mut slow = Client::connect(&floe).await;
    slow.subscribe("t", "slow", json!({})).await;
    let mut fast = Client::connect(&floe).await;
    fast.subscribe("t", "fast", json!({})).await;
    let total: u32 = 6_000;
    // Far more than the kernel holds for a socket: 100 MB.
    let reading = async {
        let mut seen = 0;
        while seen < total {
            let event = fast.expect("event").await;
            assert_eq!(event["message"]["payload"]["n"], seen);
            seen += 1;
        }
    };
    tokio::join!(burst(&floe, 0, total), reading);

    let (mut next, mut notices, mut dropped) = (0u64, 0, 0);
    while next < u64::from(total) {
        let message = slow.next().await;
        if message["type"] == "event" {
            assert_eq!(
                message["message"]["payload"]["n"], next,
                "in order, and nothing missing but what was told"
            );
            next += 1;
            continue;
        }
        assert_eq!(message["error"]["code"], "SLOW_CONSUMER", "{message}");
        assert_eq!((&message["topic"], &message["client_id"]), (&json!("t"), &json!("slow")));
        let range = &message["error"]["skipped"][0];
        assert_eq!(range["from"], next);
        dropped = message["error"]["dropped"].as_u64().unwrap();
        assert_eq!(range["to"], next + dropped - 1);
        next += dropped;
        notices += 1;
    }
    assert_eq!(notices, 1, "once per episode");
    assert!(dropped > 1_000, "{dropped}");
    // It is live again.
    burst(&floe, total, 1).await;
    assert_eq!(slow.expect("event").await["message"]["payload"]["n"], total);
}

#[tokio::test]
async fn a_fast_client_loses_nothing_of_a_burst_larger_than_its_queue() {
    let floe = Floe::start().await;
    topic(&floe, "drop_oldest").await;
    let mut client = Client::connect(&floe).await;
    client.subscribe("t", "c", json!({})).await;
    let reading = async {
        for n in 0..2_000 {
            let event = client.expect("event").await;
            assert_eq!(event["message"]["payload"]["n"], n);
        }
    };
    tokio::join!(burst(&floe, 0, 2_000), reading);
}

#[tokio::test]
async fn the_policy_disconnect_closes_with_4008() {
    let floe = Floe::start().await;
    topic(&floe, "disconnect").await;
    let mut slow = Client::connect(&floe).await;
    slow.subscribe("t", "slow", json!({})).await;
    burst(&floe, 0, 3_000).await;
    let error = loop {
        let message = slow.next().await;
        if message["type"] == "error" {
            break message;
        }
    };
    assert_eq!(error["error"]["code"], "SLOW_CONSUMER");
    assert_eq!(slow.closed().await.0, 4008);
}

#[tokio::test]
async fn a_client_that_asks_and_never_takes_its_answers_is_not_served_without_end() {
    let floe = Floe::start().await;
    let mut client = Client::connect(&floe).await;
    let ping = json!({ "type": "ping", "request_id": "x".repeat(200) }).to_string();
    // What it sends is not read any more once its answers pile up, so its own sending stops, far below this.
    let asking = async {
        for _ in 0..100_000 {
            client.send_text(ping.clone()).await;
        }
    };
    let asked = tokio::time::timeout(Duration::from_secs(2), asking).await;
    assert!(asked.is_err(), "25 MB of requests were read, and their answers kept");
    drop(client);
    Client::connect(&floe).await.settle().await;
}
