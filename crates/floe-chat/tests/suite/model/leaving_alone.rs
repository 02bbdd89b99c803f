//! A model that keeps failing is left alone, and found again.

use std::time::Duration;

use floe_chat::model::{BreakerConfig, BreakerState, Model, ModelConfig, ModelError};
use floe_testkit::services::{Behaviour, LanguageModel};
use tokio::sync::mpsc;

use super::{LONG, ask, config, question};

fn with_breaker(server: &LanguageModel, failures: u32, pause: Duration) -> Model {
    let breaker = BreakerConfig { failures, pause };
    Model::new(ModelConfig { breaker, retries: 0, ..config(server) }).unwrap()
}

/// Waits until one may try, and returns when the breaker let one.
async fn ask_when_let(model: &Model) -> Result<String, ModelError> {
    loop {
        match ask(model).await.0 {
            Err(ModelError::Open { retry_in }) => tokio::time::sleep(retry_in).await,
            answered => return answered.map(|answered| answered.content),
        }
    }
}

#[tokio::test]
async fn failures_one_after_the_other_end_the_asking_for_all() {
    let server = LanguageModel::start().await;
    server.behave(Behaviour::Fails { status: 500, retry_after: None });
    let model = with_breaker(&server, 3, LONG);
    for _ in 0..3 {
        assert!(matches!(ask(&model).await.0, Err(ModelError::Unavailable { .. })));
    }
    for model in [model.clone(), model] {
        let error = ask(&model).await.0.unwrap_err();
        let ModelError::Open { retry_in } = &error else { panic!("{error}") };
        assert!(*retry_in <= LONG && error.is_temporary());
        assert_eq!(error.retry_after(), Some(*retry_in));
    }
    assert_eq!(server.requests().len(), 3, "it is not asked any more");
}

#[tokio::test]
async fn attempts_end_when_the_model_is_left_alone_and_tell_why() {
    let server = LanguageModel::start().await;
    server.behave(Behaviour::Fails { status: 503, retry_after: None });
    let breaker = BreakerConfig { failures: 2, pause: LONG };
    let model = Model::new(ModelConfig { breaker, retries: 9, ..config(&server) }).unwrap();
    assert!(matches!(ask(&model).await.0, Err(ModelError::Unavailable { status: 503, .. })));
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn refusals_are_no_failures_of_the_model() {
    let server = LanguageModel::start().await;
    server.behave(Behaviour::Fails { status: 400, retry_after: None });
    let model = with_breaker(&server, 1, LONG);
    for _ in 0..3 {
        assert!(matches!(ask(&model).await.0, Err(ModelError::Refused { .. })));
    }
    assert_eq!(model.breaker(), BreakerState::Closed);
}

#[tokio::test]
async fn after_a_pause_one_tries_and_its_first_word_lets_all_ask_again() {
    let server = LanguageModel::start().await;
    server.behave_next(1, &Behaviour::Fails { status: 500, retry_after: None });
    server.behave_next(1, &Behaviour::NeverAnswers);
    server.behave_next(1, &Behaviour::Stalls { after_words: 1 });
    let model = with_breaker(&server, 1, Duration::from_millis(20));
    ask(&model).await.0.unwrap_err();

    // One who tries and goes away before anything was heard leaves the trial to the next.
    let trying = tokio::spawn({
        let model = model.clone();
        async move { ask_when_let(&model).await }
    });
    server.until_requests(2).await;
    assert_eq!(model.breaker(), BreakerState::HalfOpen);
    assert!(matches!(ask(&model).await.0, Err(ModelError::Open { .. })), "one at a time");
    trying.abort();
    assert!(trying.await.is_err());

    let (heard, mut first_part) = mpsc::channel(8);
    let trying = tokio::spawn({
        let model = model.clone();
        async move { model.answer(&question(), &mut |part| heard.try_send(part.to_owned()).unwrap()).await }
    });
    assert_eq!(first_part.recv().await.unwrap(), "Hello, ");
    assert_eq!(model.breaker(), BreakerState::Closed, "though its answer is not at its end");
    assert_eq!(ask(&model).await.0.unwrap().content, "Hello, world.");
    trying.abort();
}
