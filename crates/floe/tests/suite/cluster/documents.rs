//! What documents 000, 001, 003 and 004 promise, each call at whichever gateway comes next.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::on_shared;
use crate::{
    node::{Node, until},
    pipeline_faults::dead_letters,
    socket::Wire,
};

const NOTHING: Value = Value::Null;

/// The offsets that a read answered with.
fn offsets(read: &Value) -> Vec<i64> {
    read["messages"].as_array().unwrap().iter().map(|message| message["offset"].as_i64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn document_000_users_read_a_key_once_on_either_gateway() {
    on_shared(async |cluster| {
        let [one, two] = &cluster.gateways;
        let made = one.says(201, "POST", "/create_topic/bulletin/3", &NOTHING).await;
        assert_eq!(made, json!({ "status": "created", "topic": "bulletin", "partitions": 3 }));
        two.says(409, "POST", "/create_topic/bulletin/3", &NOTHING).await;
        let body = json!({ "key": "user123", "value": "Breaking news update" });
        let written = two.says(201, "POST", "/write/bulletin", &body).await;
        let place = (&written["status"], &written["key"], &written["offset"]);
        assert_eq!(place, (&json!("written"), &json!("user123"), &json!(0)));
        let path = "/read/john@example.com/bulletin/user123";
        assert_eq!(two.says(403, "GET", path, &NOTHING).await["code"], "NOT_SUBSCRIBED");
        let subscribed = one.says(200, "POST", "/subscribe/john@example.com/bulletin", &NOTHING).await;
        assert_eq!(subscribed["positions"], json!({ "0": 0, "1": 0, "2": 0 }));
        let read = two.says(200, "GET", path, &NOTHING).await;
        assert_eq!(read["partition"], written["partition"]);
        assert_eq!(read["messages"][0]["value"], "Breaking news update");
        assert_eq!((&read["next_offset"], &read["lag"]), (&json!(1), &json!(0)));
        assert_eq!(one.says(200, "GET", path, &NOTHING).await["messages"], json!([]));
        two.says(200, "POST", "/unsubscribe/john@example.com/bulletin", &NOTHING).await;
        assert_eq!(one.says(403, "GET", path, &NOTHING).await["code"], "NOT_SUBSCRIBED");
        let gone = two.says(200, "DELETE", "/delete_topic/bulletin", &NOTHING).await;
        assert_eq!(gone, json!({ "status": "deleted", "topic": "bulletin" }));
        one.says(404, "POST", "/write/bulletin", &body).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn document_000_two_gateways_never_give_a_user_the_same_message() {
    const MESSAGES: i64 = 40;
    on_shared(async |cluster| {
        let [one, two] = &cluster.gateways;
        one.says(201, "POST", "/create_topic/shared/2", &NOTHING).await;
        two.says(200, "POST", "/subscribe/ada@example.com/shared", &NOTHING).await;
        for (number, gateway) in (0..MESSAGES).zip([one, two].into_iter().cycle()) {
            gateway.says(201, "POST", "/write/shared", &json!({ "key": "k", "value": number })).await;
        }
        let path = "/read/ada@example.com/shared/k";
        let paths: Vec<String> = (0..16).map(|_| format!("{path}?limit=2")).collect();
        let gateways = [one, two].into_iter().cycle();
        let reads =
            paths.iter().zip(gateways).map(|(path, gateway)| gateway.says(200, "GET", path, &NOTHING));
        let at_once: Vec<i64> = join_all(reads).await.iter().flat_map(offsets).collect();
        let mut seen = at_once;
        loop {
            let more = offsets(&two.says(200, "GET", path, &NOTHING).await);
            if more.is_empty() {
                break;
            }
            seen.extend(more);
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..MESSAGES).collect::<Vec<_>>());
    })
    .await;
}

/// An event of document 001.
fn registered(id: &str, amount: &Value) -> Value {
    json!({ "id": id, "event_type": "purchase", "user_id": "u-1", "data": { "amount": amount } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn document_001_what_is_accepted_is_processed_or_a_dead_letter() {
    on_shared(async |cluster| {
        let [one, two] = &cluster.gateways;
        let answer = one.says(202, "POST", "/register_event", &registered("r-one", &json!(1))).await;
        assert_eq!((&answer["status"], &answer["event_id"]), (&json!("accepted"), &json!("r-one")));
        two.says(202, "POST", "/register_event", &registered("r-two", &json!(2))).await;
        let ids: Vec<String> = (0..50).map(|number| format!("r-batch-{number}")).collect();
        for (gateway, half) in [one, two].into_iter().zip(ids.chunks(25)) {
            let batch: Value = half.iter().map(|id| registered(id, &json!(3))).collect();
            assert_eq!(gateway.says(202, "POST", "/register_event", &batch).await["accepted"], 25);
        }
        two.says(202, "POST", "/register_event", &registered("r-bad", &json!("a lot"))).await;
        one.says(400, "POST", "/register_event", &json!("no event")).await;
        for gateway in [one, two] {
            until("all is dealt with", async || is_dealt_with(gateway).await).await;
        }
        for id in ids.iter().map(String::as_str).chain(["r-one", "r-two"]) {
            two.says(200, "GET", &format!("/v1/events/{id}"), &NOTHING).await;
        }
        one.says(404, "GET", "/v1/events/r-bad", &NOTHING).await;
        for gateway in [one, two] {
            let is_bad = |id: &String| id == "r-bad";
            assert_eq!(dead_letters(gateway).await.into_iter().filter(is_bad).count(), 1);
            let known = gateway.says(200, "GET", "/get_status?event_id=r-one", &NOTHING).await;
            assert_eq!(known["status"], "stored", "{known}");
        }
        for gateway in [one, two] {
            let known = gateway.says(200, "GET", "/get_status?event_id=r-bad", &NOTHING).await;
            assert_eq!(known["status"], "dead_lettered", "{known}");
        }
    })
    .await;
}

/// Other tests send events, too: at rest is when this holds.
async fn is_dealt_with(gateway: &Node) -> bool {
    let status = gateway.says(200, "GET", "/get_status", &NOTHING).await;
    let of = |name: &str| status[name].as_u64().unwrap();
    of("dead_lettered") > 0 && of("lag") == 0 && of("accepted") == of("processed") + of("dead_lettered")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn document_003_events_of_one_gateway_are_stored_and_seen_at_the_other() {
    on_shared(async |cluster| {
        let [one, two] = &cluster.gateways;
        let event =
            |id: &str| json!({ "id": id, "type": "login", "user_id": "grace", "data": { "a": [1.5] } });
        let path = "/v1/event?wait=stored&wait_ms=30000";
        let stored = one.says(201, "POST", path, &event("a-first")).await;
        assert_eq!(stored["status"], "stored");
        let found = two.says(200, "GET", "/v1/events/a-first", &NOTHING).await;
        assert_eq!((&found["event_type"], &found["cursor"]), (&json!("login"), &stored["cursor"]));

        let mut watcher = Wire::open(one, "/v1/ws/events?user_id=grace").await;
        two.says(202, "POST", "/v1/event", &event("a-second")).await;
        let told = watcher.next().await;
        assert_eq!(told["id"], "a-second");
        assert_eq!(told, one.says(200, "GET", "/v1/events/a-second", &NOTHING).await);
        let path = format!("/v1/ws/events?user_id=grace&after={}", stored["cursor"]);
        let mut late = Wire::open(two, &path).await;
        assert_eq!(late.next().await, told, "what was missed comes at any gateway");

        // the same id again is the same event
        two.says(201, "POST", "/v1/event?wait=stored&wait_ms=30000", &event("a-second")).await;
        let batch = json!([event("a-third"), event("a-fourth")]);
        assert_eq!(one.says(202, "POST", "/v1/events", &batch).await["accepted"], 2);
        let both: BTreeSet<String> = [watcher.next().await, watcher.next().await].iter().map(id_of).collect();
        assert_eq!(both, ["a-fourth", "a-third"].map(str::to_owned).into());
        let list = two.says(200, "GET", "/v1/events?user_id=grace&order=oldest", &NOTHING).await;
        let listed: Vec<String> = list["events"].as_array().unwrap().iter().map(id_of).collect();
        assert_eq!((&listed[..2], listed.len()), (&["a-first".to_owned(), "a-second".to_owned()][..], 4));
        let refused = two.says(422, "POST", "/v1/event", &registered("a-bad", &json!("a lot"))).await;
        assert_eq!(refused["errors"][0]["pointer"], "/data/amount");
    })
    .await;
}

fn id_of(event: &Value) -> String {
    event["id"].as_str().unwrap().to_owned()
}

/// The id of a message, as document 004 wants one.
fn message_id(number: u32) -> String {
    format!("550e8400-e29b-41d4-a716-{number:012}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn document_004_what_is_published_at_one_gateway_arrives_at_the_other() {
    on_shared(async |cluster| {
        let [one, two] = &cluster.gateways;
        one.says(201, "POST", "/topics", &json!({ "name": "trades" })).await;
        let mut publisher = Wire::open(two, "/ws").await;
        for number in 0..5 {
            publisher.publish("trades", &message_id(number), &json!({ "number": number })).await;
        }
        let mut subscriber = Wire::open(one, "/ws").await;
        subscriber.subscribe("trades", 2).await;
        let ack = publisher.publish("trades", &message_id(5), &json!({ "number": 5 })).await;
        for number in 3..6 {
            let event = subscriber.expect("event").await;
            let message = json!({ "id": message_id(number), "payload": { "number": number } });
            assert_eq!((&event["topic"], &event["message"]), (&json!("trades"), &message));
            assert!(event["ts"].is_string());
            assert!(number < 5 || event["offset"] == ack["offset"], "{event} {ack}");
        }
        let unsubscribe =
            json!({ "type": "unsubscribe", "topic": "trades", "client_id": "c", "request_id": "u" });
        subscriber.send(&unsubscribe).await;
        assert_eq!(subscriber.expect("ack").await["request_id"], "u");
        publisher.publish("trades", &message_id(6), &json!({ "number": 6 })).await;
        // had the seventh been sent, it would come before this answer, or twice
        subscriber.subscribe("trades", 1).await;
        publisher.publish("trades", &message_id(7), &json!({ "number": 7 })).await;
        for number in 6..8 {
            assert_eq!(subscriber.expect("event").await["message"]["payload"]["number"], number);
        }
        subscriber.send(&json!({ "type": "ping", "request_id": "p" })).await;
        assert_eq!(subscriber.expect("pong").await["request_id"], "p");
        let missing = json!({ "type": "subscribe", "topic": "none", "client_id": "c", "request_id": "e" });
        for (message, code) in [(missing, "TOPIC_NOT_FOUND"), (json!({ "type": "what" }), "BAD_REQUEST")] {
            subscriber.send(&message).await;
            assert_eq!(subscriber.expect("error").await["error"]["code"], code);
        }
        one.says(200, "DELETE", "/topics/trades", &NOTHING).await;
        two.says(404, "GET", "/topics/trades", &NOTHING).await;
    })
    .await;
}
