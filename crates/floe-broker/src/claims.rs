//! Handing out records of a group: claim, read, then deliver under a lease or commit at once.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::{
    Broker, BrokerError, PositionsMode, StoredRecord, Topic,
    broker::PendingPositions,
    group::{Claim, PartitionKey},
    groups::{Group, check_group_name},
    read::ReadLimits,
};

/// What to claim.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    /// The group.
    pub group: String,
    /// The topics to take from.
    pub topics: Vec<Arc<Topic>>,
    /// Only this partition, of every topic named.
    pub partition: Option<u32>,
    /// At most this many records.
    pub records: usize,
    /// At most about this many bytes.
    pub bytes: usize,
    /// Refuse a group that has no position on a topic.
    pub require_subscription: bool,
    /// Leave out partitions of which somebody holds records: what is claimed can be committed at once.
    pub exclusive: bool,
}

/// Records that nobody else in the group gets, until this is dropped: then they are free again, unless they were
/// opened or settled.
#[derive(Debug)]
pub struct Claimed {
    name: String,
    group: Arc<Mutex<Group>>,
    claims: Vec<Claim>,
    /// The records with their topics.
    pub records: Vec<(Arc<Topic>, StoredRecord)>,
    /// Where the group reads on in the partitions claimed.
    pub next: Vec<(Arc<Topic>, u32, i64)>,
    /// Commits behind records that can't be read any more: there is nothing to deliver of them.
    pub skipped: Vec<PendingPositions>,
}

impl Claimed {
    /// Opens a delivery: to be acknowledged within the lease, else handed out again. Answers its token.
    pub fn open(mut self, lease_ms: u64, now_ms: u64) -> Result<String, BrokerError> {
        let claims = std::mem::take(&mut self.claims);
        let mut group = self.group.lock();
        if group.gone {
            group.deliveries.give_back(claims);
            return Err(BrokerError::GroupNotFound { group: self.name.clone() });
        }
        let opened = group.deliveries.open(claims, lease_ms, now_ms);
        drop(group);
        opened.map_err(|_| BrokerError::LimitReached {
            what: "open deliveries of the group",
            limit: crate::group::MAX_OPEN_DELIVERIES,
        })
    }

    /// Counts the records as read at once, durably. When that fails they are free again.
    pub async fn commit(mut self, broker: &Broker) -> Result<(), BrokerError> {
        let claims = std::mem::take(&mut self.claims);
        let keys: Vec<PartitionKey> = claims.iter().map(Claim::key).collect();
        let ordered = self.group.lock().settle(&self.name, claims, broker);
        let committed = match ordered {
            Ok(Some(pending)) => pending.done().await.map(drop),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if committed.is_err() {
            let mut group = self.group.lock();
            keys.into_iter().for_each(|key| group.deliveries.reset(key));
        }
        committed
    }

    /// Whether nothing was claimed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.claims.is_empty()
    }
}

impl Group {
    /// Acknowledges claims and orders the positions that moved to be stored, in one go: whoever settles later stores
    /// later.
    fn settle(
        &mut self,
        name: &str,
        claims: Vec<Claim>,
        broker: &Broker,
    ) -> Result<Option<PendingPositions>, BrokerError> {
        let moved = self.deliveries.settle(claims);
        if moved.is_empty() {
            return Ok(None);
        }
        broker.set_positions(name, moved, PositionsMode::Set).map(Some)
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        if !self.claims.is_empty() {
            self.group.lock().deliveries.give_back(std::mem::take(&mut self.claims));
        }
    }
}

impl Broker {
    /// Claims the next records of a group and reads them. Blocking: may read from disk.
    pub fn claim(&self, request: &ClaimRequest) -> Result<Claimed, BrokerError> {
        check_group_name(&request.group)?;
        let group = if request.require_subscription {
            self.subscribed_group(request)?
        } else {
            self.shared.groups.get_or_make(&request.group)?
        };
        let places = places(request)?;
        let turn = {
            let mut group = group.lock();
            group.turn = group.turn.wrapping_add(1);
            group.turn
        };
        let mut claimed = Claimed {
            name: request.group.clone(),
            group,
            claims: Vec::new(),
            records: Vec::new(),
            next: Vec::new(),
            skipped: Vec::new(),
        };
        let mut bytes = 0;
        for at in 0..places.len() {
            let (topic, partition) = &places[(at + turn) % places.len()];
            while claimed.records.len() < request.records && bytes < request.bytes {
                let before = claimed.records.len();
                if !self.claim_one(&mut claimed, topic, *partition, request, request.bytes - bytes)? {
                    break;
                }
                let read = &claimed.records[before..];
                bytes += read.iter().map(|(_, record)| record_bytes(record)).sum::<usize>();
            }
        }
        Ok(claimed)
    }

    fn subscribed_group(&self, request: &ClaimRequest) -> Result<Arc<Mutex<Group>>, BrokerError> {
        let not_subscribed = |topic: &Topic| BrokerError::NotSubscribed {
            group: request.group.clone(),
            topic: topic.name.to_string(),
        };
        let group = self.shared.groups.get(&request.group);
        for topic in &request.topics {
            let subscribed = group.as_ref().is_ok_and(|group| group.lock().is_subscribed(topic.id));
            if !subscribed {
                return Err(not_subscribed(topic));
            }
        }
        group
    }

    /// Claims one stretch of one partition; answers whether there may be more.
    fn claim_one(
        &self,
        claimed: &mut Claimed,
        topic: &Arc<Topic>,
        partition: u32,
        request: &ClaimRequest,
        bytes: usize,
    ) -> Result<bool, BrokerError> {
        let key = (topic.id, partition);
        let bounds = topic.partition(partition)?;
        if topic.is_deleted() {
            return Err(topic.not_found());
        }
        let wanted = request.records - claimed.records.len();
        let claim = {
            let mut group = claimed.group.lock();
            let own = claimed.claims.iter().any(|claim| claim.key() == key);
            let committed = group.positions.get(&key).copied().unwrap_or(0);
            let now = self.shared.clock.monotonic_ms();
            group.deliveries.expire(now);
            if request.exclusive && !own && group.deliveries.is_held(key) {
                return Ok(false);
            }
            group.deliveries.take(key, committed, bounds.start(), bounds.end(), wanted, now)
        };
        let Some(mut claim) = claim else { return Ok(false) };
        let range = claim.range();
        let count = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let limits = ReadLimits { records: wanted.min(count), bytes, disk: true };
        let read = match self.read_partition(topic, partition, range.start, limits) {
            Ok(read) => read.unwrap_or_default(),
            Err(error) => {
                claimed.group.lock().deliveries.give_back(vec![claim]);
                // retention may have passed the claim while it was made: what is left is claimed again
                let passed =
                    matches!(error, BrokerError::OffsetOutOfRange { start, .. } if range.start < start);
                return if passed { Ok(true) } else { Err(error) };
            }
        };
        let end = read.next_offset.min(range.end);
        let mut group = claimed.group.lock();
        if end <= range.start {
            group.deliveries.give_back(vec![claim]);
            return Ok(false);
        }
        group.deliveries.shrink(&mut claim, end);
        let before = claimed.records.len();
        let records = read.records.into_iter().filter(|record| record.offset < end);
        claimed.records.extend(records.map(|record| (topic.clone(), record)));
        if claimed.records.len() == before {
            // all damaged: nobody could acknowledge what nobody gets
            claimed.skipped.extend(group.settle(&claimed.name, vec![claim], self)?);
            return Ok(true);
        }
        drop(group);
        claimed.claims.push(claim);
        claimed.next.retain(|(known, number, _)| !(known.id == topic.id && *number == partition));
        claimed.next.push((topic.clone(), partition, end));
        Ok(true)
    }
}

fn record_bytes(record: &StoredRecord) -> usize {
    record.value.as_ref().map_or(0, bytes::Bytes::len) + record.key.as_ref().map_or(0, bytes::Bytes::len) + 32
}

/// The partitions that a request names.
fn places(request: &ClaimRequest) -> Result<Vec<(Arc<Topic>, u32)>, BrokerError> {
    let mut places = Vec::new();
    for topic in &request.topics {
        match request.partition {
            Some(partition) => {
                topic.partition(partition)?;
                places.push((topic.clone(), partition));
            }
            None => places.extend((0..topic.partition_count()).map(|partition| (topic.clone(), partition))),
        }
    }
    Ok(places)
}
