//! Live delivery as its subscribers see it, on a real engine in a directory of its own.

#![expect(clippy::unwrap_used, reason = "a test that can't go on ends there")]

mod ends;
mod lag;
mod stage;
mod whole;
