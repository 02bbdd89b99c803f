//! Consumer groups as callers see them: positions that are on disk, deliveries and members that live in memory.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::{Mutex, RwLock};

use crate::{
    BrokerError, Topic,
    group::{Deliveries, Members, PartitionKey},
    limits::MAX_GROUP_NAME_BYTES,
    state::{Positions, forget_topic},
};

/// One group.
#[derive(Debug, Default)]
pub struct Group {
    /// The next offset to read by partition, as far as it is on disk.
    pub positions: Positions,
    /// What is handed out.
    pub deliveries: Deliveries,
    /// Who is in it.
    pub members: Members,
    /// Taken by who reads and commits at once, until that is on disk: so what was given out is never given out again.
    pub commit_turn: Arc<tokio::sync::Mutex<()>>,
    /// It was deleted; a group of the same name is another one.
    pub(crate) gone: bool,
    /// Where the next poll starts to look, so that no partition is always last.
    pub turn: usize,
}

/// All groups by name.
#[derive(Debug, Default)]
pub struct Groups {
    groups: RwLock<BTreeMap<String, Arc<Mutex<Group>>>>,
}

/// Checks a group's name.
pub fn check_group_name(group: &str) -> Result<(), BrokerError> {
    if group.is_empty() || group.len() > MAX_GROUP_NAME_BYTES || group.chars().any(char::is_control) {
        return Err(BrokerError::InvalidGroup { max: MAX_GROUP_NAME_BYTES });
    }
    Ok(())
}

impl Groups {
    pub(crate) fn restore(groups: BTreeMap<String, Positions>) -> Self {
        let with = |(name, positions)| (name, Arc::new(Mutex::new(Group { positions, ..Group::default() })));
        Self { groups: RwLock::new(groups.into_iter().map(with).collect()) }
    }

    /// A group that exists.
    pub fn get(&self, group: &str) -> Result<Arc<Mutex<Group>>, BrokerError> {
        let found = self.groups.read().get(group).cloned();
        found.ok_or_else(|| BrokerError::GroupNotFound { group: group.to_owned() })
    }

    /// A group, made when it isn't there.
    pub fn get_or_make(&self, group: &str) -> Result<Arc<Mutex<Group>>, BrokerError> {
        if let Ok(found) = self.get(group) {
            return Ok(found);
        }
        check_group_name(group)?;
        let mut groups = self.groups.write();
        if groups.len() >= crate::limits::MAX_GROUPS {
            // groups that only somebody's poll made, and that hold nothing
            groups.retain(|_, group| Arc::strong_count(group) > 1 || !group.lock().is_blank());
        }
        if groups.len() >= crate::limits::MAX_GROUPS {
            return Err(BrokerError::LimitReached {
                what: "consumer groups",
                limit: crate::limits::MAX_GROUPS,
            });
        }
        Ok(groups.entry(group.to_owned()).or_default().clone())
    }

    /// All groups by name.
    #[must_use]
    pub fn all(&self) -> Vec<(String, Arc<Mutex<Group>>)> {
        self.groups.read().iter().map(|(name, group)| (name.clone(), group.clone())).collect()
    }

    /// With `reset`, what was handed out of these partitions counts for nothing.
    pub(crate) fn set_positions(&self, group: &str, positions: Vec<(PartitionKey, i64)>, reset: bool) {
        let known = self.groups.read().get(group).cloned();
        let group = known.unwrap_or_else(|| self.groups.write().entry(group.to_owned()).or_default().clone());
        let mut group = group.lock();
        if reset {
            positions.iter().for_each(|(key, _)| group.deliveries.reset(*key));
        }
        group.positions.extend(positions);
    }

    pub(crate) fn remove_positions(&self, group: &str, topic_id: u64) {
        if let Ok(group) = self.get(group) {
            group.lock().forget_topic(topic_id);
        }
    }

    pub(crate) fn remove(&self, group: &str) {
        let removed = self.groups.write().remove(group);
        if let Some(removed) = removed {
            removed.lock().gone = true;
        }
    }

    pub(crate) fn forget_topic(&self, topic_id: u64) {
        for (_, group) in self.all() {
            group.lock().forget_topic(topic_id);
        }
    }

    pub(crate) fn grow_topic(&self, topic: &Topic) {
        let partitions = topic.partition_count();
        for (_, group) in self.all() {
            group.lock().members.grow_topic(topic.id, partitions);
        }
    }
}

impl Group {
    fn forget_topic(&mut self, topic_id: u64) {
        forget_topic(&mut self.positions, topic_id);
        self.deliveries.forget_topic(topic_id);
        self.members.forget_topic(topic_id);
    }

    /// Whether nothing would be lost with it.
    fn is_blank(&self) -> bool {
        self.positions.is_empty() && self.members.is_empty() && self.deliveries.is_idle()
    }

    /// Whether the group has a position on a topic.
    #[must_use]
    pub fn is_subscribed(&self, topic_id: u64) -> bool {
        self.positions.range((topic_id, 0)..=(topic_id, u32::MAX)).next().is_some()
    }

    /// Lets time pass: silent members and forgotten deliveries go.
    pub fn expire(&mut self, now_ms: u64) {
        self.members.expire(now_ms);
        self.deliveries.expire(now_ms);
    }

    /// Refuses when somebody reads.
    pub fn check_idle(&self, group: &str) -> Result<(), BrokerError> {
        if self.members.is_empty() && self.deliveries.is_idle() {
            return Ok(());
        }
        Err(BrokerError::GroupActive {
            group: group.to_owned(),
            members: self.members.len(),
            leases: self.deliveries.open_count(),
        })
    }
}
