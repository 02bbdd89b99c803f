//! Replies in the order of their requests, while publishes of the same socket are on their way to disk together.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;

use super::limits::{PUBLISH_BYTES_MAX, REPLIES_WAITING_MAX};

/// A publish on its way; gives its reply.
pub(crate) type Publishing = Pin<Box<dyn Future<Output = Bytes> + Send>>;

enum Reply {
    Ready(Bytes),
    /// And how many bytes it keeps.
    Publishing(Publishing, usize),
}

/// Replies that wait for their turn.
///
/// A client may send many publishes without waiting. They are handed to the engine one after the other, so that they
/// keep their order, and reach the disk together; their replies, and those to what was asked after them, go out in the
/// order of the requests.
#[derive(Default)]
pub(crate) struct Replies {
    waiting: VecDeque<Reply>,
    /// How many at the end were not yet handed to the engine.
    fresh: usize,
    publish_bytes: usize,
}

impl Replies {
    /// Whether no request waits for its reply.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether no more requests should be read.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() >= REPLIES_WAITING_MAX || self.publish_bytes >= PUBLISH_BYTES_MAX
    }

    /// Adds a reply that is there. Answers it at once when nothing has to go out before it.
    pub(crate) fn push(&mut self, reply: Bytes) -> Option<Bytes> {
        if self.waiting.is_empty() {
            return Some(reply);
        }
        self.waiting.push_back(Reply::Ready(reply));
        self.fresh += usize::from(self.fresh > 0);
        None
    }

    /// Adds a publish that keeps `bytes`; [`Self::start`] begins it.
    pub(crate) fn publish(&mut self, publishing: Publishing, bytes: usize) {
        self.publish_bytes += bytes;
        self.fresh += 1;
        self.waiting.push_back(Reply::Publishing(publishing, bytes));
    }

    /// Hands new publishes to the engine, in order.
    pub(crate) async fn start(&mut self) {
        std::future::poll_fn(|context| {
            let first = self.waiting.len() - self.fresh;
            self.waiting
                .iter_mut()
                .skip(first)
                .for_each(|reply| reply.poll(context, &mut self.publish_bytes));
            self.fresh = 0;
            Poll::Ready(())
        })
        .await;
    }

    /// Waits for the next replies whose turn has come and gives each to `send`. Cancel-safe; never ends while nothing
    /// waits.
    pub(crate) async fn next(&mut self, mut send: impl FnMut(Bytes)) {
        std::future::poll_fn(|context| {
            let mut any = false;
            while let Some(reply) = self.waiting.front_mut() {
                reply.poll(context, &mut self.publish_bytes);
                match self.waiting.pop_front() {
                    Some(Reply::Ready(bytes)) => {
                        send(bytes);
                        any = true;
                    }
                    Some(reply) => {
                        self.waiting.push_front(reply);
                        break;
                    }
                    None => break,
                }
            }
            self.fresh = self.fresh.min(self.waiting.len());
            if any { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Gives back what an idle socket doesn't need.
    pub(crate) fn shrink(&mut self) {
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
    }
}

impl Reply {
    fn poll(&mut self, context: &mut Context<'_>, publish_bytes: &mut usize) {
        if let Self::Publishing(publishing, bytes) = self
            && let Poll::Ready(reply) = publishing.as_mut().poll(context)
        {
            *publish_bytes -= *bytes;
            *self = Self::Ready(reply);
        }
    }
}

impl fmt::Debug for Replies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replies")
            .field("waiting", &self.waiting.len())
            .field("publish_bytes", &self.publish_bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    fn publish(replies: &mut Replies) -> oneshot::Sender<&'static str> {
        let (done, wait) = oneshot::channel();
        replies.publish(
            Box::pin(async move { Bytes::from_static(wait.await.unwrap_or("lost").as_bytes()) }),
            10,
        );
        done
    }

    async fn next(replies: &mut Replies) -> Vec<Bytes> {
        let mut sent = Vec::new();
        replies.next(|reply| sent.push(reply)).await;
        sent
    }

    #[tokio::test]
    async fn replies_go_out_in_the_order_of_their_requests() {
        let mut replies = Replies::default();
        assert_eq!(replies.push("at once".into()), Some("at once".into()));
        let first = publish(&mut replies);
        let second = publish(&mut replies);
        assert_eq!(replies.push("pong".into()), None);
        replies.start().await;
        second.send("second").unwrap();
        tokio::select! {
            biased;
            _ = next(&mut replies) => panic!("the first is not done"),
            () = std::future::ready(()) => {}
        }
        first.send("first").unwrap();
        assert_eq!(next(&mut replies).await, ["first", "second", "pong"]);
        assert!(replies.is_empty());
        assert_eq!(replies.publish_bytes, 0);
    }

    #[tokio::test]
    async fn publishes_are_started_in_order_and_without_being_waited_for() {
        let mut replies = Replies::default();
        let started = std::sync::Arc::new(parking_lot::Mutex::new(Vec::new()));
        for n in 0..5 {
            let log = std::sync::Arc::clone(&started);
            let publishing = Box::pin(async move {
                log.lock().push(n);
                std::future::pending().await
            });
            replies.publish(publishing, 1);
            if n == 2 {
                assert_eq!(replies.push("pong".into()), None);
                replies.start().await;
                assert_eq!(*started.lock(), [0, 1, 2]);
            }
        }
        replies.start().await;
        assert_eq!(*started.lock(), [0, 1, 2, 3, 4]);
    }

    #[tokio::test]
    async fn too_many_or_too_large_publishes_are_said_to_be_full() {
        let mut replies = Replies::default();
        let _senders: Vec<_> = (0..REPLIES_WAITING_MAX - 1).map(|_| publish(&mut replies)).collect();
        assert!(!replies.is_full());
        let _last = publish(&mut replies);
        assert!(replies.is_full());
        let mut replies = Replies::default();
        replies.publish(Box::pin(std::future::pending()), PUBLISH_BYTES_MAX);
        assert!(replies.is_full());
    }
}
