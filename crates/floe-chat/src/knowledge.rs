//! What all parts of the chat in a process know.

use floe_engine::Clock;
use floe_pipeline::Log;

use crate::{ChatSettings, library::Library, sessions::Sessions};

/// The documents and the sessions of a log. Cloning shares them: the gateway and the workers of one process need one.
#[derive(Clone, Debug)]
pub struct Knowledge {
    pub(crate) library: Library,
    pub(crate) sessions: Sessions,
    pub(crate) clock: Clock,
}

impl Knowledge {
    /// Begins to read both; what can't be reached is waited for. `Err` says what is wrong with the settings. Must be called inside a
    /// tokio runtime.
    pub fn open(log: &Log, settings: &ChatSettings) -> Result<Self, String> {
        Self::open_with(log, settings, Clock::system())
    }

    /// The same with a clock of the caller's own.
    pub fn open_with(log: &Log, settings: &ChatSettings, clock: Clock) -> Result<Self, String> {
        Ok(Self {
            library: Library::follow(log.clone()),
            sessions: Sessions::open(settings, log, &clock)?,
            clock,
        })
    }
}
