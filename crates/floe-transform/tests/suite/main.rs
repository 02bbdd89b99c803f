//! Behaviour through the public door.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod programs;
mod refusals;
mod schemas;
mod stage;
mod watchdog;
