//! Floe's own settings of topics (`floe.…`), which the cluster wouldn't keep. Agreed on by all processes, in the compacted
//! topic `__floe_settings`.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    agreed::{Agreed, At, Machine},
    cluster::Cluster,
    producer::Producer,
};
use crate::EngineError;

const TOPIC: &str = "__floe_settings";
const TOPIC_CONFIG: &[(&str, &str)] = &[("cleanup.policy", "compact"), ("retention.ms", "-1")];

/// A topic's settings are these from now on.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Set {
    topic_id: u64,
    settings: BTreeMap<String, String>,
}

/// By topic id.
#[derive(Debug, Default)]
pub(super) struct ByTopic(HashMap<u64, BTreeMap<String, String>>);

impl Machine for ByTopic {
    type Command = Set;
    type Outcome = ();

    fn apply(&mut self, _: At, set: Set) {
        self.0.insert(set.topic_id, set.settings);
    }
}

/// The settings of all topics that have some.
#[derive(Debug)]
pub(super) struct Settings {
    agreed: Agreed<ByTopic>,
}

impl Settings {
    pub(super) fn follow(
        cluster: &Arc<Cluster>,
        producer: &Arc<Producer>,
        stopping: tokio::sync::watch::Receiver<bool>,
    ) -> Self {
        let agreed = Agreed::follow(cluster, producer, TOPIC, TOPIC_CONFIG, ByTopic::default(), stopping);
        Self { agreed }
    }

    /// What was set of a topic.
    pub(super) async fn of(&self, topic_id: u64) -> Result<BTreeMap<String, String>, EngineError> {
        self.agreed.ready().await?;
        Ok(self.agreed.look(|by_topic| by_topic.0.get(&topic_id).cloned().unwrap_or_default()))
    }

    /// Sets all of a topic.
    pub(super) async fn set(
        &self,
        topic_id: u64,
        settings: BTreeMap<String, String>,
    ) -> Result<(), EngineError> {
        // one record a topic is left by compaction
        let key = format!("{topic_id:016x}");
        self.agreed.propose(Some(&key), Set { topic_id, settings }).await
    }
}
