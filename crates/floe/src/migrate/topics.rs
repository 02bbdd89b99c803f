//! Topics as the node has them, and as they are made in the cluster.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use floe_engine::{Engine, EngineError, TopicSpec};
use floe_load::http::{Client, escape};
use serde::Deserialize;

use super::Resume;

/// Settings that mean the same on both sides, beside Floe's own (`floe.…`).
const CARRIED: [&str; 4] = ["max.message.bytes", "message.timestamp.type", "retention.bytes", "retention.ms"];
const FLOES_OWN: &str = "floe.";
/// What holds while records are copied: they are old, and keep their times.
const WHILE_COPYING: [(&str, &str); 3] =
    [("message.timestamp.type", "CreateTime"), ("retention.bytes", "-1"), ("retention.ms", "-1")];

/// A topic of the node.
#[derive(Debug)]
pub(super) struct SourceTopic {
    pub(super) name: String,
    /// Start and end of each partition, by number, when it was looked at.
    pub(super) bounds: Vec<(i64, i64)>,
    config: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Listed {
    topics: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Described {
    partitions: Vec<Bounds>,
    config: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Bounds {
    start: i64,
    end: i64,
}

impl SourceTopic {
    /// About how many records it has.
    pub(super) fn records(&self) -> i64 {
        self.bounds.iter().map(|(start, end)| end - start).sum()
    }

    fn carried(&self) -> BTreeMap<String, String> {
        let is_carried = |key: &str| CARRIED.contains(&key) || key.starts_with(FLOES_OWN);
        self.config.iter().filter(|(key, _)| is_carried(key)).map(|(k, v)| (k.clone(), v.clone())).collect()
    }
}

/// The topics named, or all that clients may see.
pub(super) async fn of_node(client: &mut Client, names: &[String]) -> anyhow::Result<Vec<SourceTopic>> {
    let names = if names.is_empty() {
        let listed: Listed = client.call_json("GET", "/topics", b"").await?;
        listed.topics.into_iter().map(|topic| topic.name).collect()
    } else {
        names.to_vec()
    };
    let mut topics = Vec::with_capacity(names.len());
    for name in names {
        let path = format!("/topics/{}", escape(&name));
        let described: Described = client.call_json("GET", &path, b"").await?;
        let bounds = described.partitions.into_iter().map(|at| (at.start, at.end)).collect();
        topics.push(SourceTopic { name, bounds, config: described.config });
    }
    Ok(topics)
}

/// Makes a topic in the cluster, ready for old records.
pub(super) async fn make(cluster: &Engine, topic: &SourceTopic, resume: Resume) -> anyhow::Result<()> {
    let name = &topic.name;
    let partitions = u32::try_from(topic.bounds.len()).context("too many partitions")?;
    let mut config = topic.carried();
    config.extend(WHILE_COPYING.map(|(key, value)| (key.to_owned(), value.to_owned())));
    match cluster.create_topic(TopicSpec { name: name.clone(), partitions, config: config.clone() }).await {
        Ok(_) => return Ok(()),
        Err(EngineError::TopicExists { .. }) if resume == Resume::Allowed => {}
        Err(EngineError::TopicExists { .. }) => bail!(
            "topic '{name}' is in the cluster already: --resume goes on with it, if an earlier run has made it"
        ),
        Err(error) => return Err(error).with_context(|| format!("making topic '{name}' in the cluster")),
    }
    let there = cluster.describe_topic(name).await?;
    if there.partitions.len() != topic.bounds.len() {
        bail!(
            "topic '{name}' has {} partitions in the cluster and {} on the node",
            there.partitions.len(),
            topic.bounds.len()
        );
    }
    let config = config.into_iter().map(|(key, value)| (key, Some(value))).collect();
    cluster.alter_topic(name, None, config).await?;
    Ok(())
}

/// Gives a copied topic the settings that it has on the node.
pub(super) async fn finish(cluster: &Engine, topic: &SourceTopic) -> anyhow::Result<()> {
    let config = topic.carried().into_iter().map(|(key, value)| (key, Some(value))).collect();
    let altered = cluster.alter_topic(&topic.name, None, config).await;
    altered.with_context(|| format!("setting up topic '{}' in the cluster", topic.name))?;
    Ok(())
}
