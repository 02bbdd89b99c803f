//! The task that brings a topic's new records into its ring.

use std::sync::Arc;

use floe_engine::{Tail, TailEnd};

use crate::{limits::FEED_RECORDS, live::Live, ring::Ring};

/// Ends the ring whatever way the task ends, so that no subscriber waits for records nobody brings.
struct Feeding {
    live: Live,
    ring: Arc<Ring>,
    end: TailEnd,
}

impl Drop for Feeding {
    fn drop(&mut self) {
        self.live.forget(&self.ring);
        self.ring.end(self.end);
    }
}

/// Follows the tail until it ends or nobody watches any more.
///
/// A big step is brought in pieces: after each the task stands back, so that woken subscribers take it before
/// the next piece pushes it out. Meanwhile the tail waits in the log, where it costs nothing; only this one task
/// falls behind instead of every subscriber.
pub(crate) async fn feed(live: Live, ring: Arc<Ring>, mut tail: Tail) {
    let mut feeding = Feeding { live, ring, end: TailEnd::Stopped };
    loop {
        let records = tokio::select! {
            // When the last subscriber leaves while records wait, leaving wins.
            biased;
            () = feeding.ring.abandoned() => return,
            records = tail.next() => records,
        };
        match records {
            Ok(records) => {
                for piece in records.chunks(FEED_RECORDS) {
                    feeding.ring.push(piece);
                    tokio::task::yield_now().await;
                }
            }
            Err(end) => {
                feeding.end = end;
                return;
            }
        }
    }
}
