//! Copying a topic's records, partition by partition, each in its order.

use std::{ops::Range, time::Duration};

use anyhow::{Context, bail};
use floe_engine::{Append, Engine, NewRecord, OffsetSpec, PartitionRead, StoredRecord};
use floe_pipeline::{Log, LogError};

use super::topics::SourceTopic;

/// Records and bytes read from either side at once.
const PAGE_RECORDS: usize = 2_000;
/// See [`PAGE_RECORDS`].
const PAGE_BYTES: usize = 4 << 20;

/// Where a partition's records went.
#[derive(Debug, Default)]
pub(super) struct Copied {
    /// How many records this run copied.
    pub(super) copied: u64,
    /// Stretches of offsets on the node without a gap, with the offset in the cluster of each one's first record.
    runs: Vec<(Range<i64>, i64)>,
}

impl Copied {
    fn add(&mut self, source: i64, target: i64) {
        match self.runs.last_mut() {
            Some((range, first)) if range.end == source && *first + (range.end - range.start) == target => {
                range.end += 1;
            }
            _ => self.runs.push((source..source + 1, target)),
        }
    }

    /// The offset in the cluster of the first record at or behind an offset on the node.
    pub(super) fn translate(&self, source: i64) -> i64 {
        for (range, first) in &self.runs {
            if source < range.end {
                return first + (source - range.start).max(0);
            }
        }
        self.end()
    }

    /// The offset in the cluster behind the last record.
    pub(super) fn end(&self) -> i64 {
        self.runs.last().map_or(0, |(range, first)| first + (range.end - range.start))
    }

    /// The first offset on the node, and the one behind the last record that is in the cluster.
    pub(super) fn source(&self) -> Option<Range<i64>> {
        Some(self.runs.first()?.0.start..self.runs.last()?.0.end)
    }
}

/// Copies what the cluster doesn't have yet.
pub(super) async fn topic(node: &Log, cluster: &Engine, topic: &SourceTopic) -> anyhow::Result<Vec<Copied>> {
    let mut all = Vec::with_capacity(topic.bounds.len());
    for partition in (0..).take(topic.bounds.len()) {
        let copied = one_partition(node, cluster, &topic.name, partition).await;
        all.push(copied.with_context(|| format!("copying topic '{}', partition {partition}", topic.name))?);
    }
    Ok(all)
}

async fn one_partition(node: &Log, cluster: &Engine, topic: &str, partition: u32) -> anyhow::Result<Copied> {
    let mut copied = Copied::default();
    let end = cluster.offset_for(topic, partition, OffsetSpec::Latest).await?;
    let mut known = earlier(cluster, topic, partition, end).await?;
    let mut from = OffsetSpec::Earliest;
    loop {
        let page = node.read(page(topic, partition, from)).await.map_err(|error| told(&error))?;
        if let Some(gap) = page.gaps.first() {
            bail!("offsets {} to {} are damaged on the node", gap.from, gap.to);
        }
        if page.records.is_empty() {
            return Ok(copied);
        }
        from = OffsetSpec::Offset(page.next_offset);
        let mut fresh = Vec::with_capacity(page.records.len());
        for record in page.records {
            // what an earlier run has copied is there in the same order
            match known.next().await? {
                Some(there) if is_same(&record, &there) => copied.add(record.offset, there.offset),
                Some(there) => bail!(
                    "the cluster's record {} is not the node's record {}: something else was written there, or retention \
                     took records from the node since an earlier run",
                    there.offset,
                    record.offset
                ),
                None => fresh.push(record),
            }
        }
        append(cluster, topic, partition, fresh, &mut copied).await?;
    }
}

async fn append(
    cluster: &Engine,
    topic: &str,
    partition: u32,
    records: Vec<StoredRecord>,
    copied: &mut Copied,
) -> anyhow::Result<()> {
    if records.is_empty() {
        return Ok(());
    }
    let sources: Vec<i64> = records.iter().map(|record| record.offset).collect();
    let record = |record: StoredRecord| NewRecord {
        key: record.key,
        value: record.value,
        headers: record.headers,
        partition: Some(partition),
        timestamp: Some(record.timestamp),
    };
    let records = records.into_iter().map(record).collect();
    let append = Append { topic: topic.to_owned(), records, acks: None, idempotency: None };
    let appended = cluster.append(append).await?;
    for (source, place) in sources.into_iter().zip(appended.placements) {
        copied.add(source, place.offset);
        copied.copied += 1;
    }
    Ok(())
}

/// The records of a partition of the cluster, page by page.
pub(super) struct There<'a> {
    cluster: &'a Engine,
    topic: &'a str,
    partition: u32,
    next: i64,
    end: i64,
    page: std::vec::IntoIter<StoredRecord>,
}

/// What the cluster has of a partition, up to `end`.
pub(super) async fn earlier<'a>(
    cluster: &'a Engine,
    topic: &'a str,
    partition: u32,
    end: i64,
) -> anyhow::Result<There<'a>> {
    let next = cluster.offset_for(topic, partition, OffsetSpec::Earliest).await?;
    Ok(There { cluster, topic, partition, next, end, page: Vec::new().into_iter() })
}

impl There<'_> {
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<StoredRecord>> {
        loop {
            if let Some(record) = self.page.next() {
                return Ok(Some(record).filter(|record| record.offset < self.end));
            }
            if self.next >= self.end {
                return Ok(None);
            }
            let read = page(self.topic, self.partition, OffsetSpec::Offset(self.next));
            let page = self.cluster.read(read).await?;
            if page.records.is_empty() && page.next_offset <= self.next {
                return Ok(None);
            }
            self.next = page.next_offset;
            self.page = page.records.into_iter();
        }
    }
}

fn page(topic: &str, partition: u32, from: OffsetSpec) -> PartitionRead {
    PartitionRead {
        topic: topic.to_owned(),
        partition,
        from,
        max_records: PAGE_RECORDS,
        max_bytes: PAGE_BYTES,
        wait: Duration::ZERO,
    }
}

pub(super) fn is_same(here: &StoredRecord, there: &StoredRecord) -> bool {
    // 0 can't be said to the cluster's client
    let timestamp = if here.timestamp == 0 { 1 } else { here.timestamp };
    (&here.key, &here.value, &here.headers, timestamp)
        == (&there.key, &there.value, &there.headers, there.timestamp)
}

fn told(error: &LogError) -> anyhow::Error {
    anyhow::anyhow!("the node: {error}")
}

/// Reads a page of the node.
pub(super) async fn read_node(
    node: &Log,
    topic: &str,
    partition: u32,
    from: OffsetSpec,
) -> anyhow::Result<floe_engine::Page> {
    node.read(page(topic, partition, from)).await.map_err(|error| told(&error))
}

#[cfg(test)]
mod tests {
    use super::Copied;

    #[test]
    fn a_position_moves_to_the_same_record() {
        let mut copied = Copied::default();
        // 10 to 12, 15 and 16 are kept on the node
        for (source, target) in [(10, 0), (11, 1), (12, 2), (15, 3), (16, 4)] {
            copied.add(source, target);
        }
        for (source, target) in
            [(0, 0), (10, 0), (11, 1), (13, 3), (14, 3), (15, 3), (16, 4), (17, 5), (99, 5)]
        {
            assert_eq!(copied.translate(source), target, "{source}");
        }
        assert_eq!((copied.end(), copied.source()), (5, Some(10..17)));
        assert_eq!(Copied::default().translate(7), 0);
    }
}
