//! The chat's behaviour through its public handles, on a real engine with real parts.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod documents;
mod floods;
mod flow;
mod hostile;
mod messages;
mod model;
mod sessions;
mod stage;
