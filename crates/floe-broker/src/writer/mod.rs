//! The writer: turns what waits into frames (one thread), syncs them and lets the world see them (another).

mod apply;
mod merge;
mod publish;
mod threads;

pub(crate) use publish::{Effect, Reply};
pub(crate) use threads::{sync_loop, write_loop};
