//! An engine on a disk in memory or on a cluster, with clocks that stand still until they are told.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use floe_engine::{
    Append, Appended, Clock, Cursor, Engine, EngineError, IdempotencyKey, NewRecord, OffsetSpec,
    PartitionRead, StoredRecord, TopicRead, TopicSpec, TopicStart,
};
use floe_journal::{JournalConfig, Storage};
use floe_testkit::faulty::FaultyStorage;

use crate::cluster::Cluster;

/// How long a case may take before it is given up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How often retention and cleaning are looked at.
pub(crate) const JANITOR: Duration = Duration::from_millis(10);
/// Where the wall clock of the embedded engine starts.
pub(crate) const START_MS: i64 = 1_780_000_000_000;

/// Clocks of the case's own.
#[derive(Clone, Debug)]
pub(crate) struct Clocks {
    start_ms: i64,
    wall: Arc<AtomicI64>,
    monotonic: Arc<AtomicU64>,
}

impl Clocks {
    pub(crate) fn new(start_ms: i64) -> Self {
        Self { start_ms, wall: Arc::new(AtomicI64::new(start_ms)), monotonic: Arc::default() }
    }

    pub(crate) fn clock(&self) -> Clock {
        let (wall, monotonic) = (self.wall.clone(), self.monotonic.clone());
        Clock::new(move || wall.load(Ordering::SeqCst), move || monotonic.load(Ordering::SeqCst))
    }

    /// Time passes.
    pub(crate) fn pass(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).unwrap();
        self.wall.fetch_add(ms.cast_signed(), Ordering::SeqCst);
        self.monotonic.fetch_add(ms, Ordering::SeqCst);
    }

    /// Somebody sets the wall clock.
    pub(crate) fn set_ahead(&self, by: Duration) {
        self.wall.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

/// The engine under test, and what is around it.
pub(crate) struct Stage {
    engine: Mutex<Engine>,
    pub(crate) clocks: Clocks,
    home: Home,
}

/// Where the log is.
enum Home {
    Memory(FaultyStorage),
    Cluster(Cluster),
}

pub(crate) fn journal(segment_bytes: u32) -> JournalConfig {
    JournalConfig { segment_bytes, tail_cache_bytes: 1 << 20 }
}

impl Stage {
    /// The embedded engine on a disk in memory.
    pub(crate) fn new() -> Self {
        let (clocks, storage) = (Clocks::new(START_MS), FaultyStorage::new(1));
        let home = Home::Memory(storage);
        Self { engine: Mutex::new(home.open(&clocks)), clocks, home }
    }

    /// The Kafka engine on a cluster, which is emptied before.
    pub(crate) async fn on(cluster: Cluster) -> Self {
        cluster.empty().await;
        // records are dated by these clocks: late enough to be kept, early enough for a day to pass
        let clocks = Clocks::new(Clock::system().now_ms() - 2 * 86_400_000);
        let home = Home::Cluster(cluster);
        let engine = home.open(&clocks);
        until("the engine is ready", async || engine.ready().await.is_ok()).await;
        Self { engine: Mutex::new(engine), clocks, home }
    }

    pub(crate) fn engine(&self) -> Engine {
        self.engine.lock().unwrap().clone()
    }

    /// Closes the engine in order and opens it again.
    pub(crate) fn reopen(&self) -> Engine {
        let mut engine = self.engine.lock().unwrap();
        engine.close();
        *engine = self.home.open(&self.clocks);
        engine.clone()
    }

    pub(crate) fn is_embedded(&self) -> bool {
        matches!(self.home, Home::Memory(_))
    }

    /// Where the wall clock started.
    pub(crate) fn start_ms(&self) -> i64 {
        self.clocks.start_ms
    }

    /// Whether the engine knows how much is stored.
    pub(crate) fn knows_bytes(&self) -> bool {
        self.is_embedded()
    }

    /// As many partitions as are to be tried: a cluster of one broker for tests takes its time for each.
    pub(crate) fn many_partitions(&self) -> u32 {
        if self.is_embedded() { 10_000 } else { 200 }
    }

    /// How often something is tried that takes a cluster its time.
    pub(crate) fn rounds(&self, rounds: u64) -> u64 {
        if self.is_embedded() { rounds } else { rounds.div_ceil(6) }
    }

    /// Whether a record can have been appended at this time. The broker looks at its own clock.
    pub(crate) fn is_append_time(&self, timestamp: i64) -> bool {
        match self.home {
            Home::Memory(_) => timestamp == self.start_ms(),
            Home::Cluster(_) => timestamp > self.start_ms() + 86_400_000,
        }
    }

    /// The same records, each once. Of a log with an order across partitions, in the same order and at the same places;
    /// else each partition's in the same order.
    #[track_caller]
    pub(crate) fn assert_same(&self, found: &[StoredRecord], expected: &[StoredRecord]) {
        if self.is_embedded() {
            assert!(found == expected, "{found:?} is not {expected:?}");
        } else {
            assert_eq!(by_partition(found), by_partition(expected));
        }
    }

    /// The newest of all records. Without an order across partitions, the newest of each.
    #[track_caller]
    pub(crate) fn assert_newest(&self, found: &[StoredRecord], all: &[StoredRecord]) {
        if self.is_embedded() {
            return assert_eq!(found, &all[all.len() - found.len()..]);
        }
        let all = by_partition(all);
        for (partition, found) in by_partition(found) {
            let all = &all[&partition];
            assert_eq!(found, all[all.len() - found.len()..]);
        }
    }
}

/// A case that failed leaves nobody behind in the next one's groups.
impl Drop for Stage {
    fn drop(&mut self) {
        self.engine().close();
    }
}

impl Home {
    fn open(&self, clocks: &Clocks) -> Engine {
        match self {
            Self::Memory(storage) => {
                let storage: Arc<dyn Storage> = Arc::new(storage.clone());
                Engine::embedded_with(storage, journal(4 << 20), clocks.clock(), JANITOR).unwrap()
            }
            Self::Cluster(cluster) => cluster.open(clocks.clock()),
        }
    }
}

/// Offset and content of each partition's records, in the order found.
#[expect(clippy::type_complexity, reason = "what is compared, as it is")]
fn by_partition(records: &[StoredRecord]) -> BTreeMap<u32, Vec<(i64, Option<Bytes>, Option<Bytes>)>> {
    let mut by_partition: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    for record in records {
        let content = (record.offset, record.key.clone(), record.value.clone());
        by_partition.entry(record.partition).or_default().push(content);
    }
    by_partition
}

/// Records that lie behind a place.
pub(crate) fn not_behind(records: &[StoredRecord], place: &Cursor) -> Vec<StoredRecord> {
    records.iter().filter(|record| !place.covers(record)).cloned().collect()
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(1));
    let waiting = async {
        while !holds().await {
            looks.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE / 2, waiting).await.unwrap_or_else(|_| panic!("waited for: {what}"));
}

pub(crate) fn record(key: &str, value: impl Into<Bytes>) -> NewRecord {
    let key = (!key.is_empty()).then(|| Bytes::copy_from_slice(key.as_bytes()));
    NewRecord { key, value: Some(value.into()), ..NewRecord::default() }
}

pub(crate) fn record_in(partition: u32, value: impl Into<Bytes>) -> NewRecord {
    NewRecord { partition: Some(partition), value: Some(value.into()), ..NewRecord::default() }
}

pub(crate) fn append_of(topic: &str, records: Vec<NewRecord>) -> Append {
    Append { topic: topic.into(), records, acks: None, idempotency: None }
}

pub(crate) fn keyed(append: Append, key: &str, fingerprint: u64) -> Append {
    Append { idempotency: Some(IdempotencyKey { key: key.into(), fingerprint }), ..append }
}

pub(crate) async fn make(engine: &Engine, topic: &str, partitions: u32) {
    make_with(engine, topic, partitions, &[]).await;
}

pub(crate) async fn make_with(engine: &Engine, topic: &str, partitions: u32, config: &[(&str, &str)]) {
    let config = config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let spec = TopicSpec { name: topic.into(), partitions, config: config.collect::<BTreeMap<_, _>>() };
    engine.create_topic(spec).await.unwrap();
}

pub(crate) async fn put(engine: &Engine, topic: &str, records: Vec<NewRecord>) -> Appended {
    engine.append(append_of(topic, records)).await.unwrap()
}

/// Appends `count` records to partition 0, one by one: `0`, `1`, …
pub(crate) async fn put_counted(engine: &Engine, topic: &str, count: usize) {
    for number in 0..count {
        put(engine, topic, vec![record_in(0, number.to_string())]).await;
    }
}

pub(crate) fn partition_read(topic: &str, partition: u32, from: OffsetSpec) -> PartitionRead {
    let topic = topic.into();
    PartitionRead { topic, partition, from, max_records: 100_000, max_bytes: 1 << 30, wait: Duration::ZERO }
}

pub(crate) fn topic_read(topic: &str, from: TopicStart) -> TopicRead {
    TopicRead { topic: topic.into(), from, max_records: 100_000, max_bytes: 1 << 30, wait: Duration::ZERO }
}

pub(crate) async fn read_partition(engine: &Engine, topic: &str, partition: u32) -> Vec<StoredRecord> {
    let mut records = Vec::new();
    let mut from = OffsetSpec::Earliest;
    loop {
        let page = engine.read(partition_read(topic, partition, from)).await.unwrap();
        assert!(page.gaps.is_empty(), "{:?}", page.gaps);
        from = OffsetSpec::Offset(page.next_offset);
        if page.records.is_empty() {
            return records;
        }
        records.extend(page.records);
    }
}

pub(crate) async fn read_all(engine: &Engine, topic: &str) -> Vec<StoredRecord> {
    read_on(engine, topic, TopicStart::Earliest, usize::MAX).await.0
}

/// Reads on from a cursor until there is nothing more, a few records at a time.
pub(crate) async fn read_on(
    engine: &Engine,
    topic: &str,
    from: TopicStart,
    at_once: usize,
) -> (Vec<StoredRecord>, Cursor) {
    let (mut from, mut records) = (from, Vec::new());
    loop {
        let read = TopicRead { max_records: at_once, ..topic_read(topic, from) };
        let page = engine.read_topic(read).await.unwrap();
        assert!(page.gaps.is_empty(), "{:?}", page.gaps);
        from = TopicStart::After(page.next.clone());
        if page.records.is_empty() {
            return (records, page.next);
        }
        assert!(page.records.len() <= at_once);
        records.extend(page.records);
    }
}

pub(crate) fn texts(records: &[StoredRecord]) -> Vec<String> {
    let text = |record: &StoredRecord| String::from_utf8(record.value.clone().unwrap().to_vec()).unwrap();
    records.iter().map(text).collect()
}

pub(crate) fn offsets(records: &[StoredRecord]) -> Vec<i64> {
    records.iter().map(|record| record.offset).collect()
}

pub(crate) fn not_found(topic: &str) -> EngineError {
    EngineError::TopicNotFound { topic: topic.into() }
}
