//! Moving from one node to a cluster: topics with their settings, every record at its partition and in its order, and the
//! positions of groups, translated; then both sides are read again and compared.
//!
//! The node is only read. Offsets in the cluster begin at 0, so a record's place there is the number of records that were
//! kept before it. A run that was interrupted is taken up where it ended (`--resume`).

mod compare;
mod copy;
mod groups;
mod topics;

use std::time::Duration;

use anyhow::{Context, bail};
use floe_engine::{Clock, Engine, KafkaConfig};
use floe_load::http::Client;
use floe_pipeline::Log;

use crate::{
    exit,
    output::{Output, shown, tell},
};
use copy::Copied;
use topics::SourceTopic;

/// How long the cluster may take to be there.
const REACH_LIMIT: Duration = Duration::from_secs(30);

/// What is moved from where.
pub(crate) struct Migration {
    pub(crate) client: Client,
    pub(crate) node: Log,
    /// All topics if none is named.
    pub(crate) topics: Vec<String>,
    pub(crate) resume: Resume,
}

/// Whether topics that are in the cluster already are continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resume {
    /// They are.
    Allowed,
    /// They are a mistake.
    Refused,
}

/// Says what would be copied.
pub(crate) async fn plan(mut migration: Migration) -> anyhow::Result<()> {
    let topics = topics::of_node(&mut migration.client, &migration.topics).await?;
    let groups = groups::of_node(&mut migration.client, &topics).await?;
    let mut out = Output::stdout();
    let heading = ["TOPIC", "PARTITIONS", "RECORDS"].map(str::to_owned).to_vec();
    let rows = topics
        .iter()
        .map(|topic| vec![shown(&topic.name), topic.bounds.len().to_string(), topic.records().to_string()]);
    out.table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>())?;
    out.line(&format!("{} groups have positions on them", groups.len()))?;
    Ok(out.flush()?)
}

/// Copies, translates and compares. An error when the two sides are not the same in the end.
pub(crate) async fn run(
    mut migration: Migration,
    brokers: &str,
    replication_factor: Option<i32>,
    properties: Vec<(String, String)>,
) -> anyhow::Result<()> {
    let config = KafkaConfig {
        bootstrap: brokers.to_owned(),
        properties: properties.into_iter().collect(),
        replication_factor,
        client_id: "floe-migrate".to_owned(),
        repeats_wait: KafkaConfig::REPEATS_WAIT,
        clock: Clock::system(),
    };
    let cluster = Engine::open_kafka(&config).map_err(|why| exit::usage(format!("--to: {why}")))?;
    let moved = with_cluster(&mut migration, &cluster).await;
    let closing = cluster.clone();
    tokio::task::spawn_blocking(move || closing.close()).await.context("closing the cluster's client")?;
    moved
}

async fn with_cluster(migration: &mut Migration, cluster: &Engine) -> anyhow::Result<()> {
    tokio::time::timeout(REACH_LIMIT, until_ready(cluster))
        .await
        .map_err(|_| anyhow::anyhow!("the cluster was not reached within {} s", REACH_LIMIT.as_secs()))?;
    let topics = topics::of_node(&mut migration.client, &migration.topics).await?;
    let mut copied = Vec::with_capacity(topics.len());
    for topic in &topics {
        topics::make(cluster, topic, migration.resume).await?;
        let places = copy::topic(&migration.node, cluster, topic).await?;
        topics::finish(cluster, topic).await?;
        tell(&format!(
            "{}: {} records copied",
            topic.name,
            places.iter().map(|place| place.copied).sum::<u64>()
        ));
        copied.push(places);
    }
    let groups = groups::of_node(&mut migration.client, &topics).await?;
    for group in &groups {
        groups::translate(cluster, group, &topics, &copied).await?;
    }
    tell(&format!("{} groups have their positions", groups.len()));
    verify(migration, cluster, &topics, &copied).await
}

async fn until_ready(cluster: &Engine) {
    while let Err(error) = cluster.ready().await {
        tell(&format!("waiting for the cluster: {error}"));
    }
}

/// Reads both sides and compares them record by record.
async fn verify(
    migration: &Migration,
    cluster: &Engine,
    topics: &[SourceTopic],
    copied: &[Vec<Copied>],
) -> anyhow::Result<()> {
    let mut rows = vec![["TOPIC", "RECORDS", "SAME"].map(str::to_owned).to_vec()];
    let mut differing = 0;
    for (topic, places) in topics.iter().zip(copied) {
        let compared = compare::topic(&migration.node, cluster, topic, places).await?;
        if let Some(first) = &compared.first_difference {
            tell(&format!("{}: {first}", topic.name));
            differing += 1;
        }
        let same = if compared.first_difference.is_none() { "yes" } else { "no" };
        rows.push(vec![shown(&topic.name), compared.records.to_string(), same.to_owned()]);
    }
    let mut out = Output::stdout();
    out.table(&rows)?;
    out.flush()?;
    if differing > 0 {
        bail!("{differing} topics in the cluster differ from the node's");
    }
    Ok(())
}
