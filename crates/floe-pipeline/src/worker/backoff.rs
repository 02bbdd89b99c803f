//! Waits that grow and don't come all at once.

use std::time::Duration;

/// The wait after the `attempt`th failed attempt (from 1): doubled each time up to `max`, and up to a half of it is left
/// to chance.
pub(super) fn wait(attempt: u32, initial: Duration, max: Duration) -> Duration {
    full(attempt, initial, max).mul_f64(1.0 - rand::random::<f64>() / 2.0)
}

/// The same, but never shorter than the doubled wait itself: the chance is added.
pub(super) fn wait_at_least(attempt: u32, initial: Duration, max: Duration) -> Duration {
    full(attempt, initial, max).mul_f64(1.0 + rand::random::<f64>() / 2.0)
}

fn full(attempt: u32, initial: Duration, max: Duration) -> Duration {
    let doubled = 1u32.checked_shl(attempt.saturating_sub(1)).and_then(|times| initial.checked_mul(times));
    doubled.unwrap_or(max).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let (initial, max) = (Duration::from_millis(100), Duration::from_secs(2));
        for (attempt, full) in [(1, 100), (2, 200), (5, 1_600), (6, 2_000), (40, 2_000), (u32::MAX, 2_000)] {
            let full = Duration::from_millis(full);
            for _ in 0..100 {
                let spread = wait(attempt, initial, max);
                assert!(spread <= full && spread >= full / 2, "{attempt}: {spread:?}");
                assert!(wait_at_least(attempt, initial, max) >= full);
            }
        }
    }
}
