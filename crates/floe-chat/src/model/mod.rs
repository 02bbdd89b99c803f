//! A language model behind an OpenAI-compatible endpoint: asked over HTTP, heard token by token.
//!
//! [`Model::answer`] does what can be done without anybody's notice: it asks again as long as nothing was heard, waits as
//! the server wishes, and leaves a server alone that keeps failing. Once a part of an answer was handed out, only its owner
//! can know whether to begin it anew, so from there on failures are told.

mod backoff;
mod breaker;
mod chunk;
mod client;
mod clock;
mod config;
mod error;
mod events;
mod excerpt;
mod limits;
mod prompt;
mod reception;
mod refusal;
mod stream;
mod whole;

pub use breaker::BreakerState;
pub use client::{Answered, Finish, Model};
pub use clock::Stage;
pub use config::{BreakerConfig, ModelConfig, Waits};
pub use error::ModelError;
pub use floe_pipeline::sinks::fields::Secret;
pub use prompt::{Role, Spoken};

/// Checks the address of a model; the error says what is wrong, and nothing of the address.
pub fn check_url(url: &str) -> Result<(), String> {
    ModelConfig::new(url, "").endpoint().map(drop)
}
