//! Appending under an idempotency key: the same key gets the same answer on every process, and stores one time.
//!
//! A process claims the key in the log that all agree on ([`super::keys`]), stores the records, and says there where they went.
//! Who comes second waits for that. If it doesn't come, the second goes on with the first one's attempt: it looks for what
//! there is of it ([`super::search`]), and stores what is missing.
//!
//! **What this rests on:** nothing of an attempt is stored any more when it is taken over. Its holder hands the records to
//! librdkafka within [`SEND_WITHIN`] or not at all, and that gives them up after [`DELIVERY_LIMIT_MS`]; what a broker had
//! received by then and not yet stored is looked for as well. A process that is stopped between two instructions here for all
//! that time, and then goes on, would store a second time. (So would one that is stopped as a habit, while records wait to be
//! sent: [`super::KafkaConfig::repeats_wait`] is for those.)

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use floe_broker::{Header, MAX_IDEMPOTENCY_KEY_BYTES, NewRecord};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{
    agreed::Agreed,
    append::{Target, each_acknowledged, send},
    catalog::KafkaTopic,
    cluster::Cluster,
    keys::{ATTEMPT, Attempt, Command, Floor, Keys, Outcome, Placed, TOPIC, TOPIC_CONFIG},
    limits::DELIVERY_LIMIT_MS,
    native::OffsetQuery,
    producer::Producer,
    search::{self, Found},
};
use crate::{Appended, EngineError, IdempotencyKey, Placement};

/// How long after its claim an attempt may send its records.
const SEND_WITHIN: Duration = Duration::from_secs(6);
/// An attempt whose holder hasn't said for so long what came of it is taken over, milliseconds: its records were sent and
/// given up by then, with two seconds to spare.
const TAKE_OVER_AFTER_MS: u64 = SEND_WITHIN.as_secs() * 1_000 + DELIVERY_LIMIT_MS + 2_000;
/// Where a topic ends is asked for again when it is known for this long.
const ENDS_FRESH: Duration = Duration::from_secs(1);
/// How often a repeat looks whether it can go on with the first one's attempt.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// An append under a key.
pub(super) struct Keyed {
    /// Names the request: its attempt, and it as the holder of that or of another's.
    pub(super) id: String,
    pub(super) topic: Arc<KafkaTopic>,
    /// Marked with that name.
    pub(super) records: Vec<NewRecord>,
    pub(super) targets: Vec<Target>,
    pub(super) key: IdempotencyKey,
    pub(super) producer: Arc<Producer>,
    /// When the append was asked for.
    pub(super) began: Instant,
}

/// The keys, and who stores what has one.
#[derive(Debug)]
pub(super) struct Once {
    cluster: Arc<Cluster>,
    keys: Agreed<Keys>,
    /// Where topics ended a moment ago, by their ids.
    ends: Mutex<BTreeMap<u64, Ends>>,
}

/// Where a topic's partitions ended at some moment.
#[derive(Clone, Debug)]
struct Ends {
    since: Instant,
    of: Arc<[i64]>,
}

/// A claim in force.
struct Claim {
    attempt: Attempt,
    /// The attempt is another's, who may have stored something of it.
    is_taken_over: bool,
    /// When it was asked for.
    since: Instant,
}

impl Once {
    /// Begins to follow the keys, until it is stopped.
    pub(super) fn follow(
        cluster: &Arc<Cluster>,
        producer: &Arc<Producer>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let machine = Keys::new(cluster.config.clock.clone());
        let keys = Agreed::follow(cluster, producer, TOPIC, TOPIC_CONFIG, machine, stopping);
        Self { cluster: Arc::clone(cluster), keys, ends: Mutex::default() }
    }

    /// Waits until the keys are known.
    pub(super) async fn ready(&self) -> Result<(), EngineError> {
        self.keys.ready().await.map(drop)
    }

    /// What was begun is seen to its end, also when nobody waits for the answer any more: a repeat needn't wait then until it
    /// can be taken over.
    pub(super) async fn append(self: &Arc<Self>, keyed: Keyed) -> Result<Appended, EngineError> {
        let once = Arc::clone(self);
        let to_its_end = tokio::spawn(async move { once.append_to_its_end(keyed).await });
        to_its_end.await.unwrap_or(Err(EngineError::OutcomeUnknown))
    }

    async fn append_to_its_end(&self, keyed: Keyed) -> Result<Appended, EngineError> {
        if keyed.key.key.len() > MAX_IDEMPOTENCY_KEY_BYTES {
            let what = "bytes of an Idempotency-Key";
            return Err(EngineError::LimitReached { what, limit: MAX_IDEMPOTENCY_KEY_BYTES });
        }
        let deadline = keyed.began + self.cluster.config.repeats_wait;
        let mut over = None;
        loop {
            let since = Instant::now();
            match self.claim(&keyed, over.take()).await? {
                Outcome::Claimed { attempt, is_taken_over } => {
                    return self.store(keyed, Claim { attempt, is_taken_over, since }).await;
                }
                Outcome::Stored(placed) => return Ok(appended(placed, true)),
                Outcome::Busy { holder, .. } => {
                    over = self.wait_for_first(&keyed, holder, deadline).await?;
                }
                Outcome::Conflict | Outcome::Noted => {
                    let topic = keyed.topic.name.to_string();
                    return Err(EngineError::IdempotencyConflict { topic, key: keyed.key.key });
                }
            }
        }
    }

    async fn claim(&self, keyed: &Keyed, over: Option<String>) -> Result<Outcome, EngineError> {
        let command = Command::Claim {
            topic_id: keyed.topic.id,
            key: keyed.key.key.clone(),
            fingerprint: keyed.key.fingerprint,
            attempt: Attempt { id: keyed.id.clone(), floors: self.floors(keyed).await? },
            now_ms: self.cluster.config.clock.now_ms(),
            over,
        };
        self.keys.propose(None, command).await
    }

    /// Where the partitions end that the records are for, or did end a moment ago.
    async fn floors(&self, keyed: &Keyed) -> Result<Vec<Floor>, EngineError> {
        let ends = self.ends(&keyed.topic).await?;
        let mut floors: Vec<Floor> = keyed
            .targets
            .iter()
            .map(|(partition, _)| (*partition, ends.get(*partition as usize).copied().unwrap_or(0)))
            .collect();
        floors.sort_unstable();
        floors.dedup();
        Ok(floors)
    }

    async fn ends(&self, topic: &KafkaTopic) -> Result<Arc<[i64]>, EngineError> {
        let partitions = topic.partition_count();
        let is_fresh = |ends: &Ends| ends.since.elapsed() < ENDS_FRESH;
        if let Some(ends) = self.ends.lock().get(&topic.id)
            && is_fresh(ends)
            && ends.of.len() == partitions as usize
        {
            return Ok(Arc::clone(&ends.of));
        }
        let since = Instant::now();
        let of: Arc<[i64]> = self.cluster.offsets(topic, 0..partitions, OffsetQuery::Latest).await?.into();
        let mut known = self.ends.lock();
        known.retain(|_, ends| is_fresh(ends));
        known.insert(topic.id, Ends { since, of: Arc::clone(&of) });
        Ok(of)
    }

    /// Waits until this claim is decided. Answers its holder if it can be taken over instead.
    async fn wait_for_first(
        &self,
        keyed: &Keyed,
        first: String,
        deadline: Instant,
    ) -> Result<Option<String>, EngineError> {
        let (topic_id, key) = (keyed.topic.id, &keyed.key);
        loop {
            let news = self.keys.news();
            let for_ms = match self.keys.look(|keys| keys.state(topic_id, &key.key, key.fingerprint)) {
                Some(Outcome::Busy { holder, for_ms }) if holder == first => for_ms,
                _ => return Ok(None),
            };
            let now = Instant::now();
            if now >= deadline {
                return Err(EngineError::OutcomeUnknown);
            }
            if for_ms.is_none_or(|for_ms| for_ms >= TAKE_OVER_AFTER_MS) {
                return Ok(Some(first));
            }
            news.wait(deadline.min(now + LOOK_AGAIN).into()).await?;
        }
    }

    async fn store(&self, mut keyed: Keyed, claim: Claim) -> Result<Appended, EngineError> {
        let (topic, key) = (Arc::clone(&keyed.topic), std::mem::take(&mut keyed.key.key));
        let holder = std::mem::take(&mut keyed.id);
        let mut stored = Found::new();
        if claim.is_taken_over {
            match search::find(&self.cluster.config, &topic, &claim.attempt).await {
                Ok(found) => stored = found,
                Err(error) => {
                    tracing::debug!(topic = %topic.name, %error, "an attempt to store can't be taken over yet");
                    self.tell(Command::Leave { topic_id: topic.id, key, holder }).await;
                    return Err(EngineError::OutcomeUnknown);
                }
            }
            let (asked, found) = (keyed.records.len(), stored.len());
            tracing::info!(topic = %topic.name, asked, found, "an attempt to store is taken over");
            mark(&mut keyed.records, &claim.attempt.id);
        }
        let is_stored = stored.len() >= keyed.records.len();
        if !is_stored {
            let is_late = claim.since.elapsed() > SEND_WITHIN
                || keyed.began.elapsed() > self.cluster.config.repeats_wait + SEND_WITHIN;
            let sent = match is_late {
                true => {
                    Err(EngineError::Unavailable { why: "the cluster takes too long to agree".to_owned() })
                }
                false => send_missing(&keyed, &mut stored).await,
            };
            match sent {
                Ok(()) => {}
                Err(error) if stored.is_empty() && error != EngineError::OutcomeUnknown => {
                    self.tell(Command::Free { topic_id: topic.id, key, holder }).await;
                    return Err(error);
                }
                // what is stored in part, or may be, is for the repeat to complete
                Err(_) => return Err(EngineError::OutcomeUnknown),
            }
        }
        let placed: Vec<Placed> = stored.into_values().collect();
        let done =
            Command::Done { topic_id: topic.id, key, attempt: claim.attempt.id, placed: placed.clone() };
        self.tell(done).await;
        Ok(appended(placed, is_stored))
    }

    /// If it can't be told, a repeat finds out by itself.
    async fn tell(&self, command: Command) {
        if let Err(error) = self.keys.tell(command).await {
            tracing::debug!(%error, "what came of an attempt to store can't be told");
        }
    }
}

/// Sends what isn't stored yet, and notes where it went.
async fn send_missing(keyed: &Keyed, stored: &mut Found) -> Result<(), EngineError> {
    let Keyed { topic, producer, .. } = keyed;
    let missing: Vec<usize> =
        (0..keyed.records.len()).filter(|number| !stored.contains_key(number)).collect();
    let targets: Vec<Target> = missing.iter().map(|number| keyed.targets[*number]).collect();
    let sent = send(producer, topic, missing.iter().map(|number| &keyed.records[*number]), &targets)?;
    let mut failed = None;
    for (number, placement) in
        missing.into_iter().zip(each_acknowledged(producer, topic, sent, &targets).await)
    {
        match placement {
            Ok(Placement { partition, offset, timestamp }) => {
                stored.insert(number, (partition, offset, timestamp));
            }
            // the worst that can be said of one is said of all
            Err(EngineError::OutcomeUnknown) => failed = Some(EngineError::OutcomeUnknown),
            Err(error) => drop(failed.get_or_insert(error)),
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Gives the records of an attempt its name, and their numbers.
pub(super) fn mark(records: &mut [NewRecord], attempt: &str) {
    for (number, record) in records.iter_mut().enumerate() {
        record.headers.retain(|header| header.name != ATTEMPT);
        let value = Some(format!("{attempt}.{number}").into());
        record.headers.push(Header { name: ATTEMPT.into(), value });
    }
}

fn appended(placed: Vec<Placed>, replayed: bool) -> Appended {
    let placement = |(partition, offset, timestamp)| Placement { partition, offset, timestamp };
    Appended { placements: placed.into_iter().map(placement).collect(), replayed }
}
