//! The contract of an engine, method by method. Each case takes a stage: an engine, and what the case may do to its
//! surroundings. A second engine brings a stage of its own and runs the same cases.

pub(crate) mod append;
pub(crate) mod groups;
pub(crate) mod health;
pub(crate) mod idempotency;
pub(crate) mod poll;
pub(crate) mod read;
pub(crate) mod retention;
pub(crate) mod tail;
pub(crate) mod topics;
