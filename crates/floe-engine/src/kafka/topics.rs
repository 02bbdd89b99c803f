//! Topics: made, changed, deleted, listed, described.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use floe_broker::{TopicConfig, TopicName, limits::MAX_PARTITIONS_PER_TOPIC};
use rdkafka::{
    admin::{NewPartitions, ResourceSpecifier},
    error::RDKafkaErrorCode,
};

use super::{
    Kafka,
    catalog::{KafkaTopic, TopicSettings, checked_name},
    cluster::change_options,
    error::{about_topic, code_of, unavailable},
    limits::{CHANGE_LIMIT, CONFIG_FRESH, REQUEST_LIMIT},
    native::{self, OffsetQuery},
};
use crate::{EngineError, PartitionDescription, TopicDescription, TopicSpec, TopicSummary};

/// Settings that an Apache Kafka cluster has and a Floe node has not, or for which it takes more values.
const CLUSTERS_OWN: &[&str] = &[
    "cleanup.policy",
    "compression.gzip.level",
    "compression.lz4.level",
    "compression.type",
    "compression.zstd.level",
    "follower.replication.throttled.replicas",
    "leader.replication.throttled.replicas",
    "local.retention.bytes",
    "local.retention.ms",
    "max.message.bytes",
    "remote.storage.enable",
];
const FLOES_OWN: &str = "floe.";
/// How often it is looked whether a change is known everywhere.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

impl Kafka {
    pub(crate) async fn create_topic(&self, spec: TopicSpec) -> Result<TopicDescription, EngineError> {
        self.check_open()?;
        checked_name(&spec.name)?;
        if !(1..=MAX_PARTITIONS_PER_TOPIC).contains(&spec.partitions) {
            let why = "a topic has 1 to 10000";
            return Err(EngineError::InvalidPartitions { asked: spec.partitions.into(), why });
        }
        let settings = spec.config.iter().map(|(key, value)| (key.clone(), Some(value.clone())));
        let (floe, cluster) = split(&settings.collect())?;
        let partitions = i32::try_from(spec.partitions).unwrap_or(i32::MAX);
        let config =
            || cluster.iter().map(|(key, value)| (key.as_str(), value.as_deref().unwrap_or_default()));
        let started = Instant::now();
        loop {
            match self.cluster.make_topic(&spec.name, partitions, config()).await {
                Ok(Ok(())) => break,
                // with ZooKeeper one that is gone may still be on its way out
                Ok(Err(RDKafkaErrorCode::TopicAlreadyExists))
                    if started.elapsed() < CHANGE_LIMIT
                        && matches!(
                            self.cluster.look_up(&spec.name).await,
                            Err(EngineError::TopicNotFound { .. })
                        ) =>
                {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                Ok(Err(code)) => return Err(refused(&spec.name, &cluster, code)),
                Err(error) => return Err(unavailable("making a topic", &error)),
            }
        }
        let made = self.await_topic(&spec.name, |topic| topic.partition_count() == spec.partitions).await?;
        self.keep_floe_settings(&made, &floe).await?;
        self.describe_topic(&spec.name).await
    }

    pub(crate) async fn alter_topic(
        &self,
        topic: &str,
        partitions: Option<u32>,
        config: BTreeMap<String, Option<String>>,
    ) -> Result<TopicDescription, EngineError> {
        self.check_open()?;
        let known = self.cluster.look_up(topic).await?;
        let (floe, cluster) = split(&config)?;
        let count = known.partition_count();
        if let Some(asked) = partitions
            && (asked < count || asked > MAX_PARTITIONS_PER_TOPIC)
        {
            let why = "partitions can only be added, up to 10000";
            return Err(EngineError::InvalidPartitions { asked: asked.into(), why });
        }
        if !cluster.is_empty() {
            self.alter_config(topic, cluster).await?;
        }
        self.keep_floe_settings(&known, &floe).await?;
        if let Some(asked) = partitions.filter(|asked| *asked > count) {
            let more = NewPartitions::new(topic, asked as usize);
            let added = self.cluster.admin.create_partitions([&more], &change_options()).await;
            match added.map(|mut added| added.pop()) {
                Ok(Some(Ok(_)) | None) => {}
                Ok(Some(Err((_, code)))) => return Err(about_topic(topic, code)),
                Err(error) => return Err(unavailable("adding partitions", &error)),
            }
            self.await_topic(topic, |topic| topic.partition_count() >= asked).await?;
        }
        known.forget_settings();
        self.describe_topic(topic).await
    }

    async fn alter_config(
        &self,
        topic: &str,
        changes: BTreeMap<String, Option<String>>,
    ) -> Result<(), EngineError> {
        let name = topic.to_owned();
        let asked = changes.clone();
        let altered = self
            .cluster
            .ask(move |admin| {
                let asked: Vec<_> =
                    asked.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect();
                native::alter_topic_config(admin.inner(), &name, &asked, REQUEST_LIMIT)
            })
            .await;
        altered.map_err(|error| match code_of(&error) {
            Some(code) => refused(topic, &changes, code),
            None => unavailable("changing a topic", &error),
        })
    }

    pub(crate) async fn delete_topic(&self, topic: &str) -> Result<(), EngineError> {
        self.check_open()?;
        let known = self.cluster.look_up(topic).await?;
        let deleted = self.cluster.admin.delete_topics(&[topic], &change_options()).await;
        match deleted.map(|mut deleted| deleted.pop()) {
            Ok(Some(Ok(_)) | None) => {}
            Ok(Some(Err((_, code)))) => {
                let error = about_topic(topic, code);
                self.cluster.catalog.forget(topic);
                return Err(error);
            }
            Err(error) => return Err(unavailable("deleting a topic", &error)),
        }
        let started = Instant::now();
        while self.cluster.look_up(topic).await.is_ok_and(|now| now.id == known.id) {
            if started.elapsed() > CHANGE_LIMIT {
                let why = format!("topic '{topic}' is marked for deletion, and still there");
                return Err(EngineError::Unavailable { why });
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        self.deliveries.forget_topic(known.id).await
    }

    /// Waits until the broker that is asked knows of a change.
    async fn await_topic(
        &self,
        topic: &str,
        is_so: impl Fn(&KafkaTopic) -> bool,
    ) -> Result<Arc<KafkaTopic>, EngineError> {
        let started = Instant::now();
        loop {
            let found = self.cluster.look_up(topic).await;
            match found {
                Ok(found) if is_so(&found) && has_leaders(&found) => return Ok(found),
                Err(EngineError::TopicNotFound { .. }) | Ok(_) if started.elapsed() < CHANGE_LIMIT => {}
                Ok(_) => {
                    let why = format!("topic '{topic}' has no leader for every partition");
                    return Err(EngineError::Unavailable { why });
                }
                Err(error) => return Err(error),
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    pub(crate) async fn topics(&self) -> Result<Vec<TopicSummary>, EngineError> {
        let mut summaries = Vec::new();
        let topics = self.all_topics().await?;
        let asked = |query| {
            let one = move |topic: &Arc<KafkaTopic>| {
                let name = topic.name.to_string();
                (0..topic.partition_count()).map(move |partition| (name.clone(), partition, query))
            };
            topics.iter().flat_map(one).collect::<Vec<_>>()
        };
        let ends = self.cluster.list_offsets(asked(OffsetQuery::Latest)).await?;
        let mut ends = ends.into_iter().map(|(.., end)| end.unwrap_or(0));
        for topic in &topics {
            let messages: i64 = ends.by_ref().take(topic.partition_count() as usize).sum();
            summaries.push(summary(topic, messages));
        }
        Ok(summaries)
    }

    /// The topics of the cluster that clients may see, by name.
    async fn all_topics(&self) -> Result<Vec<Arc<KafkaTopic>>, EngineError> {
        let listed = self
            .cluster
            .ask(|admin| admin.inner().fetch_metadata(None, REQUEST_LIMIT))
            .await
            .map_err(|error| unavailable("listing topics", &error))?;
        let mut names: Vec<String> = listed.topics().iter().map(|topic| topic.name().to_owned()).collect();
        names.retain(|name| !TopicName::is_internal_name(name));
        names.sort_unstable();
        let known = names.iter().map(|name| self.cluster.catalog.fresh(name)).collect::<Option<Vec<_>>>();
        if let Some(known) = known {
            return Ok(known);
        }
        let mut found = self.cluster.look_up_all(names).await?.into_iter().flatten().collect::<Vec<_>>();
        found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    pub(crate) async fn topic_summary(&self, topic: &str) -> Result<TopicSummary, EngineError> {
        let topic = self.cluster.topic(topic).await?;
        let ends = self.cluster.offsets(&topic, 0..topic.partition_count(), OffsetQuery::Latest).await?;
        Ok(summary(&topic, ends.iter().sum()))
    }

    pub(crate) async fn describe_topic(&self, topic: &str) -> Result<TopicDescription, EngineError> {
        let topic = self.cluster.look_up(topic).await?;
        let partitions = 0..topic.partition_count();
        let starts = self.cluster.offsets(&topic, partitions.clone(), OffsetQuery::Earliest).await?;
        let ends = self.cluster.offsets(&topic, partitions.clone(), OffsetQuery::Latest).await?;
        let describe = |((partition, start), end): ((u32, i64), i64)| PartitionDescription {
            partition,
            start,
            end,
            bytes: 0,
            leader: topic.leader(partition),
        };
        Ok(TopicDescription {
            name: topic.name.to_string(),
            id: topic.id,
            partitions: partitions.zip(starts).zip(ends).map(describe).collect(),
            config: self.settings(&topic).await?.all.clone(),
        })
    }

    pub(crate) async fn topic_config(&self, topic: &str) -> Result<BTreeMap<String, String>, EngineError> {
        let topic = self.cluster.topic(topic).await?;
        Ok(self.settings(&topic).await?.all.clone())
    }

    pub(crate) async fn partition_of(&self, topic: &str, key: &[u8]) -> Result<u32, EngineError> {
        let topic = self.cluster.topic(topic).await?;
        Ok(floe_broker::partition_for_key(key, topic.partition_count()))
    }

    /// A topic's settings, looked up unless they were a moment ago; while the cluster can't be asked, as they were known last.
    pub(super) async fn settings(&self, topic: &KafkaTopic) -> Result<Arc<TopicSettings>, EngineError> {
        if let Some(settings) = topic.settings_since(Instant::now().checked_sub(CONFIG_FRESH)) {
            return Ok(settings);
        }
        let asked = Instant::now();
        match self.look_up_settings(topic).await {
            Ok(settings) => {
                topic.keep_settings(Arc::clone(&settings), asked);
                Ok(settings)
            }
            Err(error) => topic.settings_since(None).ok_or(error),
        }
    }

    async fn look_up_settings(&self, topic: &KafkaTopic) -> Result<Arc<TopicSettings>, EngineError> {
        let resource = ResourceSpecifier::Topic(&topic.name);
        let described = self.cluster.admin.describe_configs([&resource], &change_options()).await;
        let described = match described.map(|mut described| described.pop()) {
            Ok(Some(Ok(described))) => described,
            Ok(Some(Err(code))) => return Err(about_topic(&topic.name, code)),
            Ok(None) => return Err(EngineError::TopicNotFound { topic: topic.name.to_string() }),
            Err(error) => return Err(unavailable("asking for a topic's settings", &error)),
        };
        let floe = self.floe_settings(topic).await?;
        let mut all: BTreeMap<String, String> = described
            .entries
            .into_iter()
            .map(|entry| (entry.name, entry.value.unwrap_or_default()))
            .collect();
        all.extend(floe.effective().into_iter().filter(|(key, _)| key.starts_with(FLOES_OWN)));
        let number = |key: &str| all.get(key).and_then(|value| value.parse().ok());
        Ok(Arc::new(TopicSettings {
            max_message_bytes: number("max.message.bytes").unwrap_or(1_048_588),
            floe,
            all,
        }))
    }

    async fn floe_settings(&self, topic: &KafkaTopic) -> Result<TopicConfig, EngineError> {
        TopicConfig::from_overrides(&self.settings.of(topic.id).await?)
    }

    async fn keep_floe_settings(
        &self,
        topic: &KafkaTopic,
        changes: &BTreeMap<String, Option<String>>,
    ) -> Result<(), EngineError> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut config = self.floe_settings(topic).await?;
        config.apply(changes)?;
        self.settings.set(topic.id, config.overrides()).await
    }
}

fn has_leaders(topic: &KafkaTopic) -> bool {
    (0..topic.partition_count()).all(|partition| topic.leader(partition) >= 0)
}

fn summary(topic: &KafkaTopic, messages: i64) -> TopicSummary {
    TopicSummary {
        name: topic.name.to_string(),
        id: topic.id,
        partitions: topic.partition_count(),
        messages: messages.try_into().unwrap_or(0),
        bytes: 0,
    }
}

/// Settings by whose they are. Refuses unknown names and values that can't be meant.
#[expect(clippy::type_complexity, reason = "two maps of the same kind")]
fn split(
    config: &BTreeMap<String, Option<String>>,
) -> Result<(BTreeMap<String, Option<String>>, BTreeMap<String, Option<String>>), EngineError> {
    let mut checked = TopicConfig::default();
    for (key, value) in config.iter().filter(|(key, _)| !CLUSTERS_OWN.contains(&key.as_str())) {
        checked.apply(&BTreeMap::from([(key.clone(), value.clone())]))?;
    }
    Ok(config.clone().into_iter().partition(|(key, _)| key.starts_with(FLOES_OWN)))
}

/// What the cluster refused, in words.
fn refused(topic: &str, asked: &BTreeMap<String, Option<String>>, code: RDKafkaErrorCode) -> EngineError {
    let mut asked = asked.iter();
    match (code, asked.next()) {
        (RDKafkaErrorCode::InvalidConfig, Some((key, value))) => EngineError::InvalidConfig {
            key: key.clone(),
            value: value.clone().unwrap_or_default(),
            expected: if asked.next().is_some() {
                "the cluster refuses this or another of the settings given".to_owned()
            } else {
                "the cluster refuses this value".to_owned()
            },
        },
        _ => about_topic(topic, code),
    }
}
