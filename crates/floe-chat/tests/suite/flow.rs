//! From a question to its answer, and what happens on the way.

use std::time::Duration;

use floe_chat::{AnswerStatus, ChatEvent, ChatSettings, Outcome, Question};
use floe_engine::{OffsetSpec, PartitionRead, StoredRecord};
use floe_pipeline::DeadLetters;
use floe_testkit::services::{Behaviour, LanguageModel};

use crate::stage::{Stage, add, answer_of, ask, next, question, until, up_to_end, with_model};

const KEPT: &str =
    "# Keeping\nRecords of a topic are kept for seven days unless its retention says otherwise.";

async fn records(stage: &Stage, topic: &str) -> Vec<StoredRecord> {
    let read = PartitionRead {
        topic: topic.to_owned(),
        partition: 0,
        from: OffsetSpec::Earliest,
        max_records: 1_000,
        max_bytes: 16 << 20,
        wait: Duration::ZERO,
    };
    stage.engine.read(read).await.unwrap().records
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_is_answered_from_the_documents_with_its_sources() {
    let stage = Stage::new(ChatSettings::default());
    add(&stage.chat, "keeping.md", KEPT).await;
    add(&stage.chat, "other.md", "# Lunch\nLunch is served at noon in the small hall.").await;
    let (asked, told) = ask(&stage.chat, "s", "For how long are records kept?").await;
    assert!(matches!(&told[0], ChatEvent::Query { content, .. } if content.contains("how long")), "{told:?}");
    let Some(ChatEvent::Answer { content, sources, status, request_id }) = told.last() else {
        panic!("{told:?}")
    };
    assert!(content.contains("seven days"), "{content}");
    assert_eq!((sources[0].document.as_str(), sources[0].section.as_str()), ("keeping.md", "Keeping"));
    assert!(sources[0].snippet.contains("seven days"), "{sources:?}");
    assert_eq!((*status, request_id), (AnswerStatus::Answered, &asked.request_id));
    let said: String = told
        .iter()
        .filter_map(|event| match event {
            ChatEvent::Delta { content, .. } => Some(content.as_str()),
            _ => None,
        })
        .collect();
    assert!(content.starts_with(&said), "what was told part by part is the answer: {told:?}");
    // the same ids on the whole way
    for topic in ["query", "prompt", "answer"] {
        let all = records(&stage, topic).await;
        assert_eq!(all.len(), 1, "{topic}");
        let message: serde_json::Value = serde_json::from_slice(all[0].value.as_deref().unwrap()).unwrap();
        assert_eq!(message["id"], asked.request_id.as_str());
        assert_eq!((message["type"].as_str(), message["session_id"].as_str()), (Some(topic), Some("s")));
        assert_eq!(message["trace_id"].as_str().map(str::len), Some(32));
    }
    let (_, told) = ask(&stage.chat, "s", "What is the capital of Peru?").await;
    let (content, documents) = answer_of(&told);
    assert!(content.starts_with("I found nothing") && documents.is_empty(), "{content}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_gets_the_passages_and_what_was_said_before() {
    let server = LanguageModel::start().await;
    let stage = Stage::new(with_model(&server));
    add(&stage.chat, "keeping.md", KEPT).await;
    server.say("For seven days [1].");
    let (_, told) = ask(&stage.chat, "s", "For how long are records kept?").await;
    assert_eq!(answer_of(&told).0, "For seven days [1].");
    assert!(told.iter().any(|event| matches!(event, ChatEvent::Delta { .. })));
    ask(&stage.chat, "s", "And why?").await;
    let requests = server.requests();
    let messages = requests[1].body["messages"].as_array().unwrap().clone();
    let roles: Vec<_> = messages.iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "user"]);
    assert_eq!(messages[1]["content"], "For how long are records kept?");
    assert_eq!(messages[2]["content"], "For seven days [1].");
    assert!(
        requests[0].last_message().contains("seven days unless")
            && requests[0].last_message().contains("[1] keeping.md")
    );
    // another session begins anew
    ask(&stage.chat, "other", "Why?").await;
    assert_eq!(server.requests()[2].body["messages"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_was_cut_off_begins_anew() {
    let server = LanguageModel::start().await;
    let stage = Stage::new(with_model(&server));
    server.say("one two three four");
    server.behave_next(1, &Behaviour::CutsOff { after_words: 2 });
    let (_, told) = ask(&stage.chat, "s", "What?").await;
    assert_eq!(answer_of(&told).0, "one two three four");
    let restart = told.iter().position(|event| matches!(event, ChatEvent::Restart { .. }));
    if let Some(restart) = restart {
        let said: String = told[restart..]
            .iter()
            .filter_map(|event| match event {
                ChatEvent::Delta { content, .. } => Some(content.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(said, "one two three four");
    }
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_that_fails_ends_with_an_error_and_a_dead_letter() {
    let server = LanguageModel::start().await;
    let stage = Stage::new(with_model(&server));
    server.behave(Behaviour::Fails { status: 400, retry_after: None });
    let (asked, told) = ask(&stage.chat, "s", "What?").await;
    let Some(ChatEvent::Error { request_id, code, .. }) = told.last() else { panic!("{told:?}") };
    assert_eq!((request_id, code.as_str()), (&asked.request_id, "MODEL_FAILED"));
    let letters = DeadLetters::new(stage.engine.clone());
    let page = letters.list("chat", None, 10, true).await.unwrap();
    assert_eq!(page.letters.len(), 1);
    assert!(page.letters[0].error.contains("MODEL_FAILED"), "{:?}", page.letters);
    assert_eq!(page.letters[0].origin.as_ref().unwrap().topic, "prompt");
    let view = stage.chat.session("s", None).await.unwrap();
    assert_eq!(view.turns[0].status, AnswerStatus::Failed);
    // once the model works again, the letter is redriven and answered
    server.behave(Behaviour::Streams);
    let mut seat = stage.chat.join("s", None).await.unwrap();
    letters.redrive("chat", &floe_pipeline::Redrive { ..redrive_all() }).await.unwrap();
    let told = up_to_end(&mut seat, &asked.request_id).await;
    assert_eq!(answer_of(&told).0, "Hello, world.");
    until("the session remembers the answer", async || {
        stage.chat.session("s", None).await.unwrap().turns[0].status == AnswerStatus::Answered
    })
    .await;
}

fn redrive_all() -> floe_pipeline::Redrive {
    floe_pipeline::Redrive {
        selection: floe_pipeline::Selection {
            ids: Vec::new(),
            error_contains: None,
            topic: None,
            limit: None,
        },
        dry_run: false,
        rate: None,
        force: false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_no_question_is_a_dead_letter_and_holds_up_nobody() {
    let stage = Stage::new(ChatSettings::default());
    until("the topics are made", async || stage.engine.topic_summary("query").await.is_ok()).await;
    let record = floe_engine::NewRecord { value: Some("{no json".into()), ..Default::default() };
    let append =
        floe_engine::Append { topic: "query".into(), records: vec![record], acks: None, idempotency: None };
    stage.engine.append(append).await.unwrap();
    ask(&stage.chat, "s", "What?").await;
    let page = DeadLetters::new(stage.engine.clone()).list("chat", None, 10, true).await.unwrap();
    assert_eq!(page.letters[0].origin.as_ref().unwrap().topic, "query");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_that_nobody_takes_ends_with_an_error_and_a_dead_letter() {
    let stage = Stage::idle(ChatSettings { retention: Duration::from_secs(1), ..ChatSettings::default() });
    let (_, told) = ask(&stage.chat, "s", "Is anybody there?").await;
    assert!(matches!(told.last(), Some(ChatEvent::Error { code, .. }) if code == "NOT_ANSWERED"), "{told:?}");
    until("it is a dead letter", async || {
        let page = DeadLetters::new(stage.engine.clone()).list("chat", None, 10, true).await;
        page.is_ok_and(|page| page.letters.len() == 1 && page.letters[0].error.contains("NOT_ANSWERED"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_can_be_stopped_and_the_model_hears_of_it() {
    let server = LanguageModel::start().await;
    let stage = Stage::new(with_model(&server));
    server.behave(Behaviour::Stalls { after_words: 2 });
    server.say("one two three four");
    let mut seat = stage.chat.join("s", None).await.unwrap();
    let asked = stage.chat.ask(question("s", "What?")).await.unwrap();
    while !matches!(next(&mut seat).await, ChatEvent::Delta { .. }) {}
    stage.chat.stop("s", None, &asked.request_id).await.unwrap();
    let told = up_to_end(&mut seat, &asked.request_id).await;
    let Some(ChatEvent::Answer { content, status, .. }) = told.last() else { panic!("{told:?}") };
    assert_eq!(*status, AnswerStatus::Stopped);
    assert!("one two three four".starts_with(content.trim()) && !content.contains("three"), "{content}");
    server.until_open_connections(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_seats_of_a_session_on_all_gateways_see_the_same() {
    let server = LanguageModel::start().await;
    let stage = Stage::new(with_model(&server));
    let elsewhere = stage.other_gateway();
    let mut seats = vec![
        stage.chat.join("s", None).await.unwrap(),
        stage.chat.join("s", None).await.unwrap(),
        elsewhere.join("s", None).await.unwrap(),
    ];
    let asked = stage.chat.ask(question("s", "What?")).await.unwrap();
    let mut answers = Vec::new();
    for seat in &mut seats {
        answers.push(up_to_end(seat, &asked.request_id).await.pop().unwrap());
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_in_the_middle_gets_what_there_is_and_the_rest() {
    let server = LanguageModel::start().await;
    let stage = Stage::new(with_model(&server));
    server.behave(Behaviour::Stalls { after_words: 2 });
    server.say("one two three");
    let mut seat = stage.chat.join("s", None).await.unwrap();
    let asked = stage.chat.ask(question("s", "What?")).await.unwrap();
    while !matches!(next(&mut seat).await, ChatEvent::Delta { .. }) {}
    drop(seat);
    let elsewhere = stage.other_gateway();
    until("the other gateway knows what was said so far", async || {
        let view = elsewhere.session("s", None).await.unwrap();
        view.running.first().is_some_and(|running| running.content.starts_with("one"))
    })
    .await;
    let mut seat = elsewhere.join("s", None).await.unwrap();
    assert_eq!(seat.view.running[0].question, "What?");
    stage.chat.stop("s", None, &asked.request_id).await.unwrap();
    up_to_end(&mut seat, &asked.request_id).await;
    // and who comes back after it has it in the session
    let view = stage.chat.join("s", None).await.unwrap().view;
    assert_eq!(view.turns.len(), 1);
    assert!(view.turns[0].answer.starts_with("one") && view.running.is_empty(), "{view:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_request_id_is_the_same_question() {
    let stage = Stage::new(ChatSettings::default());
    let of = |content: &str| Question { request_id: Some("r-1".into()), ..question("s", content) };
    let first = stage.chat.ask(of("What?")).await.unwrap();
    let again = stage.chat.ask(of("What?")).await.unwrap();
    assert_eq!(first, again);
    let other = stage.chat.ask(of("Who?")).await.unwrap_err();
    assert_eq!(other.to_string(), "the request_id 'r-1' was used for another question");
    until("it is answered", async || {
        matches!(stage.chat.outcome("s", None, "r-1").await.unwrap(), Some(Outcome::Answered(_)))
    })
    .await;
    assert_eq!(records(&stage, "query").await.len(), 1);
    assert_eq!(stage.chat.outcome("s", None, "unheard-of").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_users_at_once_get_their_own_answers_while_workers_are_killed() {
    let mut stage = Stage::new(ChatSettings::default());
    for user in 0..200 {
        add(&stage.chat, &format!("d-{user}"), &format!("The number of user{user} is {}.", 70_000 + user))
            .await;
    }
    let users: Vec<_> = (0..200)
        .map(|user| {
            let chat = stage.chat.clone();
            tokio::spawn(async move {
                let session = format!("session-{user}");
                let mut seat = chat.join(&session, None).await.unwrap();
                let mut asked = Vec::new();
                for round in 1..=3 {
                    let content = format!("What is the number of user{user}{}", "?".repeat(round));
                    asked.push(chat.ask(question(&session, &content)).await.unwrap().request_id);
                }
                let mut ended = Vec::new();
                while ended.len() < 3 {
                    match next(&mut seat).await {
                        ChatEvent::Answer { request_id, content, .. } => {
                            assert!(content.contains(&(70_000 + user).to_string()), "{user}: {content}");
                            ended.push(request_id);
                        }
                        ChatEvent::Error { detail, .. } => panic!("{user}: {detail}"),
                        _ => {}
                    }
                }
                assert_eq!(ended, asked, "in the order in which they were asked");
            })
        })
        .collect();
    let answers = async |stage: &Stage| match stage.engine.describe_topic("answer").await {
        Ok(topic) => topic.partitions[0].end,
        Err(_) => 0,
    };
    for share in [100, 300] {
        until("some are answered", async || answers(&stage).await >= share).await;
        stage.kill_workers();
        stage.hire();
    }
    for user in users {
        user.await.unwrap();
    }
    assert_eq!(answers(&stage).await, 600, "each was answered once");
}
