//! Groups' committed positions, where Kafka keeps them, and what groups look like.

use std::collections::{BTreeMap, HashMap};

use rdkafka::{
    admin::AdminOptions,
    error::RDKafkaErrorCode,
    groups::{GroupInfo, GroupMemberInfo},
};

use super::{
    Kafka,
    error::{about_group, unavailable},
    limits::REQUEST_LIMIT,
    members::name_and_id,
    native::OffsetQuery,
};
use crate::{
    EngineError, GroupDescription, GroupLag, GroupState, GroupSummary, MemberDescription, OffsetSpec,
};

/// A member of a group as Kafka's coordinator tells it.
struct ToldMember {
    id: String,
    client_id: String,
    assignment: Vec<(String, u32)>,
}

impl Kafka {
    pub(crate) async fn subscribe_group(
        &self,
        group: &str,
        topic: &str,
        from: OffsetSpec,
    ) -> Result<Vec<i64>, EngineError> {
        self.check_open()?;
        floe_broker::check_group_name(group)?;
        let topic = self.cluster.look_up(topic).await?;
        let partitions = 0..topic.partition_count();
        let of = partitions.clone().map(|partition| (topic.name.to_string(), partition)).collect();
        let committed: HashMap<u32, i64> = self
            .cluster
            .group_offsets(group, Some(of))
            .await?
            .into_iter()
            .map(|(_, partition, at)| (partition, at))
            .collect();
        let fresh = self.offsets_for(&topic, partitions.clone(), from).await?;
        let missing: Vec<_> = partitions
            .clone()
            .zip(&fresh)
            .filter(|(partition, _)| !committed.contains_key(partition))
            .map(|(partition, at)| (topic.name.to_string(), partition, *at))
            .collect();
        self.cluster.set_group_offsets(group, missing).await?;
        Ok(partitions
            .zip(fresh)
            .map(|(partition, at)| committed.get(&partition).copied().unwrap_or(at))
            .collect())
    }

    pub(crate) async fn unsubscribe_group(&self, group: &str, topic: &str) -> Result<(), EngineError> {
        self.check_open()?;
        let topic = self.cluster.look_up(topic).await?;
        let all = self.cluster.group_offsets(group, None).await?;
        let of: Vec<_> = all
            .into_iter()
            .filter(|(name, ..)| **name == *topic.name)
            .map(|(name, partition, _)| (name, partition))
            .collect();
        if of.is_empty() {
            let (group, topic) = (group.to_owned(), topic.name.to_string());
            return Err(EngineError::NotSubscribed { group, topic });
        }
        self.cluster.delete_group_offsets(group, of).await?;
        self.deliveries.unsubscribe(group, topic.id).await
    }

    pub(crate) async fn commit(
        &self,
        group: &str,
        member: Option<(&str, u64)>,
        offsets: Vec<(String, u32, i64)>,
    ) -> Result<(), EngineError> {
        self.check_open()?;
        floe_broker::check_group_name(group)?;
        for (topic, partition, offset) in &offsets {
            let topic = self.cluster.topic(topic).await?;
            topic.check_partition(*partition)?;
            let end = self.cluster.offsets(&topic, *partition..partition + 1, OffsetQuery::Latest).await?[0];
            if !(0..=end).contains(offset) {
                let topic = topic.name.to_string();
                let (partition, offset) = (*partition, *offset);
                return Err(EngineError::OffsetOutOfRange { topic, partition, offset, start: 0, end });
            }
        }
        match member {
            Some((member, generation)) => self.commit_as_member(group, member, generation, offsets).await,
            None => self.cluster.set_group_offsets(group, offsets).await,
        }
    }

    pub(crate) async fn reset_group(
        &self,
        group: &str,
        topic: &str,
        partition: Option<u32>,
        to: OffsetSpec,
    ) -> Result<Vec<(u32, i64)>, EngineError> {
        self.check_open()?;
        floe_broker::check_group_name(group)?;
        let topic = self.cluster.look_up(topic).await?;
        let partitions = topic.partitions(partition)?;
        self.check_no_members(group).await?;
        let offsets = self.offsets_for(&topic, partitions.clone(), to).await?;
        let positions: Vec<_> = partitions.clone().zip(offsets).collect();
        let keys: Vec<_> = partitions.map(|partition| (topic.id, partition)).collect();
        self.deliveries.reset(group, keys.clone()).await?;
        let named = positions.iter().map(|(partition, at)| (topic.name.to_string(), *partition, *at));
        self.cluster.set_group_offsets(group, named.collect()).await?;
        // whoever looked positions up before they were set has to look again
        self.deliveries.reset(group, keys).await?;
        Ok(positions)
    }

    pub(crate) async fn delete_group(&self, group: &str) -> Result<(), EngineError> {
        self.check_open()?;
        self.check_no_members(group).await?;
        let was_known = self.deliveries.forget_group(group).await?;
        let options = AdminOptions::new().request_timeout(Some(REQUEST_LIMIT));
        let deleted = self.cluster.admin.delete_groups(&[group], &options).await;
        match deleted.map(|mut deleted| deleted.pop()) {
            Ok(Some(Ok(_)) | None) => Ok(()),
            Ok(Some(Err((_, RDKafkaErrorCode::GroupIdNotFound)))) if was_known => Ok(()),
            Ok(Some(Err((_, code)))) => Err(about_group(group, code)),
            Err(error) => Err(unavailable("deleting a group", &error)),
        }
    }

    async fn check_no_members(&self, group: &str) -> Result<(), EngineError> {
        self.members.expire(self.now());
        let members = self.told(Some(group)).await?.remove(group).map_or(0, |members| members.len());
        if members > 0 {
            return Err(EngineError::GroupActive { group: group.to_owned(), members, leases: 0 });
        }
        Ok(())
    }

    /// Groups as the cluster tells them: one or all.
    async fn told(&self, group: Option<&str>) -> Result<BTreeMap<String, Vec<ToldMember>>, EngineError> {
        let name = group.map(str::to_owned);
        let listed = self.cluster.ask(move |admin| {
            let listed = admin.inner().fetch_group_list(name.as_deref(), REQUEST_LIMIT)?;
            let living = listed.groups().iter().filter(|group| group.state() != "Dead");
            Ok(living.map(|group| (group.name().to_owned(), members(group))).collect())
        });
        listed.await.map_err(|error| unavailable("listing groups", &error))
    }

    pub(crate) async fn groups(&self) -> Result<Vec<GroupSummary>, EngineError> {
        self.members.expire(self.now());
        let mut all: BTreeMap<String, GroupSummary> = self
            .told(None)
            .await?
            .into_iter()
            .map(|(group, members)| (group.clone(), summary(group, members.len(), 0)))
            .collect();
        for (open, group) in self.deliveries.groups() {
            let members = all.get(&group).map_or(0, |group| group.members);
            all.insert(group.clone(), summary(group, members, open));
        }
        Ok(all.into_values().collect())
    }

    pub(crate) async fn describe_group(&self, group: &str) -> Result<GroupDescription, EngineError> {
        floe_broker::check_group_name(group)?;
        self.members.expire(self.now());
        let (told, committed, open) = tokio::try_join!(
            self.told(Some(group)),
            self.cluster.group_offsets(group, None),
            self.deliveries.open_count(group),
        )?;
        let told = told.into_values().next();
        if told.is_none() && committed.is_empty() && open.is_none() {
            return Err(EngineError::GroupNotFound { group: group.to_owned() });
        }
        let partitions = self.lags(committed).await?;
        let ours = self.members.of_group(group);
        let generation = ours.iter().map(|member| member.generation()).max().unwrap_or(0);
        let now = self.now();
        let describe = |ToldMember { id, client_id, assignment }| {
            let (name, own) = name_and_id(&client_id);
            let ours = own.and_then(|own| ours.iter().find(|member| member.id == own));
            MemberDescription {
                id: own.map_or(id, str::to_owned),
                client_id: ours.map_or_else(|| name.to_owned(), |member| member.client_id.clone()),
                assignment,
                last_seen_ms: ours.map_or(0, |member| member.silent_ms(now)),
                status: match (ours, own) {
                    (Some(member), _) => member.status(),
                    (None, Some(own)) => self.statuses.of(group, own),
                    (None, None) => bytes::Bytes::new(),
                },
            }
        };
        let members: Vec<_> = told.into_iter().flatten().map(describe).collect();
        let state = summary(String::new(), members.len(), open.unwrap_or(0)).state;
        Ok(GroupDescription { group: group.to_owned(), state, generation, members, partitions })
    }

    /// How far positions are behind. Those in partitions that are gone are left out.
    async fn lags(&self, committed: Vec<(String, u32, i64)>) -> Result<Vec<GroupLag>, EngineError> {
        let asked = |query| {
            committed
                .iter()
                .map(|(topic, partition, _)| (topic.clone(), *partition, query))
                .collect::<Vec<_>>()
        };
        let (starts, ends) = tokio::try_join!(
            self.cluster.list_offsets(asked(OffsetQuery::Earliest)),
            self.cluster.list_offsets(asked(OffsetQuery::Latest)),
        )?;
        let mut lags: Vec<_> = committed
            .into_iter()
            .zip(starts)
            .zip(ends)
            .filter_map(|(((topic, partition, committed), start), end)| {
                let end = end.2.ok()?;
                // records that retention took away are not waited for
                let from = committed.max(start.2.unwrap_or(0));
                Some(GroupLag {
                    topic,
                    partition,
                    committed,
                    end,
                    lag: u64::try_from(end - from).unwrap_or(0),
                })
            })
            .collect();
        lags.sort_unstable_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        Ok(lags)
    }
}

fn summary(group: String, members: usize, open: usize) -> GroupSummary {
    let state = if members + open > 0 { GroupState::Stable } else { GroupState::Empty };
    GroupSummary { group, state, members }
}

fn members(group: &GroupInfo) -> Vec<ToldMember> {
    let member = |member: &GroupMemberInfo| ToldMember {
        id: member.id().to_owned(),
        client_id: member.client_id().to_owned(),
        assignment: member.assignment().map_or_else(Vec::new, assignment),
    };
    group.members().iter().map(member).collect()
}

/// The partitions in a member's assignment, as Kafka's consumers write it (`ConsumerProtocolAssignment`): version i16, topics as
/// i32 count of name (i16 length) and i32 count of i32 partitions; what follows is the consumer's own. Bytes of others: what
/// can't be read is left out.
fn assignment(bytes: &[u8]) -> Vec<(String, u32)> {
    let mut assignment = Vec::new();
    // as far as it can be read
    let _ = read_assignment(bytes, &mut assignment);
    assignment
}

fn read_assignment(mut bytes: &[u8], into: &mut Vec<(String, u32)>) -> Option<()> {
    take::<2>(&mut bytes)?;
    let topics = i32::from_be_bytes(take(&mut bytes)?);
    for _ in 0..topics {
        let length = usize::try_from(i16::from_be_bytes(take(&mut bytes)?)).ok()?;
        let (name, rest) = bytes.split_at_checked(length)?;
        let name = std::str::from_utf8(name).ok()?;
        bytes = rest;
        let partitions = i32::from_be_bytes(take(&mut bytes)?);
        for _ in 0..partitions {
            let partition = u32::try_from(i32::from_be_bytes(take(&mut bytes)?)).ok()?;
            into.push((name.to_owned(), partition));
        }
    }
    Some(())
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use super::assignment;

    #[test]
    fn assignments_are_read_as_far_as_they_go() {
        let mut bytes = vec![0, 3, 0, 0, 0, 2, 0, 1, b'a', 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 7];
        bytes.extend([0, 1, b'b', 0, 0, 0, 1, 0, 0, 0, 1, 255, 255, 255, 255]);
        let all = [("a".to_owned(), 0), ("a".to_owned(), 7), ("b".to_owned(), 1)];
        assert_eq!(assignment(&bytes), all);
        for cut in 0..bytes.len() - 4 {
            assert!(all.starts_with(&assignment(&bytes[..cut])));
        }
        assert!(assignment(&[0, 3, 0x7f, 255, 255, 255]).is_empty(), "a count is no reason to reserve");
    }
}
