//! Pauses between attempts: doubling, bounded, never in step with other clients.

use std::time::Duration;

use uuid::Uuid;

use crate::limits::{FIRST_BACKOFF, MAX_BACKOFF};

/// The pauses of one client since its last success.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// The next pause: between a half and the whole of a span that doubles each time.
    pub fn next_pause(&mut self) -> Duration {
        let span = FIRST_BACKOFF.saturating_mul(1 << self.attempts.min(10)).min(MAX_BACKOFF);
        self.attempts = self.attempts.saturating_add(1);
        let (_, random) = Uuid::new_v4().as_u64_pair();
        span / 2 + (span / 2).mul_f64((random & 0xffff) as f64 / 65_535.0)
    }

    /// Starts over, after a success.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_start_over() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..40).map(|_| backoff.next_pause()).collect();
        assert!(pauses[0] <= FIRST_BACKOFF && pauses[0] >= FIRST_BACKOFF / 2);
        assert!(pauses.iter().all(|pause| *pause <= MAX_BACKOFF));
        assert!(pauses[39] >= MAX_BACKOFF / 2);
        backoff.reset();
        assert!(backoff.next_pause() <= FIRST_BACKOFF);
    }
}
