//! What a run looks like while it goes on.

mod chart;
mod plain;
mod terminal;

use tokio::sync::watch;

use crate::progress::{Phase, Progress};

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// Redrawn in place, for a terminal.
    Terminal,
    /// A line a second.
    Plain,
    /// Not at all.
    Silent,
}

/// Shows a run's progress on standard error until the run is over. Puts the terminal back however it ends.
pub async fn show(view: View, mut progress: watch::Receiver<Progress>) {
    let mut screen = (view == View::Terminal).then(terminal::Screen::new);
    while progress.changed().await.is_ok() {
        let look = progress.borrow_and_update().clone();
        match (&mut screen, view) {
            (Some(screen), _) => screen.draw(&look),
            (None, View::Plain) if look.phase != Phase::Done => plain::print(&look),
            (None, _) => {}
        }
        if look.phase == Phase::Done {
            return;
        }
    }
}
