//! A sink (or the log) that can't be reached: all partitions wait together, one of them tries now and then.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};

use super::backoff;
use crate::limits::OUTAGE_WAITS;

/// What a pipeline knows of one thing it needs. It is tried at most once per wait, however many partitions wait for it,
/// and all of them go on as soon as one got through.
#[derive(Debug)]
pub(super) struct Outage {
    state: Mutex<State>,
    /// How many outages are over.
    over: watch::Sender<u64>,
    waits: (Duration, Duration),
}

#[derive(Debug)]
struct State {
    /// Attempts that failed since it was reached last.
    failed: u32,
    /// When somebody may try again.
    next: Instant,
}

impl Outage {
    /// `longest`: bounds the waits further.
    pub(super) fn new(longest: Duration) -> Self {
        let (initial, max) = OUTAGE_WAITS;
        let state = Mutex::new(State { failed: 0, next: Instant::now() });
        Self { state, over: watch::Sender::new(0), waits: (initial, max.min(longest).max(initial)) }
    }

    /// It was reached.
    pub(super) fn reached(&self) {
        let mut state = self.state.lock();
        if state.failed > 0 {
            state.failed = 0;
            drop(state);
            self.over.send_modify(|over| *over += 1);
        }
    }

    /// It could not be reached.
    pub(super) fn failed(&self) {
        let mut state = self.state.lock();
        // of those that fail together, the first counts
        if state.failed == 0 {
            self.reserve(&mut state);
        }
    }

    /// Waits until it was reached again, or it is the caller's turn to try.
    pub(super) async fn turn(&self) {
        let mut over = self.over.subscribe();
        loop {
            let next = {
                let mut state = self.state.lock();
                if state.failed == 0 {
                    return;
                }
                if Instant::now() >= state.next {
                    self.reserve(&mut state);
                    return;
                }
                state.next
            };
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                _ = over.changed() => return,
            }
        }
    }

    fn reserve(&self, state: &mut State) {
        state.failed = state.failed.saturating_add(1);
        state.next = Instant::now() + backoff::wait_at_least(state.failed, self.waits.0, self.waits.1);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_that_wait_try_seldom_and_go_on_together() {
        let outage = Arc::new(Outage::new(Duration::from_secs(30)));
        let tries = Arc::new(AtomicU32::new(0));
        let began = Instant::now();
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let (outage, tries) = (Arc::clone(&outage), Arc::clone(&tries));
            waiting.spawn(async move {
                outage.failed();
                loop {
                    outage.turn().await;
                    if began.elapsed() >= Duration::from_secs(60) {
                        return outage.reached();
                    }
                    if outage.state.lock().failed > 0 {
                        tries.fetch_add(1, Ordering::Relaxed);
                        outage.failed();
                    }
                }
            });
        }
        while waiting.join_next().await.is_some() {}
        let tries = tries.load(Ordering::Relaxed);
        assert!((10..60).contains(&tries), "{tries} attempts in a minute");
        assert!(began.elapsed() < Duration::from_secs(70), "all went on with the first");
    }
}
