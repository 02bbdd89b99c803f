//! How long each step of an answer may take.

use std::{fmt, future::Future, time::Duration};

use tokio::time::{Instant, timeout_at};

use super::limits::{DRAIN_WAIT, FINISH_WAIT};

/// What was waited for when the time was up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The answer's first token.
    FirstToken,
    /// Another token after the one before.
    NextToken,
    /// The whole answer.
    Answer,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FirstToken => "the first token",
            Self::NextToken => "the next token",
            Self::Answer => "the whole answer",
        })
    }
}

/// The deadlines of one attempt: one for what comes next, and one for everything.
#[derive(Debug)]
pub(super) struct Clock {
    stage: Stage,
    next: Instant,
    idle: Duration,
    end: Instant,
}

impl Clock {
    /// Starts to wait for a first token.
    pub(super) fn start(first_token: Duration, idle: Duration, end: Instant) -> Self {
        Self { stage: Stage::FirstToken, next: Instant::now() + first_token, idle, end }
    }

    /// A token came: the wait for the next one begins.
    pub(super) fn token(&mut self) {
        self.stage = Stage::NextToken;
        self.next = Instant::now() + self.idle;
    }

    /// The answer is said to be finished: only stragglers are waited for.
    pub(super) fn finished(&mut self) {
        self.next = Instant::now() + FINISH_WAIT.min(self.idle);
    }

    /// The last event came: only the end of the response is waited for.
    pub(super) fn drain(&mut self) {
        self.next = Instant::now() + DRAIN_WAIT;
    }

    /// Waits as long as the stage allows, and says which stage it was if that is not long enough.
    pub(super) async fn wait<T>(&self, coming: impl Future<Output = T>) -> Result<T, Stage> {
        let (deadline, stage) =
            if self.end <= self.next { (self.end, Stage::Answer) } else { (self.next, self.stage) };
        // A time-out looks at its future first, so a server that never pauses would never be timed out.
        if Instant::now() >= deadline {
            return Err(stage);
        }
        timeout_at(deadline, coming).await.map_err(|_| stage)
    }
}
