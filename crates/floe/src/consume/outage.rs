//! A follower outlives a restart of the server, but not every error, and not for ever.

use std::time::Duration;

use floe_load::{Backoff, http::CallError};
use tokio::time::{Instant, sleep};

/// How long a follower keeps trying a server that is away.
const MAX_OUTAGE: Duration = Duration::from_secs(60);

/// The time since the server was last heard of.
#[derive(Debug, Default)]
pub(super) struct Outage {
    since: Option<Instant>,
    backoff: Backoff,
}

impl Outage {
    /// The server answered.
    pub(super) fn is_over(&mut self) {
        *self = Self::default();
    }

    /// Waits a while before the next attempt; gives the error back when another one is of no use.
    pub(super) async fn wait(&mut self, error: CallError) -> Result<(), CallError> {
        let passing = match &error {
            CallError::Http(_) => true,
            CallError::Refused { status, .. } => *status >= 500 || *status == 429,
            CallError::Unexpected { .. } => false,
        };
        let since = *self.since.get_or_insert_with(Instant::now);
        if !passing || since.elapsed() > MAX_OUTAGE {
            return Err(error);
        }
        sleep(self.backoff.next_pause()).await;
        Ok(())
    }
}
