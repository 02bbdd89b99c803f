//! The fuse: stops a pipeline that dead-letters more than a set share of what it reads.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::FuseSpec;

/// What became of the newest records of a pipeline in this worker.
#[derive(Debug)]
pub(super) struct Fuse {
    spec: FuseSpec,
    window: Mutex<Window>,
}

#[derive(Clone, Debug, Default)]
struct Window {
    /// Whether each was dead-lettered, oldest first.
    newest: VecDeque<bool>,
    dead: usize,
}

impl Fuse {
    pub(super) fn new(spec: FuseSpec) -> Self {
        Self { spec, window: Mutex::default() }
    }

    /// Notes a record. `Some` says why when that was too much.
    pub(super) fn note(&self, dead: bool) -> Option<String> {
        let mut window = self.window.lock();
        window.push(dead, self.spec.window);
        self.blown(&window).then(|| {
            format!(
                "{} of the newest {} records were dead-lettered, more than the fuse allows ({} %)",
                window.dead,
                window.newest.len(),
                self.spec.share * 100.0
            )
        })
    }

    /// Of records that are noted next: the place of the one with which it would blow.
    pub(super) fn foresee(&self, dead: impl IntoIterator<Item = bool>) -> Option<usize> {
        let mut window = self.window.lock().clone();
        dead.into_iter().position(|dead| {
            window.push(dead, self.spec.window);
            self.blown(&window)
        })
    }

    /// Forgets what was noted.
    pub(super) fn reset(&self) {
        *self.window.lock() = Window::default();
    }

    fn blown(&self, window: &Window) -> bool {
        window.newest.len() >= self.spec.window
            && window.dead as f64 > self.spec.share * window.newest.len() as f64
    }
}

impl Window {
    fn push(&mut self, dead: bool, most: usize) {
        if self.newest.len() >= most.max(1) && self.newest.pop_front() == Some(true) {
            self.dead -= 1;
        }
        self.newest.push_back(dead);
        self.dead += usize::from(dead);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_blows_when_the_share_is_passed_and_not_before_the_window_is_full() {
        let fuse = Fuse::new(FuseSpec { share: 0.5, window: 4 });
        for (dead, blown) in [(true, false), (true, false), (true, false), (false, true), (false, false)] {
            assert_eq!(fuse.note(dead).is_some(), blown);
        }
        // of the newest four, two: the share is what is allowed
        assert_eq!(fuse.foresee([false, true, true, true]), Some(3));
        assert!(fuse.note(true).is_none() && fuse.note(true).is_none());
        fuse.reset();
        for _ in 0..3 {
            assert!(fuse.note(true).is_none());
        }
        assert!(fuse.note(true).is_some());
    }

    #[test]
    fn all_of_them_may_be_dead_lettered_when_that_is_the_share() {
        let fuse = Fuse::new(FuseSpec { share: 1.0, window: 2 });
        assert!((0..10).all(|_| fuse.note(true).is_none()));
    }
}
