//! Where topics end, watched on behalf of all who wait for news of them: one question at a time for each topic, however many
//! wait.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::{catalog::KafkaTopic, cluster::Cluster, native::OffsetQuery};
use crate::EngineError;

/// How often a topic is asked for while somebody waits.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// The same while the cluster doesn't answer.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// The end of each partition, by number; `None` when the topic is gone.
type Ends = Option<Vec<i64>>;

/// The topics that somebody waits for.
#[derive(Debug)]
pub(super) struct EndsWatch {
    cluster: Arc<Cluster>,
    watched: Arc<Mutex<HashMap<u64, watch::Sender<Ends>>>>,
}

impl EndsWatch {
    pub(super) fn new(cluster: &Arc<Cluster>) -> Self {
        Self { cluster: Arc::clone(cluster), watched: Arc::default() }
    }

    /// Waits until a partition ends behind where it was known to, or the topic is gone.
    pub(super) async fn moved(
        &self,
        topic: &Arc<KafkaTopic>,
        known: &HashMap<u32, i64>,
    ) -> Result<(), EngineError> {
        let gone = || EngineError::TopicNotFound { topic: topic.name.to_string() };
        let has_moved = |ends: &Ends| {
            ends.as_ref().is_none_or(|ends| {
                (0..).zip(ends).any(|(partition, end)| known.get(&partition).is_some_and(|known| end > known))
            })
        };
        let mut ends = self.follow(topic);
        match ends.wait_for(has_moved).await {
            Ok(ends) if ends.is_some() => Ok(()),
            Ok(_) | Err(_) => Err(gone()),
        }
    }

    fn follow(&self, topic: &Arc<KafkaTopic>) -> watch::Receiver<Ends> {
        let mut watched = self.watched.lock();
        if let Some(ends) = watched.get(&topic.id) {
            return ends.subscribe();
        }
        let (ends, receiver) = watch::channel(Some(Vec::new()));
        watched.insert(topic.id, ends);
        tokio::spawn(look(Arc::clone(&self.cluster), Arc::clone(&self.watched), Arc::clone(topic)));
        receiver
    }
}

/// Looks where a topic ends as long as somebody waits for it.
async fn look(
    cluster: Arc<Cluster>,
    watched: Arc<Mutex<HashMap<u64, watch::Sender<Ends>>>>,
    topic: Arc<KafkaTopic>,
) {
    loop {
        let found = match cluster.topic(&topic.name).await {
            Ok(now) if now.id == topic.id => {
                cluster.offsets(&now, 0..now.partition_count(), OffsetQuery::Latest).await.map(Some)
            }
            Ok(_) | Err(EngineError::TopicNotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        };
        let rest = if found.is_ok() { LOOK_EVERY } else { TRY_AGAIN };
        {
            let mut watched = watched.lock();
            let Some(ends) = watched.get(&topic.id) else { return };
            if let Ok(found) = found {
                ends.send_if_modified(|ends| {
                    let is_news = *ends != found;
                    *ends = found;
                    is_news
                });
            }
            if ends.receiver_count() == 0 || ends.borrow().is_none() {
                watched.remove(&topic.id);
                return;
            }
        }
        tokio::time::sleep(rest).await;
    }
}
