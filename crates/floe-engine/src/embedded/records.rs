//! Records: append and read.

use std::{pin::pin, sync::Arc, time::Duration};

use floe_broker::{BrokerError, Cursor, JournalCursor, OffsetSpec, ReadLimits, Topic};
use tokio::time::{Instant, timeout_at};

use super::Embedded;
use crate::{Append, Appended, Gap, Page, PartitionRead, Placement, TopicPage, TopicRead, TopicStart};

impl Embedded {
    pub(crate) async fn append(&self, append: Append) -> Result<Appended, BrokerError> {
        let topic = self.broker.catalog().get(&append.topic)?;
        let idempotency = append.idempotency.map(|key| (key.key, key.fingerprint));
        let (placed, replayed) = self.broker.append(topic, append.records, append.acks, idempotency).await?;
        let place = |(partition, offset, timestamp)| Placement { partition, offset, timestamp };
        Ok(Appended { placements: placed.into_iter().map(place).collect(), replayed })
    }

    pub(crate) async fn read(&self, read: PartitionRead) -> Result<Page, BrokerError> {
        let topic = self.broker.catalog().get(&read.topic)?;
        let mut offset = self.offset(&topic, read.partition, read.from).await?;
        let limits = ReadLimits { records: read.max_records, bytes: read.max_bytes, disk: false };
        let deadline = Instant::now() + read.wait;
        loop {
            let mut changed = pin!(topic.changed().notified());
            changed.as_mut().enable();
            let page = match self.broker.read_partition(&topic, read.partition, offset, limits) {
                Ok(Some(page)) => Ok(page),
                Ok(None) => self.read_disk(&topic, read.partition, offset, limits).await,
                Err(error) => Err(error),
            };
            let page = match page {
                // retention went past the place between finding it and reading there
                Err(BrokerError::OffsetOutOfRange { start, .. })
                    if offset < start && !matches!(read.from, OffsetSpec::Offset(_)) =>
                {
                    offset = start;
                    continue;
                }
                page => page?,
            };
            let bounds = topic.partition(read.partition)?;
            if !page.records.is_empty() || !page.gaps.is_empty() || Instant::now() >= deadline {
                let gap = |(from, to)| Gap { partition: read.partition, from, to };
                return Ok(Page {
                    records: page.records,
                    next_offset: page.next_offset,
                    log_start: bounds.start(),
                    high_watermark: bounds.end(),
                    gaps: page.gaps.into_iter().map(gap).collect(),
                });
            }
            self.wait(&topic, changed, deadline).await?;
        }
    }

    async fn read_disk(
        &self,
        topic: &Arc<Topic>,
        partition: u32,
        offset: i64,
        limits: ReadLimits,
    ) -> Result<floe_broker::PartitionRecords, BrokerError> {
        let topic = topic.clone();
        let limits = ReadLimits { disk: true, ..limits };
        let read =
            self.blocking(move |broker| broker.read_partition(&topic, partition, offset, limits)).await?;
        Ok(read.unwrap_or_default())
    }

    /// Waits for a change, the topic's end, the deadline or the engine's stop.
    async fn wait(
        &self,
        topic: &Topic,
        changed: impl Future<Output = ()>,
        deadline: Instant,
    ) -> Result<(), BrokerError> {
        if topic.is_deleted() {
            return Err(BrokerError::TopicNotFound { topic: topic.name.to_string() });
        }
        let mut stopping = self.stopping();
        tokio::select! {
            _ = timeout_at(deadline, changed) => Ok(()),
            _ = stopping.wait_for(|stopping| *stopping) => Err(BrokerError::Stopping),
        }
    }

    pub(crate) async fn offset_for(
        &self,
        topic: &str,
        partition: u32,
        at: OffsetSpec,
    ) -> Result<i64, BrokerError> {
        let topic = self.broker.catalog().get(topic)?;
        self.offset(&topic, partition, at).await
    }

    pub(crate) async fn offset(
        &self,
        topic: &Arc<Topic>,
        partition: u32,
        at: OffsetSpec,
    ) -> Result<i64, BrokerError> {
        match at {
            OffsetSpec::Time(_) => {
                let topic = topic.clone();
                self.blocking(move |broker| broker.resolve_offset(&topic, partition, at)).await
            }
            OffsetSpec::Earliest | OffsetSpec::Latest | OffsetSpec::Offset(_) => {
                self.broker.resolve_offset(topic, partition, at)
            }
        }
    }

    async fn start(&self, topic: &Arc<Topic>, from: TopicStart) -> Result<JournalCursor, BrokerError> {
        match from {
            TopicStart::Earliest => Ok(self.broker.earliest(topic)),
            TopicStart::Latest => Ok(self.broker.latest(topic)),
            TopicStart::After(cursor) => own(topic, &cursor),
            TopicStart::Time(time) => {
                let topic = topic.clone();
                self.blocking(move |broker| broker.at_time(&topic, time)).await
            }
            TopicStart::NewestBefore { records, end } => {
                let (topic, end) = (topic.clone(), own(topic, &end)?);
                self.blocking(move |broker| broker.newest(&topic, records, Some(end))).await
            }
            TopicStart::Newest(count) => {
                let topic = topic.clone();
                self.blocking(move |broker| broker.newest(&topic, count, None)).await
            }
        }
    }

    pub(crate) fn topic_end(&self, topic: &str) -> Result<Cursor, BrokerError> {
        let topic = self.broker.catalog().get(topic)?;
        Ok(Cursor::Journal(self.broker.latest(&topic)))
    }

    pub(crate) async fn read_topic(&self, read: TopicRead) -> Result<TopicPage, BrokerError> {
        let topic = self.broker.catalog().get(&read.topic)?;
        let after = self.start(&topic, read.from).await?;
        let limits = ReadLimits { records: read.max_records, bytes: read.max_bytes, disk: false };
        self.read_topic_from(&topic, after, limits, read.wait).await
    }

    pub(crate) async fn read_topic_from(
        &self,
        topic: &Arc<Topic>,
        after: JournalCursor,
        limits: ReadLimits,
        wait: Duration,
    ) -> Result<TopicPage, BrokerError> {
        let deadline = Instant::now() + wait;
        loop {
            let mut changed = pin!(topic.changed().notified());
            changed.as_mut().enable();
            let page = match self.broker.read_topic(topic, after, limits)? {
                Some(page) => page,
                None => {
                    let topic = topic.clone();
                    let limits = ReadLimits { disk: true, ..limits };
                    let read = self.blocking(move |broker| broker.read_topic(&topic, after, limits)).await?;
                    read.unwrap_or(floe_broker::TopicRecords {
                        records: Vec::new(),
                        next: after,
                        gaps: Vec::new(),
                    })
                }
            };
            if !page.records.is_empty() || !page.gaps.is_empty() || Instant::now() >= deadline {
                let gap = |(partition, from, to)| Gap { partition, from, to };
                let gaps = page.gaps.into_iter().map(gap).collect();
                return Ok(TopicPage { records: page.records, next: Cursor::Journal(page.next), gaps });
            }
            self.wait(topic, changed, deadline).await?;
        }
    }
}

/// The cursor, if it is one of this topic in this journal.
fn own(topic: &Topic, cursor: &Cursor) -> Result<JournalCursor, BrokerError> {
    match cursor {
        Cursor::Journal(cursor) if cursor.topic_id == topic.id => Ok(*cursor),
        Cursor::Journal(_) | Cursor::Offsets(_) => {
            Err(BrokerError::ForeignCursor { topic: topic.name.to_string() })
        }
    }
}
