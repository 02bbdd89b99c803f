//! Bad request heads, byte by byte: each is answered or closed, and the server goes on.

use crate::floe::Floe;

fn head(first: &str, headers: &[&str]) -> Vec<u8> {
    let mut head = format!("{first}\r\nHost: localhost\r\n");
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    head.into_bytes()
}

async fn still_serves(floe: &Floe) {
    floe.get("/health").await.ok(200);
}

#[tokio::test]
async fn other_protocols_are_closed_or_refused() {
    let floe = Floe::start().await;
    for hello in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n"[..],
        b"\0\0\0\x10\0\x12\0\0\0\0\0\x01\0\x04test\0\0\r\n\r\n",
    ] {
        assert!(matches!(floe.raw_status(hello).await, None | Some(400)));
    }
    still_serves(&floe).await;
}

#[tokio::test]
async fn long_targets_are_414() {
    let floe = Floe::start().await;
    for length in [16 * 1024 + 1, 64 * 1024] {
        let request = head(&format!("GET /{} HTTP/1.1", "a".repeat(length)), &["Connection: close"]);
        assert_eq!(floe.raw_status(&request).await, Some(414), "{length}");
    }
    still_serves(&floe).await;
}

#[tokio::test]
async fn many_or_large_headers_are_431() {
    let floe = Floe::start().await;
    let many: Vec<String> = (0..101).map(|n| format!("X-{n}: 1")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(floe.raw_status(&head("GET /health HTTP/1.1", &many)).await, Some(431));
    let large = format!("X-Large: {}", "a".repeat(64 * 1024));
    assert_eq!(floe.raw_status(&head("GET /health HTTP/1.1", &[&large])).await, Some(431));
    let huge = format!("X-Huge: {}", "a".repeat(1024 * 1024));
    assert!(matches!(floe.raw_status(&head("GET /health HTTP/1.1", &[&huge])).await, None | Some(431)));
    still_serves(&floe).await;
}

#[tokio::test]
async fn lengths_that_contradict_are_400() {
    let floe = Floe::start().await;
    for lengths in [
        &["Content-Length: 5", "Content-Length: 6"][..],
        &["Content-Length: +5"],
        &["Content-Length: -1"],
        &["Content-Length: 0x5"],
        &["Content-Length: 5,6"],
        &["Content-Length: 99999999999999999999"],
        &["Transfer-Encoding: xchunked"],
        &["Transfer-Encoding: chunked, identity"],
    ] {
        let mut request = head("POST /register_event HTTP/1.1", lengths);
        request.extend_from_slice(b"{\"a\":1}");
        let status = floe.raw_status(&request).await;
        assert!(matches!(status, Some(400 | 501)), "{lengths:?}: {status:?}");
    }
    still_serves(&floe).await;
}

#[tokio::test]
async fn a_length_beside_chunks_ends_the_connection() {
    let floe = Floe::start().await;
    let mut request = head(
        "POST /register_event HTTP/1.1",
        &["Content-Type: application/json", "Content-Length: 4", "Transfer-Encoding: chunked"],
    );
    // What a server that believed the length would take for a second request.
    request.extend_from_slice(b"2\r\n{}\r\n0\r\n\r\nGET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let answer = floe.raw(&request).await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    still_serves(&floe).await;
}

#[tokio::test]
async fn broken_chunks_are_400() {
    let floe = Floe::start().await;
    for chunks in ["FFFFFFFFFFFFFFFFF\r\n{}", "zz\r\n{}\r\n", "2\n{}\r\n0\r\n\r\n", "2\r\n{}XX0\r\n\r\n"] {
        let mut request = head(
            "POST /register_event HTTP/1.1",
            &["Content-Type: application/json", "Transfer-Encoding: chunked", "Connection: close"],
        );
        request.extend_from_slice(chunks.as_bytes());
        let status = floe.raw_status(&request).await;
        assert!(matches!(status, None | Some(400 | 413)), "{chunks:?}: {status:?}");
    }
    still_serves(&floe).await;
}

#[tokio::test]
async fn malformed_header_lines_are_400() {
    let floe = Floe::start().await;
    for line in ["X-Space : 1", "X-Nul: a\0b", "X-Cr: a\rb", "X-\u{e9}: 1", "no colon"] {
        let request = head("GET /health HTTP/1.1", &[line, "Connection: close"]);
        assert_eq!(floe.raw_status(&request).await, Some(400), "{line:?}");
    }
    still_serves(&floe).await;
}

#[tokio::test]
async fn a_host_is_there_once() {
    let floe = Floe::start().await;
    assert_eq!(floe.raw_status(b"GET /health HTTP/1.1\r\n\r\n").await, Some(400));
    let two = head("GET /health HTTP/1.1", &["Host: localhost"]);
    assert_eq!(floe.raw_status(&two).await, Some(400));
    let absolute = head("GET http://evil.example/health HTTP/1.1", &[]);
    assert_eq!(floe.raw_status(&absolute).await, Some(421));
    still_serves(&floe).await;
}

#[tokio::test]
async fn methods_that_are_for_proxies_are_405() {
    let floe = Floe::start().await;
    for request in ["TRACE /health HTTP/1.1", "CONNECT localhost:80 HTTP/1.1"] {
        assert_eq!(floe.raw_status(&head(request, &["Connection: close"])).await, Some(405), "{request}");
    }
    assert_eq!(floe.raw_status(&head("GET /health HTTP/1.1", &["Expect: nonsense"])).await, Some(417));
    still_serves(&floe).await;
}

#[tokio::test]
async fn requests_in_one_packet_are_answered_in_order() {
    let floe = Floe::start().await;
    let mut requests = Vec::new();
    for n in 0..1_000 {
        requests.extend(head(&format!("GET /nowhere/{n} HTTP/1.1"), &[]));
    }
    requests.extend(head("GET /health HTTP/1.1", &["Connection: close"]));
    let answer = floe.raw(&requests).await;
    assert_eq!(answer.matches("HTTP/1.1 404 ").count(), 1_000);
    assert!(answer.rfind("HTTP/1.1 200 ").unwrap() > answer.rfind("HTTP/1.1 404 ").unwrap());
}
