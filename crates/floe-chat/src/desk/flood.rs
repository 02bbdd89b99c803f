//! How many new sessions there may be: a burst, then so many a second.

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::limits::{NEW_SESSIONS_BURST, NEW_SESSIONS_PER_SECOND};

/// A token bucket.
#[derive(Debug)]
pub(super) struct Flood {
    state: Mutex<(f64, Instant)>,
}

impl Flood {
    pub(super) fn new() -> Self {
        Self { state: Mutex::new((f64::from(NEW_SESSIONS_BURST), Instant::now())) }
    }

    /// Whether one more is fine.
    pub(super) fn admit(&self) -> bool {
        let mut state = self.state.lock();
        let now = Instant::now();
        let earned = now.duration_since(state.1).as_secs_f64() * f64::from(NEW_SESSIONS_PER_SECOND);
        *state = ((state.0 + earned).min(f64::from(NEW_SESSIONS_BURST)), now);
        if state.0 < 1.0 {
            return false;
        }
        state.0 -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_let_in_drop_by_drop() {
        let flood = Flood::new();
        let admitted = |most: u32| (0..most).filter(|_| flood.admit()).count() as u32;
        assert_eq!(admitted(NEW_SESSIONS_BURST * 2), NEW_SESSIONS_BURST);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(admitted(NEW_SESSIONS_BURST), 2 * NEW_SESSIONS_PER_SECOND);
    }
}
