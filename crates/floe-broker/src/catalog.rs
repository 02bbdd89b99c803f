//! The topics that callers see: those whose creation is on disk.

use std::{collections::HashMap, sync::Arc};

use parking_lot::RwLock;

use crate::{BrokerError, Topic, TopicName};

/// Topics by name and by id.
#[derive(Debug, Default)]
pub struct Catalog {
    topics: RwLock<Topics>,
}

#[derive(Debug, Default)]
struct Topics {
    by_name: HashMap<TopicName, Arc<Topic>>,
    by_id: HashMap<u64, Arc<Topic>>,
}

impl Catalog {
    /// A topic by its name.
    pub fn get(&self, name: &str) -> Result<Arc<Topic>, BrokerError> {
        let found = self.topics.read().by_name.get(name).cloned();
        found.ok_or_else(|| BrokerError::TopicNotFound { topic: name.to_owned() })
    }

    /// A topic by its id.
    #[must_use]
    pub fn by_id(&self, id: u64) -> Option<Arc<Topic>> {
        self.topics.read().by_id.get(&id).cloned()
    }

    /// All topics, in the order of their names.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Topic>> {
        let mut all: Vec<_> = self.topics.read().by_name.values().cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    pub(crate) fn insert(&self, topic: Arc<Topic>) {
        let mut topics = self.topics.write();
        topics.by_id.insert(topic.id, topic.clone());
        topics.by_name.insert(topic.name.clone(), topic);
    }

    pub(crate) fn remove(&self, topic: &Topic) {
        let mut topics = self.topics.write();
        topics.by_id.remove(&topic.id);
        // the name may already belong to the topic that was made after this one
        if topics.by_name.get(&topic.name).is_some_and(|named| named.id == topic.id) {
            topics.by_name.remove(&topic.name);
        }
    }
}
