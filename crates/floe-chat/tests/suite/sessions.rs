//! What sessions remember, and whose they are; in a topic and in Redis.

use std::time::Duration;

use floe_chat::{ChatError, ChatSettings, Question, SessionLimits};
use floe_testkit::services::Redis;

use crate::stage::{Stage, ask, question, until};

fn kept_in(redis: Option<&Redis>) -> ChatSettings {
    ChatSettings {
        redis: redis.map(Redis::url),
        sessions: SessionLimits { turns: 3, ..SessionLimits::default() },
        ..ChatSettings::default()
    }
}

async fn questions(stage: &Stage, session: &str, user: Option<&str>) -> Vec<String> {
    let view = stage.chat.session(session, user).await.unwrap();
    view.turns.into_iter().map(|turn| turn.question).collect()
}

fn of(user: &str) -> Question {
    Question { user_id: Some(user.to_owned()), ..question("owned", "mine?") }
}

#[track_caller]
fn assert_foreign<T: std::fmt::Debug>(answer: Result<T, ChatError>) {
    assert_eq!(answer.unwrap_err(), ChatError::NoSession("owned".to_owned()));
}

async fn sessions_remember(redis: Option<&Redis>) {
    let mut stage = Stage::new(kept_in(redis));
    for number in 0..5 {
        ask(&stage.chat, "s", &format!("{number}?")).await;
    }
    // what was finished a moment ago is at hand beside what is remembered
    stage.restart();
    until("the gateway has read what is remembered", async || {
        questions(&stage, "s", None).await == ["2?", "3?", "4?"]
    })
    .await;
    stage.hire();
    // a session belongs to who opened it
    stage.chat.ask(of("ann")).await.unwrap();
    until("it is answered", async || questions(&stage, "owned", Some("ann")).await == ["mine?"]).await;
    for user in [None, Some("bob")] {
        assert_foreign(stage.chat.session("owned", user).await);
        assert_foreign(stage.chat.join("owned", user).await);
        assert_foreign(
            stage.chat.ask(Question { user_id: user.map(str::to_owned), ..question("owned", "?") }).await,
        );
        assert_foreign(stage.chat.stop("owned", user, "r").await);
        assert_foreign(stage.chat.delete_session("owned", user).await);
    }
    stage.chat.delete_session("owned", Some("ann")).await.unwrap();
    assert_foreign(stage.chat.delete_session("owned", Some("ann")).await);
    assert!(questions(&stage, "owned", Some("ann")).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_kept_in_a_topic() {
    sessions_remember(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_kept_in_redis() {
    let redis = Redis::start();
    sessions_remember(Some(&redis)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_was_quiet_for_long_is_forgotten() {
    let stage = Stage::idle(ChatSettings::default());
    stage.chat.ask(Question { user_id: Some("ann".into()), ..question("s", "?") }).await.unwrap();
    assert!(stage.chat.is_known("s").await.unwrap());
    stage.clocks.pass(Duration::from_secs(24 * 3_600 + 1));
    assert!(!stage.chat.is_known("s").await.unwrap());
    // and is anybody's again
    stage.chat.ask(Question { user_id: Some("bob".into()), ..question("s", "?") }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_away_is_told_and_comes_back() {
    let redis = Redis::start();
    let stage = Stage::idle(kept_in(Some(&redis)));
    stage.chat.ask(question("s", "?")).await.unwrap();
    redis.kill();
    let refused = stage.chat.ask(question("s", "?")).await.unwrap_err();
    assert!(matches!(refused, ChatError::SessionsAway(_)), "{refused}");
    redis.restart();
    until("it is asked again", async || stage.chat.ask(question("s", "?")).await.is_ok()).await;
}
