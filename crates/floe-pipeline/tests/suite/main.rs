//! Behaviour through the public door.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod control;
mod failures;
mod flow;
mod letters;
mod refusals;
mod remote_log;
mod scale;
mod sinks;
mod stage;
mod stored;
