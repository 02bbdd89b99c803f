//! Input that means no good, or is just odd.

use floe_chat::ChatSettings;
use floe_engine::{Append, NewRecord};

use crate::stage::{Stage, add, answer_of, ask, until};

async fn append(stage: &Stage, topic: &str, key: &[u8], value: Option<&[u8]>) {
    let record = NewRecord {
        key: Some(key.to_vec().into()),
        value: value.map(|value| value.to_vec().into()),
        ..NewRecord::default()
    };
    let append = Append { topic: topic.into(), records: vec![record], acks: None, idempotency: None };
    stage.engine.append(append).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_document_of_one_line_is_cut_and_found() {
    let stage = Stage::new(ChatSettings::default());
    let mut line = "é".repeat(400_000);
    line += " the treasure lies under the oak ";
    line += &"x".repeat(150_000);
    let summary = add(&stage.chat, "line", &line).await;
    assert!(summary.passages > 100, "{summary:?}");
    let document = stage.chat.document("line").await.unwrap();
    assert!(document.passages.iter().all(|passage| passage.text.len() <= 1_600));
    until("it is found", async || {
        answer_of(&ask(&stage.chat, "s", "Where does the treasure lie?").await.1).0.contains("oak")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn markup_goes_through_as_the_text_it_is() {
    let stage = Stage::new(ChatSettings::default());
    let evil = "<script>alert(1)</script> opens the <b>gate</b> & \"more\"";
    add(&stage.chat, "<img src=x onerror=alert(1)>", evil).await;
    let (content, documents) = answer_of(&ask(&stage.chat, "s", "What opens the gate? <i>").await.1);
    assert!(content.contains("<script>alert(1)</script>"), "{content}");
    assert_eq!(documents, ["<img src=x onerror=alert(1)>"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_write_into_the_topics_breaks_nothing() {
    let stage = Stage::new(ChatSettings::default());
    add(&stage.chat, "gate", "The gate opens at dawn.").await;
    for topic in ["query", "prompt", "answer", "chat.stream", "chat.stops", "chat.sessions", "chat.documents"]
    {
        for value in [&b"\xff\xfe"[..], b"", b"{}", b"[[[[", br#"{"type":"answer","session_id":5}"#] {
            append(&stage, topic, b"s", Some(value)).await;
        }
        append(&stage, topic, b"\xff", Some(b"{\"title\":\"t\",\"content\":\"c\"}")).await;
        append(&stage, topic, b"", None).await;
    }
    let (content, _) = answer_of(&ask(&stage.chat, "s", "When does the gate open?").await.1);
    assert!(content.contains("dawn"), "{content}");
}
