//! Documents come, change and go while questions are asked.

use floe_chat::{ChatError, ChatSettings, DocumentError, documents::Document};

use crate::stage::{Stage, add, answer_of, ask, until};

async fn answered(stage: &Stage, question: &str) -> (String, Vec<String>) {
    answer_of(&ask(&stage.chat, "s", question).await.1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_comes_from_what_the_documents_say_now() {
    let mut stage = Stage::new(ChatSettings::default());
    let summary = add(&stage.chat, "hall", "The hall opens at nine in the morning.").await;
    assert_eq!((summary.bytes, summary.passages), (38, 1));
    assert!(answered(&stage, "When does the hall open?").await.0.contains("nine"));
    add(&stage.chat, "hall", "The hall opens at ten in the morning.").await;
    until("workers have read the new one", async || {
        answered(&stage, "When does the hall open?").await.0.contains("ten")
    })
    .await;
    assert_eq!(stage.chat.documents().await.len(), 1);
    // rebuilt from the topic
    stage.restart();
    stage.hire();
    assert!(answered(&stage, "When does the hall open?").await.0.contains("ten"));
    assert_eq!(stage.chat.document("hall").await.unwrap().content, "The hall opens at ten in the morning.");
    assert!(stage.chat.delete_document("hall").await.unwrap());
    assert!(!stage.chat.delete_document("hall").await.unwrap());
    until("workers have forgotten it", async || {
        answered(&stage, "When does the hall open?").await.1.is_empty()
    })
    .await;
    stage.restart();
    assert!(stage.chat.document("hall").await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_leads_to_its_passage() {
    let stage = Stage::new(ChatSettings::default());
    let part =
        |name: &str, text: &str| format!("## {name}\n\n{text}\n\n{}\n\n", "More about it. ".repeat(60));
    let content =
        format!("# House\n\n{}{}", part("Roof", "The roof is red."), part("Door", "The door is green."));
    add(&stage.chat, "house", &content).await;
    let (_, told) = ask(&stage.chat, "s", "Is the door green?").await;
    let Some(floe_chat::ChatEvent::Answer { sources, .. }) = told.last() else { panic!("{told:?}") };
    let document = stage.chat.document("house").await.unwrap();
    let passage = document.passages.iter().find(|passage| passage.number == sources[0].passage).unwrap();
    assert_eq!(sources[0].section, "House › Door");
    assert!(
        passage.text.contains("The door is green.") && sources[0].snippet.contains("green"),
        "{sources:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_document_is_refused_by_name() {
    let stage = Stage::new(ChatSettings::default());
    let put = async |id: &str, title: &str, content: String| {
        let document = Document { id: id.to_owned(), title: title.to_owned(), content };
        match stage.chat.put_document(&document).await.unwrap_err() {
            ChatError::Document(error) => error,
            other => panic!("{other}"),
        }
    };
    assert_eq!(put("d", "t", " \n ".into()).await, DocumentError::Empty);
    assert_eq!(put("", "t", "x".into()).await, DocumentError::Id);
    assert_eq!(put("a\nb", "t", "x".into()).await, DocumentError::Id);
    assert_eq!(put("d", "a\u{7}b", "x".into()).await, DocumentError::Title);
    let large = put("d", "t", "x".repeat(10_000_000)).await;
    assert!(matches!(large, DocumentError::TooLarge { bytes: 10_000_001 }), "{large}");
    assert!(stage.chat.documents().await.is_empty());
}
