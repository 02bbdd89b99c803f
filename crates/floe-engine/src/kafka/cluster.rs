//! The cluster as the engine asks it: topics, offsets, groups' positions. Requests block threads of their own, and no more
//! than [`MAX_REQUESTS`] at once.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
};
use tokio::sync::Semaphore;

use super::{
    catalog::{Catalog, KafkaTopic, checked_name},
    client::{KafkaConfig, KafkaConfigError, Told},
    error::{about_group, about_topic, code_of, unavailable},
    limits::{CHANGE_LIMIT, MAX_OFFSETS_PER_REQUEST, MAX_REQUESTS, REQUEST_LIMIT},
    native::{self, OffsetQuery},
};
use crate::EngineError;

/// How long to wait before something that passes is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(20);

/// The one client for all requests that are not about records.
pub(super) struct Cluster {
    pub(super) config: KafkaConfig,
    pub(super) admin: Arc<AdminClient<Told>>,
    /// For what only a consumer's client can be asked. It reads nothing.
    consumer: Arc<BaseConsumer<Told>>,
    pub(super) catalog: Catalog,
    requests: Arc<Semaphore>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("bootstrap", &self.config.bootstrap).finish_non_exhaustive()
    }
}

impl Cluster {
    pub(super) fn new(config: KafkaConfig) -> Result<Self, KafkaConfigError> {
        let admin = config.base().create_with_context(Told).map_err(|error| refused(&error))?;
        let consumer = config.reader().create_with_context(Told).map_err(|error| refused(&error))?;
        Ok(Self {
            config,
            admin: Arc::new(admin),
            consumer: Arc::new(consumer),
            catalog: Catalog::default(),
            requests: Arc::new(Semaphore::new(MAX_REQUESTS)),
        })
    }

    /// Takes in what the consumer's client has to tell, so that it doesn't pile up.
    pub(super) fn listen(&self) {
        while self.consumer.poll(Duration::ZERO).is_some() {}
    }

    /// Makes a request away from the threads that serve sockets.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        request: impl FnOnce(&AdminClient<Told>) -> KafkaResult<T> + Send + 'static,
    ) -> KafkaResult<T> {
        let admin = Arc::clone(&self.admin);
        let Ok(permit) = self.requests.clone().acquire_owned().await else {
            return Err(KafkaError::Canceled);
        };
        let asked = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            request(&admin)
        });
        asked.await.unwrap_or(Err(KafkaError::Canceled))
    }

    /// A topic, looked up unless it was a moment ago. While the cluster can't be asked, as it was known last.
    pub(super) async fn topic(&self, name: &str) -> Result<Arc<KafkaTopic>, EngineError> {
        if let Some(topic) = self.catalog.fresh(name) {
            return Ok(topic);
        }
        match self.look_up(name).await {
            Err(EngineError::Unavailable { why }) => {
                self.catalog.last_known(name).ok_or(EngineError::Unavailable { why })
            }
            found => found,
        }
    }

    /// A topic as it is now.
    pub(super) async fn look_up(&self, name: &str) -> Result<Arc<KafkaTopic>, EngineError> {
        checked_name(name).map_err(|_| EngineError::TopicNotFound { topic: name.to_owned() })?;
        let asked = vec![name.to_owned()];
        self.look_up_all(asked)
            .await?
            .pop()
            .unwrap_or(Err(EngineError::TopicNotFound { topic: name.to_owned() }))
    }

    /// Topics as they are now, in the order asked for.
    pub(super) async fn look_up_all(
        &self,
        names: Vec<String>,
    ) -> Result<Vec<Result<Arc<KafkaTopic>, EngineError>>, EngineError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let described = self
            .ask(move |admin| {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                native::describe_topics(admin.inner(), &names, REQUEST_LIMIT)
            })
            .await
            .map_err(|error| unavailable("asking for topics", &error))?;
        let learnt = described.into_iter().map(|(name, facts)| match facts {
            Ok(facts) if facts.leaders.is_empty() => Err(EngineError::TopicNotFound { topic: name }),
            Ok(facts) => Ok(self.catalog.learn(&name, facts)),
            Err(code) => {
                let error = about_topic(&name, code);
                if matches!(error, EngineError::TopicNotFound { .. }) {
                    self.catalog.forget(&name);
                }
                Err(error)
            }
        });
        Ok(learnt.collect())
    }

    /// The offset that each of these partitions has for a query; for a time behind the newest record, the end.
    pub(super) async fn offsets(
        &self,
        topic: &KafkaTopic,
        partitions: std::ops::Range<u32>,
        query: OffsetQuery,
    ) -> Result<Vec<i64>, EngineError> {
        let asked: Vec<_> =
            partitions.clone().map(|partition| (topic.name.to_string(), partition, query)).collect();
        let found = self.list_offsets(asked).await?;
        let mut offsets = Vec::with_capacity(found.len());
        for (name, _, offset) in found {
            match offset {
                Ok(offset) => offsets.push(offset),
                Err(code) => return Err(about_topic(&name, code)),
            }
        }
        // a time that no record has reached is answered with -1
        if offsets.iter().any(|offset| *offset < 0) {
            let ends = Box::pin(self.offsets(topic, partitions, OffsetQuery::Latest)).await?;
            for (offset, end) in offsets.iter_mut().zip(ends).filter(|(offset, _)| **offset < 0) {
                *offset = end;
            }
        }
        Ok(offsets)
    }

    /// Asks for a topic to be made, with the replicas that are configured; what the cluster refuses comes as its code.
    pub(super) async fn make_topic<'a>(
        &self,
        name: &str,
        partitions: i32,
        config: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> KafkaResult<Result<(), RDKafkaErrorCode>> {
        let replication = TopicReplication::Fixed(self.config.replication_factor.unwrap_or(-1));
        let topic = config
            .fold(NewTopic::new(name, partitions, replication), |topic, (key, value)| topic.set(key, value));
        let made = self.admin.create_topics([&topic], &change_options()).await?.pop();
        Ok(made.unwrap_or(Ok(String::new())).map(drop).map_err(|(_, code)| code))
    }

    /// Offsets of any partitions, in the order asked for. Leaders that are being chosen are waited for.
    pub(super) async fn list_offsets(
        &self,
        asked: Vec<(String, u32, OffsetQuery)>,
    ) -> Result<native::Offsets, EngineError> {
        let mut all = Vec::with_capacity(asked.len());
        let started = Instant::now();
        for part in asked.chunks(MAX_OFFSETS_PER_REQUEST) {
            loop {
                let asked = part.to_vec();
                match self.ask(move |admin| list_in_order(admin, &asked)).await {
                    Ok(found) if !found.iter().any(|(.., offset)| offset.as_ref().is_err_and(is_passing)) => {
                        all.extend(found);
                        break;
                    }
                    Ok(found) if started.elapsed() >= REQUEST_LIMIT => {
                        all.extend(found);
                        break;
                    }
                    Ok(_) => {}
                    Err(error) => {
                        let passes = code_of(&error).as_ref().is_some_and(is_passing);
                        if !passes || started.elapsed() >= REQUEST_LIMIT {
                            let about = offsets_error(part, &error);
                            return Err(about.unwrap_or_else(|| unavailable("asking for offsets", &error)));
                        }
                    }
                }
                tokio::time::sleep(TRY_AGAIN).await;
            }
        }
        Ok(all)
    }

    /// A group's committed positions: of these partitions, or all that it has. Without those where it has none.
    pub(super) async fn group_offsets(
        &self,
        group: &str,
        of: Option<Vec<(String, u32)>>,
    ) -> Result<Vec<(String, u32, i64)>, EngineError> {
        let started = Instant::now();
        loop {
            let (name, of, consumer) = (group.to_owned(), of.clone(), Arc::clone(&self.consumer));
            let asked = self.ask(move |_| {
                let of: Option<Vec<_>> = of
                    .as_ref()
                    .map(|of| of.iter().map(|(topic, number)| (topic.as_str(), *number)).collect());
                native::group_offsets(consumer.client(), &name, of.as_deref(), REQUEST_LIMIT)
            });
            let found = asked.await.map_err(|error| group_error(group, "asking for positions", &error))?;
            match committed(found) {
                Ok(committed) => return Ok(committed),
                Err(code) if is_passing(&code) && started.elapsed() < REQUEST_LIMIT => {
                    tokio::time::sleep(TRY_AGAIN).await;
                }
                Err(code) => return Err(about_group(group, code)),
            }
        }
    }

    /// Commits positions of a group that has no members.
    pub(super) async fn set_group_offsets(
        &self,
        group: &str,
        positions: Vec<(String, u32, i64)>,
    ) -> Result<(), EngineError> {
        if positions.is_empty() {
            return Ok(());
        }
        let name = group.to_owned();
        let started = Instant::now();
        loop {
            let (name, positions) = (name.clone(), positions.clone());
            let set = self
                .ask(move |admin| {
                    let positions: Vec<_> =
                        positions.iter().map(|(topic, number, at)| (topic.as_str(), *number, *at)).collect();
                    native::set_group_offsets(admin.inner(), &name, &positions, REQUEST_LIMIT)
                })
                .await;
            match first_failure(set) {
                None => return Ok(()),
                Some((topic, error)) => match code_of(&error) {
                    // a coordinator that moves, or that is not there yet
                    Some(code) if is_passing(&code) && started.elapsed() < REQUEST_LIMIT => {
                        tokio::time::sleep(TRY_AGAIN).await;
                    }
                    Some(RDKafkaErrorCode::UnknownTopicOrPartition) => {
                        return Err(EngineError::TopicNotFound { topic });
                    }
                    _ => return Err(group_error(group, "committing positions", &error)),
                },
            }
        }
    }

    /// Takes positions of a group away.
    pub(super) async fn delete_group_offsets(
        &self,
        group: &str,
        of: Vec<(String, u32)>,
    ) -> Result<(), EngineError> {
        let name = group.to_owned();
        let deleted = self
            .ask(move |admin| {
                let of: Vec<_> = of.iter().map(|(topic, number)| (topic.as_str(), *number)).collect();
                native::delete_group_offsets(admin.inner(), &name, &of, REQUEST_LIMIT)
            })
            .await;
        match first_failure(deleted) {
            None => Ok(()),
            Some((_, error)) => Err(group_error(group, "taking positions away", &error)),
        }
    }
}

/// Positions as they were told. One that can't be told just now is not one that isn't there: who took it for that would
/// begin anew.
fn committed(told: native::Offsets) -> Result<Vec<(String, u32, i64)>, RDKafkaErrorCode> {
    let mut committed = Vec::with_capacity(told.len());
    for (topic, partition, offset) in told {
        match offset {
            Ok(offset) if offset >= 0 => committed.push((topic, partition, offset)),
            // none is committed, or the topic is gone
            Ok(_) | Err(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {}
            Err(code) => return Err(code),
        }
    }
    Ok(committed)
}

fn first_failure(done: KafkaResult<native::Offsets>) -> Option<(String, KafkaError)> {
    match done {
        Err(error) => Some((String::new(), error)),
        Ok(offsets) => offsets
            .into_iter()
            .find_map(|(topic, _, offset)| Some((topic, KafkaError::AdminOp(offset.err()?)))),
    }
}

/// How long a change of topics is waited for.
pub(super) fn change_options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(CHANGE_LIMIT)).operation_timeout(Some(CHANGE_LIMIT))
}

/// Asks for offsets, and puts the answer into the order of the question.
fn list_in_order(
    admin: &AdminClient<Told>,
    asked: &[(String, u32, OffsetQuery)],
) -> KafkaResult<native::Offsets> {
    let named: Vec<_> =
        asked.iter().map(|(topic, partition, query)| (topic.as_str(), *partition, *query)).collect();
    let mut found = native::list_offsets(admin.inner(), &named, REQUEST_LIMIT)?;
    if !found.iter().zip(&named).all(|(found, asked)| found.0 == asked.0 && found.1 == asked.1) {
        let place = |topic: &str, partition| {
            named.iter().position(|(name, number, _)| *name == topic && *number == partition)
        };
        found.sort_by_cached_key(|(topic, partition, _)| place(topic, *partition));
    }
    Ok(found)
}

fn offsets_error(asked: &[(String, u32, OffsetQuery)], error: &KafkaError) -> Option<EngineError> {
    match code_of(error)? {
        RDKafkaErrorCode::UnknownTopicOrPartition
        | RDKafkaErrorCode::UnknownTopic
        | RDKafkaErrorCode::NoEnt => Some(EngineError::TopicNotFound { topic: asked.first()?.0.clone() }),
        _ => None,
    }
}

fn group_error(group: &str, what: &str, error: &KafkaError) -> EngineError {
    match code_of(error) {
        Some(code) if !is_passing(&code) => match about_group(group, code) {
            EngineError::Unavailable { .. } => unavailable(what, error),
            other => other,
        },
        _ => unavailable(what, error),
    }
}

/// Whether a moment later the answer may be another.
pub(super) fn is_passing(code: &RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::CoordinatorNotAvailable
            | RDKafkaErrorCode::CoordinatorLoadInProgress
            | RDKafkaErrorCode::NotCoordinator
            | RDKafkaErrorCode::RebalanceInProgress
            | RDKafkaErrorCode::UnstableOffsetCommit
            | RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::LeaderNotAvailable
            | RDKafkaErrorCode::FencedLeaderEpoch
            | RDKafkaErrorCode::UnknownLeaderEpoch
            | RDKafkaErrorCode::KafkaStorageError
            | RDKafkaErrorCode::NotLeaderForPartition
    )
}

/// A client that can't be made, as the configuration's fault that it is.
pub(super) fn refused(error: &KafkaError) -> KafkaConfigError {
    KafkaConfigError::Refused { why: error.to_string() }
}
