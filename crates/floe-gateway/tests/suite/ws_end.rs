//! How sockets end when it is not their client's wish.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{
    floe::Floe,
    socket::{Client, publish},
};

#[tokio::test]
async fn a_stopping_server_answers_what_it_accepted_and_says_goodbye() {
    let mut floe = Floe::start().await;
    floe.topic("t", 1).await;
    let mut client = Client::connect(&floe).await;
    client.subscribe("t", "c", json!({})).await;
    let mut idle = Client::connect(&floe).await;
    for n in 0..50 {
        client.send(publish("t", n)).await;
    }
    // All fifty are accepted once the last has been given an offset.
    let mut acks = 0;
    while acks < 50 {
        if client.next().await["type"] == "ack" {
            acks += 1;
        }
    }
    floe.begin_stop();
    let (code, reason) = idle.closed().await;
    assert_eq!((code, reason.as_str()), (1001, "the server is stopping"));
    assert_eq!(client.closed().await.0, 1001);
    idle.close().await;
    client.close().await;
    let started = Instant::now();
    floe.stop().await;
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_deleted_topic_is_told_to_its_subscribers_and_the_socket_stays() {
    let floe = Floe::start().await;
    floe.topic("a", 1).await;
    floe.topic("b", 1).await;
    let mut client = Client::connect(&floe).await;
    client.subscribe("a", "1", json!({})).await;
    client.subscribe("b", "2", json!({})).await;
    client.send(publish("a", 1)).await;
    let kinds = [client.next().await, client.next().await].map(|message| message["type"].clone());
    assert!(kinds.contains(&json!("event")) && kinds.contains(&json!("ack")), "{kinds:?}");
    floe.call("DELETE", "/topics/a").send().await.ok(200);
    let info = client.expect("info").await;
    assert_eq!(
        (&info["topic"], &info["msg"], &info["client_id"]),
        (&json!("a"), &json!("topic_deleted"), &json!("1"))
    );
    assert_eq!(floe.get("/health").await.ok(200)["subscribers"], 1);
    client.send(publish("b", 2)).await;
    let kinds = [client.next().await, client.next().await].map(|message| message["type"].clone());
    assert!(kinds.contains(&json!("event")) && kinds.contains(&json!("ack")), "{kinds:?}");
    // Made again, it can be subscribed again.
    floe.topic("a", 1).await;
    client.subscribe("a", "1", json!({ "from": "earliest" })).await;
    client.settle().await;
}

#[tokio::test]
async fn a_socket_counts_among_the_connections_until_it_ends() {
    let config = floe_gateway::GatewayConfig { max_connections: Some(2), ..Default::default() };
    let floe = Floe::with(&config).await;
    let first = Client::connect(&floe).await;
    let second = Client::connect(&floe).await;
    let mut refused = tokio::net::TcpStream::connect(floe.address).await.unwrap();
    let mut answer = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut refused, &mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 503"), "{}", answer.escape_ascii());
    first.close().await;
    let again = async {
        loop {
            let stream = tokio::net::TcpStream::connect(floe.address).await.unwrap();
            let url = format!("ws://{}/ws", floe.address);
            if tokio_tungstenite::client_async(url, stream).await.is_ok() {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), again).await.unwrap();
    second.close().await;
}
