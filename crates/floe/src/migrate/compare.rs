//! Both sides read again, and compared record by record.

use floe_engine::{Engine, OffsetSpec};
use floe_pipeline::Log;

use super::{
    copy::{Copied, earlier, is_same, read_node},
    topics::SourceTopic,
};

/// What came of a comparison.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// Records that were compared.
    pub(super) records: u64,
    /// Where the sides differ first, in words.
    pub(super) first_difference: Option<String>,
}

/// Compares what was copied. Records that came to the node later are none of this run's.
pub(super) async fn topic(
    node: &Log,
    cluster: &Engine,
    topic: &SourceTopic,
    copied: &[Copied],
) -> anyhow::Result<Compared> {
    let mut compared = Compared::default();
    for (partition, copied) in (0..).zip(copied) {
        let Some(source) = copied.source() else { continue };
        let mut there = earlier(cluster, &topic.name, partition, copied.end()).await?;
        let mut at = source.start;
        while at < source.end && compared.first_difference.is_none() {
            let page = read_node(node, &topic.name, partition, OffsetSpec::Offset(at)).await?;
            if page.records.is_empty() {
                let why = format!("partition {partition}: offset {at} can't be read from the node any more");
                compared.first_difference = Some(why);
                break;
            }
            at = page.next_offset;
            for record in page.records.into_iter().filter(|record| record.offset < source.end) {
                match there.next().await? {
                    Some(other) if is_same(&record, &other) => compared.records += 1,
                    Some(other) => {
                        compared.first_difference = Some(format!(
                            "partition {partition}: the node's record {} is not the cluster's record {}",
                            record.offset, other.offset
                        ));
                        break;
                    }
                    None => {
                        compared.first_difference =
                            Some(format!("partition {partition}: record {} is missing", record.offset));
                        break;
                    }
                }
            }
        }
    }
    Ok(compared)
}
