//! Answers that come.

use floe_chat::model::{Answered, Finish, Model, ModelConfig};
use floe_testkit::services::{Behaviour, LanguageModel};
use serde_json::json;

use super::{KEY, ask, config, model, question};

#[tokio::test]
async fn an_answer_comes_word_by_word_and_then_in_one_piece() {
    let server = LanguageModel::start().await;
    server.say("Ein Log wächst 🦀 hinten.");
    let (answered, parts) = ask(&model(&server)).await;
    let content = "Ein Log wächst 🦀 hinten.".to_owned();
    assert_eq!(answered, Ok(Answered { content, finish: Finish::Stop }));
    assert_eq!(parts, ["Ein ", "Log ", "wächst ", "🦀 ", "hinten."]);
}

#[tokio::test]
async fn the_request_is_what_the_protocol_says() {
    let server = LanguageModel::start().await;
    for url in [server.url(), server.url() + "/", server.url() + "/chat/completions"] {
        let model = Model::new(ModelConfig { url, ..config(&server) }).unwrap();
        ask(&model).await.0.unwrap();
        let request = server.requests().pop().unwrap();
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/v1/chat/completions"));
        assert_eq!(request.authorization(), format!("Bearer {KEY}"));
        assert_eq!(request.headers["content-type"], "application/json");
        let system = json!({ "role": "system", "content": "Be brief." });
        let user = json!({ "role": "user", "content": "What is a log?" });
        let body = json!({ "model": "floe-test", "messages": [system, user], "stream": true });
        assert_eq!(request.body, body);
    }
    ask(&Model::new(ModelConfig { key: None, ..config(&server) }).unwrap()).await.0.unwrap();
    assert_eq!(server.requests().pop().unwrap().authorization(), "", "without a key nothing is sent");
}

#[tokio::test]
async fn an_answer_that_is_not_streamed_is_handed_out_in_one_part() {
    let server = LanguageModel::start().await;
    server.behave(Behaviour::AnswersWhole);
    server.echo();
    let (answered, parts) = ask(&model(&server)).await;
    assert_eq!(answered.unwrap().content, "What is a log?");
    assert_eq!(parts, ["What is a log?"]);
}

#[tokio::test]
async fn answers_come_over_the_same_connection() {
    let server = LanguageModel::start().await;
    let model = model(&server);
    for behaviour in [Behaviour::Streams, Behaviour::AnswersWhole, Behaviour::Streams] {
        server.behave(behaviour);
        ask(&model).await.0.unwrap();
    }
    assert_eq!((server.requests().len(), server.seen_connections()), (3, 1));
}

#[tokio::test]
async fn many_ask_at_once_and_each_gets_its_own_answer() {
    let server = LanguageModel::start().await;
    server.echo();
    let model = model(&server);
    let asked: Vec<_> = (0..20)
        .map(|number| {
            let (model, mut messages) = (model.clone(), question());
            messages[1].content = format!("question number {number}");
            tokio::spawn(async move { model.answer(&messages, &mut |_| {}).await })
        })
        .collect();
    for (number, answered) in asked.into_iter().enumerate() {
        assert_eq!(answered.await.unwrap().unwrap().content, format!("question number {number}"));
    }
}

#[tokio::test]
async fn an_answer_that_goes_on_and_on_is_ended() {
    let server = LanguageModel::start().await;
    server.say(&"and on ".repeat(1_000));
    let model = Model::new(ModelConfig { max_answer_bytes: 100, ..config(&server) }).unwrap();
    let (answered, parts) = ask(&model).await;
    let error = answered.unwrap_err();
    assert_eq!(error.to_string(), "the answer is longer than 100 bytes");
    assert!(!error.is_temporary());
    assert!(parts.concat().len() <= 100);
    assert_eq!(error.handed_out_bytes(), parts.concat().len());
    server.until_open_connections(0).await;
}
