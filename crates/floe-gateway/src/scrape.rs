//! What the engine and the live fan-out are asked when somebody scrapes the metrics.

use std::fmt;

use floe_engine::{Engine, EngineError, EngineHealth, GroupDescription, StorageState, TopicSummary};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeGaugeValue, NoLabelSet},
    metrics::MetricType,
    registry::Unit,
};

use crate::{gateway::Gateway, limits::SCRAPED_MAX};

/// A picture of topics, groups and storage at one moment. What the log doesn't tell now is left out.
#[derive(Debug)]
pub(crate) struct Scrape {
    uptime_seconds: f64,
    health: EngineHealth,
    topics: Option<Listed<(TopicSummary, usize)>>,
    groups: Option<Listed<GroupDescription>>,
}

/// At most [`SCRAPED_MAX`] of them.
#[derive(Debug)]
struct Listed<T> {
    list: Vec<T>,
    omitted: usize,
}

impl Scrape {
    pub(crate) async fn of(gateway: &Gateway) -> Self {
        let engine = gateway.engine();
        let (topics, groups) = match gateway.is_log_away() {
            true => (None, None),
            false => (
                topics(gateway).await.map_err(|error| left_out("topics", &error)).ok(),
                groups(engine).await.map_err(|error| left_out("groups", &error)).ok(),
            ),
        };
        Self { uptime_seconds: gateway.uptime().as_secs_f64(), health: engine.health(), topics, groups }
    }
}

async fn topics(gateway: &Gateway) -> Result<Listed<(TopicSummary, usize)>, EngineError> {
    let topics = Listed::of(gateway.engine().topics().await?);
    let with_subscribers = |topic: TopicSummary| {
        let subscribers = gateway.live().subscribers(&topic.name);
        (topic, subscribers)
    };
    Ok(Listed { list: topics.list.into_iter().map(with_subscribers).collect(), omitted: topics.omitted })
}

async fn groups(engine: &Engine) -> Result<Listed<GroupDescription>, EngineError> {
    let groups = Listed::of(engine.groups().await?);
    let mut list = Vec::with_capacity(groups.list.len());
    for group in groups.list {
        match engine.describe_group(&group.group).await {
            // Deleted since the list was made: it is no longer of interest.
            Err(EngineError::GroupNotFound { .. }) => {}
            group => list.push(group?),
        }
    }
    Ok(Listed { list, omitted: groups.omitted })
}

/// Notes that a list is missing from the metrics.
pub(crate) fn left_out(what: &'static str, error: &impl fmt::Display) {
    tracing::debug!(what, %error, "the metrics are given without what the log doesn't tell");
}

impl<T> Listed<T> {
    fn of(mut list: Vec<T>) -> Self {
        let omitted = list.len().saturating_sub(SCRAPED_MAX);
        list.truncate(SCRAPED_MAX);
        Self { list, omitted }
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let out = &mut encoder;
        let info = [("version", env!("CARGO_PKG_VERSION")), ("engine", self.health.engine)];
        out.encode_descriptor("floe_build", "What runs", None, MetricType::Info)?.encode_info(&info)?;
        gauge(out, "floe_uptime", "Time since the doors opened", Some(&Unit::Seconds), &self.uptime_seconds)?;
        self.encode_storage(out)?;
        if let Some(topics) = &self.topics {
            topics.encode(out)?;
        }
        self.groups.as_ref().map_or(Ok(()), |groups| groups.encode(out))
    }
}

impl Scrape {
    fn encode_storage(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let health = &self.health;
        let writable = i64::from(health.storage == StorageState::Writable);
        gauge(out, "floe_storage_writable", "1 if records can be stored, else 0", None, &writable)?;
        let queued = as_i64(health.queued_bytes);
        gauge(out, "floe_storage_queued", "Waiting to be written", Some(&Unit::Bytes), &queued)?;
        let stored = as_i64(health.stored_bytes);
        gauge(out, "floe_storage_stored", "The journal's segments on disk", Some(&Unit::Bytes), &stored)?;
        let damaged = as_i64(health.damage.len());
        gauge(out, "floe_storage_damaged_ranges", "Ranges found damaged on disk", None, &damaged)
    }
}

impl Listed<(TopicSummary, usize)> {
    fn encode(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let omitted = as_i64(self.omitted);
        gauge(out, "floe_metrics_topics_omitted", "Topics over the limit of one scrape", None, &omitted)?;
        let help = "Records ever accepted";
        let mut family = out.encode_descriptor("floe_topic_messages", help, None, MetricType::Counter)?;
        for (topic, _) in &self.list {
            let labels = [("topic", topic.name.as_str())];
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&topic.messages, None)?;
        }
        let mut topic_gauge =
            |name: &str, help: &str, unit: Option<&Unit>, value: &dyn Fn(&TopicSummary, usize) -> i64| {
                let mut family = out.encode_descriptor(name, help, unit, MetricType::Gauge)?;
                for (topic, subscribers) in &self.list {
                    let labels = [("topic", topic.name.as_str())];
                    family.encode_family(&labels)?.encode_gauge(&value(topic, *subscribers))?;
                }
                Ok(())
            };
        topic_gauge("floe_topic_stored", "Stored now", Some(&Unit::Bytes), &|topic, _| as_i64(topic.bytes))?;
        topic_gauge("floe_topic_partitions", "Partitions", None, &|topic, _| i64::from(topic.partitions))?;
        topic_gauge("floe_topic_subscribers", "Live subscriptions", None, &|_, subscribers| {
            as_i64(subscribers)
        })
    }
}

impl Listed<GroupDescription> {
    fn encode(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let omitted = as_i64(self.omitted);
        gauge(out, "floe_metrics_groups_omitted", "Groups over the limit of one scrape", None, &omitted)?;
        let mut family =
            out.encode_descriptor("floe_group_members", "Members now", None, MetricType::Gauge)?;
        for group in &self.list {
            let labels = [("group", group.group.as_str())];
            family.encode_family(&labels)?.encode_gauge(&as_i64(group.members.len()))?;
        }
        let mut position = |name: &str, help: &str, value: &dyn Fn(&floe_engine::GroupLag) -> i64| {
            let mut family = out.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for group in &self.list {
                for at in &group.partitions {
                    let partition = at.partition.to_string();
                    let labels = [
                        ("consumergroup", group.group.as_str()),
                        ("topic", at.topic.as_str()),
                        ("partition", partition.as_str()),
                    ];
                    family.encode_family(&labels)?.encode_gauge(&value(at))?;
                }
            }
            Ok(())
        };
        position("kafka_consumergroup_current_offset", "The next offset that the group will read", &|at| {
            at.committed
        })?;
        position("kafka_consumergroup_lag", "Records the group has yet to read", &|at| as_i64(at.lag))
    }
}

/// Encodes one number.
pub(crate) fn gauge(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: &impl EncodeGaugeValue,
) -> fmt::Result {
    out.encode_descriptor(name, help, unit, MetricType::Gauge)?.encode_gauge(value)
}

/// A gauge is signed; what doesn't fit is shown as the largest number there is.
pub(crate) fn as_i64(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}
