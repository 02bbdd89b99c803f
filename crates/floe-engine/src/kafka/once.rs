//! Appending under an idempotency key: the same key gets the same answer on every process, and stores one time.

use std::time::Duration;

use floe_broker::{MAX_IDEMPOTENCY_KEY_BYTES, NewRecord};
use tokio::{sync::oneshot, time::Instant};

use super::{
    Kafka,
    agreed::{new_id, proposal},
    append::Target,
    catalog::KafkaTopic,
    keys::{Command, Outcome, Placed, TAKE_OVER_AFTER_MS, TOPIC},
    transactions::{Job, Transactions},
};
use crate::{Appended, EngineError, IdempotencyKey, Placement};

/// How long a repeat waits for the first one's answer.
const WAIT_FOR_FIRST: Duration = Duration::from_secs(30);

/// An append under a key.
pub(super) struct Keyed<'a> {
    pub(super) topic: &'a KafkaTopic,
    pub(super) records: Vec<NewRecord>,
    pub(super) targets: Vec<Target>,
    pub(super) key: IdempotencyKey,
    pub(super) transactions: &'a Transactions,
}

impl Kafka {
    pub(super) async fn append_once(&self, keyed: Keyed<'_>) -> Result<Appended, EngineError> {
        if keyed.key.key.len() > MAX_IDEMPOTENCY_KEY_BYTES {
            let what = "bytes of an Idempotency-Key";
            return Err(EngineError::LimitReached { what, limit: MAX_IDEMPOTENCY_KEY_BYTES });
        }
        let deadline = Instant::now() + WAIT_FOR_FIRST;
        let mut over = None;
        loop {
            let by = new_id();
            match self.claim(keyed.topic, &keyed.key, &by, over.take()).await? {
                Outcome::Claimed => return self.store_once(keyed, by).await,
                Outcome::Stored(placed) => return Ok(replayed(placed)),
                Outcome::Busy { by, .. } => {
                    over = self.wait_for_first(keyed.topic, &keyed.key, by, deadline).await?;
                }
                Outcome::Conflict | Outcome::Noted => {
                    let topic = keyed.topic.name.to_string();
                    return Err(EngineError::IdempotencyConflict { topic, key: keyed.key.key });
                }
            }
        }
    }

    async fn claim(
        &self,
        topic: &KafkaTopic,
        key: &IdempotencyKey,
        by: &str,
        over: Option<String>,
    ) -> Result<Outcome, EngineError> {
        let now_ms = self.cluster.config.clock.now_ms();
        let command = Command::Claim {
            topic_id: topic.id,
            key: key.key.clone(),
            fingerprint: key.fingerprint,
            by: by.to_owned(),
            now_ms,
            over,
        };
        self.keys.propose(None, command).await
    }

    /// Waits until the claim in force is decided. Answers it when it is so old that it can be taken over.
    async fn wait_for_first(
        &self,
        topic: &KafkaTopic,
        key: &IdempotencyKey,
        first: String,
        deadline: Instant,
    ) -> Result<Option<String>, EngineError> {
        loop {
            let news = self.keys.news();
            let state = self.keys.look(|keys| keys.state(topic.id, &key.key, key.fingerprint));
            match state {
                Some(Outcome::Busy { by, for_ms }) if by == first => {
                    if for_ms >= TAKE_OVER_AFTER_MS {
                        return Ok(Some(first));
                    }
                }
                _ => return Ok(None),
            }
            if Instant::now() >= deadline {
                return Err(EngineError::OutcomeUnknown);
            }
            let moment = Instant::now() + Duration::from_secs(1);
            news.wait(moment.min(deadline)).await?;
        }
    }

    async fn store_once(&self, keyed: Keyed<'_>, by: String) -> Result<Appended, EngineError> {
        let Keyed { topic, records, targets, key, transactions } = keyed;
        let (topic_id, name, who) = (topic.id, key.key.clone(), by.clone());
        let done = move |placements: &[Placement]| {
            let placed = placements.iter().map(|at| (at.partition, at.offset, at.timestamp)).collect();
            proposal(&Command::Done { topic_id, key: name.clone(), by: who.clone(), placed })
        };
        let (answer, stored) = oneshot::channel();
        let note = Box::new(done);
        let job = Job { topic: topic.name.clone(), records, targets, note, notes: TOPIC, answer };
        let stored = match transactions.put(job) {
            Ok(()) => stored.await.unwrap_or(Err(EngineError::OutcomeUnknown)),
            Err(error) => Err(error),
        };
        match stored {
            Ok(placements) => Ok(Appended { placements, replayed: false }),
            Err(EngineError::OutcomeUnknown) => Err(EngineError::OutcomeUnknown),
            Err(error) => {
                let free = Command::Free { topic_id: topic.id, key: key.key, by };
                // if this can't be told, the claim is taken over when it is old
                let _ = self.keys.propose(None, free).await;
                Err(error)
            }
        }
    }
}

fn replayed(placed: Vec<Placed>) -> Appended {
    let placement = |(partition, offset, timestamp)| Placement { partition, offset, timestamp };
    Appended { placements: placed.into_iter().map(placement).collect(), replayed: true }
}
