//! What a WebSocket client asks for and gets, as the document of dialect 004 has it.

use serde_json::{Value, json};

use crate::{
    floe::Floe,
    socket::{Client, id, nobody_left, publish, subscribers},
};

#[tokio::test]
async fn publish_and_subscribe_over_one_socket() {
    let floe = Floe::start().await;
    floe.topic("orders", 1).await;
    let mut client = Client::connect(&floe).await;
    let ack = client.subscribe("orders", "s1", json!({ "request_id": "r1" })).await;
    assert_eq!(
        (&ack["request_id"], &ack["topic"], &ack["status"]),
        (&json!("r1"), &json!("orders"), &json!("ok"))
    );
    let payload = json!({ "order_id": "ORD-123", "amount": 99.5 });
    client
        .send(json!({ "type": "publish", "topic": "orders", "request_id": "r2",
                      "message": { "id": id(7), "payload": payload } }))
        .await;
    // The event and the ack are both due; which comes first is not promised.
    let (mut ack, mut event) = (Value::Null, Value::Null);
    for _ in 0..2 {
        let message = client.next().await;
        if message["type"] == "ack" { ack = message } else { event = message }
    }
    assert_eq!((&ack["request_id"], &ack["partition"], &ack["offset"]), (&json!("r2"), &json!(0), &json!(0)));
    assert_eq!(event["type"], "event");
    assert_eq!(event["topic"], "orders");
    assert_eq!(event["message"], json!({ "id": id(7), "payload": payload }));
    assert_eq!((&event["partition"], &event["offset"]), (&json!(0), &json!(0)));
    assert!(event["ts"].as_str().unwrap().ends_with('Z'));
    assert!(event["cursor"].as_str().unwrap().len() > 10);
}

#[tokio::test]
async fn every_subscriber_of_a_topic_gets_every_message_and_others_none() {
    let floe = Floe::start().await;
    floe.topic("a", 1).await;
    floe.topic("b", 1).await;
    let mut clients = Vec::new();
    for n in 0..5 {
        let mut client = Client::connect(&floe).await;
        client.subscribe("a", &format!("c{n}"), json!({})).await;
        clients.push(client);
    }
    let mut other = Client::connect(&floe).await;
    other.subscribe("b", "x", json!({})).await;
    let mut publisher = Client::connect(&floe).await;
    for n in 0..20 {
        publisher.publish("a", n).await;
    }
    let expected: Vec<_> = (0..20).map(Value::from).collect();
    for client in &mut clients {
        assert_eq!(client.payloads(20).await, expected);
    }
    other.settle().await;
    assert_eq!(subscribers(&floe).await, 6);
}

#[tokio::test]
async fn last_n_comes_first_and_in_order_then_live() {
    let floe = Floe::start().await;
    floe.topic("t", 1).await;
    let mut publisher = Client::connect(&floe).await;
    for n in 0..150 {
        publisher.publish("t", n).await;
    }
    let mut client = Client::connect(&floe).await;
    client.subscribe("t", "five", json!({ "last_n": 5 })).await;
    assert_eq!(client.payloads(5).await, [145, 146, 147, 148, 149]);
    let mut most = Client::connect(&floe).await;
    most.subscribe("t", "most", json!({ "last_n": 1_000_000 })).await;
    assert_eq!(most.payloads(100).await[0], 50, "the history has 100");
    let mut none = Client::connect(&floe).await;
    none.subscribe("t", "none", json!({ "last_n": 0 })).await;
    publisher.publish("t", 150).await;
    for client in [&mut client, &mut most, &mut none] {
        assert_eq!(client.payloads(1).await, [150]);
    }
}

#[tokio::test]
async fn what_was_published_before_on_the_same_socket_is_history_to_a_subscribe() {
    let floe = Floe::start().await;
    floe.topic("t", 1).await;
    let mut client = Client::connect(&floe).await;
    for n in 0..10 {
        client.send(publish("t", n)).await;
    }
    client
        .send(json!({ "type": "subscribe", "topic": "t", "client_id": "c", "last_n": 3, "request_id": "s" }))
        .await;
    client.send(publish("t", 10)).await;
    for _ in 0..10 {
        assert_eq!(client.expect("ack").await["request_id"], Value::Null);
    }
    assert_eq!(client.expect("ack").await["request_id"], "s");
    let mut payloads = Vec::new();
    while payloads.len() < 4 {
        let message = client.next().await;
        if message["type"] == "event" {
            payloads.push(message["message"]["payload"].clone());
        }
    }
    assert_eq!(payloads, [7, 8, 9, 10]);
}

#[tokio::test]
async fn publishes_in_flight_are_answered_in_order_and_stored_in_order() {
    let floe = Floe::start().await;
    floe.topic("t", 1).await;
    let mut client = Client::connect(&floe).await;
    let total: u32 = 2_000;
    for n in 0..total {
        let mut message = publish("t", n);
        message["request_id"] = json!(n.to_string());
        client.send(message).await;
        if n % 500 == 7 {
            client.send(json!({ "type": "ping", "request_id": format!("p{n}") })).await;
        }
    }
    for n in 0..total {
        let ack = client.expect("ack").await;
        assert_eq!((&ack["request_id"], &ack["offset"]), (&json!(n.to_string()), &json!(n)));
        if n % 500 == 7 {
            assert_eq!(client.expect("pong").await["request_id"], format!("p{n}"));
        }
    }
    let mut reader = Client::connect(&floe).await;
    reader.subscribe("t", "r", json!({ "from": "earliest" })).await;
    let expected: Vec<_> = (0..total).map(Value::from).collect();
    assert_eq!(reader.payloads(total as usize).await, expected);
}

#[tokio::test]
async fn one_socket_holds_many_subscriptions_and_the_same_name_replaces() {
    let floe = Floe::start().await;
    for topic in ["a", "b"] {
        floe.topic(topic, 1).await;
    }
    let mut client = Client::connect(&floe).await;
    client.subscribe("a", "x", json!({})).await;
    client.subscribe("a", "y", json!({})).await;
    client.subscribe("b", "x", json!({})).await;
    for _ in 0..10 {
        client.subscribe("a", "x", json!({})).await;
    }
    assert_eq!(subscribers(&floe).await, 3);
    let mut publisher = Client::connect(&floe).await;
    publisher.publish("a", 1).await;
    assert_eq!(client.payloads(2).await, [1, 1]);
    let unsubscribe = json!({ "type": "unsubscribe", "topic": "a", "client_id": "x", "request_id": "u" });
    client.send(unsubscribe.clone()).await;
    assert_eq!(client.expect("ack").await["request_id"], "u");
    publisher.publish("a", 2).await;
    assert_eq!(client.payloads(1).await, [2]);
    client.settle().await;
    // Again is no error; a topic that isn't there is.
    client.send(unsubscribe).await;
    client.expect("ack").await;
    client.send(json!({ "type": "unsubscribe", "topic": "nowhere", "client_id": "x" })).await;
    assert_eq!(client.expect("error").await["error"]["code"], "TOPIC_NOT_FOUND");
    assert_eq!(subscribers(&floe).await, 2);
    client.close().await;
    nobody_left(&floe).await;
}

#[tokio::test]
async fn a_client_resumes_after_its_last_cursor_with_nothing_lost() {
    let floe = Floe::start().await;
    floe.topic("t", 3).await;
    let mut publisher = Client::connect(&floe).await;
    let mut client = Client::connect(&floe).await;
    client.subscribe("t", "c", json!({})).await;
    for n in 0..10 {
        publisher.publish("t", n).await;
    }
    let mut cursor = Value::Null;
    for _ in 0..4 {
        cursor = client.expect("event").await["cursor"].clone();
    }
    drop(client);
    for n in 10..20 {
        publisher.publish("t", n).await;
    }
    let mut again = Client::connect(&floe).await;
    again.subscribe("t", "c", json!({ "from": { "cursor": cursor } })).await;
    let mut rest = again.payloads(16).await;
    rest.sort_by_key(Value::as_u64);
    assert_eq!(rest, (4..20).map(Value::from).collect::<Vec<_>>());
    let time = json!({ "from": { "time": "2020-01-01T00:00:00Z" } });
    again.subscribe("t", "all", time).await;
    assert_eq!(again.payloads(20).await.len(), 20);
}

#[tokio::test]
async fn a_cursor_of_a_topic_that_was_made_again_is_refused() {
    let floe = Floe::start().await;
    floe.topic("t", 1).await;
    let mut client = Client::connect(&floe).await;
    client.subscribe("t", "c", json!({ "from": "earliest" })).await;
    client.send(publish("t", 1)).await;
    let mut cursor = Value::Null;
    for _ in 0..2 {
        let message = client.next().await;
        if message["type"] == "event" {
            cursor = message["cursor"].clone();
        }
    }
    floe.call("DELETE", "/topics/t").send().await.ok(200);
    let info = client.expect("info").await;
    assert_eq!((&info["msg"], &info["topic"]), (&json!("topic_deleted"), &json!("t")));
    floe.topic("t", 1).await;
    client
        .send(json!({ "type": "subscribe", "topic": "t", "client_id": "c", "from": { "cursor": cursor } }))
        .await;
    let error = client.expect("error").await;
    assert_eq!(error["error"]["code"], "BAD_REQUEST");
    assert!(error["error"]["message"].as_str().unwrap().contains("made again"), "{error}");
    assert_eq!(subscribers(&floe).await, 0);
}

#[tokio::test]
async fn a_filter_picks_by_key_and_headers() {
    let floe = Floe::start().await;
    floe.topic("t", 1).await;
    let mut client = Client::connect(&floe).await;
    client.subscribe("t", "k", json!({ "filter": { "key": "a", "headers": { "h": "1" } } })).await;
    let mut publisher = Client::connect(&floe).await;
    for (n, key, header) in [(1, "a", "2"), (2, "b", "1"), (3, "a", "1"), (4, "a", "1")] {
        let mut message = publish("t", n);
        message["key"] = json!(key);
        message["headers"] = json!({ "h": header });
        publisher.send(message).await;
        publisher.expect("ack").await;
    }
    let event = client.expect("event").await;
    assert_eq!((&event["message"]["payload"], &event["key"]), (&json!(3), &json!("a")));
    assert_eq!(client.payloads(1).await, [4]);
    client.settle().await;
}

#[tokio::test]
async fn records_of_other_doors_come_with_an_id_and_in_json() {
    let floe = Floe::start().await;
    floe.topic("t", 1).await;
    let mut client = Client::connect(&floe).await;
    client.subscribe("t", "c", json!({})).await;
    floe.post("/topics/t/records", json!({ "value": { "a": 1 } })).await.ok(201);
    let bytes = floe.call("POST", "/topics/t/records").body("text/plain", "hello").send().await;
    bytes.ok(201);
    let first = client.expect("event").await;
    assert_eq!(first["message"]["payload"], json!({ "a": 1 }));
    let second = client.expect("event").await;
    assert_eq!(second["message"]["payload"], json!({ "$base64": "aGVsbG8=" }));
    let ids = [&first["message"]["id"], &second["message"]["id"]].map(|id| id.as_str().unwrap().to_owned());
    assert!(ids.iter().all(|id| uuid::Uuid::try_parse(id).is_ok()));
    assert_ne!(ids[0], ids[1]);
    let mut again = Client::connect(&floe).await;
    again.subscribe("t", "c", json!({ "last_n": 2 })).await;
    assert_eq!(again.expect("event").await["message"]["id"], ids[0], "the same to every subscriber");
}

#[tokio::test]
async fn what_is_published_is_a_record_for_every_other_door() {
    let floe = Floe::start().await;
    floe.topic("t", 2).await;
    let mut client = Client::connect(&floe).await;
    client
        .send_text(format!(
            r#"{{"type":"publish","topic":"t","key":"k","partition":1,"headers":{{"h":"v"}},"message":{{"id":"{}","payload":{{"n": 1.50}}}}}}"#,
            id(1)
        ))
        .await;
    assert_eq!(client.expect("ack").await["partition"], 1);
    let page = floe.get("/topics/t/records?partition=1").await;
    let text = page.text();
    assert!(text.contains(r#"{"n": 1.50}"#), "the payload is stored as it was sent: {text}");
    let record = &page.ok(200)["records"][0];
    assert_eq!(record["key"], "k");
    assert_eq!(record["headers"], json!({ "id": id(1), "content-type": "application/json", "h": "v" }));
}

#[tokio::test]
async fn subscribers_agree_wherever_they_are_counted() {
    let floe = Floe::start().await;
    floe.topic("a", 1).await;
    floe.topic("b", 1).await;
    let mut client = Client::connect(&floe).await;
    client.subscribe("a", "1", json!({})).await;
    client.subscribe("a", "2", json!({})).await;
    client.subscribe("b", "1", json!({})).await;
    let listed = floe.get("/topics").await.ok(200);
    let count = |name: &str| {
        let topics = listed["topics"].as_array().unwrap();
        topics.iter().find(|topic| topic["name"] == name).unwrap()["subscribers"].clone()
    };
    assert_eq!((count("a"), count("b")), (json!(2), json!(1)));
    assert_eq!(floe.get("/health").await.ok(200)["subscribers"], 3);
    assert_eq!(floe.get("/stats").await.ok(200)["topics"]["a"]["subscribers"], 2);
}

#[tokio::test]
async fn a_resume_while_others_publish_has_no_gap_and_no_repeat() {
    let floe = Floe::start().await;
    floe.topic("t", 1).await;
    let total: u32 = 5_000;
    let publisher = async {
        let mut publisher = Client::connect(&floe).await;
        for first in (0..total).step_by(100) {
            for n in first..first + 100 {
                publisher.send(publish("t", n)).await;
            }
            for _ in 0..100 {
                publisher.expect("ack").await;
            }
        }
    };
    let reader = async {
        let (mut seen, mut from) = (Vec::new(), json!("earliest"));
        while seen.len() < total as usize {
            let mut client = Client::connect(&floe).await;
            client.subscribe("t", "c", json!({ "from": from })).await;
            for _ in 0..(seen.len() / 2 + 37).min(total as usize - seen.len()) {
                let event = client.expect("event").await;
                seen.push(event["message"]["payload"].clone());
                from = json!({ "cursor": event["cursor"] });
            }
        }
        seen
    };
    let ((), seen) = tokio::join!(publisher, reader);
    assert_eq!(seen, (0..total).map(Value::from).collect::<Vec<_>>());
}
