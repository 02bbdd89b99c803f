//! Leaves a model alone that keeps failing (a circuit breaker), so that neither it nor those who wait are worn out.
//!
//! Closed, everybody may ask. After some failures one after the other it opens: nobody may ask for a while. Then one may
//! try; with the first token that comes it closes, and if the trial fails it is open for another while.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::limits::TRIAL_WAIT;

/// Whether a model may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// By everybody.
    Closed,
    /// By nobody, for the time told.
    Open {
        /// When one may try.
        retry_in: Duration,
    },
    /// By one who tries whether it is back.
    HalfOpen,
}

/// Shared by all who ask one model.
#[derive(Debug)]
pub(super) struct Breaker {
    failures_to_open: u32,
    pause: Duration,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: State,
    /// Grows with each change of state. An outcome that was begun in an earlier one says nothing about this one.
    generation: u64,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// With this many failures since the last success.
    Closed(u32),
    Open(Instant),
    Trial,
}

/// The right to ask once. Says how it went; dropped without a word (the asker went away) it says nothing, and gives a trial
/// back.
#[must_use]
#[derive(Debug)]
pub(super) struct Ticket<'a> {
    breaker: &'a Breaker,
    generation: u64,
}

impl Breaker {
    /// Closed. `failures_to_open` one after the other open it, for `pause`.
    pub(super) fn new(failures_to_open: u32, pause: Duration) -> Self {
        let inner = Mutex::new(Inner { state: State::Closed(0), generation: 0 });
        Self { failures_to_open, pause, inner }
    }

    /// A ticket, or when to come again.
    pub(super) fn enter(&self) -> Result<Ticket<'_>, Duration> {
        let mut inner = self.inner.lock();
        match inner.state {
            State::Closed(_) => {}
            State::Open(until) => {
                let left = until.saturating_duration_since(Instant::now());
                if !left.is_zero() {
                    return Err(left);
                }
                inner.become_state(State::Trial);
            }
            State::Trial => return Err(TRIAL_WAIT.min(self.pause)),
        }
        Ok(Ticket { breaker: self, generation: inner.generation })
    }

    /// How it stands, for those who watch.
    pub(super) fn state(&self) -> BreakerState {
        match self.inner.lock().state {
            State::Closed(_) => BreakerState::Closed,
            State::Open(until) => {
                BreakerState::Open { retry_in: until.saturating_duration_since(Instant::now()) }
            }
            State::Trial => BreakerState::HalfOpen,
        }
    }
}

impl Inner {
    fn become_state(&mut self, state: State) {
        self.state = state;
        self.generation += 1;
    }
}

impl Ticket<'_> {
    /// The model speaks: a trial has succeeded, long before the answer is whole.
    pub(super) fn alive(&mut self) {
        let mut inner = self.breaker.inner.lock();
        if inner.generation == self.generation && matches!(inner.state, State::Trial) {
            inner.become_state(State::Closed(0));
            self.generation = inner.generation;
            tracing::info!("the model speaks again");
        }
    }

    /// The model did its part.
    pub(super) fn succeeded(mut self) {
        self.alive();
        let mut inner = self.breaker.inner.lock();
        if inner.generation == self.generation && matches!(inner.state, State::Closed(_)) {
            inner.state = State::Closed(0);
        }
    }

    /// The model did not do its part.
    pub(super) fn failed(self) {
        let mut inner = self.breaker.inner.lock();
        if inner.generation != self.generation {
            return;
        }
        let failures = match inner.state {
            State::Closed(failures) => failures + 1,
            State::Trial => self.breaker.failures_to_open,
            State::Open(_) => return,
        };
        if failures < self.breaker.failures_to_open {
            inner.state = State::Closed(failures);
            return;
        }
        inner.become_state(State::Open(Instant::now() + self.breaker.pause));
        let pause_ms = self.breaker.pause.as_millis();
        tracing::warn!(failures, pause_ms, "the model failed too often and is left alone for a while");
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut inner = self.breaker.inner.lock();
        // A trial that has said something is no longer of this generation.
        if inner.generation == self.generation && matches!(inner.state, State::Trial) {
            inner.become_state(State::Open(Instant::now()));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const PAUSE: Duration = Duration::from_secs(10);

    fn breaker() -> Breaker {
        Breaker::new(3, PAUSE)
    }

    fn fail(breaker: &Breaker, times: usize) {
        for _ in 0..times {
            breaker.enter().unwrap().failed();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn failures_one_after_the_other_open_it_for_a_while() {
        let breaker = breaker();
        fail(&breaker, 2);
        breaker.enter().unwrap().succeeded();
        fail(&breaker, 2);
        assert_eq!(breaker.state(), BreakerState::Closed, "a success in between starts the count anew");
        fail(&breaker, 1);
        assert_eq!(breaker.enter().unwrap_err(), PAUSE);
        advance(PAUSE - Duration::from_millis(1)).await;
        assert_eq!(breaker.enter().unwrap_err(), Duration::from_millis(1));
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_pause_one_may_try_and_a_success_closes_it() {
        let breaker = breaker();
        fail(&breaker, 3);
        advance(PAUSE).await;
        let mut trial = breaker.enter().unwrap();
        assert_eq!(breaker.enter().unwrap_err(), TRIAL_WAIT);
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        trial.alive();
        assert_eq!(breaker.state(), BreakerState::Closed, "the first token is enough");
        fail(&breaker, 2);
        trial.succeeded();
        fail(&breaker, 2);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_trial_that_fails_opens_it_for_another_while() {
        let breaker = breaker();
        fail(&breaker, 3);
        advance(PAUSE).await;
        breaker.enter().unwrap().failed();
        assert_eq!(breaker.enter().unwrap_err(), PAUSE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_trial_that_is_given_up_is_the_next_ones() {
        let breaker = breaker();
        fail(&breaker, 3);
        advance(PAUSE).await;
        drop(breaker.enter().unwrap());
        breaker.enter().unwrap().succeeded();
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn what_began_before_a_change_says_nothing_after_it() {
        let breaker = breaker();
        let (slow_success, slow_failure) = (breaker.enter().unwrap(), breaker.enter().unwrap());
        let given_up = breaker.enter().unwrap();
        fail(&breaker, 3);
        slow_success.succeeded();
        assert_eq!(breaker.state(), BreakerState::Open { retry_in: PAUSE });
        advance(PAUSE).await;
        let trial = breaker.enter().unwrap();
        slow_failure.failed();
        drop(given_up);
        assert_eq!(breaker.state(), BreakerState::HalfOpen, "only the trial itself decides");
        trial.succeeded();
        assert_eq!(breaker.state(), BreakerState::Closed);
    }
}
