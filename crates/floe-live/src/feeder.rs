//! The task that brings a topic's new records into its ring.

use std::sync::Arc;

use floe_engine::{Tail, TailEnd};

use crate::{
    limits::{FEED_RECORDS, PACE_STEP, PACE_STEPS_MAX},
    live::Live,
    ring::Ring,
};

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
/// A big step is brought in pieces, and no piece pushes out what a subscriber that can take it has not taken yet: the
/// task waits a moment instead. Meanwhile the tail waits in the log, where it costs nothing. So a burst sends this one
/// task to the log instead of ten thousand subscribers, each for the same records; and no publisher waits for it.
pub(crate) async fn feed(live: Live, ring: Arc<Ring>, mut tail: Tail) {
    let mut feeding = Feeding { live, ring, end: TailEnd::Stopped };
    let mut taken = 0;
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
                    taken = make_way(&feeding.ring, piece.len(), taken).await;
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

/// Waits, within bounds, until what a push of `records` gives up has been taken. `taken` is the sequence number before
/// which that was so when last looked: most pushes need not look. Answers the newer one.
async fn make_way(ring: &Ring, records: usize, mut taken: u64) -> u64 {
    let first = ring.first_after(records);
    for _ in 0..PACE_STEPS_MAX {
        if first <= taken {
            return taken;
        }
        // Records that come later than the head are no subscriber's yet, whoever is there by then.
        taken = ring.slowest().min(ring.head());
        if first <= taken {
            return taken;
        }
        tokio::time::sleep(PACE_STEP).await;
    }
    ring.release_before(first);
    taken
}
