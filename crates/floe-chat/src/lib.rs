//! Questions and answers over topics: a chat service built on the engine as any application could be.
//!
//! A question goes from the gateway to `query`; a worker filters it, finds passages for it in the documents, adds what the session
//! said before, and puts all of that to `prompt`; another asks a language model, or quotes from the passages, tells what it says as
//! it comes in `chat.stream`, and puts the whole to `answer`; each gateway follows these topics and tells the session's sockets.
//! Every step is a record: it can be watched, it survives a crash, and it can be taken over by another process.

pub mod limits;
mod message;
mod settings;
mod topics;

mod failure;
mod follow;
mod stream;

pub mod documents;
mod knowledge;
mod library;
pub mod model;
pub mod profanity;
mod prompt;
mod sessions;

mod desk;
mod worker;

pub use desk::{
    Asked, Chat, ChatError, ChatEvent, FilteredMessage, Outcome, Posted, Question, RunningView, Seat,
    SessionView, Told,
};
pub use knowledge::Knowledge;
pub use library::{DocumentError, DocumentSummary, DocumentView, PassageView};
pub use message::{
    AnswerStatus, Message, MessageFault, MessageType, Source, Turn, check_id, new_id, new_trace_id,
};
pub use settings::{ChatSettings, ProfanitySettings, SessionLimits};
pub use topics::{DOCUMENTS, SESSIONS, STOPS, STREAM};
pub use worker::ChatWorkers;
