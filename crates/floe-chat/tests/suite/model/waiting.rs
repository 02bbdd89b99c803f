//! Answers that take long, and answers that nobody waits for any more.

use std::time::Duration;

use floe_chat::model::{BreakerConfig, BreakerState, Model, ModelConfig, ModelError, Stage, Waits};
use floe_testkit::services::{Behaviour, LanguageModel};
use tokio::sync::mpsc;

use super::{LONG, SHORT, ask, config, model, question};

fn hurried(server: &LanguageModel, hurry: fn(&mut Waits)) -> Model {
    let mut config = config(server);
    hurry(&mut config.waits);
    Model::new(config).unwrap()
}

#[tokio::test]
async fn a_first_token_that_does_not_come_is_not_waited_for() {
    let server = LanguageModel::start().await;
    let model = hurried(&server, |waits| waits.first_token = SHORT * 2);
    for silent in [Behaviour::NeverAnswers, Behaviour::Stalls { after_words: 0 }] {
        server.behave(silent);
        let error = ask(&model).await.0.unwrap_err();
        assert_eq!(error, ModelError::TimedOut { stage: Stage::FirstToken, handed_out_bytes: 0 });
        assert!(error.is_temporary());
        server.until_open_connections(0).await;
    }
    assert!(server.requests().len() <= 2, "a time-out is not repeated");
}

#[tokio::test]
async fn a_slow_first_token_is_waited_for_longer_than_the_next() {
    let server = LanguageModel::start().await;
    server.pause(SHORT * 10, Duration::ZERO);
    let model = hurried(&server, |waits| waits.idle = SHORT * 8);
    assert_eq!(ask(&model).await.0.unwrap().content, "Hello, world.");
}

#[tokio::test]
async fn a_stream_that_stands_still_is_given_up() {
    let server = LanguageModel::start().await;
    server.behave(Behaviour::Stalls { after_words: 1 });
    let model = hurried(&server, |waits| waits.idle = SHORT);
    let (answered, parts) = ask(&model).await;
    let stage = Stage::NextToken;
    assert_eq!(answered, Err(ModelError::TimedOut { stage, handed_out_bytes: 7 }));
    assert_eq!(parts, ["Hello, "]);
    server.until_open_connections(0).await;
}

#[tokio::test]
async fn an_answer_that_is_slow_as_a_whole_is_given_up() {
    let server = LanguageModel::start().await;
    server.say(&"word ".repeat(10_000));
    server.pause(Duration::ZERO, Duration::from_millis(5));
    let model = hurried(&server, |waits| waits.total = SHORT * 10);
    let (answered, parts) = ask(&model).await;
    let handed_out_bytes = parts.concat().len();
    assert_eq!(answered, Err(ModelError::TimedOut { stage: Stage::Answer, handed_out_bytes }));
    assert!(handed_out_bytes > 0);
}

#[tokio::test]
async fn no_attempt_is_made_that_would_come_too_late() {
    let server = LanguageModel::start().await;
    server.behave(Behaviour::Fails { status: 503, retry_after: Some("20".to_owned()) });
    let model = hurried(&server, |waits| waits.total = Duration::from_secs(10));
    let answered = tokio::time::timeout(Duration::from_secs(8), ask(&model)).await;
    assert!(matches!(answered.unwrap().0, Err(ModelError::Unavailable { status: 503, .. })));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn who_stops_listening_closes_the_connection() {
    let server = LanguageModel::start().await;
    let model = model(&server);
    for after_words in [None, Some(1)] {
        let before = server.requests().len();
        let stalls = |after_words| Behaviour::Stalls { after_words };
        server.behave_next(1, &after_words.map_or(Behaviour::NeverAnswers, stalls));
        let (heard, mut first_part) = mpsc::channel(8);
        let asked = model.clone();
        let asking = tokio::spawn(async move {
            asked.answer(&question(), &mut |part| heard.try_send(part.to_owned()).unwrap()).await
        });
        server.until_requests(before + 1).await;
        if after_words.is_some() {
            assert_eq!(first_part.recv().await.unwrap(), "Hello, ");
        }
        assert_eq!(server.open_connections(), 1);
        asking.abort();
        assert!(asking.await.unwrap_err().is_cancelled());
        server.until_open_connections(0).await;
    }
    assert_eq!(ask(&model).await.0.unwrap().content, "Hello, world.");
}

#[tokio::test]
async fn who_stops_listening_does_not_count_as_a_failure() {
    let server = LanguageModel::start().await;
    server.behave_next(3, &Behaviour::NeverAnswers);
    let breaker = BreakerConfig { failures: 1, pause: LONG };
    let model = Model::new(ModelConfig { breaker, ..config(&server) }).unwrap();
    for number in 1..=3 {
        let asked = model.clone();
        let asking = tokio::spawn(async move { ask(&asked).await });
        server.until_requests(number).await;
        asking.abort();
        assert!(asking.await.is_err());
    }
    assert_eq!(model.breaker(), BreakerState::Closed);
    ask(&model).await.0.unwrap();
}
