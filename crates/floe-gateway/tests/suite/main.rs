//! The doors as their clients see them: through a TCP socket, against a real engine in a directory of its own.

mod floe;

mod bad_bodies;
mod bad_heads;
mod cloudevents;
mod documents;
mod groups;
mod guard;
mod idempotency;
mod ingest;
mod lifecycle;
mod operations;
mod produce;
mod pubsub;
mod read;
mod topics;
