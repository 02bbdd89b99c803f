//! Connections and the end of the server.

use std::time::{Duration, Instant};

use floe_gateway::GatewayConfig;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::floe::Floe;

#[tokio::test]
async fn waits_end_when_the_server_stops() {
    let mut floe = Floe::start().await;
    floe.topic("t", 1).await;
    let started = Instant::now();
    let read = floe.call("GET", "/topics/t/records?partition=0&wait_ms=60000").send();
    let poll = json!({ "topics": ["t"], "wait_ms": 60000 });
    let leased = floe.call("POST", "/groups/a/poll").json(&poll).send();
    let poll = json!({ "topics": ["t"], "wait_ms": 60000, "auto_commit": true });
    let committed = floe.call("POST", "/groups/b/poll").json(&poll).send();
    let waiting = tokio::spawn(async move { tokio::join!(read, leased, committed) });
    // All three are in the engine once their connections are counted.
    while !floe.get("/metrics").await.text().contains("floe_http_connections 4") {
        tokio::task::yield_now().await;
    }
    floe.begin_stop();
    let (read, leased, committed) = waiting.await.unwrap();
    for answer in [read, leased, committed] {
        assert_eq!(answer.ok(200)["records"], json!([]));
    }
    assert!(started.elapsed() < Duration::from_secs(9));
}

#[tokio::test]
async fn idle_connections_do_not_hold_the_stop_up() {
    let floe = Floe::start().await;
    let mut idle = TcpStream::connect(floe.address).await.unwrap();
    idle.write_all(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    let started = Instant::now();
    floe.stop().await;
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let config = GatewayConfig { max_connections: Some(1), ..GatewayConfig::default() };
    let floe = Floe::with(&config).await;
    let mut held = TcpStream::connect(floe.address).await.unwrap();
    held.write_all(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    held.read_exact(&mut first).await.unwrap();
    let mut second = TcpStream::connect(floe.address).await.unwrap();
    let mut answer = Vec::new();
    second.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 503 "));
    drop(held);
}

/// With the clock paused time passes as soon as nothing else can happen, so the limits are met at once.
#[tokio::test(start_paused = true)]
async fn slow_heads_are_closed_and_slow_bodies_answered() {
    let floe = Floe::start().await;
    assert_eq!(floe.raw_status(b"GET /health HTTP/1.1\r\nHost: loc").await, None);
    let head = b"POST /register_event HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
        Content-Length: 100\r\n\r\n{\"a\":";
    assert_eq!(floe.raw_status(head).await, Some(408));
    let idle = floe.raw(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(idle.starts_with("HTTP/1.1 200 "), "{idle}");
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_wait_along() {
    let floe = Floe::start().await;
    floe.topic("t", 1).await;
    let open = async |wanted: &str| {
        while !floe.get("/metrics").await.text().contains(&format!("floe_http_connections {wanted}\n")) {
            tokio::task::yield_now().await;
        }
    };
    let mut waiting = Vec::new();
    for path in ["/topics/t/records?wait_ms=60000", "/topics/t/stream"] {
        let mut client = TcpStream::connect(floe.address).await.unwrap();
        client.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await.unwrap();
        waiting.push(client);
    }
    open("3").await;
    drop(waiting);
    open("1").await;
}
