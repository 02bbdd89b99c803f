//! Bad bodies: each is refused with its place, and nothing of it is stored.

use std::io::Write;

use serde_json::json;

use crate::floe::{Answer, Floe};

const LIMIT: usize = 10 * 1024 * 1024;

async fn one_topic() -> Floe {
    let floe = Floe::start().await;
    floe.topic("t", 1).await;
    floe
}

async fn send(floe: &Floe, body: impl Into<bytes::Bytes>) -> Answer {
    floe.call("POST", "/topics/t/records").body("application/json", body).send().await
}

async fn nothing_stored(floe: &Floe) {
    assert_eq!(floe.get("/topics").await.ok(200)["topics"][0]["messages"], 0);
}

#[tokio::test]
async fn json_doors_take_json() {
    let floe = one_topic().await;
    for path in
        ["/topics", "/write/t", "/register_event", "/groups/g/poll", "/groups/g/ack", "/groups/g/offsets"]
    {
        for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
            let answer = floe.call("POST", path).body(kind, "{}").send().await;
            answer.problem(415, "UNSUPPORTED_MEDIA_TYPE");
        }
        let bare = floe.call("POST", path).bare_body("{}").send().await;
        bare.problem(415, "UNSUPPORTED_MEDIA_TYPE");
    }
    nothing_stored(&floe).await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_announced_or_not() {
    let floe = one_topic().await;
    let large = vec![b' '; LIMIT + 1];
    send(&floe, large.clone()).await.problem(413, "RECORD_TOO_LARGE");
    let mut chunked =
        b"POST /topics/t/records HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
        Transfer-Encoding: chunked\r\n\r\n"
            .to_vec();
    for piece in large.chunks(1024 * 1024) {
        write!(chunked, "{:x}\r\n", piece.len()).unwrap();
        chunked.extend_from_slice(piece);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    assert_eq!(floe.raw_status(&chunked).await, Some(413));
    // Announced only: refused before a byte of it is read.
    let announced =
        b"POST /topics/t/records HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
        Expect: 100-continue\r\nContent-Length: 99999999999\r\n\r\n";
    assert_eq!(floe.raw_status(announced).await, Some(413));
    nothing_stored(&floe).await;
}

#[tokio::test]
async fn bombs_and_unknown_codings_are_refused() {
    let floe = one_topic().await;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..64 {
        gzip.write_all(&vec![b' '; 1024 * 1024]).unwrap();
    }
    let bomb = gzip.finish().unwrap();
    let coded = |coding: &str, body: Vec<u8>| {
        let call = floe.call("POST", "/topics/t/records").header("content-encoding", coding);
        call.body("application/json", body).send()
    };
    coded("gzip", bomb.clone()).await.problem(413, "RECORD_TOO_LARGE");
    coded("gzip, gzip", bomb).await.problem(415, "UNSUPPORTED_MEDIA_TYPE");
    coded("compress", vec![1]).await.problem(415, "UNSUPPORTED_MEDIA_TYPE");
    coded("zstd", b"nonsense".to_vec()).await.problem(400, "BAD_REQUEST");
    nothing_stored(&floe).await;
}

#[tokio::test]
async fn deep_json_is_refused_by_its_limit() {
    let floe = one_topic().await;
    for open in ["[", "{\"a\":"] {
        let detail =
            send(&floe, format!("{{\"value\":{}", open.repeat(100_000))).await.problem(400, "BAD_REQUEST");
        assert!(detail.contains("64"), "{detail}");
    }
    nothing_stored(&floe).await;
}

#[tokio::test]
async fn numbers_are_kept_as_they_are_written() {
    let floe = one_topic().await;
    let digits = "9".repeat(1_000);
    for number in ["1e999999", digits.as_str(), "-0.0", "1.10"] {
        send(&floe, format!("{{\"value\":{number}}}")).await.ok(201);
    }
    let text = floe.get("/topics/t/records").await.text();
    for number in
        ["\"value\":1e999999,", &format!("\"value\":{digits},"), "\"value\":-0.0,", "\"value\":1.10,"]
    {
        assert!(text.contains(number));
    }
    send(&floe, "{\"value\":NaN}").await.problem(400, "BAD_REQUEST");
}

#[tokio::test]
async fn doubled_keys_are_named() {
    let floe = one_topic().await;
    let detail = send(&floe, r#"{"value":1,"value":2}"#).await.problem(400, "BAD_REQUEST");
    assert!(detail.contains("`value`"), "{detail}");
    let call = floe.call("POST", "/topics").body("application/json", r#"{"name":"a","name":"b"}"#);
    assert!(call.send().await.problem(400, "BAD_REQUEST").contains("`name`"));
    nothing_stored(&floe).await;
}

#[tokio::test]
async fn other_encodings_are_refused_with_a_hint() {
    let floe = one_topic().await;
    for (body, expected) in [
        (&b"\xef\xbb\xbf{\"value\":1}"[..], "byte order mark"),
        (b"\xff\xfe{\0}\0", "UTF-16"),
        (b"{\"value\":\"\xff\"}", ""),
        (b"{\"value\":\"\xc0\x80\"}", ""),
        (b"{\"value\":\"\\ud800\"}", "surrogate"),
        (b"{\"key\":\"\xff\",\"value\":1}", ""),
    ] {
        let detail = send(&floe, body).await.problem(400, "BAD_REQUEST");
        assert!(detail.contains(expected), "{detail}");
    }
    nothing_stored(&floe).await;
}

#[tokio::test]
async fn what_is_no_object_is_refused_with_its_place() {
    let floe = one_topic().await;
    for body in [
        "",
        " ",
        "null",
        "[]",
        "\"\"",
        "1",
        "{\"value\":",
        "{\"value\":1",
        "{\"value\":1}{\"value\":2}",
        "{\"value\":1} x",
    ] {
        let detail = send(&floe, body).await.problem(400, "BAD_REQUEST");
        assert!(["byte", "column"].iter().any(|place| detail.contains(place)), "{body:?}: {detail}");
        let call = floe.call("POST", "/topics").body("application/json", body);
        call.send().await.problem(400, "BAD_REQUEST");
    }
    nothing_stored(&floe).await;
}

#[tokio::test]
async fn lines_are_refused_by_their_number() {
    let floe = one_topic().await;
    let send =
        |body: String| floe.call("POST", "/topics/t/records").body("application/x-ndjson", body).send();
    let detail =
        send(format!("{}\n{{\"value\":\"{}\"}}", json!({ "value": 1 }), "x".repeat(9_000_000))).await;
    detail.problem(413, "RECORD_TOO_LARGE");
    for empty in ["", "\n\n", " \r\n"] {
        send(empty.into()).await.problem(400, "BAD_REQUEST");
    }
    nothing_stored(&floe).await;
}

#[tokio::test]
async fn a_record_with_too_many_headers_is_refused() {
    let floe = one_topic().await;
    let headers: serde_json::Map<_, _> = (0..10_000).map(|n| (n.to_string(), json!("v"))).collect();
    let detail =
        send(&floe, json!({ "value": 1, "headers": headers }).to_string()).await.problem(400, "BAD_REQUEST");
    assert!(detail.contains("headers"), "{detail}");
    nothing_stored(&floe).await;
}
