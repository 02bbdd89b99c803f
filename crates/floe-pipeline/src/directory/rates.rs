//! How fast pipelines commit, and what became of their dead letters: looked at once a second, for those who ask.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use floe_engine::Engine;
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    task::AbortHandle,
    time::{sleep, timeout},
};

use crate::{
    DeadLetters,
    limits::{RATE_SAMPLE, RATE_SAMPLE_IDLE, RATE_SAMPLES},
};

/// What was seen last. Ends looking when it is dropped.
#[derive(Debug)]
pub(super) struct Rates {
    seen: Arc<Mutex<Seen>>,
    /// Somebody wants to know.
    asked: Arc<Notify>,
    task: AbortHandle,
}

#[derive(Debug, Default)]
struct Seen {
    /// By group: the sums of committed positions, oldest first.
    committed: HashMap<String, VecDeque<(Instant, i64)>>,
    /// By pipeline: dead letters that were there, and of those the ones nothing became of.
    letters: HashMap<String, (u64, u64)>,
}

impl Drop for Rates {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Rates {
    /// `looks_at` says which groups to look at.
    pub(super) fn watch(engine: Engine, looks_at: impl Fn(&String) -> bool + Send + 'static) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let noted = Arc::clone(&seen);
        let letters = DeadLetters::new(engine.clone());
        let asked = Arc::new(Notify::new());
        let wanted = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            loop {
                // a log that doesn't answer is looked at again in the next turn
                if let Ok(groups) = engine.groups().await {
                    let groups: Vec<_> =
                        groups.into_iter().map(|group| group.group).filter(&looks_at).collect();
                    let sums = committed(&engine, &groups).await;
                    noted.lock().note_committed(&groups, sums);
                }
                if let Ok(counts) = letters.counts().await {
                    let counts = counts.into_iter().map(|c| (c.pipeline, (c.total, c.open)));
                    noted.lock().letters = counts.collect();
                }
                sleep(RATE_SAMPLE).await;
                // asked meanwhile: goes on at once
                let _ = timeout(RATE_SAMPLE_IDLE - RATE_SAMPLE, wanted.notified()).await.is_ok();
            }
        });
        Self { seen, asked, task: task.abort_handle() }
    }

    /// Records committed per second, over the last seconds.
    pub(super) fn committed_per_sec(&self, group: &str) -> f64 {
        self.asked.notify_one();
        let seen = self.seen.lock();
        let samples = seen.committed.get(group);
        let Some((&(since, before), &(until, now))) = samples.and_then(|s| Some((s.front()?, s.back()?)))
        else {
            return 0.0;
        };
        let seconds = until.duration_since(since).as_secs_f64();
        // a group that was reset goes back
        let records = (now - before).max(0) as f64;
        if seconds > 0.0 { records / seconds } else { 0.0 }
    }

    /// Dead letters of a pipeline that were there when last looked, and of those the ones nothing became of.
    pub(super) fn letters(&self, pipeline: &str) -> Option<(u64, u64)> {
        self.seen.lock().letters.get(pipeline).copied()
    }
}

/// By group, as far as they can be described: the sum of its committed positions, and when it was that.
async fn committed(engine: &Engine, groups: &[String]) -> Vec<(String, (Instant, i64))> {
    let mut sums = Vec::with_capacity(groups.len());
    for group in groups {
        let Ok(described) = engine.describe_group(group).await else { continue };
        let sum = described.partitions.iter().map(|at| at.committed).sum();
        sums.push((group.clone(), (Instant::now(), sum)));
    }
    sums
}

impl Seen {
    fn note_committed(&mut self, groups: &[String], sums: Vec<(String, (Instant, i64))>) {
        self.committed.retain(|group, _| groups.contains(group));
        for (group, sum) in sums {
            let samples = self.committed.entry(group).or_default();
            samples.push_back(sum);
            if samples.len() > RATE_SAMPLES {
                samples.pop_front();
            }
        }
    }
}
