//! Answers that fail, and what is done about it.

use std::time::{Duration, Instant};

use floe_chat::model::{BreakerConfig, BreakerState, Model, ModelConfig, ModelError};
use floe_testkit::services::{Behaviour, LanguageModel};

use super::{LONG, ask, config, model, nobody};

fn fails(status: u16, retry_after: Option<&str>) -> Behaviour {
    Behaviour::Fails { status, retry_after: retry_after.map(str::to_owned) }
}

#[tokio::test]
async fn a_server_that_is_busy_is_asked_again() {
    let server = LanguageModel::start().await;
    let model = model(&server);
    for status in [408, 409, 429, 500, 503] {
        let before = server.requests().len();
        server.behave_next(2, &fails(status, None));
        let (answered, parts) = ask(&model).await;
        assert_eq!(answered.unwrap().content, "Hello, world.");
        assert_eq!(parts, ["Hello, ", "world."]);
        assert_eq!(server.requests().len() - before, 3, "{status}");
    }
}

#[tokio::test]
async fn a_server_that_stays_busy_is_told_of() {
    let server = LanguageModel::start().await;
    server.behave(fails(503, None));
    let error = ask(&model(&server)).await.0.unwrap_err();
    assert!(matches!(error, ModelError::Unavailable { status: 503, retry_after: None, .. }), "{error}");
    assert!(error.is_temporary());
    assert_eq!(server.requests().len(), 4, "one attempt and three more");
}

#[tokio::test]
async fn the_wait_that_a_server_wishes_for_is_kept() {
    let server = LanguageModel::start().await;
    let model = model(&server);
    server.behave_next(1, &fails(429, Some("1")));
    let begun = Instant::now();
    ask(&model).await.0.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1));

    server.behave_next(1, &fails(429, Some("3600")));
    let error = ask(&model).await.0.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3600)), "nobody waits for that");
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn an_answer_that_is_cut_off_before_its_first_word_is_asked_for_again() {
    let server = LanguageModel::start().await;
    let model = model(&server);
    let failing = Behaviour::FailsInStream { after_words: 0, message: "out of memory".to_owned() };
    for early in [Behaviour::CutsOff { after_words: 0 }, Behaviour::EndsEarly { after_words: 0 }, failing] {
        server.behave_next(2, &early);
        let (answered, parts) = ask(&model).await;
        assert_eq!(answered.unwrap().content, "Hello, world.", "{early:?}");
        assert_eq!(parts.len(), 2);
    }
    assert_eq!(server.requests().len(), 9);
}

#[tokio::test]
async fn an_answer_that_is_cut_off_later_is_told_with_how_much_had_come() {
    let server = LanguageModel::start().await;
    let model = model(&server);
    let failing = Behaviour::FailsInStream { after_words: 1, message: "out of memory".to_owned() };
    for (late, told) in [
        (Behaviour::CutsOff { after_words: 1 }, "the connection was lost"),
        (Behaviour::EndsEarly { after_words: 1 }, "the response ended before the answer was finished"),
        (failing, "out of memory"),
    ] {
        let before = server.requests().len();
        server.behave_next(1, &late);
        let (answered, parts) = ask(&model).await;
        let error = answered.unwrap_err();
        assert!(matches!(error, ModelError::CutOff { handed_out_bytes: 7, .. }), "{error}");
        assert!(error.to_string().contains(told), "{error}");
        assert!(error.is_temporary());
        assert_eq!(parts, ["Hello, "]);
        assert_eq!(server.requests().len() - before, 1, "only the caller can begin anew");
        assert_eq!(ask(&model).await.0.unwrap().content, "Hello, world.");
    }
}

#[tokio::test]
async fn what_is_not_the_protocol_is_not_asked_for_again() {
    let server = LanguageModel::start().await;
    let model = model(&server);
    let garbage = |after_words| Behaviour::TalksGarbage { after_words };
    for (behaviour, words) in [(Behaviour::SendsPage, 0), (garbage(0), 0), (garbage(1), 1)] {
        server.behave_next(1, &behaviour);
        let (answered, parts) = ask(&model).await;
        let error = answered.unwrap_err();
        assert!(matches!(error, ModelError::NotUnderstood { .. }), "{error}");
        assert!(!error.is_temporary());
        assert_eq!(parts.len(), words);
    }
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_of_after_all_attempts() {
    let server = LanguageModel::start().await;
    let (_held, url) = nobody();
    let breaker = BreakerConfig { failures: 4, pause: LONG };
    let model = Model::new(ModelConfig { url, breaker, ..config(&server) }).unwrap();
    let error = ask(&model).await.0.unwrap_err();
    assert!(matches!(error, ModelError::Unreachable { .. }), "{error}");
    assert!(error.is_temporary());
    assert!(matches!(model.breaker(), BreakerState::Open { .. }), "all four attempts were made");
}
