//! What can be configured.

use floe_engine::TopicName;
use serde::Deserialize;

/// Another topic.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicSpec {
    /// The topic that is written to; not one that the pipeline reads.
    pub topic: String,
    /// With so many partitions it is made when it isn't there. Unless set, it is waited for.
    #[serde(default)]
    pub partitions: Option<u32>,
}

impl TopicSpec {
    pub(super) fn check(&self) -> Result<(), String> {
        if TopicName::is_internal_name(&self.topic) {
            return Err(format!(
                "topic: '{}' is internal; pipelines may not write there",
                self.topic.escape_debug()
            ));
        }
        if let Err(why) = TopicName::new(&self.topic) {
            return Err(format!("topic: '{}' is not a topic name: {why}", self.topic.escape_debug()));
        }
        if self.partitions == Some(0) {
            return Err("topic: 'partitions' must be above 0".to_owned());
        }
        Ok(())
    }
}
