//! Questions, messages, sessions and documents by HTTP and WebSocket, and across a crash.

use floe_load::http::{Client, Target};
use serde_json::{Value, json};
use std::time::Duration;

use super::{add, ask};
use crate::{
    node::{Node, until},
    socket::Wire,
};

const NOTHING: Value = Value::Null;

fn server() -> (Node, tempfile::TempDir) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    (Node::server(&folder.path().join("data"), &[]), folder)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_is_answered_and_all_of_it_survives_a_crash() {
    let (server, _folder) = server();
    add(&server, "docs/gate.md", "# Gate\nThe gate opens at dawn.").await;
    let answer = ask(&server, "s-1", "When does the gate open?").await;
    assert!(answer["content"].as_str().unwrap().contains("dawn"), "{answer}");
    assert_eq!((&answer["status"], &answer["sources"][0]["section"]), (&"answered".into(), &"Gate".into()));
    let request = answer["request_id"].as_str().unwrap();
    server.restart();
    let session = server.says(200, "GET", "/chat/sessions/s-1", &NOTHING).await;
    assert_eq!(session["turns"][0]["answer"], answer["content"]);
    let again = server.says(200, "GET", &format!("/chat/sessions/s-1/answers/{request}"), &NOTHING).await;
    assert_eq!(again["content"], answer["content"]);
    let document = server.says(200, "GET", "/chat/documents/docs%2Fgate.md", &NOTHING).await;
    assert!(document["passages"][0]["text"].as_str().unwrap().contains("dawn"), "{document}");
    let answer = ask(&server, "s-1", "When does the gate open??").await;
    assert!(answer["content"].as_str().unwrap().contains("dawn"), "{answer}");
    // each message once, in order, however often the server crashes
    for kind in ["query", "prompt", "answer"] {
        for offset in 0..2 {
            let message = server.says(200, "GET", &format!("/messages?type={kind}"), &NOTHING).await;
            assert_eq!((&message["type"], &message["offset"]), (&kind.into(), &offset.into()));
            server.restart();
        }
        server.says(204, "GET", &format!("/messages?type={kind}"), &NOTHING).await;
    }
    server.says(204, "DELETE", "/chat/sessions/s-1", &NOTHING).await;
    server.says(404, "GET", "/chat/sessions/s-1", &NOTHING).await;
    server.says(204, "DELETE", "/chat/documents/docs%2Fgate.md", &NOTHING).await;
    server.says(404, "GET", "/chat/documents/docs%2Fgate.md", &NOTHING).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_tells_a_question_on_its_way_and_others_see_it() {
    let (server, _folder) = server();
    add(&server, "gate", "The gate opens at dawn.").await;
    let mut asking = Wire::open(&server, "/chat/ws?session_id=s").await;
    let mut watching = Wire::open(&server, "/chat/ws?session_id=s").await;
    for socket in [&mut asking, &mut watching] {
        let session = socket.expect("session").await;
        assert_eq!((&session["session_id"], &session["turns"]), (&"s".into(), &json!([])));
    }
    asking.send(&json!({"type": "query", "content": "When does the gate open?", "request_id": "r"})).await;
    for (socket, acked) in [(&mut asking, true), (&mut watching, false)] {
        let mut kinds = Vec::new();
        loop {
            let said = socket.next().await;
            let kind = said["type"].as_str().unwrap().to_owned();
            assert_eq!(said["request_id"], "r", "{said}");
            kinds.push(kind);
            if said["type"] == "answer" {
                assert!(said["content"].as_str().unwrap().contains("dawn"), "{said}");
                break;
            }
        }
        assert_eq!(kinds.contains(&"ack".to_owned()), acked, "{kinds:?}");
        assert!(kinds.contains(&"query".to_owned()), "{kinds:?}");
    }
    // who comes later sees what was said
    let mut late = Wire::open(&server, "/chat/ws?session_id=s").await;
    assert_eq!(late.expect("session").await["turns"][0]["request_id"], "r");
    for (sent, code) in [
        (json!({"type": "query", "content": ""}), "UNPROCESSABLE"),
        (json!({"type": "query", "content": "Other?", "request_id": "r"}), "CONFLICT"),
        (json!({"type": "shout"}), "BAD_REQUEST"),
        (json!({"type": "query"}), "BAD_REQUEST"),
        (json!([1]), "BAD_REQUEST"),
    ] {
        late.send(&sent).await;
        assert_eq!(late.expect("error").await["code"], code, "{sent}");
    }
    late.send(&json!({"type": "ping"})).await;
    late.expect("pong").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_comes_as_events_too() {
    let (server, _folder) = server();
    add(&server, "gate", "The gate opens at dawn.").await;
    let mut client = Client::new(Target::parse(&server.url).unwrap(), Duration::from_secs(60));
    let headers = [("Content-Type", "application/json"), ("Accept", "text/event-stream")];
    let body = br#"{"content":"When does the gate open?"}"#;
    let answer = client.send("POST", "/chat", &headers, body).await.unwrap();
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    let events: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!(
        (answer.status, events.first(), events.last()),
        (200, Some(&"ack"), Some(&"answer")),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_right_is_refused_by_name() {
    let (server, _folder) = server();
    for (status, path, body) in [
        (422, "/chat", json!({"content": " "})),
        (422, "/chat", json!({"content": "?", "session_id": "a b"})),
        (400, "/chat", json!({"content": "?", "sesion_id": "s"})),
        (400, "/messages", json!({"type": "queries", "content": "?"})),
        (422, "/messages", json!({"type": "query", "content": "?", "user_id": "a/b"})),
        (422, "/chat/documents", json!({"content": ""})),
        (413, "/chat/documents", json!({"content": "x".repeat(1_000_001)})),
    ] {
        let said = server.says(status, "POST", path, &body).await;
        assert!(said["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{said}");
    }
    for (status, path) in [
        (400, "/messages"),
        (400, "/messages?type=question"),
        (403, "/messages?type=query&group=chat.queries"),
        (404, "/chat/sessions/unheard-of"),
        (404, "/chat/sessions/unheard-of/answers/r"),
        (404, "/chat/documents/unheard-of"),
        (404, "/chat/unheard-of"),
        (426, "/chat/ws"),
    ] {
        server.says(status, "GET", path, &NOTHING).await;
    }
    let mut client = Client::new(Target::parse(&server.url).unwrap(), Duration::from_secs(60));
    let headers = [("Content-Type", "text/markdown")];
    let refused = client.send("POST", "/chat/documents?id=d", &headers, b"so far \xff").await.unwrap();
    let said = String::from_utf8(refused.body.to_vec()).unwrap();
    assert!(refused.status == 400 && said.contains("not UTF-8 at byte 7"), "{said}");
    let taken =
        client.send("POST", "/chat/documents?id=d", &headers, "# Gäte\nText.".as_bytes()).await.unwrap();
    assert_eq!(taken.status, 201);
    let documents = server.says(200, "GET", "/chat/documents", &NOTHING).await;
    assert_eq!(documents["documents"][0]["title"], "Gäte");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_of_a_question_can_be_watched() {
    let (server, _folder) = server();
    ask(&server, "s", "Is anybody there?").await;
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_floe"))
        .args(["consume", "query", "--follow", "-n", "1", "--url", &server.url])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("Is anybody there?"), "{output:?}");
    until("the steps are counted", async || {
        let groups = server.says(200, "GET", "/groups/chat.prompts", &NOTHING).await;
        groups["lag"] == 0
    })
    .await;
}
