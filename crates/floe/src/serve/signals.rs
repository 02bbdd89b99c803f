//! Signals: the first one asks for a stop in order, the second one ends the process where it is.

use std::time::Duration;

use anyhow::Context;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

/// The stop that a signal asks for.
#[derive(Debug)]
pub(super) struct Shutdown {
    asked: watch::Receiver<bool>,
}

impl Shutdown {
    /// From now on signals are handled here.
    pub(super) fn install() -> anyhow::Result<Self> {
        let interrupt = signal(SignalKind::interrupt()).context("cannot handle SIGINT")?;
        let terminate = signal(SignalKind::terminate()).context("cannot handle SIGTERM")?;
        let (ask, asked) = watch::channel(false);
        tokio::spawn(listen(interrupt, terminate, ask));
        Ok(Self { asked })
    }

    /// Resolves at the first signal.
    pub(super) fn requested(&self) -> impl Future<Output = ()> + use<> {
        let mut asked = self.asked.clone();
        async move {
            // Only a signal stops the server, never the loss of the task that listens for one.
            if asked.wait_for(|asked| *asked).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Resolves so long after the first signal.
    pub(super) async fn grace_is_over(&self, grace: Duration) {
        self.requested().await;
        tokio::time::sleep(grace).await;
        tracing::warn!(
            grace_ms = grace.as_millis() as u64,
            "requests were still open at the end of the grace period"
        );
    }
}

async fn listen(mut interrupt: Signal, mut terminate: Signal, ask: watch::Sender<bool>) {
    loop {
        let (name, code) = tokio::select! {
            _ = interrupt.recv() => ("SIGINT", 130),
            _ = terminate.recv() => ("SIGTERM", 143),
        };
        if *ask.borrow() {
            // Everything acknowledged is on disk already: there is nothing to save.
            std::process::exit(code);
        }
        tracing::info!(signal = name, "stopping; a second signal ends at once");
        ask.send_replace(true);
    }
}
