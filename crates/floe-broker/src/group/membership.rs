//! The members of one group and the partitions they own.
//!
//! The server assigns; a member learns what it owns from the answers to its join and its heartbeats. A partition changes
//! hands in two steps: a change of members or topics plans a new owner, but the old one stays owner until it has been
//! answered without the partition, has left, or was silent for its session. So a partition is in the latest answers to
//! two members at no time.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    num::NonZeroU32,
    sync::Arc,
};

use bytes::Bytes;

use super::{
    PartitionKey,
    assignment::{TopicPlan, balance},
};

/// How many members a group may have.
pub const MAX_MEMBERS: usize = 1_000;

/// Partitions in order of topic id and number.
pub type Assignment = Arc<[PartitionKey]>;

/// What a member is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The member's id.
    pub member: String,
    /// Rises with each change of what anybody owns or will own.
    pub generation: u64,
    /// All that the member owns; nobody else does.
    pub assignment: Assignment,
}

/// A member as it is described to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// Its id.
    pub id: String,
    /// The name it gave itself.
    pub client_id: String,
    /// What it was last told to own.
    pub assignment: Assignment,
    /// Milliseconds since it was last heard of.
    pub last_seen_ms: u64,
    /// What it last said of itself; empty if nothing.
    pub status: Bytes,
}

/// Why a member was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    /// It never joined, has left, or was silent for too long: it must join again.
    #[error("the member must join again")]
    UnknownMember,
    /// It has been told of a newer generation than it names, or of none yet that it names.
    #[error("the generation is not the member's latest, {latest}")]
    OtherGeneration {
        /// The generation it was last told of.
        latest: u64,
    },
    /// The group has as many members as it may.
    #[error("the group has {MAX_MEMBERS} members")]
    Full,
}

/// The members of one group.
#[derive(Debug, Default)]
pub struct Members {
    generation: u64,
    /// By number, in the order in which they joined.
    members: BTreeMap<NonZeroU32, Member>,
    numbers: HashMap<String, NonZeroU32>,
    last_number: u32,
    /// The topics that somebody wants, with their partitions.
    topics: BTreeMap<u64, Vec<Slot>>,
}

#[derive(Debug)]
struct Member {
    id: String,
    client_id: String,
    topics: BTreeSet<u64>,
    session_ms: u64,
    last_seen_ms: u64,
    told_generation: u64,
    told: Assignment,
    status: Bytes,
}

/// One partition.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    owner: Option<NonZeroU32>,
    /// Who is to own it; other than `owner` only while that one has been told and must first be told otherwise.
    planned: Option<NonZeroU32>,
    /// Whether the owner has been told.
    told: bool,
}

impl Members {
    /// A group without members.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a member that wants these topics (id and number of partitions) and says so again within each `session_ms`.
    /// Its assignment holds what is free by now; what others must give up first follows with its heartbeats.
    pub fn join(
        &mut self,
        client_id: &str,
        topics: &[(u64, u32)],
        session_ms: u64,
        now_ms: u64,
    ) -> Result<Membership, MembershipError> {
        self.expire(now_ms);
        if self.members.len() >= MAX_MEMBERS {
            return Err(MembershipError::Full);
        }
        self.last_number = self.last_number.wrapping_add(1).max(1);
        let number = NonZeroU32::new(self.last_number).expect("it is at least 1");
        let id = format!("{:032x}", rand::random::<u128>());
        let member = Member {
            id: id.clone(),
            client_id: client_id.to_owned(),
            topics: BTreeSet::new(),
            session_ms,
            last_seen_ms: now_ms,
            told_generation: 0,
            told: Arc::default(),
            status: Bytes::new(),
        };
        self.members.insert(number, member);
        self.numbers.insert(id, number);
        self.set_topics(number, topics);
        Ok(self.tell(number))
    }

    /// Keeps a member alive and tells it what it owns. From here on it doesn't own what the answer leaves out.
    pub fn heartbeat(&mut self, member: &str, now_ms: u64) -> Result<Membership, MembershipError> {
        self.expire(now_ms);
        let number = self.number(member)?;
        self.members.get_mut(&number).expect("numbers are of members").last_seen_ms = now_ms;
        Ok(self.tell(number))
    }

    /// Notes what a member says of itself, for those who ask about the group.
    pub fn report(&mut self, member: &str, status: Bytes) -> Result<(), MembershipError> {
        let number = self.number(member)?;
        self.members.get_mut(&number).expect("numbers are of members").status = status;
        Ok(())
    }

    /// Changes the topics a member wants, and else is a heartbeat.
    pub fn resubscribe(
        &mut self,
        member: &str,
        topics: &[(u64, u32)],
        now_ms: u64,
    ) -> Result<Membership, MembershipError> {
        self.expire(now_ms);
        let number = self.number(member)?;
        self.members.get_mut(&number).expect("numbers are of members").last_seen_ms = now_ms;
        self.set_topics(number, topics);
        Ok(self.tell(number))
    }

    /// Removes a member; what it owned is free at once.
    pub fn leave(&mut self, member: &str) -> Result<(), MembershipError> {
        let number = self.number(member)?;
        self.remove(number);
        self.rebalance();
        Ok(())
    }

    /// Removes members that were silent for their session. Whether there were any.
    pub fn expire(&mut self, now_ms: u64) -> bool {
        let silent: Vec<_> =
            self.members.iter().filter(|(_, m)| m.deadline() <= now_ms).map(|(&n, _)| n).collect();
        for &number in &silent {
            self.remove(number);
        }
        if !silent.is_empty() {
            self.rebalance();
        }
        !silent.is_empty()
    }

    /// When the next member's session ends, if nothing is heard of it.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        self.members.values().map(Member::deadline).min()
    }

    /// Notes that a topic has more partitions now.
    pub fn grow_topic(&mut self, topic_id: u64, partitions: u32) {
        if let Some(slots) = self.topics.get_mut(&topic_id)
            && slots.len() < partitions as usize
        {
            slots.resize(partitions as usize, Slot::default());
            self.rebalance();
        }
    }

    /// Notes that a topic was deleted.
    pub fn forget_topic(&mut self, topic_id: u64) {
        if self.topics.remove(&topic_id).is_some() {
            for member in self.members.values_mut() {
                member.topics.remove(&topic_id);
            }
            self.rebalance();
        }
    }

    /// Whether a member may act for the generation it names: the one it was last told of.
    pub fn check(&mut self, member: &str, generation: u64, now_ms: u64) -> Result<(), MembershipError> {
        self.expire(now_ms);
        let latest = self.members[&self.number(member)?].told_generation;
        if generation == latest { Ok(()) } else { Err(MembershipError::OtherGeneration { latest }) }
    }

    /// The member that was last told to own a partition, and still does.
    #[must_use]
    pub fn owner(&self, key: PartitionKey) -> Option<&str> {
        let slot = self.topics.get(&key.0)?.get(key.1 as usize)?;
        slot.owner.filter(|_| slot.told).map(|number| self.members[&number].id.as_str())
    }

    /// Rises with each change of what anybody owns or will own.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// How many members there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// All members, in the order in which they joined.
    #[must_use]
    pub fn describe(&self, now_ms: u64) -> Vec<MemberView> {
        let view = |m: &Member| MemberView {
            id: m.id.clone(),
            client_id: m.client_id.clone(),
            assignment: Arc::clone(&m.told),
            last_seen_ms: now_ms.saturating_sub(m.last_seen_ms),
            status: m.status.clone(),
        };
        self.members.values().map(view).collect()
    }

    fn number(&self, member: &str) -> Result<NonZeroU32, MembershipError> {
        self.numbers.get(member).copied().ok_or(MembershipError::UnknownMember)
    }

    fn set_topics(&mut self, number: NonZeroU32, topics: &[(u64, u32)]) {
        for &(topic, partitions) in topics {
            let slots = self.topics.entry(topic).or_default();
            if slots.len() < partitions as usize {
                slots.resize(partitions as usize, Slot::default());
            }
        }
        let member = self.members.get_mut(&number).expect("numbers are of members");
        member.topics = topics.iter().map(|&(topic, _)| topic).collect();
        self.rebalance();
    }

    fn remove(&mut self, number: NonZeroU32) {
        let member = self.members.remove(&number).expect("numbers are of members");
        self.numbers.remove(&member.id);
        for slot in self.topics.values_mut().flatten().filter(|s| s.owner == Some(number)) {
            *slot = Slot::default();
        }
    }

    /// Plans anew after any change, and lets go at once of what no owner has been told of.
    fn rebalance(&mut self) {
        self.generation += 1;
        let numbers: Vec<NonZeroU32> = self.members.keys().copied().collect();
        let index = |number: NonZeroU32| numbers.binary_search(&number).ok().map(|i| i as u32);
        let members = &self.members;
        self.topics.retain(|topic, _| members.values().any(|m| m.topics.contains(topic)));
        let mut plans: Vec<TopicPlan> = self
            .topics
            .iter()
            .map(|(topic, slots)| {
                let wanting = (0..).zip(members.values()).filter(|(_, m)| m.topics.contains(topic));
                let owners = slots.iter().map(|s| s.owner.and_then(index)).collect();
                TopicPlan::new(wanting.map(|(i, _)| i).collect(), owners)
            })
            .collect();
        balance(&mut plans, numbers.len());
        for (slots, plan) in self.topics.values_mut().zip(plans) {
            for (slot, owner) in slots.iter_mut().zip(plan.owners) {
                slot.planned = owner.map(|i| numbers[i as usize]);
                if !slot.told {
                    slot.owner = slot.planned;
                }
            }
        }
    }

    /// The answer to a member. It ends the member's ownership of what was planned for others.
    fn tell(&mut self, number: NonZeroU32) -> Membership {
        if self.members[&number].told_generation != self.generation {
            let (assignment, released) = self.hand_over(number);
            // What was released is news to those it was planned for.
            self.generation += u64::from(released);
            let member = self.members.get_mut(&number).expect("numbers are of members");
            member.told_generation = self.generation;
            member.told = assignment.into();
        }
        let member = &self.members[&number];
        Membership {
            member: member.id.clone(),
            generation: member.told_generation,
            assignment: Arc::clone(&member.told),
        }
    }

    /// Releases what the member owns against the plan, and marks the rest as told. Answers the rest, and whether
    /// anything was released.
    fn hand_over(&mut self, number: NonZeroU32) -> (Vec<PartitionKey>, bool) {
        let mut owned = Vec::new();
        let mut released = false;
        for (&topic, slots) in &mut self.topics {
            for (partition, slot) in (0..).zip(slots) {
                if slot.owner != Some(number) {
                    continue;
                }
                if slot.planned == Some(number) {
                    slot.told = true;
                    owned.push((topic, partition));
                } else {
                    *slot = Slot { owner: slot.planned, planned: slot.planned, told: false };
                    released = true;
                }
            }
        }
        (owned, released)
    }
}

impl Member {
    fn deadline(&self) -> u64 {
        self.last_seen_ms.saturating_add(self.session_ms)
    }
}

#[cfg(test)]
mod tests;
