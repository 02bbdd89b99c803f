//! What a model is told.

use serde::Serialize;

/// Who spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The one who instructs the model.
    System,
    /// The one who asks.
    User,
    /// The model itself, earlier.
    Assistant,
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Spoken {
    /// Who spoke.
    pub role: Role,
    /// What was said.
    pub content: String,
}

/// The body of a request.
#[derive(Debug, Serialize)]
pub(super) struct Prompt<'a> {
    pub(super) model: &'a str,
    pub(super) messages: &'a [Spoken],
    pub(super) stream: bool,
}
