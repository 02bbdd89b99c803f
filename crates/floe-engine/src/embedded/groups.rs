//! Consumer groups.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use floe_broker::{
    BrokerError, ClaimRequest, Claimed, OffsetSpec, PositionsMode, Topic,
    group::{MemberView, Membership as Member, MembershipError, PartitionKey},
};
use tokio::{
    sync::OwnedMutexGuard,
    time::{Instant, timeout_at},
};

use super::Embedded;
use crate::{
    Delivery, DeliveryMode, GroupDescription, GroupLag, GroupState, GroupSummary, MemberDescription,
    Membership, Poll,
};

/// Leases and sessions that clients may ask for, milliseconds; others are moved to the nearest bound.
const LEASE_MS: (u64, u64) = (100, 3_600_000);
/// See [`LEASE_MS`].
const SESSION_MS: (u64, u64) = (1_000, 3_600_000);
/// What a member may say of itself, in bytes.
const MAX_STATUS_BYTES: usize = 16 * 1024;
/// A poll that waits looks again at least this often: leases of others may have run out.
const MAX_POLL_REST: Duration = Duration::from_secs(1);

fn millis(duration: Duration, (least, most): (u64, u64)) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).clamp(least, most)
}

impl Embedded {
    fn now(&self) -> u64 {
        self.broker.clock().monotonic_ms()
    }

    pub(crate) fn groups(&self) -> Vec<GroupSummary> {
        let now = self.now();
        let all = self.broker.groups().all().into_iter();
        all.map(|(name, group)| {
            let mut group = group.lock();
            group.expire(now);
            let idle = group.check_idle(&name).is_ok();
            let state = if idle { GroupState::Empty } else { GroupState::Stable };
            GroupSummary { group: name, state, members: group.members.len() }
        })
        .collect()
    }

    pub(crate) fn describe_group(&self, name: &str) -> Result<GroupDescription, BrokerError> {
        let group = self.broker.groups().get(name)?;
        let now = self.now();
        let (idle, generation, members, positions) = {
            let mut group = group.lock();
            group.expire(now);
            let idle = group.check_idle(name).is_ok();
            (idle, group.members.generation(), group.members.describe(now), group.positions.clone())
        };
        let lag = |((topic_id, partition), committed): (PartitionKey, i64)| {
            let topic = self.broker.catalog().by_id(topic_id)?;
            let bounds = topic.partition(partition).ok()?;
            // records that retention took away are not waited for
            let from = committed.max(bounds.start());
            let lag = u64::try_from(bounds.end() - from).unwrap_or(0);
            Some(GroupLag { topic: topic.name.to_string(), partition, committed, end: bounds.end(), lag })
        };
        Ok(GroupDescription {
            group: name.to_owned(),
            state: if idle { GroupState::Empty } else { GroupState::Stable },
            generation,
            members: members.into_iter().map(|member| self.member(member)).collect(),
            partitions: positions.into_iter().filter_map(lag).collect(),
        })
    }

    fn member(&self, member: MemberView) -> MemberDescription {
        MemberDescription {
            id: member.id,
            client_id: member.client_id,
            assignment: self.named_assignment(&member.assignment),
            last_seen_ms: member.last_seen_ms,
            status: member.status,
        }
    }

    fn named_assignment(&self, assignment: &[PartitionKey]) -> Vec<(String, u32)> {
        let name = |(topic_id, partition): &PartitionKey| {
            Some((self.broker.catalog().by_id(*topic_id)?.name.to_string(), *partition))
        };
        assignment.iter().filter_map(name).collect()
    }

    pub(crate) async fn subscribe_group(
        &self,
        group: &str,
        topic: &str,
        from: OffsetSpec,
    ) -> Result<Vec<i64>, BrokerError> {
        let topic = self.broker.catalog().get(topic)?;
        let mut positions = Vec::new();
        for partition in 0..topic.partition_count() {
            positions.push(((topic.id, partition), self.offset(&topic, partition, from).await?));
        }
        let in_force = self.broker.set_positions(group, positions, PositionsMode::OnlyNew)?.done().await?;
        Ok(in_force.into_iter().map(|(_, offset)| offset).collect())
    }

    pub(crate) async fn unsubscribe_group(&self, group: &str, topic: &str) -> Result<(), BrokerError> {
        let topic = self.broker.catalog().get(topic)?;
        self.broker.remove_positions(group, topic).await
    }

    pub(crate) async fn poll(&self, poll: Poll) -> Result<Delivery, BrokerError> {
        let topics: Vec<Arc<Topic>> =
            poll.topics.iter().map(|topic| self.broker.catalog().get(topic)).collect::<Result<_, _>>()?;
        let request = ClaimRequest {
            group: poll.group.clone(),
            topics: topics.clone(),
            partition: poll.partition,
            records: poll.max_records,
            bytes: poll.max_bytes,
            require_subscription: poll.require_subscription,
            exclusive: poll.mode == DeliveryMode::Commit,
        };
        let deadline = Instant::now() + poll.wait;
        loop {
            let mut changes: Vec<_> =
                topics.iter().map(|topic| Box::pin(topic.changed().notified())).collect();
            for change in &mut changes {
                change.as_mut().enable();
            }
            let turn = self.commit_turn(&request).await?;
            let claimed = {
                let request = request.clone();
                self.blocking(move |broker| broker.claim(&request)).await?
            };
            if !claimed.is_empty() || !claimed.skipped.is_empty() || Instant::now() >= deadline {
                return self.deliver(&poll, claimed).await;
            }
            drop(turn);
            if let Some(deleted) = topics.iter().find(|topic| topic.is_deleted()) {
                return Err(BrokerError::TopicNotFound { topic: deleted.name.to_string() });
            }
            let rest = deadline.min(Instant::now() + MAX_POLL_REST);
            let mut stopping = self.stopping();
            tokio::select! {
                _ = timeout_at(rest, any_of(changes)) => {}
                _ = stopping.wait_for(|stopping| *stopping) => return Err(BrokerError::Stopping),
            }
        }
    }

    /// Of the readers that commit at once, one at a time: so that what the first one gets is committed before the
    /// second one commits what lies behind it.
    async fn commit_turn(&self, request: &ClaimRequest) -> Result<Option<OwnedMutexGuard<()>>, BrokerError> {
        if !request.exclusive {
            return Ok(None);
        }
        let group = if request.require_subscription {
            self.broker.groups().get(&request.group).ok()
        } else {
            Some(self.broker.groups().get_or_make(&request.group)?)
        };
        let Some(group) = group else { return Ok(None) };
        let turn = group.lock().commit_turn.clone();
        Ok(Some(turn.lock_owned().await))
    }

    async fn deliver(&self, poll: &Poll, mut claimed: Claimed) -> Result<Delivery, BrokerError> {
        let named = |(topic, record): (Arc<Topic>, _)| (topic.name.to_string(), record);
        let records: Vec<_> = std::mem::take(&mut claimed.records).into_iter().map(named).collect();
        let next = std::mem::take(&mut claimed.next).into_iter();
        let next_offsets =
            next.map(|(topic, partition, offset)| (topic.name.to_string(), partition, offset)).collect();
        for skipped in std::mem::take(&mut claimed.skipped) {
            skipped.done().await?;
        }
        let id = match poll.mode {
            _ if claimed.is_empty() => None,
            DeliveryMode::Lease(lease) => Some(claimed.open(millis(lease, LEASE_MS), self.now())?),
            DeliveryMode::Commit => {
                claimed.commit(&self.broker).await?;
                None
            }
        };
        Ok(Delivery { id, records, next_offsets })
    }

    async fn commit_positions(
        &self,
        group: &str,
        positions: Vec<(PartitionKey, i64)>,
    ) -> Result<(), BrokerError> {
        if positions.is_empty() {
            return Ok(());
        }
        self.broker.set_positions(group, positions, PositionsMode::Set)?.done().await.map(drop)
    }

    pub(crate) async fn ack(&self, group: &str, delivery: &str) -> Result<(), BrokerError> {
        let known = self.broker.groups().get(group)?;
        let pending = {
            // under the lock until the commit is ordered: of two acks, the later position is stored later
            let mut known = known.lock();
            let acknowledged = known.deliveries.ack(delivery, self.now());
            let positions = acknowledged.map_err(|_| BrokerError::DeliveryNotOpen {
                group: group.to_owned(),
                delivery: delivery.to_owned(),
            })?;
            if positions.is_empty() {
                return Ok(());
            }
            self.broker.set_positions(group, positions, PositionsMode::Set)?
        };
        pending.done().await.map(drop)
    }

    pub(crate) async fn commit(
        &self,
        group: &str,
        member: Option<(&str, u64)>,
        offsets: Vec<(String, u32, i64)>,
    ) -> Result<(), BrokerError> {
        let mut positions = Vec::with_capacity(offsets.len());
        for (topic, partition, offset) in offsets {
            let topic = self.broker.catalog().get(&topic)?;
            let bounds = topic.partition(partition)?;
            if !(0..=bounds.end()).contains(&offset) {
                let (start, end) = (bounds.start(), bounds.end());
                let topic = topic.name.to_string();
                return Err(BrokerError::OffsetOutOfRange { topic, partition, offset, start, end });
            }
            positions.push(((topic.id, partition), offset));
        }
        let Some((member, generation)) = member else {
            return self.commit_positions(group, positions).await;
        };
        let known = self.broker.groups().get(group)?;
        let pending = {
            // under the lock until the commit is ordered: who owns the partition next commits after it
            let mut known = known.lock();
            let current = known.members.check(member, generation, self.now()).is_ok();
            let owned = positions.iter().all(|(key, _)| known.members.owner(*key) == Some(member));
            if !current || !owned {
                return Err(unknown(group, member));
            }
            self.broker.set_positions(group, positions, PositionsMode::Set)?
        };
        pending.done().await.map(drop)
    }

    pub(crate) async fn reset_group(
        &self,
        group: &str,
        topic: &str,
        partition: Option<u32>,
        to: OffsetSpec,
    ) -> Result<Vec<(u32, i64)>, BrokerError> {
        let topic = self.broker.catalog().get(topic)?;
        floe_broker::check_group_name(group)?;
        let partitions = match partition {
            Some(partition) => partition..partition + 1,
            None => 0..topic.partition_count(),
        };
        let mut positions = Vec::new();
        for partition in partitions {
            positions.push((partition, self.offset(&topic, partition, to).await?));
        }
        let keyed: Vec<_> = positions.iter().map(|(number, offset)| ((topic.id, *number), *offset)).collect();
        let pending = {
            let known = self.broker.groups().get(group).ok();
            let mut known = known.as_ref().map(|known| known.lock());
            if let Some(known) = &mut known {
                known.expire(self.now());
                known.check_idle(group)?;
            }
            self.broker.set_positions(group, keyed, PositionsMode::Reset)?
        };
        pending.done().await?;
        Ok(positions)
    }

    pub(crate) async fn delete_group(&self, group: &str) -> Result<(), BrokerError> {
        let known = self.broker.groups().get(group)?;
        let pending = {
            let mut known = known.lock();
            known.expire(self.now());
            known.check_idle(group)?;
            self.broker.delete_group(group)?
        };
        self.broker.group_deleted(group, pending).await
    }

    pub(crate) fn join_group(
        &self,
        group: &str,
        client_id: &str,
        topics: &[String],
        session: Duration,
    ) -> Result<Membership, BrokerError> {
        let topics = topics.iter().map(|topic| {
            let topic = self.broker.catalog().get(topic)?;
            Ok((topic.id, topic.partition_count()))
        });
        let topics = topics.collect::<Result<Vec<_>, BrokerError>>()?;
        let known = self.broker.groups().get_or_make(group)?;
        let joined = known.lock().members.join(client_id, &topics, millis(session, SESSION_MS), self.now());
        joined.map(|member| self.membership(member)).map_err(|error| refused(group, client_id, error))
    }

    pub(crate) fn heartbeat(
        &self,
        group: &str,
        member: &str,
        status: Option<Bytes>,
    ) -> Result<Membership, BrokerError> {
        if status.as_ref().is_some_and(|status| status.len() > MAX_STATUS_BYTES) {
            return Err(BrokerError::LimitReached {
                what: "bytes of a member's status",
                limit: MAX_STATUS_BYTES,
            });
        }
        let known = self.broker.groups().get(group)?;
        let told = {
            let members = &mut known.lock().members;
            members.heartbeat(member, self.now()).and_then(|told| {
                status.map_or(Ok(()), |status| members.report(member, status))?;
                Ok(told)
            })
        };
        told.map(|told| self.membership(told)).map_err(|error| refused(group, member, error))
    }

    pub(crate) fn leave_group(&self, group: &str, member: &str) -> Result<(), BrokerError> {
        let known = self.broker.groups().get(group)?;
        let left = known.lock().members.leave(member);
        left.map_err(|error| refused(group, member, error))
    }

    fn membership(&self, member: Member) -> Membership {
        Membership {
            assignment: self.named_assignment(&member.assignment),
            member: member.member,
            generation: member.generation,
        }
    }
}

fn unknown(group: &str, member: &str) -> BrokerError {
    BrokerError::MemberUnknown { group: group.to_owned(), member: member.to_owned() }
}

fn refused(group: &str, member: &str, error: MembershipError) -> BrokerError {
    match error {
        MembershipError::UnknownMember | MembershipError::OtherGeneration { .. } => unknown(group, member),
        MembershipError::Full => {
            BrokerError::LimitReached { what: "members of the group", limit: floe_broker::group::MAX_MEMBERS }
        }
    }
}

/// Ready when the first of them is.
async fn any_of<F: Future<Output = ()> + Unpin>(mut futures: Vec<F>) {
    std::future::poll_fn(|context| {
        let ready = futures.iter_mut().any(|future| std::pin::Pin::new(future).poll(context).is_ready());
        if ready { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}
