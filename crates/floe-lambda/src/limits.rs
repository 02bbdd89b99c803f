//! Every bound of the function, with what it is derived from.

use std::time::Duration;

/// How long the cold start waits for the cluster. Lambda gives it 10 s, and starts it once more if that isn't enough.
pub(crate) const START_LIMIT: Duration = Duration::from_secs(6);
/// When an answer is due at the latest: API Gateway gives up after 29 s.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(27);
/// What is left of the function's own time-out for the answer to be brought to Lambda.
pub(crate) const ANSWER_RESERVE: Duration = Duration::from_millis(500);
/// How long a repeat under an idempotency key waits for the first one. With the 6 s within which its own records are sent, and
/// the 15 s after which they are given up, it is over before the answer is due: nothing is left to be sent when a frozen
/// process goes on.
pub(crate) const REPEATS_WAIT: Duration = Duration::from_secs(5);
