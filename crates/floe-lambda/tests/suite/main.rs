//! The function as Lambda runs it: the real program, an emulation of Lambda's Runtime API on loopback, and a real Kafka.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;
mod event;
mod events;
mod function;
mod outages;
mod refusals;
mod runtime_api;
mod start;
