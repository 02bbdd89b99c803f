//! Live delivery as its subscribers see it, on a real engine in a directory of its own.

mod ends;
mod lag;
mod stage;
mod whole;
