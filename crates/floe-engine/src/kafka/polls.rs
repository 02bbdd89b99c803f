//! Polling a group without being its member, and acknowledging what it gave.

use std::{collections::HashMap, sync::Arc, time::Duration};

use floe_broker::{check_group_name, group::PartitionKey};
use parking_lot::Mutex;
use tokio::{
    sync::{Mutex as Turn, OwnedMutexGuard},
    time::Instant,
};

use super::{
    Kafka,
    agreed::{Agreed, new_id},
    catalog::KafkaTopic,
    cluster::Cluster,
    deliveries::{Command, Groups, Outcome, Place},
    native::OffsetQuery,
    producer::Producer,
    read::weight,
};
use crate::{Delivery, DeliveryMode, EngineError, OffsetSpec, PartitionRead, Poll, StoredRecord};

/// Leases that clients may ask for, milliseconds; others are moved to the nearest bound.
const LEASE_MS: (u64, u64) = (100, 3_600_000);
/// What is read to be committed at once is held for as long as that takes, and no longer than this.
const COMMIT_LEASE_MS: u64 = 30_000;
/// A poll that waits looks again at least this often: leases of others may have run out.
const MAX_POLL_REST: Duration = Duration::from_secs(1);
/// How often positions are looked up again when others were quicker.
const MAX_TRIES: usize = 20;

/// The agreed state of deliveries, and this process's part in it.
#[derive(Debug)]
pub(super) struct Polls {
    agreed: Agreed<Groups>,
    /// Who this process is in that state.
    by: u64,
    /// One turn a group, for those who commit: of two commits of this process, the later position is stored later.
    turns: Mutex<HashMap<String, Arc<Turn<()>>>>,
}

/// Partitions that a poll may take from, with what is in them.
struct Offered {
    topics: Vec<Arc<KafkaTopic>>,
    places: Vec<Place>,
}

impl Polls {
    pub(super) fn follow(
        cluster: &Arc<Cluster>,
        producer: &Arc<Producer>,
        stopping: tokio::sync::watch::Receiver<bool>,
    ) -> Self {
        use super::deliveries::{TOPIC, TOPIC_CONFIG};
        let machine = Groups::new(cluster.config.clock.clone());
        let agreed = Agreed::follow(cluster, producer, TOPIC, TOPIC_CONFIG, machine, stopping);
        Self { agreed, by: rand::random(), turns: Mutex::default() }
    }

    pub(super) async fn ready(&self) -> Result<(), EngineError> {
        self.agreed.ready().await.map(drop)
    }

    /// Frees what this process holds.
    pub(super) async fn leave(&self) {
        if self.agreed.look(|groups| groups.held().next().is_some()) {
            // what is not freed now is free when its lease is over
            let _ = self.agreed.propose(None, Command::Leave { by: self.by }).await;
        }
    }

    pub(super) async fn forget_topic(&self, topic_id: u64) -> Result<(), EngineError> {
        self.agreed.propose(None, Command::ForgetTopic { topic_id }).await.map(drop)
    }

    pub(super) async fn unsubscribe(&self, group: &str, topic_id: u64) -> Result<(), EngineError> {
        self.agreed.propose(None, Command::Unsubscribe { group: group.to_owned(), topic_id }).await.map(drop)
    }

    /// Sets positions free to be set anew; refused while somebody holds records.
    pub(super) async fn reset(&self, group: &str, of: Vec<PartitionKey>) -> Result<(), EngineError> {
        self.expire(group).await?;
        let command = Command::Reset { group: group.to_owned(), of };
        match self.agreed.propose(None, command).await? {
            Outcome::Held(leases) => Err(active(group, leases)),
            _ => Ok(()),
        }
    }

    /// Forgets a group; refused while somebody holds records. Whether it was known.
    pub(super) async fn forget_group(&self, group: &str) -> Result<bool, EngineError> {
        self.expire(group).await?;
        match self.agreed.propose(None, Command::ForgetGroup { group: group.to_owned() }).await? {
            Outcome::Held(leases) => Err(active(group, leases)),
            Outcome::Done(was_known) => Ok(was_known),
            _ => Ok(false),
        }
    }

    /// Open deliveries of each group that is known, with its name.
    pub(super) fn groups(&self) -> Vec<(usize, String)> {
        self.agreed.look(|groups| {
            let names = groups.names().map(str::to_owned);
            names.map(|name| (groups.open_count(&name).unwrap_or(0), name)).collect()
        })
    }

    /// Open deliveries of a group; `None` if nothing is known of it.
    pub(super) async fn open_count(&self, group: &str) -> Result<Option<usize>, EngineError> {
        self.ready().await?;
        self.expire(group).await?;
        Ok(self.agreed.look(|groups| groups.open_count(group)))
    }

    /// Releases leases that have run out.
    async fn expire(&self, group: &str) -> Result<(), EngineError> {
        let ids = self.agreed.look(|groups| groups.run_out(group));
        if ids.is_empty() {
            return Ok(());
        }
        self.agreed.propose(None, Command::Release { group: group.to_owned(), ids }).await.map(drop)
    }

    async fn turn(&self, group: &str) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock();
            // turns that nobody takes or waits for
            if turns.len() > 1_000 {
                turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            }
            Arc::clone(turns.entry(group.to_owned()).or_default())
        };
        turn.lock_owned().await
    }
}

fn active(group: &str, leases: usize) -> EngineError {
    EngineError::GroupActive { group: group.to_owned(), members: 0, leases }
}

impl Kafka {
    pub(crate) async fn poll(&self, poll: Poll) -> Result<Delivery, EngineError> {
        self.check_open()?;
        check_group_name(&poll.group)?;
        let deadline = Instant::now() + poll.wait;
        loop {
            let turn = match poll.mode {
                DeliveryMode::Commit => Some(self.deliveries.turn(&poll.group).await),
                DeliveryMode::Lease(_) => None,
            };
            let (offered, delivery) = self.poll_once(&poll).await?;
            if !delivery.records.is_empty() || Instant::now() >= deadline {
                return Ok(delivery);
            }
            drop(turn);
            self.news(&offered, deadline.min(Instant::now() + MAX_POLL_REST)).await?;
        }
    }

    async fn poll_once(&self, poll: &Poll) -> Result<(Offered, Delivery), EngineError> {
        self.deliveries.ready().await?;
        self.deliveries.expire(&poll.group).await?;
        for _ in 0..MAX_TRIES {
            let seen = self.deliveries.agreed.ready().await?;
            let offered = self.offered(poll).await?;
            let id = new_id();
            let (exclusive, lease_ms) = match poll.mode {
                DeliveryMode::Commit => (true, COMMIT_LEASE_MS),
                DeliveryMode::Lease(lease) => {
                    let lease = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
                    (false, lease.clamp(LEASE_MS.0, LEASE_MS.1))
                }
            };
            let take = Command::Take {
                group: poll.group.clone(),
                id: id.clone(),
                by: self.deliveries.by,
                seen,
                lease_ms,
                max_records: poll.max_records,
                places: offered.places.clone(),
                exclusive,
            };
            match self.deliveries.agreed.propose(None, take).await? {
                Outcome::Taken(taken) => {
                    let delivery = self.deliver(poll, &offered, id, taken).await?;
                    return Ok((offered, delivery));
                }
                Outcome::TooMany => {
                    let limit = floe_broker::group::MAX_OPEN_DELIVERIES;
                    return Err(EngineError::LimitReached { what: "open deliveries of the group", limit });
                }
                _ => {}
            }
        }
        Err(EngineError::Overloaded { queued_bytes: 0 })
    }

    /// What there is to take: the partitions asked for, from the group's positions to their ends.
    async fn offered(&self, poll: &Poll) -> Result<Offered, EngineError> {
        let mut topics = Vec::with_capacity(poll.topics.len());
        let mut keys = Vec::new();
        for name in &poll.topics {
            let topic = self.cluster.topic(name).await?;
            let partitions = topic.partitions(poll.partition)?;
            keys.extend(partitions.map(|partition| (Arc::clone(&topic), partition)));
            topics.push(topic);
        }
        let named: Vec<_> =
            keys.iter().map(|(topic, partition)| (topic.name.to_string(), *partition)).collect();
        let asked =
            |query| named.iter().map(|(topic, partition)| (topic.clone(), *partition, query)).collect();
        let (committed, starts, ends) = tokio::try_join!(
            self.cluster.group_offsets(&poll.group, Some(named.clone())),
            self.cluster.list_offsets(asked(OffsetQuery::Earliest)),
            self.cluster.list_offsets(asked(OffsetQuery::Latest)),
        )?;
        if poll.require_subscription
            && let Some(topic) =
                topics.iter().find(|topic| !committed.iter().any(|(name, ..)| **name == *topic.name))
        {
            let (group, topic) = (poll.group.clone(), topic.name.to_string());
            return Err(EngineError::NotSubscribed { group, topic });
        }
        let committed: HashMap<_, _> =
            committed.into_iter().map(|(topic, partition, at)| ((topic, partition), at)).collect();
        let mut places = Vec::with_capacity(keys.len());
        for (((topic, partition), start), end) in keys.iter().zip(starts).zip(ends) {
            let about = |code| super::error::about_topic(&topic.name, code);
            let (log_start, end) = (start.2.map_err(about)?, end.2.map_err(about)?);
            let at = committed.get(&(topic.name.to_string(), *partition)).copied().unwrap_or(log_start);
            // a position that lies past the end is that of a log which was cut
            let committed = at.min(end);
            places.push(Place {
                topic: topic.name.to_string(),
                topic_id: topic.id,
                partition: *partition,
                committed,
                log_start,
                end,
            });
        }
        // not always the same partition first
        if !places.is_empty() {
            let turn = rand::random_range(0..places.len());
            places.rotate_left(turn);
        }
        Ok(Offered { topics, places })
    }

    /// Reads what was handed out, and commits it if it is to be committed at once. What can't be read goes back.
    async fn deliver(
        &self,
        poll: &Poll,
        offered: &Offered,
        id: String,
        taken: Vec<(PartitionKey, std::ops::Range<i64>)>,
    ) -> Result<Delivery, EngineError> {
        let none = || Delivery { id: None, records: Vec::new(), next_offsets: Vec::new() };
        if taken.is_empty() {
            return Ok(none());
        }
        let started = Instant::now();
        let give_back = || async {
            let command = Command::Release { group: poll.group.clone(), ids: vec![id.clone()] };
            // if this fails too, the lease ends by itself
            let _ = self.deliveries.agreed.propose(None, command).await;
        };
        let read = self.read_taken(poll, offered, &taken).await;
        let (records, ends) = match read {
            Ok(read) => read,
            Err(error) => {
                give_back().await;
                return Err(error);
            }
        };
        let short: Vec<_> = taken
            .iter()
            .zip(&ends)
            .filter(|((_, range), end)| **end < range.end)
            .map(|(((topic_id, partition), _), end)| (*topic_id, *partition, *end))
            .collect();
        if !short.is_empty() {
            let command = Command::Shorten { group: poll.group.clone(), id: id.clone(), ends: short };
            self.deliveries.agreed.propose(None, command).await?;
        }
        let name = |topic_id: u64| {
            offered.topics.iter().find(|topic| topic.id == topic_id).map(|topic| topic.name.to_string())
        };
        let next_offsets: Vec<(String, u32, i64)> = taken
            .iter()
            .zip(&ends)
            .filter(|((_, range), end)| **end > range.start)
            .filter_map(|(((topic_id, partition), _), end)| Some((name(*topic_id)?, *partition, *end)))
            .collect();
        if let DeliveryMode::Lease(_) = poll.mode {
            let id = (!records.is_empty()).then_some(id);
            return Ok(Delivery { id, records, next_offsets });
        }
        if let Err(error) = self.cluster.set_group_offsets(&poll.group, next_offsets.clone()).await {
            give_back().await;
            return Err(error);
        }
        let command = Command::Acknowledge { group: poll.group.clone(), id: id.clone() };
        let acknowledged = self.deliveries.agreed.propose(None, command).await;
        let is_late = started.elapsed() >= Duration::from_millis(COMMIT_LEASE_MS);
        if is_late && !matches!(acknowledged, Ok(Outcome::Moved(_))) {
            // somebody else may have been given them
            return Ok(none());
        }
        Ok(Delivery { id: None, records, next_offsets })
    }

    /// The records of what was handed out, and where each range ends as far as it was read.
    async fn read_taken(
        &self,
        poll: &Poll,
        offered: &Offered,
        taken: &[(PartitionKey, std::ops::Range<i64>)],
    ) -> Result<(Vec<(String, StoredRecord)>, Vec<i64>), EngineError> {
        let (mut records, mut ends, mut bytes) = (Vec::new(), Vec::with_capacity(taken.len()), 0);
        for ((topic_id, partition), range) in taken {
            let Some(topic) = offered.topics.iter().find(|topic| topic.id == *topic_id) else {
                ends.push(range.start);
                continue;
            };
            let mut at = range.start;
            while at < range.end && (records.is_empty() || bytes < poll.max_bytes) {
                let read = PartitionRead {
                    topic: topic.name.to_string(),
                    partition: *partition,
                    from: OffsetSpec::Offset(at),
                    max_records: usize::try_from(range.end - at).unwrap_or(usize::MAX),
                    max_bytes: poll.max_bytes.saturating_sub(bytes).max(1),
                    wait: Duration::ZERO,
                };
                let page = self.read(read).await?;
                at = page.next_offset.min(range.end).max(at);
                let before = records.len();
                for record in page.records.into_iter().filter(|record| record.offset < range.end) {
                    bytes += weight(&record);
                    records.push((topic.name.to_string(), record));
                }
                if records.len() == before && at < range.end {
                    break;
                }
            }
            ends.push(at);
        }
        Ok((records, ends))
    }

    /// Waits for records behind what was offered, for a topic's end, or until the time is over.
    async fn news(&self, offered: &Offered, until: Instant) -> Result<(), EngineError> {
        if offered.topics.is_empty() {
            tokio::time::sleep_until(until).await;
            return Ok(());
        }
        let mut stopping = self.stopping();
        let known: Vec<HashMap<u32, i64>> = offered
            .topics
            .iter()
            .map(|topic| {
                let of = offered.places.iter().filter(|place| place.topic_id == topic.id);
                of.map(|place| (place.partition, place.end)).collect()
            })
            .collect();
        let moved =
            offered.topics.iter().zip(&known).map(|(topic, known)| Box::pin(self.ends.moved(topic, known)));
        tokio::select! {
            (moved, ..) = futures_util::future::select_all(moved) => moved,
            () = tokio::time::sleep_until(until) => Ok(()),
            _ = stopping.wait_for(|stopping| *stopping) => Err(EngineError::Stopping),
        }
    }

    pub(crate) async fn ack(&self, group: &str, delivery: &str) -> Result<(), EngineError> {
        self.check_open()?;
        self.deliveries.ready().await?;
        self.deliveries.expire(group).await?;
        let _turn = self.deliveries.turn(group).await;
        let command = Command::Acknowledge { group: group.to_owned(), id: delivery.to_owned() };
        let Outcome::Moved(moved) = self.deliveries.agreed.propose(None, command).await? else {
            let group = group.to_owned();
            let is_known = self.deliveries.agreed.look(|groups| groups.open_count(&group).is_some());
            return Err(if is_known {
                EngineError::DeliveryNotOpen { group, delivery: delivery.to_owned() }
            } else {
                EngineError::GroupNotFound { group }
            });
        };
        self.commit_moved(group, moved).await
    }

    /// Stores positions up to which everything is acknowledged: the latest that is known, as others may have acknowledged
    /// more meanwhile.
    async fn commit_moved(
        &self,
        group: &str,
        moved: Vec<(String, PartitionKey, i64)>,
    ) -> Result<(), EngineError> {
        let latest = |(topic, key, at): (String, PartitionKey, i64)| {
            let known = self.deliveries.agreed.look(|groups| groups.committed(group, key));
            (topic, key.1, known.unwrap_or(at).max(at))
        };
        self.cluster.set_group_offsets(group, moved.into_iter().map(latest).collect()).await
    }
}
