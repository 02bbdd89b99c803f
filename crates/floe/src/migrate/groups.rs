//! Groups' positions, moved to the same records.

use anyhow::Context;
use floe_engine::{Engine, EngineError};
use floe_load::http::{Client, escape};
use serde::Deserialize;

use super::{copy::Copied, topics::SourceTopic};

/// A group of the node with positions on the topics that are moved.
#[derive(Debug)]
pub(super) struct SourceGroup {
    name: String,
    positions: Vec<Position>,
}

#[derive(Debug, Deserialize)]
struct Position {
    topic: String,
    partition: u32,
    committed: i64,
}

#[derive(Deserialize)]
struct Listed {
    groups: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    group: String,
}

#[derive(Deserialize)]
struct Described {
    partitions: Vec<Position>,
}

/// The groups that have positions on these topics.
pub(super) async fn of_node(client: &mut Client, topics: &[SourceTopic]) -> anyhow::Result<Vec<SourceGroup>> {
    let listed: Listed = client.call_json("GET", "/groups", b"").await?;
    let mut groups = Vec::new();
    for Named { group: name } in listed.groups {
        let path = format!("/groups/{}", escape(&name));
        let described: Described = client.call_json("GET", &path, b"").await?;
        let is_moved = |position: &Position| topics.iter().any(|topic| topic.name == position.topic);
        let positions: Vec<_> = described.partitions.into_iter().filter(is_moved).collect();
        if !positions.is_empty() {
            groups.push(SourceGroup { name, positions });
        }
    }
    Ok(groups)
}

/// Commits a group's positions in the cluster, at the same records.
pub(super) async fn translate(
    cluster: &Engine,
    group: &SourceGroup,
    topics: &[SourceTopic],
    copied: &[Vec<Copied>],
) -> anyhow::Result<()> {
    let place = |position: &Position| {
        let topic = topics.iter().position(|topic| topic.name == position.topic)?;
        let copied = copied.get(topic)?.get(position.partition as usize)?;
        Some((position.topic.clone(), position.partition, copied.translate(position.committed)))
    };
    let offsets: Vec<_> = group.positions.iter().filter_map(place).collect();
    match cluster.commit(&group.name, None, offsets).await {
        Err(EngineError::GroupActive { .. }) => {
            anyhow::bail!("group '{}' is in use in the cluster: its positions stay as they are", group.name)
        }
        committed => committed.with_context(|| format!("moving the positions of group '{}'", group.name)),
    }
}
