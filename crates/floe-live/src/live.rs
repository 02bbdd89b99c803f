//! The handle: who watches what.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use floe_engine::{Cursor, Engine, EngineError, TopicStart};
use parking_lot::Mutex;

use crate::{
    feeder::feed,
    ring::Ring,
    settings::Settings,
    signal::{Seat, Signal},
    subscription::{Place, Subscription},
    window::Budget,
};

/// Live delivery of an engine's topics. Cloning is cheap and shares it.
#[derive(Clone, Debug)]
pub struct Live {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    engine: Engine,
    /// One ring per watched topic. Joining and leaving happen under this lock, so that a ring which is given up is
    /// never joined.
    rings: Mutex<HashMap<Arc<str>, Arc<Ring>>>,
    budget: Arc<Budget>,
    skipped_records: AtomicU64,
}

impl Live {
    /// Live delivery of what `engine` holds. Nothing runs until somebody subscribes.
    #[must_use]
    pub fn new(engine: Engine) -> Self {
        let inner = Inner {
            engine,
            rings: Mutex::default(),
            budget: Arc::default(),
            skipped_records: AtomicU64::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Watches a topic from `start`; `signal` is raised when there may be something to take.
    ///
    /// On return the place is fixed: every record that becomes visible from now on will be taken or named as skipped.
    /// [`TopicStart::Latest`] begins behind all that is visible now, [`TopicStart::Newest`] gives at most the
    /// topic's `floe.live.history.size`. A cursor that lies past the topic's end waits at the end
    /// ([`Subscription::started_beyond_end`]); one of another topic, or of an earlier topic of the same name, is
    /// refused with `ForeignCursor`.
    pub async fn subscribe(
        &self,
        topic: &str,
        start: TopicStart,
        signal: &Arc<Signal>,
    ) -> Result<Subscription, EngineError> {
        let settings = Settings::from_config(&self.inner.engine.topic_config(topic).await?);
        let (ring, seat, end) = self.join(topic, &settings, signal).await?;
        // From here on the subscription's drop takes the signal out again, also on the error below.
        let mut subscription =
            Subscription::new(self.clone(), ring, seat, Arc::clone(signal), settings, end.clone());
        subscription.begin(start, end)?;
        Ok(subscription)
    }

    /// How many subscriptions a topic has.
    #[must_use]
    pub fn subscribers(&self, topic: &str) -> usize {
        self.inner.rings.lock().get(topic).map_or(0, |ring| ring.subscribers())
    }

    /// How many subscriptions all topics have, the system's own topics (`__…`) left out.
    #[must_use]
    pub fn total_subscribers(&self) -> usize {
        let rings = self.inner.rings.lock();
        rings.values().filter(|ring| !ring.topic().starts_with("__")).map(|ring| ring.subscribers()).sum()
    }

    /// How many topics are watched.
    #[must_use]
    pub fn watched_topics(&self) -> usize {
        self.inner.rings.lock().len()
    }

    /// Records that slow subscribers were moved past since the start.
    #[must_use]
    pub fn skipped_records(&self) -> u64 {
        self.inner.skipped_records.load(Ordering::Relaxed)
    }

    /// About how many bytes the rings hold.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.inner.budget.used_bytes()
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    pub(crate) fn count_skipped(&self, records: u64) {
        self.inner.skipped_records.fetch_add(records, Ordering::Relaxed);
    }

    /// Joins the topic's ring, making it if there is none. Answers the cursor of all that is visible now, too.
    async fn join(
        &self,
        topic: &str,
        settings: &Settings,
        signal: &Arc<Signal>,
    ) -> Result<(Arc<Ring>, Seat, Cursor), EngineError> {
        if self.inner.rings.lock().contains_key(topic) {
            let end = self.inner.engine.topic_end(topic).await?;
            // one of an earlier topic of this name, whose end the feeding task has not seen yet, is not joined
            let rings = self.inner.rings.lock();
            if let Some((ring, seat)) = join_ring(&rings, topic, end.topic_id(), settings, signal) {
                return Ok((ring, seat, end));
            }
        }
        let tail = self.inner.engine.tail(topic).await?;
        let end = tail.after();
        // A tail opened while its topic is being deleted might never end. One whose topic is there once the tail is open
        // will.
        if self.inner.engine.topic_summary(topic).await?.id != end.topic_id() {
            return Err(EngineError::TopicNotFound { topic: topic.to_owned() });
        }
        let mut rings = self.inner.rings.lock();
        // somebody else may have made it meanwhile
        if let Some((ring, seat)) = join_ring(&rings, topic, end.topic_id(), settings, signal) {
            return Ok((ring, seat, end));
        }
        let budget = Arc::clone(&self.inner.budget);
        let ring = Arc::new(Ring::new(topic, end.clone(), settings.ring_records(), budget));
        let seat = ring.join(Arc::clone(signal));
        tokio::spawn(feed(self.clone(), Arc::clone(&ring), tail));
        rings.insert(topic.into(), Arc::clone(&ring));
        Ok((ring, seat, end))
    }

    /// Takes a subscriber out; with the last one the ring goes.
    pub(crate) fn leave(&self, ring: &Arc<Ring>, seat: &Seat) {
        let mut rings = self.inner.rings.lock();
        if ring.leave(seat) == 0 {
            remove_exactly(&mut rings, ring);
        }
    }

    /// Takes a ring out that gets no more records.
    pub(crate) fn forget(&self, ring: &Arc<Ring>) {
        remove_exactly(&mut self.inner.rings.lock(), ring);
    }
}

/// Joins the ring of the topic with this id, if there is one.
fn join_ring(
    rings: &HashMap<Arc<str>, Arc<Ring>>,
    topic: &str,
    topic_id: u64,
    settings: &Settings,
    signal: &Arc<Signal>,
) -> Option<(Arc<Ring>, Seat)> {
    let ring = rings.get(topic).filter(|ring| ring.topic_id() == topic_id)?;
    ring.grow_to(settings.ring_records());
    Some((Arc::clone(ring), ring.join(Arc::clone(signal))))
}

/// Removes this ring, not one that has taken its place under the same name.
fn remove_exactly(rings: &mut HashMap<Arc<str>, Arc<Ring>>, ring: &Arc<Ring>) {
    if rings.get(ring.topic()).is_some_and(|held| Arc::ptr_eq(held, ring)) {
        rings.remove(ring.topic());
    }
}

impl Subscription {
    /// Fixes the place to start at. `end` is the cursor of all that was visible when the ring was joined.
    fn begin(&mut self, start: TopicStart, end: Cursor) -> Result<(), EngineError> {
        let place = match start {
            TopicStart::Earliest | TopicStart::Time(_) | TopicStart::NewestBefore { .. } => Place::Log(start),
            TopicStart::Latest | TopicStart::Newest(0) => Place::Log(TopicStart::After(end)),
            TopicStart::Newest(records) => {
                let records = records.min(self.settings().history_records);
                // The ring often has them already, encoded: ten thousand clients that come back at once then don't
                // each read them from the log.
                match self.ring().window().before_newest(records, &end) {
                    Some(cursor) => Place::Log(TopicStart::After(cursor)),
                    None => Place::Log(TopicStart::NewestBefore { records, end }),
                }
            }
            TopicStart::After(cursor) if cursor.topic_id() != end.topic_id() => {
                return Err(EngineError::ForeignCursor { topic: self.topic().to_owned() });
            }
            TopicStart::After(cursor) => {
                self.note_beyond_end(!end.reaches(&cursor));
                Place::Log(TopicStart::After(cursor.or_earlier(&end)))
            }
        };
        self.start_at(place);
        Ok(())
    }
}
