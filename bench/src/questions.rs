//! The questions of `bench/questions`, and the documents that answer them.

use std::{fs, path::Path};

use anyhow::Context;
use floe_chat::documents::{Document, Index, Passage};
use serde::Deserialize;

/// The sets, the one first that was there before the index.
pub(crate) const SETS: [&str; 2] = ["questions.ndjson", "held-out.ndjson"];

/// A question, and how the passage that answers it is known.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Question {
    pub(crate) question: String,
    /// The id of the document.
    pub(crate) document: String,
    /// What the passage says, word for word.
    pub(crate) contains: String,
}

impl Question {
    /// Whether this passage answers it.
    pub(crate) fn is_answered_by(&self, passage: &Passage) -> bool {
        *passage.document == self.document && passage.text.contains(&self.contains)
    }
}

/// A set; `root` is the repository's.
pub(crate) fn questions(root: &Path, set: &str) -> anyhow::Result<Vec<Question>> {
    let path = root.join("bench/questions").join(set);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    text.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

/// The documents, by id: the path of each, with its first heading for a title.
pub(crate) fn documents(root: &Path) -> anyhow::Result<Vec<Document>> {
    let mut ids = vec!["ARCHITECTURE.md".to_owned(), "README.md".to_owned()];
    for entry in fs::read_dir(root.join("docs"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".md") {
            ids.push(format!("docs/{name}"));
        }
    }
    ids.sort();
    let read = |id: String| {
        let content = fs::read_to_string(root.join(&id)).with_context(|| id.clone())?;
        let title = content.lines().next().unwrap_or_default().trim_start_matches("# ").to_owned();
        Ok(Document { id, title, content })
    };
    ids.into_iter().map(read).collect()
}

/// An index of them.
pub(crate) fn index(documents: &[Document]) -> Index {
    let mut index = Index::default();
    for document in documents {
        index.put(document.clone());
    }
    index
}
