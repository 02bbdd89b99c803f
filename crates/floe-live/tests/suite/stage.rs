//! An engine in a box, topics to publish to, and subscribers that collect.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use floe_engine::{
    Append, Clock, EmbeddedConfig, Engine, NewRecord, StoredRecord, TopicRead, TopicSpec, TopicStart,
};
use floe_journal::JournalConfig;
use floe_live::{Blocked, Live, LiveRecord, Room, Signal, Subscription, Taken};

/// Takes as much as there is.
pub(crate) const WIDE: Room = Room { records: 10_000, bytes: 64 << 20 };

/// An engine and live delivery on it.
pub(crate) struct Stage {
    pub(crate) engine: Engine,
    pub(crate) live: Live,
    _directory: tempfile::TempDir,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.engine.close();
    }
}

impl Stage {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Small, so that what lies behind is read from disk and not from the newest bytes in memory.
        let journal = JournalConfig { segment_bytes: 16 << 20, tail_cache_bytes: 256 << 10 };
        let data_dir = directory.path().join("data");
        let config = EmbeddedConfig { data_dir, ephemeral: true, journal, clock: Clock::system() };
        let engine = Engine::open_embedded(config).unwrap();
        Self { live: Live::new(engine.clone()), engine, _directory: directory }
    }

    pub(crate) async fn topic(&self, name: &str, partitions: u32, config: &[(&str, &str)]) {
        let config = config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let spec = TopicSpec { name: name.into(), partitions, config: config.collect::<BTreeMap<_, _>>() };
        self.engine.create_topic(spec).await.unwrap();
    }

    /// Publishes records and waits until they are durable.
    pub(crate) async fn publish(&self, topic: &str, records: Vec<NewRecord>) {
        let append = Append { topic: topic.into(), records, acks: None, idempotency: None };
        self.engine.append(append).await.unwrap();
    }

    /// Publishes `count` small records, one batch.
    pub(crate) async fn publish_many(&self, topic: &str, count: usize) {
        self.publish(topic, (0..count).map(|n| record(format!("{n}"))).collect()).await;
    }

    /// Everything in a topic, in the order of storing.
    pub(crate) async fn log(&self, topic: &str) -> Vec<StoredRecord> {
        let (mut records, mut from) = (Vec::new(), TopicStart::Earliest);
        loop {
            let read = TopicRead {
                topic: topic.into(),
                from,
                max_records: 10_000,
                max_bytes: 64 << 20,
                wait: Duration::ZERO,
            };
            let page = self.engine.read_topic(read).await.unwrap();
            if page.records.is_empty() {
                return records;
            }
            records.extend(page.records);
            from = TopicStart::After(page.next);
        }
    }

    pub(crate) async fn subscribe(&self, topic: &str, start: TopicStart) -> Subscription {
        self.live.subscribe(topic, start, &Signal::new()).await.unwrap()
    }
}

pub(crate) fn record(value: impl Into<Bytes>) -> NewRecord {
    NewRecord { value: Some(value.into()), ..NewRecord::default() }
}

/// Takes records until `count` have come; anything else that is told is a failure.
pub(crate) async fn collect(subscription: &mut Subscription, count: usize) -> Vec<StoredRecord> {
    let mut records = Vec::new();
    while records.len() < count {
        let room = Room { records: count - records.len(), ..WIDE };
        let taken = next(subscription, room, &mut records).await;
        assert_eq!(taken, Taken::Records, "after {} records", records.len());
    }
    records
}

/// The next that is told; records are added to `records`.
pub(crate) async fn next(
    subscription: &mut Subscription,
    room: Room,
    records: &mut Vec<StoredRecord>,
) -> Taken {
    let mut taken: Vec<Arc<LiveRecord>> = Vec::new();
    let told = subscription.next(Blocked::default(), room, &mut taken);
    let told = tokio::time::timeout(Duration::from_secs(20), told).await.expect("nothing came").unwrap();
    records.extend(taken.iter().map(|record| record.record().clone()));
    told
}

/// Offsets of records of a topic with one partition.
pub(crate) fn offsets(records: &[StoredRecord]) -> Vec<i64> {
    records.iter().map(|record| record.offset).collect()
}
