//! The demo's last part: Floe's own documents go into the chat, and Floe is asked about itself.

use floe_load::http::{Client, Target};
use serde::Deserialize;
use serde_json::json;

use super::RETRY;

/// The documents, as they were when this program was built.
const DOCUMENTS: [(&str, &str); 5] = [
    ("docs/chat.md", include_str!("../../../../docs/chat.md")),
    ("docs/journal-format.md", include_str!("../../../../docs/journal-format.md")),
    ("docs/pipelines.md", include_str!("../../../../docs/pipelines.md")),
    ("docs/sample-logs.md", include_str!("../../../../docs/sample-logs.md")),
    ("docs/topology.md", include_str!("../../../../docs/topology.md")),
];
/// What is asked, and which document has the answer.
const QUESTIONS: [(&str, &str); 3] = [
    ("What does a pipeline do with a record that it can never deliver?", "docs/pipelines.md"),
    ("What happens when the disk is full?", "docs/topology.md"),
    ("Which words does the profanity filter miss?", "docs/chat.md"),
];

/// A question and what came of it.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) question: &'static str,
    /// The answer's text, on one line.
    pub(super) answer: String,
    /// Document and section of the best source.
    pub(super) source: String,
    /// Whether one of its sources is the document that has the answer.
    pub(super) right: bool,
}

#[derive(Deserialize)]
struct Answer {
    content: String,
    sources: Vec<Source>,
}

#[derive(Deserialize)]
struct Source {
    document: String,
    section: String,
}

/// Puts the documents in, and asks.
pub(super) async fn ask(target: &Target) -> anyhow::Result<Vec<Asked>> {
    let mut client = Client::new(target.clone(), RETRY);
    for (id, content) in DOCUMENTS {
        let document = json!({ "id": id, "content": content }).to_string();
        client.call("POST", "/chat/documents", document.as_bytes()).await?;
    }
    let mut all = Vec::new();
    for (question, document) in QUESTIONS {
        let body = json!({ "content": question }).to_string();
        let Answer { content, sources } = client.call_json("POST", "/chat", body.as_bytes()).await?;
        let best = sources.first().map(|source| format!("{} › {}", source.document, source.section));
        all.push(Asked {
            question,
            answer: content.split_whitespace().collect::<Vec<_>>().join(" "),
            source: best.unwrap_or_default(),
            right: sources.iter().any(|source| source.document == document),
        });
    }
    Ok(all)
}
