//! Workers in processes of their own, which are killed.

use floe_testkit::services::LanguageModel;
use serde_json::{Value, json};

use super::{add, is_answered_from};
use crate::{
    node::{Node, until},
    socket::Wire,
};

const USERS: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_users_get_their_own_answers_while_a_worker_is_killed_and_restarted() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let server = Node::server_of(&folder.path().join("data"), "http,producer,consumer,gateway", &[]);
    let worker = Node::chat_worker("chat worker", &server, &[]);
    let numbers: Vec<String> =
        (0..USERS).map(|user| format!("The number of user{user} is {}.", 70_000 + user)).collect();
    add(&server, "numbers", &numbers.join("\n\n")).await;
    is_answered_from(&server, "What is the number of user7?", "numbers").await;
    let mut sockets = Vec::new();
    for user in 0..USERS {
        sockets.push(Wire::open(&server, &format!("/chat/ws?session_id=session-{user}")).await);
    }
    let asking: Vec<_> = sockets
        .into_iter()
        .enumerate()
        .map(|(user, mut socket)| {
            tokio::spawn(async move {
                for round in 0..3 {
                    let content = format!("What is the number of user{user}{}", "?".repeat(round + 1));
                    let query =
                        json!({"type": "query", "content": content, "request_id": format!("r-{round}")});
                    socket.send(&query).await;
                }
                let mut answered = Vec::new();
                while answered.len() < 3 {
                    let said = socket.next().await;
                    assert_ne!(said["type"], "error", "{said}");
                    if said["type"] == "answer" {
                        let content = said["content"].as_str().unwrap();
                        assert!(content.contains(&(70_000 + user).to_string()), "{user}: {said}");
                        answered.push(said["request_id"].as_str().unwrap().to_owned());
                    }
                }
                assert_eq!(answered, ["r-0", "r-1", "r-2"]);
            })
        })
        .collect();
    until("some are answered", async || {
        let topic = server.says(200, "GET", "/topics/answer", &Value::Null).await;
        topic["partitions"][0]["end"].as_u64() > Some(60)
    })
    .await;
    worker.restart();
    for asked in asking {
        asked.await.unwrap();
    }
    assert!(worker.stop().unwrap().success(), "a worker ends well when it is told to");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_writes_the_answer_and_its_key_is_nowhere() {
    let model = LanguageModel::start().await;
    model.say("Because the gate is old [1].");
    let environment = [
        ("FLOE_LLM_URL", model.url()),
        ("FLOE_LLM_MODEL", "floe-test".to_owned()),
        ("FLOE_LLM_KEY", "sk-hunter2".to_owned()),
        ("FLOE_LOG__LEVEL", "trace".to_owned()),
    ];
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let server = Node::server(&folder.path().join("data"), &environment);
    add(&server, "gate", "The gate opens at dawn.").await;
    let answer =
        server.says(200, "POST", "/chat", &json!({"content": "Why does the gate open so late?"})).await;
    assert_eq!(answer["content"], "Because the gate is old [1].");
    assert_eq!(model.requests()[0].authorization(), "Bearer sk-hunter2");
    model.behave(floe_testkit::services::Behaviour::Fails { status: 401, retry_after: None });
    let failed = server.says(502, "POST", "/chat", &json!({"content": "And now?"})).await;
    assert!(failed["code"] == "ANSWER_FAILED" && !failed.to_string().contains("hunter2"), "{failed}");
    let letters = server.says(200, "GET", "/dead-letters/chat", &Value::Null).await;
    assert!(
        letters.to_string().contains("MODEL_FAILED") && !letters.to_string().contains("hunter2"),
        "{letters}"
    );
    assert!(!server.said().iter().any(|line| line.contains("hunter2")), "the key is in the log");
}
