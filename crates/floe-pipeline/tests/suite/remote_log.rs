//! A node's log over HTTP: what each of its answers means to a pipeline.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use floe_engine::{Append, IdempotencyKey, NewRecord, OffsetSpec, PartitionRead};
use floe_pipeline::{Command, Log, LogError, RemoteLog, wire};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What was asked of the node.
#[derive(Clone, Debug)]
struct Asked {
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

type Answer = (StatusCode, &'static str, Bytes);

/// A node that gives the same answer to everything.
async fn node(answer: Answer) -> (Log, Arc<Mutex<Vec<Asked>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let router = Router::new().fallback(move |uri: Uri, headers: HeaderMap, body: Bytes| {
        seen.lock().push(Asked { uri, headers, body });
        let (status, kind, body) = answer.clone();
        let headers = [(header::CONTENT_TYPE.as_str(), kind), ("idempotency-replayed", "true")];
        async move { (status, headers, body).into_response() as Response }
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    (Log::Remote(RemoteLog::new(&url).unwrap()), asked)
}

fn problem(status: u16, code: &str, more: &Value) -> Answer {
    let mut problem = json!({ "status": status, "code": code, "detail": "so it is" });
    problem.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let body = Bytes::from(problem.to_string());
    (StatusCode::from_u16(status).unwrap(), "application/problem+json", body)
}

fn answer(body: &Value) -> Answer {
    (StatusCode::OK, "application/json", Bytes::from(body.to_string()))
}

fn read() -> PartitionRead {
    PartitionRead {
        topic: "t".to_owned(),
        partition: 3,
        from: OffsetSpec::Offset(7),
        max_records: 0,
        max_bytes: usize::MAX,
        wait: Duration::from_secs(3_600),
    }
}

fn append() -> Append {
    let idempotency = Some(IdempotencyKey { key: "k".to_owned(), fingerprint: 9 });
    Append { topic: "a b".to_owned(), records: vec![NewRecord::default()], acks: None, idempotency }
}

#[tokio::test]
async fn a_node_that_can_not_be_reached_or_has_no_room_may_be_asked_again() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let log = Log::Remote(RemoteLog::new(&url).unwrap());
    let Err(LogError::Unavailable(why)) = log.id().await else { panic!("nobody is there") };
    assert!(why.starts_with(&format!("{url} can't be reached: ")), "{why}");
    for (status, code) in [
        (503, "OVERLOADED"),
        (503, "UNAVAILABLE"),
        (507, "STORAGE_FULL"),
        (429, "RATE_LIMITED"),
        (500, "INTERNAL"),
    ] {
        let (log, _) = node(problem(status, code, &json!({}))).await;
        let unavailable = LogError::Unavailable("so it is".to_owned());
        assert_eq!(log.append(append()).await, Err(unavailable.clone()));
        assert_eq!(log.commit("g", "m", 1, vec![]).await, Err(unavailable.clone()));
        assert_eq!(log.read(read()).await.unwrap_err(), unavailable);
    }
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let (log, _) = node(problem(404, "TOPIC_NOT_FOUND", &json!({}))).await;
    let no_topic = |topic: &str| LogError::NoTopic { topic: topic.to_owned() };
    assert_eq!(log.read(read()).await.unwrap_err(), no_topic("t"));
    assert_eq!(log.append(append()).await, Err(no_topic("a b")));
    assert_eq!(log.topic("t").await, Err(no_topic("t")));
    assert_eq!(log.committed("g", "t", 0).await, Ok(None));

    let (log, _) = node(problem(416, "OFFSET_OUT_OF_RANGE", &json!({ "start": 10, "end": 20 }))).await;
    assert_eq!(log.read(read()).await.unwrap_err(), LogError::OutOfRange { offset: 7, start: 10, end: 20 });

    let (log, _) = node(problem(404, "NOT_FOUND", &json!({}))).await;
    assert_eq!(log.heartbeat("g", "m", Bytes::new()).await, Err(LogError::MemberGone));
    assert_eq!(log.leave("g", "m").await, Ok(()));
    let (log, _) = node(problem(409, "CONFLICT", &json!({}))).await;
    assert_eq!(log.commit("g", "m", 1, vec![]).await, Err(LogError::MemberGone));
    assert_eq!(log.append(append()).await, Err(LogError::Refused("so it is".to_owned())));
    let (log, _) = node(problem(409, "TOPIC_EXISTS", &json!({}))).await;
    assert_eq!(log.ensure_topic("t", 1, &[("retention.ms", "-1")]).await, Ok(()));
}

#[tokio::test]
async fn who_answers_in_other_words_is_no_node() {
    for (status, kind, body) in [
        (StatusCode::OK, "text/html", Bytes::from_static(b"<html>")),
        (StatusCode::OK, wire::MEDIA_TYPE, Bytes::from_static(&[9, 9])),
    ] {
        let (log, _) = node((status, kind, body)).await;
        for error in [log.id().await.unwrap_err(), log.read(read()).await.unwrap_err()] {
            let LogError::Refused(why) = error else { panic!("{error:?}") };
            assert!(why.contains("does not answer as a Floe node of this version does"), "{why}");
        }
    }
    let (log, _) = node((StatusCode::BAD_GATEWAY, "text/html", Bytes::from_static(b"<html>"))).await;
    assert_eq!(log.id().await, Err(LogError::Unavailable("the node answered 502".to_owned())));
    for url in ["", "node:8080", "ftp://node", "http://u:p@node", "http://node/path", "http://node/?q"] {
        assert!(RemoteLog::new(url).is_err(), "{url}");
    }
}

#[tokio::test]
async fn nothing_is_lost_on_the_way_to_the_node() {
    let stored =
        json!({ "offsets": [{ "partition": 2, "offset": 8, "timestamp": "1970-01-01T00:00:01.500Z" }] });
    let (log, asked) = node(answer(&stored)).await;
    let appended = log.append(append()).await.unwrap();
    assert!(appended.replayed);
    assert_eq!((appended.placements[0].offset, appended.placements[0].timestamp), (8, 1_500));
    let first = asked.lock()[0].clone();
    assert_eq!(first.uri, "/topics/a%20b/batch?acks=all");
    assert_eq!(first.headers["idempotency-key"], "k");
    let sent = wire::decode_append(first.body).unwrap();
    assert_eq!((sent.fingerprint, sent.records), (Some(9), vec![NewRecord::default()]));

    // What a node doesn't take is asked for as the most that it does.
    let _ = log.read(read()).await;
    let uri = asked.lock()[1].uri.to_string();
    assert_eq!(uri, "/topics/t/partitions/3/batch?offset=7&max_records=1&max_bytes=16777216&wait_ms=60000");

    let pause = Command::Pause { reason: "r".to_owned(), by_fuse: true };
    log.command("p", &pause).await.unwrap();
    let third = asked.lock()[2].clone();
    assert_eq!(third.uri, "/pipelines/p/pause");
    let body: Value = serde_json::from_slice(&third.body).unwrap();
    assert_eq!(body, json!({ "reason": "r", "by_fuse": true }));

    let member = json!({ "member": "m", "generation": 4, "assignment": [{ "topic": "t", "partition": 1 }] });
    let (log, asked) = node(answer(&member)).await;
    let told =
        log.heartbeat("pipeline:p", "m/1", Bytes::from_static(b"{\"state\":\"running\"}")).await.unwrap();
    assert_eq!((told.generation, told.assignment), (4, vec![("t".to_owned(), 1)]));
    let beat = asked.lock()[0].clone();
    assert_eq!(beat.uri, "/groups/pipeline:p/members/m%2F1/heartbeat");
    assert_eq!(beat.body, "{\"status\":{\"state\":\"running\"}}");
}
