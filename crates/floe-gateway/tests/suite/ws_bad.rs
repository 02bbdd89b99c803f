//! What a WebSocket does with clients that break its rules.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::Message;

use crate::{
    floe::Floe,
    socket::{Bare, Client, handshake, id, masked, nobody_left, subscribers},
};

/// The server is still well.
async fn still_serves(floe: &Floe) {
    let mut client = Client::connect(floe).await;
    client.settle().await;
    client.close().await;
}

#[tokio::test]
async fn pages_of_other_origins_get_no_socket() {
    let floe = Floe::start().await;
    for origin in ["https://evil.example", "null", "http://127.0.0.1.evil.example", "http://localhost:1"] {
        let request = handshake(&floe, &format!("Origin: {origin}\r\nConnection: close\r\n"));
        assert_eq!(floe.raw_status(request.as_bytes()).await, Some(403), "{origin}");
    }
    let own = handshake(&floe, &format!("Origin: http://{}\r\n", floe.address));
    let mut stream = tokio::net::TcpStream::connect(floe.address).await.unwrap();
    stream.write_all(own.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 101");
}

#[tokio::test]
async fn a_handshake_must_be_whole() {
    let floe = Floe::start().await;
    let good = handshake(&floe, "");
    for (cut, put, status) in [
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 400),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZQ==", 400),
        ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 12", 426),
        ("Upgrade: websocket\r\n", "", 426),
        ("Connection: Upgrade\r\n", "", 400),
        ("Version: 13\r\n", "Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", 400),
        ("GET", "POST", 405),
    ] {
        let request = good.replace(cut, put).replace("Host:", "Connection: close\r\nHost:");
        let request = if put.is_empty() && cut.starts_with("Connection") {
            good.replace(cut, "Connection: close\r\n")
        } else {
            request
        };
        assert_eq!(floe.raw_status(request.as_bytes()).await, Some(status), "{request}");
    }
    still_serves(&floe).await;
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_given_up() {
    let floe = Floe::start().await;
    let huge = handshake(&floe, &format!("X-Large: {}\r\n", "x".repeat(1 << 20)));
    let status = floe.raw_status(huge.as_bytes()).await;
    assert!(matches!(status, Some(431) | None), "{status:?}");
    still_serves(&floe).await;
}

#[tokio::test]
async fn a_broken_frame_closes_with_its_code() {
    let floe = Floe::start().await;
    let mut endless = vec![0x81, 0xff];
    endless.extend((i64::MAX as u64).to_be_bytes());
    endless.extend([0, 0]);
    let mut fragments = masked(0x01, b"x");
    for _ in 0..5_000 {
        fragments.extend(masked(0x00, b""));
    }
    for (bytes, code, why) in [
        (b"\x81\x05Hello".to_vec(), 1002, "unmasked"),
        (masked(0xc1, b"x"), 1002, "reserved bit"),
        (masked(0x83, b"x"), 1002, "unknown opcode"),
        (masked(0x89, &[0; 126]), 1002, "long ping"),
        (masked(0x09, b""), 1002, "fragmented ping"),
        (masked(0x80, b"x"), 1002, "continuation of nothing"),
        (endless, 1009, "length of 2^63-1"),
        (fragments, 1009, "too many fragments"),
        (masked(0x81, b"\xc0\x80"), 1007, "not UTF-8"),
        (masked(0x88, b"\x03"), 1002, "close of one byte"),
        (masked(0x88, &1005u16.to_be_bytes()), 1002, "close 1005"),
        (masked(0x88, &0u16.to_be_bytes()), 1002, "close 0"),
        (masked(0x88, &9999u16.to_be_bytes()), 1002, "close 9999"),
        (masked(0x88, b"\x03\xe8\xff"), 1007, "close reason not UTF-8"),
        (masked(0x82, b"{}"), 1003, "binary"),
    ] {
        let mut bare = Bare::connect(&floe).await;
        bare.send(&bytes).await;
        assert_eq!(bare.close_code().await, Some(code), "{why}");
        assert_eq!(bare.frame().await, None, "{why}: nothing comes after a close");
    }
    still_serves(&floe).await;
}

#[tokio::test]
async fn a_close_is_echoed() {
    let floe = Floe::start().await;
    let mut bare = Bare::connect(&floe).await;
    bare.send(&masked(0x88, b"\x0f\xa1bye")).await;
    assert_eq!(bare.close_code().await, Some(4001));
    let mut bare = Bare::connect(&floe).await;
    bare.send(&masked(0x88, b"")).await;
    assert_eq!(bare.frame().await, Some((0x88, Vec::new())));
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_and_one_at_it_is_not() {
    let floe = Floe::start().await;
    let mut client = Client::connect(&floe).await;
    let text = json!({ "type": "ping", "request_id": "big", "pad": "x".repeat((1 << 20) - 100) }).to_string();
    assert!(text.len() <= 1 << 20);
    client.send_text(text).await;
    assert_eq!(client.expect("pong").await["request_id"], "big");
    let mut bare = Bare::connect(&floe).await;
    bare.send(&masked(0x81, &vec![b'x'; (1 << 20) + 1])).await;
    assert_eq!(bare.close_code().await, Some(1009));
    // In pieces it is no different.
    let mut bare = Bare::connect(&floe).await;
    bare.send(&masked(0x01, &vec![b'x'; 1 << 19])).await;
    bare.send(&masked(0x00, &vec![b'x'; 1 << 19])).await;
    bare.send(&masked(0x80, b"x")).await;
    assert_eq!(bare.close_code().await, Some(1009));
}

#[tokio::test]
async fn pings_are_answered_and_a_flood_of_them_is_not() {
    let floe = Floe::start().await;
    let mut bare = Bare::connect(&floe).await;
    bare.send(&masked(0x89, b"hello")).await;
    assert_eq!(bare.frame().await, Some((0x8a, b"hello".to_vec())));
    let flood = masked(0x89, b"").repeat(10_000);
    bare.send(&flood).await;
    assert_eq!(bare.close_code().await, Some(1008));
}

#[tokio::test]
async fn bad_messages_are_told_apart_and_the_socket_stays() {
    let floe = Floe::start().await;
    floe.topic("t", 1).await;
    let mut client = Client::connect(&floe).await;
    let deep = format!("{{\"type\":\"ping\",\"x\":{}}}", "[".repeat(100_000));
    for (text, says) in [
        ("not json", "JSON object"),
        ("[1]", "array"),
        (r#"{"type":"nonsense"}"#, "type"),
        (r#"{"type":"subscribe","client_id":"c"}"#, "topic"),
        (r#"{"type":"subscribe","topic":"t"}"#, "client_id"),
        (r#"{"type":"publish","topic":"t"}"#, "message"),
        (r#"{"type":"publish","topic":"t","message":{"id":"1","payload":1}}"#, "message.id"),
        (
            r#"{"type":"publish","topic":"t","message":{"id":"550e8400-e29b-41d4-a716-446655440000"}}"#,
            "message.payload",
        ),
        (deep.as_str(), "nests deeper"),
    ] {
        client.send_text(text).await;
        let error = client.expect("error").await;
        assert_eq!(error["error"]["code"], "BAD_REQUEST", "{error}");
        let message = error["error"]["message"].as_str().unwrap();
        assert!(message.contains(says), "{message}");
    }
    client.settle().await;
}

#[tokio::test]
async fn a_hundred_bad_messages_in_a_row_are_enough() {
    let floe = Floe::start().await;
    let mut client = Client::connect(&floe).await;
    for _ in 0..3 {
        for _ in 0..99 {
            client.send_text("{").await;
            client.expect("error").await;
        }
        // A good one in between forgives them.
        client.settle().await;
    }
    for _ in 0..100 {
        client.send_text("{").await;
    }
    for _ in 0..100 {
        client.expect("error").await;
    }
    assert_eq!(client.closed().await.0, 1008);
}

#[tokio::test]
async fn requests_that_cannot_be_met_are_errors_with_their_request_id() {
    let floe = Floe::start().await;
    floe.topic("t", 1).await;
    let mut client = Client::connect(&floe).await;
    let content = json!({ "id": id(1), "payload": 1 });
    for (message, code) in [
        (json!({ "type": "subscribe", "topic": "nowhere", "client_id": "c" }), "TOPIC_NOT_FOUND"),
        (json!({ "type": "publish", "topic": "nowhere", "message": content }), "TOPIC_NOT_FOUND"),
        (json!({ "type": "publish", "topic": "__internal", "message": content }), "FORBIDDEN"),
        (json!({ "type": "publish", "topic": "t", "partition": 7, "message": content }), "BAD_REQUEST"),
        (json!({ "type": "subscribe", "topic": "../etc", "client_id": "c" }), "BAD_REQUEST"),
    ] {
        let mut message = message;
        message["request_id"] = json!("r");
        client.send(message.clone()).await;
        let error = client.expect("error").await;
        assert_eq!((&error["request_id"], &error["error"]["code"]), (&json!("r"), &json!(code)), "{message}");
    }
    client.settle().await;
}

#[tokio::test]
async fn a_socket_has_at_most_a_thousand_subscriptions() {
    let floe = Floe::start().await;
    floe.topic("t", 1).await;
    let mut client = Client::connect(&floe).await;
    for n in 0..1_000 {
        client.subscribe("t", &n.to_string(), json!({})).await;
    }
    client.send(json!({ "type": "subscribe", "topic": "t", "client_id": "one more" })).await;
    assert_eq!(client.expect("error").await["error"]["code"], "RATE_LIMITED");
    client.subscribe("t", "7", json!({})).await;
    assert_eq!(subscribers(&floe).await, 1_000);
}

#[tokio::test]
async fn text_in_names_comes_back_as_data() {
    let floe = Floe::start().await;
    floe.topic("t", 1).await;
    let mut client = Client::connect(&floe).await;
    let odd = "\"},{\"\u{1b}[31m\u{202e}<script>\\\n\0";
    let ack = client.subscribe("t", odd, json!({ "request_id": odd })).await;
    assert_eq!(ack["request_id"], odd);
    client
        .send(json!({ "type": "publish", "topic": "t", "key": odd, "message": { "id": id(1), "payload": odd } }))
        .await;
    for _ in 0..2 {
        let message = client.next().await;
        if message["type"] == "event" {
            assert_eq!((&message["key"], &message["message"]["payload"]), (&json!(odd), &json!(odd)));
        }
    }
}

#[tokio::test]
async fn half_a_frame_and_gone_leaves_nothing() {
    let floe = Floe::start().await;
    floe.topic("t", 1).await;
    for cut in [1, 2, 5, 9] {
        let mut bare = Bare::connect(&floe).await;
        let subscribe = json!({ "type": "subscribe", "topic": "t", "client_id": "c" }).to_string();
        bare.send(&masked(0x81, subscribe.as_bytes())).await;
        let (_, ack) = bare.frame().await.unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&ack).unwrap()["type"], "ack");
        bare.send(&masked(0x81, &[b'x'; 200])[..cut]).await;
    }
    nobody_left(&floe).await;
}

#[tokio::test]
async fn bytes_right_behind_the_handshake_are_read() {
    let floe = Floe::start().await;
    let mut stream = tokio::net::TcpStream::connect(floe.address).await.unwrap();
    let mut bytes = handshake(&floe, "").into_bytes();
    bytes.extend(masked(0x81, br#"{"type":"ping","request_id":"early"}"#));
    stream.write_all(&bytes).await.unwrap();
    let mut bare = Bare { stream };
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(tokio::io::AsyncReadExt::read_u8(&mut bare.stream).await.unwrap());
    }
    let (_, pong) = bare.frame().await.unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&pong).unwrap()["request_id"], "early");
}

#[tokio::test]
async fn a_real_client_sees_a_clean_close_for_binary() {
    let floe = Floe::start().await;
    let mut client = Client::connect(&floe).await;
    client.send_message(Message::binary(vec![1, 2, 3])).await;
    assert_eq!(client.closed().await.0, 1003);
    let started = std::time::Instant::now();
    client.close().await;
    assert!(started.elapsed() < Duration::from_secs(4), "the server doesn't wait for its time-out");
}
