//! Pauses between attempts: doubling, bounded, never in step with other clients.

use std::time::Duration;

use super::limits::RETRY_PAUSE_MAX;

/// The pauses of one answer.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    pauses: u32,
}

impl Backoff {
    pub(super) fn new(first: Duration) -> Self {
        Self { first, pauses: 0 }
    }

    /// The next pause: between a half and the whole of a span that doubles each time.
    pub(super) fn next_pause(&mut self) -> Duration {
        let span = self.first.saturating_mul(1 << self.pauses.min(16)).min(RETRY_PAUSE_MAX);
        self.pauses = self.pauses.saturating_add(1);
        span.mul_f64(rand::random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound() {
        let first = Duration::from_millis(200);
        let mut backoff = Backoff::new(first);
        let pauses: Vec<_> = (0..40).map(|_| backoff.next_pause()).collect();
        assert!(pauses[0] >= first / 2 && pauses[0] <= first);
        assert!(pauses[3] >= first * 4 && pauses[3] <= first * 8);
        assert!(pauses[39] >= RETRY_PAUSE_MAX / 2 && pauses[39] <= RETRY_PAUSE_MAX);
    }
}
