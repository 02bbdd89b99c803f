//! Topics: make, change, delete, describe.

use std::{collections::BTreeMap, sync::Arc};

use floe_broker::{BrokerError, Partition, Topic};

use super::Embedded;
use crate::{PartitionDescription, TopicDescription, TopicSpec, TopicSummary};

/// The node that leads every partition of an embedded engine.
const LEADER: i32 = 1;

impl Embedded {
    pub(crate) async fn create_topic(&self, spec: TopicSpec) -> Result<TopicDescription, BrokerError> {
        let topic = self.broker.create_topic(&spec.name, spec.partitions, spec.config).await?;
        Ok(describe(&topic))
    }

    pub(crate) async fn alter_topic(
        &self,
        topic: &str,
        partitions: Option<u32>,
        config: BTreeMap<String, Option<String>>,
    ) -> Result<TopicDescription, BrokerError> {
        let topic = self.broker.catalog().get(topic)?;
        let topic = self.broker.alter_topic(topic, partitions, config).await?;
        Ok(describe(&topic))
    }

    pub(crate) async fn delete_topic(&self, topic: &str) -> Result<(), BrokerError> {
        let topic = self.broker.catalog().get(topic)?;
        self.broker.delete_topic(topic).await
    }

    pub(crate) fn topics(&self) -> Vec<TopicSummary> {
        let all = self.broker.catalog().all();
        all.iter().filter(|topic| !topic.name.is_internal()).map(|topic| summarize(topic)).collect()
    }

    pub(crate) fn topic_summary(&self, topic: &str) -> Result<TopicSummary, BrokerError> {
        Ok(summarize(&*self.broker.catalog().get(topic)?))
    }

    pub(crate) fn describe_topic(&self, topic: &str) -> Result<TopicDescription, BrokerError> {
        Ok(describe(&*self.broker.catalog().get(topic)?))
    }

    pub(crate) fn topic_config(&self, topic: &str) -> Result<BTreeMap<String, String>, BrokerError> {
        Ok(self.broker.catalog().get(topic)?.config().effective())
    }

    pub(crate) fn partition_of(&self, topic: &str, key: &[u8]) -> Result<u32, BrokerError> {
        let topic = self.broker.catalog().get(topic)?;
        Ok(floe_broker::partition_for_key(key, topic.partition_count()))
    }
}

fn summarize(topic: &Topic) -> TopicSummary {
    let partitions: Arc<[Arc<Partition>]> = topic.partitions();
    TopicSummary {
        name: topic.name.to_string(),
        id: topic.id,
        partitions: topic.partition_count(),
        // offsets are dense: the end of a partition counts all that it ever took
        messages: partitions.iter().map(|partition| partition.end().unsigned_abs()).sum(),
        bytes: partitions.iter().map(|partition| partition.bytes()).sum(),
    }
}

fn describe(topic: &Topic) -> TopicDescription {
    let partitions = topic.partitions();
    let partitions = partitions.iter().zip(0u32..).map(|(partition, number)| PartitionDescription {
        partition: number,
        start: partition.start(),
        end: partition.end(),
        bytes: partition.bytes(),
        leader: LEADER,
    });
    TopicDescription {
        name: topic.name.to_string(),
        id: topic.id,
        partitions: partitions.collect(),
        config: topic.config().effective(),
    }
}
