//! What happens when a frame is on disk: readers see it, and those who wait are told.

use std::{collections::HashMap, sync::Arc};

use floe_journal::{EntryPlace, Position, Written};

use crate::{
    BrokerError, Topic,
    broker::Shared,
    command::{Answer, AppendOutcome},
    group::PartitionKey,
    tap::VisibleBatch,
    topic::Shape,
};

/// A change that becomes visible.
#[derive(Debug)]
pub(crate) enum Effect {
    Appended { topic: Arc<Topic>, partition: u32, end: i64, entry: usize },
    TopicCreated(Arc<Topic>),
    TopicAltered(Arc<Topic>, Shape),
    TopicDeleted(Arc<Topic>),
    PositionsSet { group: String, positions: Vec<(PartitionKey, i64)>, reset: bool },
    PositionsRemoved { group: String, topic_id: u64 },
    GroupDeleted(String),
    LogStart { topic: Arc<Topic>, partition: u32, start: i64 },
}

/// An answer that waits.
#[derive(Debug)]
pub(crate) enum Reply {
    Append(Answer<AppendOutcome>, AppendOutcome),
    Topic(Answer<Arc<Topic>>, Arc<Topic>),
    /// A refusal for what was made before, maybe in a group that isn't on disk yet: nobody may hear of it earlier.
    Exists(Answer<Arc<Topic>>, BrokerError),
    Positions(Answer<Vec<(PartitionKey, i64)>>, Vec<(PartitionKey, i64)>),
    Unit(Answer<()>, ()),
}

impl Reply {
    /// Gives the answer. Who no longer waits doesn't need it.
    pub(super) fn send(self) {
        match self {
            Self::Append(answer, value) => drop(answer.send(Ok(value))),
            Self::Topic(answer, value) => drop(answer.send(Ok(value))),
            Self::Exists(answer, error) => drop(answer.send(Err(error))),
            Self::Positions(answer, value) => drop(answer.send(Ok(value))),
            Self::Unit(answer, ()) => drop(answer.send(Ok(()))),
        }
    }

    /// Says that it didn't work.
    pub(super) fn refuse(self, error: BrokerError) {
        match self {
            Self::Append(answer, _) => drop(answer.send(Err(error))),
            Self::Topic(answer, _) | Self::Exists(answer, _) => drop(answer.send(Err(error))),
            Self::Positions(answer, _) => drop(answer.send(Err(error))),
            Self::Unit(answer, ()) => drop(answer.send(Err(error))),
        }
    }
}

/// A written frame with all that hangs on it.
#[derive(Debug)]
pub(crate) struct Group {
    pub(super) written: Written,
    pub(super) effects: Vec<Effect>,
    pub(super) replies: Vec<Reply>,
}

impl Group {
    /// Makes the group visible; its frame is on disk.
    pub(super) fn publish(self, shared: &Shared) {
        let Self { written, effects, replies } = self;
        let places: Vec<EntryPlace> = written.entries().collect();
        let mut news = Vec::with_capacity(effects.len());
        for effect in effects {
            news.extend(publish_effect(shared, effect, &places));
        }
        shared.set_visible(written.end as Position);
        // only now: what a tap was told, and what lies before a tap that is opened, can be read from the log
        let mut changed: HashMap<u64, Arc<Topic>> = HashMap::new();
        for (topic, batch) in news {
            match batch {
                Some(batch) => topic.taps.lock().push(&batch),
                None => topic.taps.lock().end(),
            }
            changed.insert(topic.id, topic);
        }
        for topic in changed.values() {
            topic.changed.notify_waiters();
        }
        replies.into_iter().for_each(Reply::send);
    }

    /// Tells all who wait that it is not stored.
    pub(super) fn refuse(self) {
        for reply in self.replies {
            reply.refuse(BrokerError::StorageFailed);
        }
    }
}

/// Publishes one change; answers the topic whose followers are to be told, with the new batch or that it is gone.
fn publish_effect(
    shared: &Shared,
    effect: Effect,
    places: &[EntryPlace],
) -> Option<(Arc<Topic>, Option<VisibleBatch>)> {
    match effect {
        Effect::Appended { topic, partition, end, entry } => {
            let place = &places[entry];
            if let Ok(published) = topic.partition(partition) {
                published.publish_end(end, place.body.len() as u64);
            }
            let batch = VisibleBatch { partition, origin: place.position, bytes: place.body.clone() };
            return Some((topic, Some(batch)));
        }
        Effect::TopicCreated(topic) => shared.catalog.insert(topic),
        Effect::TopicAltered(topic, shape) => {
            topic.publish_shape(shape);
            shared.groups.grow_topic(&topic);
        }
        Effect::TopicDeleted(topic) => {
            topic.set_deleted();
            shared.catalog.remove(&topic);
            shared.groups.forget_topic(topic.id);
            for number in 0..topic.partition_count() {
                shared.journal.forget(topic.journal_id(number));
            }
            return Some((topic, None));
        }
        Effect::PositionsSet { group, positions, reset } => {
            shared.groups.set_positions(&group, positions, reset);
        }
        Effect::PositionsRemoved { group, topic_id } => shared.groups.remove_positions(&group, topic_id),
        Effect::GroupDeleted(group) => shared.groups.remove(&group),
        Effect::LogStart { topic, partition, start } => {
            if let Ok(published) = topic.partition(partition) {
                let id = topic.journal_id(partition);
                // what is written and not yet published counts when it is
                let unpublished = shared.journal.bytes_from(id, published.end());
                let bytes = shared.journal.bytes_from(id, start).saturating_sub(unpublished);
                published.publish_start(start, bytes);
            }
        }
    }
    None
}
