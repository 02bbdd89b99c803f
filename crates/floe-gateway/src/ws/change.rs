//! A change of a socket's subscriptions, while the engine is asked about it.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use floe_engine::EngineError;
use floe_live::Subscription;

use super::message::{Filter, Name};

/// What a request came to.
pub(crate) enum Changed {
    /// Of a `subscribe`.
    Subscribed {
        request_id: Option<String>,
        name: Name,
        filter: Option<Filter>,
        subscription: Result<Box<Subscription>, EngineError>,
    },
    /// Of an `unsubscribe`: whether its topic is there.
    Unsubscribed { request_id: Option<String>, name: Name, known: Result<(), EngineError> },
}

/// The change that is under way, if one is: at most one, and no request is taken meanwhile. An engine in this process
/// answers at once; while another one is waited for, the socket goes on to deliver, and notices silence and a stop.
#[derive(Default)]
pub(crate) struct Change(Option<Pin<Box<dyn Future<Output = Box<Changed>> + Send>>>);

impl Change {
    /// Whether one is.
    pub(crate) fn is_under_way(&self) -> bool {
        self.0.is_some()
    }

    /// Begins one; gives what it came to if that is known at once.
    pub(crate) fn begin(
        &mut self,
        change: impl Future<Output = Changed> + Send + 'static,
    ) -> Option<Box<Changed>> {
        self.0 = Some(Box::pin(async move { Box::new(change.await) }));
        match self.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(changed) => Some(changed),
            Poll::Pending => None,
        }
    }

    /// Waits for what it comes to. Cancel-safe; never ends while there is none.
    pub(crate) async fn done(&mut self) -> Box<Changed> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Box<Changed>> {
        let Some(change) = &mut self.0 else { return Poll::Pending };
        let changed = change.as_mut().poll(context);
        if changed.is_ready() {
            self.0 = None;
        }
        changed
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Change").field("is_under_way", &self.is_under_way()).finish()
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    async fn unsubscribed(known: impl Future<Output = Result<(), EngineError>>) -> Changed {
        let name = Name { topic: "t".into(), client_id: "c".into() };
        Changed::Unsubscribed { request_id: None, name, known: known.await }
    }

    #[tokio::test]
    async fn one_that_is_answered_at_once_is_never_under_way() {
        let mut change = Change::default();
        let changed = change.begin(unsubscribed(async { Ok(()) })).unwrap();
        assert!(matches!(*changed, Changed::Unsubscribed { known: Ok(()), .. }));
        assert!(!change.is_under_way());
    }

    #[tokio::test]
    async fn one_that_has_to_wait_is_under_way_until_it_is_answered() {
        let mut change = Change::default();
        let (answer, answered) = oneshot::channel();
        assert!(change.begin(unsubscribed(async { answered.await.unwrap() })).is_none());
        assert!(change.is_under_way());
        tokio::select! {
            biased;
            _ = change.done() => panic!("nobody has answered"),
            () = tokio::task::yield_now() => {}
        }
        answer.send(Err(EngineError::Stopping)).unwrap();
        let changed = change.done().await;
        assert!(matches!(*changed, Changed::Unsubscribed { known: Err(EngineError::Stopping), .. }));
        assert!(!change.is_under_way());
    }
}
