//! What is searched: a text with a title.

/// A document in Markdown or plain text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Which document this is; a newer one with the same id takes its place.
    pub id: String,
    /// What people call it.
    pub title: String,
    /// The text.
    pub content: String,
}

impl Document {
    /// Bytes of id, title and content.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.id.len() + self.title.len() + self.content.len()
    }
}
