//! Applying commands: every decision that depends on the state is taken here, in the one order that the journal keeps.

use std::sync::Arc;

use floe_journal::FrameBuilder;

use super::{
    Effect, Reply,
    merge::{BUILT_HERE, Merge, Target},
};
use crate::{
    Acks, BrokerError, Topic, TopicConfig, TopicName,
    append_plan::in_request_order,
    batch::{TimestampType, set_base_offset, set_log_append_time},
    command::{Answer, AppendCommand, AppendOutcome, Command, Content, MovedBatch, PositionsMode, Runs},
    group::PartitionKey,
    idempotency::{IdempotencyEntry, IdempotencyLookup, PlacedRun},
    limits::{IDEMPOTENCY_WINDOW_MS, MAX_GROUPS, MAX_PARTITIONS, MAX_PARTITIONS_PER_TOPIC},
    state::{State, StateEntry, forget_topic},
    topic::{Partition, split_journal_id},
};

/// What a group of commands comes to.
#[derive(Debug, Default)]
pub(super) struct Applied {
    pub(super) frame: FrameBuilder,
    /// What becomes visible when the frame is durable.
    pub(super) effects: Vec<Effect>,
    /// Who is told when it is.
    pub(super) replies: Vec<Reply>,
    /// Who is told as soon as it is written.
    pub(super) early_replies: Vec<Reply>,
}

/// What an append brings, but for its topic and its answer.
struct Planned {
    content: Content,
    built_ms: i64,
    order: Vec<u32>,
    idempotency: Option<(String, u64)>,
}

/// Applies a group at one moment.
pub(super) fn apply(state: &mut State, commands: Vec<Command>, bytes: usize, now_ms: i64) -> Applied {
    let mut applied = Applied { frame: FrameBuilder::with_capacity(bytes), ..Applied::default() };
    let mut merge = Merge::default();
    for command in commands {
        match command {
            Command::Append(append) => applied.append(state, append, &mut merge, now_ms),
            other => applied.other(state, other),
        }
    }
    let mut target = Target { frame: &mut applied.frame, effects: &mut applied.effects, now_ms };
    merge.close_all(&mut target);
    applied
}

impl Applied {
    fn state(&mut self, entry: &StateEntry) {
        self.frame.state(&entry.encode());
    }

    fn append(&mut self, state: &mut State, append: AppendCommand, merge: &mut Merge, now_ms: i64) {
        let (answer, acks) = (append.answer, append.acks);
        let content = Planned {
            content: append.content,
            built_ms: append.built_ms,
            order: append.order,
            idempotency: append.idempotency,
        };
        match self.try_append(state, &append.topic, content, merge, now_ms) {
            Ok(outcome) => {
                let reply = Reply::Append(answer, outcome);
                if acks == Acks::Durable { self.replies.push(reply) } else { self.early_replies.push(reply) }
            }
            Err(error) => drop(answer.send(Err(error))),
        }
    }

    fn try_append(
        &mut self,
        state: &mut State,
        topic: &Arc<Topic>,
        planned: Planned,
        merge: &mut Merge,
        now_ms: i64,
    ) -> Result<AppendOutcome, BrokerError> {
        let Planned { content, built_ms, order, idempotency } = planned;
        if topic.is_removed() {
            return Err(topic.not_found());
        }
        if let Some((key, fingerprint)) = &idempotency {
            match state.idempotency.lookup(topic.id, key, *fingerprint, now_ms.cast_unsigned()) {
                IdempotencyLookup::Fresh => {}
                IdempotencyLookup::Replay(entry) => {
                    let runs = Runs::Many(entry.placements.to_vec());
                    return Ok(AppendOutcome { runs, timestamp_ms: entry.timestamp_ms, replayed: true });
                }
                IdempotencyLookup::Conflict => {
                    return Err(BrokerError::IdempotencyConflict {
                        topic: topic.name.to_string(),
                        key: key.clone(),
                    });
                }
            }
        }
        let built_before = matches!(content, Content::Batches(_))
            && topic.config().timestamp_type() != TimestampType::LogAppend;
        let timestamp_ms = if built_before { built_ms } else { now_ms };
        let runs = self.store(topic, content, merge, now_ms)?;
        if let Some((key, fingerprint)) = idempotency {
            let entry = IdempotencyEntry {
                fingerprint,
                expires_ms: now_ms.saturating_add(IDEMPOTENCY_WINDOW_MS).cast_unsigned(),
                timestamp_ms,
                placements: in_request_order(&order, runs.as_slice()),
            };
            state.idempotency.expire(now_ms.cast_unsigned());
            state.idempotency.insert(topic.id, &key, entry.clone());
            self.state(&StateEntry::IdempotencyUsed { topic_id: topic.id, key, entry });
        }
        Ok(AppendOutcome { runs, timestamp_ms, replayed: false })
    }

    /// Stores records whole or not at all: everything is checked before the first offset is taken.
    fn store(
        &mut self,
        topic: &Arc<Topic>,
        content: Content,
        merge: &mut Merge,
        now_ms: i64,
    ) -> Result<Runs, BrokerError> {
        let config = topic.config();
        let limit = config.max_message_bytes();
        let too_large = |size| BrokerError::RecordTooLarge { topic: topic.name.to_string(), size, limit };
        let mut target = Target { frame: &mut self.frame, effects: &mut self.effects, now_ms };
        match content {
            Content::Record { partition, record } => {
                topic.partition(partition)?;
                let base_offset = merge.push(topic, partition, &record, now_ms, &mut target);
                Ok(Runs::One(PlacedRun { partition, base_offset, count: 1 }))
            }
            Content::Batches(batches) => {
                for batch in &batches {
                    topic.partition(batch.partition)?;
                    if batch.bytes.len() > limit {
                        return Err(too_large(batch.bytes.len()));
                    }
                }
                let mut runs = Vec::with_capacity(batches.len());
                for mut batch in batches {
                    merge.close(topic.journal_id(batch.partition), &mut target);
                    let base_offset = topic.partition(batch.partition)?.take_offsets(batch.records);
                    set_base_offset(&mut batch.bytes, base_offset);
                    if config.timestamp_type() == TimestampType::LogAppend {
                        set_log_append_time(&mut batch.bytes, now_ms);
                    }
                    target.records(topic, batch.partition, BUILT_HERE, &batch.bytes);
                    runs.push(PlacedRun { partition: batch.partition, base_offset, count: batch.records });
                }
                Ok(Runs::Many(runs))
            }
        }
    }

    fn other(&mut self, state: &mut State, command: Command) {
        match command {
            Command::Append(_) => unreachable!("appends have a way of their own"),
            Command::CreateTopic { name, partitions, config, answer } => {
                match self.create_topic(state, &name, partitions, &config) {
                    Err(exists @ BrokerError::TopicExists { .. }) => {
                        self.replies.push(Reply::Exists(answer, exists));
                    }
                    made => self.answer(answer, made, Reply::Topic),
                }
            }
            Command::AlterTopic { topic, partitions, config, answer } => {
                let altered = self.alter_topic(state, topic, partitions, &config);
                self.answer(answer, altered, Reply::Topic);
            }
            Command::DeleteTopic { topic, answer } => {
                let deleted = self.delete_topic(state, &topic);
                self.answer(answer, deleted, Reply::Unit);
            }
            Command::SetPositions { group, positions, mode, answer } => {
                let set = self.set_positions(state, group, positions, mode);
                self.answer(answer, set, Reply::Positions);
            }
            Command::RemovePositions { group, topic, answer } => {
                let removed = self.remove_positions(state, group, &topic);
                self.answer(answer, removed, Reply::Unit);
            }
            Command::DeleteGroup { group, answer } => {
                let deleted = self.delete_group(state, group);
                self.answer(answer, deleted, Reply::Unit);
            }
            Command::LogStart { starts, answer } => {
                self.log_start(state, starts);
                self.answer(answer, Ok(()), Reply::Unit);
            }
            Command::Move { batches, answer } => {
                for batch in batches.iter().filter(|batch| is_kept(state, batch)) {
                    let offsets = (batch.base_offset, batch.last_offset_delta);
                    let (partition, time) = (batch.partition, batch.max_timestamp);
                    self.frame.moved(partition, batch.flags, offsets, time, batch.origin, &batch.bytes);
                }
                self.answer(answer, Ok(()), Reply::Unit);
            }
            Command::Retire { segment, answer } => {
                self.frame.retired(segment);
                self.answer(answer, Ok(()), Reply::Unit);
            }
        }
    }

    fn answer<T>(
        &mut self,
        answer: Answer<T>,
        result: Result<T, BrokerError>,
        reply: impl FnOnce(Answer<T>, T) -> Reply,
    ) {
        match result {
            Ok(value) => self.replies.push(reply(answer, value)),
            Err(error) => drop(answer.send(Err(error))),
        }
    }

    fn create_topic(
        &mut self,
        state: &mut State,
        name: &TopicName,
        partitions: u32,
        config: &std::collections::BTreeMap<String, String>,
    ) -> Result<Arc<Topic>, BrokerError> {
        if state.by_name(name).is_some() {
            return Err(BrokerError::TopicExists { topic: name.to_string() });
        }
        check_partitions(state, partitions, 0)?;
        let settings = TopicConfig::from_overrides(config)?;
        let id = state.next_topic_id;
        let list = (0..partitions).map(|_| Partition::new(0, 0, 0)).collect();
        let topic = Topic::new(id, name.clone(), settings, list, 0);
        state.insert_topic(topic.clone());
        self.state(&StateEntry::TopicCreated {
            id,
            name: name.to_string(),
            partitions,
            config: topic.config().overrides(),
        });
        self.effects.push(Effect::TopicCreated(topic.clone()));
        Ok(topic)
    }

    fn alter_topic(
        &mut self,
        state: &mut State,
        topic: Arc<Topic>,
        partitions: Option<u32>,
        config: &std::collections::BTreeMap<String, Option<String>>,
    ) -> Result<Arc<Topic>, BrokerError> {
        if topic.is_removed() {
            return Err(topic.not_found());
        }
        let written = topic.written();
        let before = u32::try_from(written.partitions.len()).unwrap_or(u32::MAX);
        let partitions = partitions.unwrap_or(before);
        if partitions < before {
            let why = "a topic's partitions can only become more";
            return Err(BrokerError::InvalidPartitions { asked: partitions.into(), why });
        }
        check_partitions(state, partitions, before)?;
        let mut settings = TopicConfig::clone(&written.config);
        settings.apply(config)?;
        self.state(&StateEntry::TopicAltered { id: topic.id, partitions, config: settings.overrides() });
        let shape = state.alter_topic(&topic, partitions, settings);
        self.effects.push(Effect::TopicAltered(topic.clone(), shape));
        Ok(topic)
    }

    fn delete_topic(&mut self, state: &mut State, topic: &Arc<Topic>) -> Result<(), BrokerError> {
        let removed = state.remove_topic(topic.id).ok_or_else(|| topic.not_found())?;
        self.state(&StateEntry::TopicDeleted { id: topic.id });
        self.effects.push(Effect::TopicDeleted(removed));
        Ok(())
    }

    fn set_positions(
        &mut self,
        state: &mut State,
        group: String,
        mut positions: Vec<(PartitionKey, i64)>,
        mode: PositionsMode,
    ) -> Result<Vec<(PartitionKey, i64)>, BrokerError> {
        if !state.groups.contains_key(&group) && state.groups.len() >= MAX_GROUPS {
            return Err(BrokerError::LimitReached { what: "consumer groups", limit: MAX_GROUPS });
        }
        // a topic may have been deleted since the caller looked
        positions.retain(|((topic_id, _), _)| state.topics.contains_key(topic_id));
        let kept = state.groups.entry(group.clone()).or_default();
        let mut in_force = positions.clone();
        if mode == PositionsMode::OnlyNew {
            for (key, offset) in &mut in_force {
                *offset = kept.get(key).copied().unwrap_or(*offset);
            }
            positions.retain(|(key, _)| !kept.contains_key(key));
        }
        kept.extend(positions.iter().copied());
        self.state(&StateEntry::Positions { group: group.clone(), positions: positions.clone() });
        self.effects.push(Effect::PositionsSet { group, positions, reset: mode == PositionsMode::Reset });
        Ok(in_force)
    }

    fn remove_positions(
        &mut self,
        state: &mut State,
        group: String,
        topic: &Topic,
    ) -> Result<(), BrokerError> {
        let not_subscribed =
            || BrokerError::NotSubscribed { group: group.clone(), topic: topic.name.to_string() };
        let positions = state.groups.get_mut(&group).ok_or_else(not_subscribed)?;
        let before = positions.len();
        forget_topic(positions, topic.id);
        if positions.len() == before {
            return Err(not_subscribed());
        }
        self.state(&StateEntry::PositionsRemoved { group: group.clone(), topic_id: topic.id });
        self.effects.push(Effect::PositionsRemoved { group, topic_id: topic.id });
        Ok(())
    }

    fn delete_group(&mut self, state: &mut State, group: String) -> Result<(), BrokerError> {
        if state.groups.remove(&group).is_none() {
            return Err(BrokerError::GroupNotFound { group });
        }
        self.state(&StateEntry::GroupDeleted { group: group.clone() });
        self.effects.push(Effect::GroupDeleted(group));
        Ok(())
    }

    fn log_start(&mut self, state: &State, starts: Vec<(PartitionKey, i64)>) {
        let mut moved = Vec::with_capacity(starts.len());
        for ((topic_id, number), start) in starts {
            let Some(topic) = state.topics.get(&topic_id) else { continue };
            let Ok(partition) = topic.partition(number) else { continue };
            if start > partition.written_start() {
                partition.write_start(start);
                moved.push(((topic_id, number), start));
                self.effects.push(Effect::LogStart { topic: topic.clone(), partition: number, start });
            }
        }
        self.state(&StateEntry::LogStart { starts: moved });
    }
}

/// Whether a batch that is being moved is still wanted.
fn is_kept(state: &State, batch: &MovedBatch) -> bool {
    let (topic_id, number) = split_journal_id(batch.partition);
    let partition = state.topics.get(&topic_id).and_then(|topic| topic.partition(number).ok());
    let last = batch.base_offset + i64::from(batch.last_offset_delta);
    partition.is_some_and(|partition| partition.written_start() <= last)
}

fn check_partitions(state: &State, asked: u32, before: u32) -> Result<(), BrokerError> {
    if asked == 0 || asked > MAX_PARTITIONS_PER_TOPIC {
        return Err(BrokerError::InvalidPartitions {
            asked: asked.into(),
            why: "a topic has 1 to 10000 partitions",
        });
    }
    if state.partitions + asked as usize - before as usize > MAX_PARTITIONS {
        return Err(BrokerError::LimitReached { what: "partitions of all topics", limit: MAX_PARTITIONS });
    }
    Ok(())
}
