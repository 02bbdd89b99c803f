//! The doors as their clients see them: through a TCP socket, against a real engine in a directory of its own.

#![expect(clippy::unwrap_used, reason = "a test that can't go on ends there")]

mod floe;
mod socket;
mod storing;

mod activity;
mod activity_live;
mod away;
mod bad_bodies;
mod bad_heads;
mod cloudevents;
mod console;
mod documents;
mod faults;
mod groups;
mod guard;
mod idempotency;
mod ingest;
mod lifecycle;
mod operations;
mod pipelines;
mod produce;
mod pubsub;
mod read;
mod sse_stream;
mod topics;
mod workers;
mod ws_bad;
mod ws_end;
mod ws_lag;
mod ws_pubsub;
