//! Spans of time and sizes as people write them in configuration and flags.

pub mod size;
pub mod span;
