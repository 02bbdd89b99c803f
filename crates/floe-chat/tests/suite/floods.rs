//! Too much of something is refused, and nobody else suffers.

use floe_chat::{ChatError, ChatSettings, limits};

use crate::stage::{Stage, ask, question};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_waits_for_so_many_answers_at_once() {
    let mut stage = Stage::idle(ChatSettings::default());
    for number in 0..limits::QUESTIONS_PER_SESSION {
        stage.chat.ask(question("s", &format!("{number}?"))).await.unwrap();
    }
    let refused = stage.chat.ask(question("s", "more?")).await.unwrap_err();
    assert!(matches!(refused, ChatError::TooMany { .. }), "{refused}");
    stage.chat.ask(question("other", "?")).await.unwrap();
    stage.hire();
    ask(&stage.chat, "third", "?").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_has_so_many_sockets() {
    let stage = Stage::idle(ChatSettings::default());
    let mut seats = Vec::new();
    for _ in 0..limits::SOCKETS_PER_SESSION {
        seats.push(stage.chat.join("s", None).await.unwrap());
    }
    assert!(matches!(stage.chat.join("s", None).await.unwrap_err(), ChatError::TooMany { .. }));
    seats.pop();
    stage.chat.join("s", None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_new_sessions_is_limited_and_known_ones_go_on() {
    let stage = Stage::idle(ChatSettings::default());
    stage.chat.ask(question("known", "?")).await.unwrap();
    let mut flood = tokio::task::JoinSet::new();
    let most = limits::NEW_SESSIONS_BURST as usize * 2;
    for number in 0..most {
        let chat = stage.chat.clone();
        flood.spawn(async move { chat.ask(question(&format!("new-{number}"), "?")).await });
    }
    let (mut taken, mut refused) = (0, 0);
    while let Some(asked) = flood.join_next().await {
        match asked.unwrap() {
            Ok(_) => taken += 1,
            Err(ChatError::Flood) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(
        taken >= limits::NEW_SESSIONS_BURST as usize - 1 && refused > 0,
        "{taken} taken, {refused} refused"
    );
    stage.chat.ask(question("known", "and?")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_question_is_refused_before_it_is_stored() {
    let stage = Stage::idle(ChatSettings::default());
    for (session, content) in [("s", ""), ("s", " \n"), ("a b", "?"), ("", "?"), ("s", &"x".repeat(16_001))] {
        let refused = stage.chat.ask(question(session, content)).await.unwrap_err();
        assert!(matches!(refused, ChatError::Message(_)), "{refused}");
    }
}
