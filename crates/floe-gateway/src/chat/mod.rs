//! The chat's doors: messages in and out one by one, questions and their answers, sessions, documents.

mod ask;
mod documents;
mod event_stream;
mod messages;
mod sessions;
mod socket;

use floe_chat::{Chat, ChatError, DocumentError};
use floe_pipeline::LogError;

pub(crate) use self::{
    ask::{__path_ask, __path_outcome, ask, outcome},
    documents::{
        __path_add_document, __path_delete_document, __path_list_documents, __path_show_document,
        add_document, delete_document, list_documents, show_document,
    },
    messages::{__path_post_message, __path_take_message, post_message, take_message},
    sessions::{
        __path_delete_session, __path_show_session, __path_stop_answer, delete_session, show_session,
        stop_answer,
    },
    socket::{__path_chat_socket, chat_socket},
};
use crate::{
    gateway::Gateway,
    problem::{ApiError, Code},
};

/// The chat, where there is one.
fn chat(gateway: &Gateway) -> Result<&Chat, ApiError> {
    gateway.chat().ok_or_else(|| ApiError::new(Code::Unavailable, "there is no chat here"))
}

/// The one table from the chat's errors to a client's.
fn failure(error: ChatError) -> ApiError {
    let detail = error.to_string();
    match error {
        ChatError::Message(_) => ApiError::new(Code::Unprocessable, detail),
        ChatError::NoSession(_) => ApiError::new(Code::NotFound, detail),
        ChatError::RequestIdUsed(_) => ApiError::new(Code::Conflict, detail),
        ChatError::TooMany { .. } | ChatError::Flood => {
            ApiError::new(Code::RateLimited, detail).retry_after(1)
        }
        ChatError::Engine(error) => error.into(),
        ChatError::Log(error) | ChatError::Document(DocumentError::Log(error)) => log_failure(&error),
        ChatError::SessionsAway(_) => ApiError::new(Code::Unavailable, detail).retry_after(1),
        ChatError::Document(DocumentError::TooLarge { .. }) => ApiError::new(Code::RecordTooLarge, detail),
        ChatError::Document(_) => ApiError::new(Code::Unprocessable, detail),
    }
}

fn log_failure(error: &LogError) -> ApiError {
    match error {
        LogError::Refused(why) => ApiError::bad_request(why.clone()),
        error => ApiError::new(Code::Unavailable, error.to_string()).retry_after(1),
    }
}
