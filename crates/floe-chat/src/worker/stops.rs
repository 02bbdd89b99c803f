//! Which answers are to end: what `chat.stops` says.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use floe_pipeline::Log;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{
    follow::{Follower, OwnedTask},
    limits::STOPS_KEPT,
    stream::{Stop, read},
    topics,
};

/// The requests that are known. Cloning shares them.
#[derive(Clone, Debug)]
pub(super) struct Stops {
    known: Arc<Mutex<Known>>,
    /// Counts them: a change wakes those who wait.
    count: watch::Receiver<u64>,
    _follower: Arc<OwnedTask>,
}

#[derive(Debug, Default)]
struct Known {
    set: HashSet<Stop>,
    order: VecDeque<Stop>,
}

impl Stops {
    /// Reads what was asked for of late, and goes on. Must be called inside a tokio runtime.
    pub(super) fn follow(log: Log) -> Self {
        let known: Arc<Mutex<Known>> = Arc::default();
        let (counted, count) = watch::channel(0);
        let follower = OwnedTask::spawn(follow(log, Arc::clone(&known), counted));
        Self { known, count, _follower: Arc::new(follower) }
    }

    /// Resolves when this answer is to end. Cancel-safe.
    pub(super) async fn asked(&self, session_id: &str, request_id: &str) {
        let stop = Stop { session_id: session_id.to_owned(), request_id: request_id.to_owned() };
        let mut count = self.count.clone();
        if count.wait_for(|_| self.known.lock().set.contains(&stop)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn follow(log: Log, known: Arc<Mutex<Known>>, counted: watch::Sender<u64>) {
    let mut follower = Follower::from_start(log, topics::STOPS);
    loop {
        let stops: Vec<Stop> = follower.next().await.iter().filter_map(read).collect();
        if stops.is_empty() {
            continue;
        }
        let mut known = known.lock();
        for stop in stops {
            known.add(stop);
        }
        drop(known);
        counted.send_modify(|count| *count += 1);
    }
}

impl Known {
    fn add(&mut self, stop: Stop) {
        if self.set.insert(stop.clone()) {
            self.order.push_back(stop);
        }
        if self.order.len() > STOPS_KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
    }
}
