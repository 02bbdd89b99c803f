//! What is refused, by the server or before anything is sent; and the key, which is never told.

use std::time::Duration;

use floe_chat::model::{Model, ModelConfig, ModelError, Secret, Waits};
use floe_testkit::services::{Behaviour, LanguageModel};

use super::{KEY, ask, config, model, nobody};

#[tokio::test]
async fn a_refusal_is_final_and_told_in_one_bounded_line() {
    let server = LanguageModel::start().await;
    let model = model(&server);
    for status in [400, 401, 404, 413, 422] {
        server.behave_next(1, &Behaviour::Fails { status, retry_after: None });
        let error = ask(&model).await.0.unwrap_err();
        let ModelError::Refused { status: told, said } = &error else { panic!("{error}") };
        assert_eq!(*told, status);
        assert!(said.starts_with("failed as told") && said.len() <= 300 && !said.contains('\n'), "{said}");
        assert!(!error.is_temporary());
    }
    assert_eq!(server.requests().len(), 5, "each was sent once");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let server = LanguageModel::start().await;
    server.behave(Behaviour::Fails { status: 307, retry_after: None });
    let error = ask(&model(&server)).await.0.unwrap_err();
    let said = "redirects are not followed".to_owned();
    assert_eq!(error, ModelError::Refused { status: 307, said });
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn the_key_is_in_no_error_and_in_no_debug_text() {
    let server = LanguageModel::start().await;
    let config = ModelConfig { retries: 0, ..config(&server) };
    let model = Model::new(config.clone()).unwrap();
    let mut told = vec![format!("{config:?} {config:#?} {model:?} {:?}", config.key)];
    let repeats = |status| Behaviour::Fails { status, retry_after: None };
    let in_stream = |after_words| Behaviour::FailsInStream { after_words, message: "no".to_owned() };
    for behaviour in [repeats(401), repeats(500), in_stream(0), in_stream(1)] {
        server.behave(behaviour.clone());
        let error = ask(&model).await.0.unwrap_err();
        assert!(error.to_string().contains("Bearer ***"), "the server did repeat it: {error}");
        told.push(format!("{error} {error:?} {error:#?}"));
    }
    let (_held, url) = nobody();
    let unreachable = Model::new(ModelConfig { url, ..config.clone() }).unwrap();
    told.push(format!("{:?}", ask(&unreachable).await.0.unwrap_err()));
    told.push(refused(ModelConfig { key: Some(Secret::new(format!("{KEY}\n"))), ..config.clone() }));
    for url in ["http://me:sk-very-secret@host/v1", "http://host/v1?key=sk-very-secret", "sk-very-secret"] {
        let config = ModelConfig { url: url.to_owned(), ..config.clone() };
        told.push(format!("{config:?}"));
        told.push(refused(config));
    }
    for text in told {
        assert!(!text.contains("sk-very-secret"), "{text}");
    }
}

#[tokio::test]
async fn a_configuration_that_can_not_work_is_refused_by_name() {
    let server = LanguageModel::start().await;
    let good = config(&server);
    let with = |change: fn(&mut ModelConfig)| {
        let mut config = good.clone();
        change(&mut config);
        refused(config)
    };
    assert!(with(|config| config.url = "ftp://host/v1".to_owned()).contains("'url'"));
    assert!(with(|config| config.url = "host:11434".to_owned()).contains("'url'"));
    assert!(with(|config| config.name = " ".to_owned()).contains("'name'"));
    assert!(with(|config| config.key = Some(Secret::new(String::new()))).contains("'key'"));
    assert!(with(|config| config.waits.idle = Duration::ZERO).contains("'idle'"));
    assert!(with(|config| config.waits = Waits { total: Duration::MAX, ..config.waits }).contains("'total'"));
    assert!(with(|config| config.retries = 1_000).contains("'retries'"));
    assert!(with(|config| config.breaker.failures = 0).contains("'breaker.failures'"));
    assert!(with(|config| config.max_answer_bytes = usize::MAX).contains("'max_answer_bytes'"));
}

fn refused(config: ModelConfig) -> String {
    Model::new(config).unwrap_err()
}
