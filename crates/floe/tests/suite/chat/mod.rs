//! The chat through its doors: HTTP, sockets, a browser; in one process and in several.

mod apart;
mod doors;
mod page;

use serde_json::{Value, json};

use crate::node::{Node, until};

/// Adds a document, which answers are found in from then on.
async fn add(server: &Node, id: &str, content: &str) {
    let document = json!({"id": id, "title": id, "content": content});
    server.says(201, "POST", "/chat/documents", &document).await;
}

/// Asks until an answer comes from a document: workers elsewhere read it a moment later.
pub(super) async fn is_answered_from(server: &Node, question: &str, document: &str) {
    until("workers have read the document", async || {
        let asked = json!({"content": question}).to_string();
        let Ok((200, said)) = server.try_ask("POST", "/chat", &asked).await else { return false };
        said["sources"][0]["document"] == document
    })
    .await;
}

/// The answer to a question in a session.
async fn ask(server: &Node, session: &str, question: &str) -> Value {
    server.says(200, "POST", "/chat", &json!({"session_id": session, "content": question})).await
}
