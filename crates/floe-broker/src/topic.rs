//! A topic and its partitions, shared by the writer and all readers.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering},
};

use floe_journal::PartitionId;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use crate::{BrokerError, TopicConfig, TopicName, tap::Taps};

/// Bits of a journal partition id that hold the partition's number: enough for
/// [`MAX_PARTITIONS_PER_TOPIC`](crate::limits::MAX_PARTITIONS_PER_TOPIC).
const NUMBER_BITS: u32 = 14;

/// One partition.
///
/// `start ≤ end ≤ written_end`: readers may see `start..end`, all of it on disk; what lies between `end` and
/// `written_end` is on its way there. The two `written` fields are the writer thread's own.
#[derive(Debug)]
pub struct Partition {
    start: AtomicI64,
    end: AtomicI64,
    written_start: AtomicI64,
    written_end: AtomicI64,
    bytes: AtomicU64,
}

impl Partition {
    pub(crate) fn new(start: i64, end: i64, bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            start: AtomicI64::new(start),
            end: AtomicI64::new(end),
            written_start: AtomicI64::new(start),
            written_end: AtomicI64::new(end),
            bytes: AtomicU64::new(bytes),
        })
    }

    /// The first offset kept.
    #[must_use]
    pub fn start(&self) -> i64 {
        self.start.load(Ordering::Acquire)
    }

    /// The offset behind the newest record that readers may see: the high watermark.
    #[must_use]
    pub fn end(&self) -> i64 {
        self.end.load(Ordering::Acquire)
    }

    /// Bytes stored.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn written_start(&self) -> i64 {
        self.written_start.load(Ordering::Relaxed)
    }

    pub(crate) fn written_end(&self) -> i64 {
        self.written_end.load(Ordering::Relaxed)
    }

    /// Takes the next `count` offsets; the writer's alone.
    pub(crate) fn take_offsets(&self, count: u32) -> i64 {
        self.written_end.fetch_add(i64::from(count), Ordering::Relaxed)
    }

    pub(crate) fn write_start(&self, start: i64) {
        self.written_start.fetch_max(start, Ordering::Relaxed);
    }

    /// Lets readers see all before `end`, which is on disk.
    pub(crate) fn publish_end(&self, end: i64, bytes: u64) {
        let before = self.end.swap(end, Ordering::Release);
        assert!(
            before <= end && end <= self.written_end(),
            "the high watermark only rises, up to what is written"
        );
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Hides all before `start`.
    pub(crate) fn publish_start(&self, start: i64, bytes: u64) {
        self.start.fetch_max(start, Ordering::Release);
        self.bytes.store(bytes, Ordering::Relaxed);
    }
}

/// What of a topic can change.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) config: Arc<TopicConfig>,
    pub(crate) partitions: Arc<[Arc<Partition>]>,
}

/// A topic.
#[derive(Debug)]
pub struct Topic {
    /// Never used again for another topic.
    pub id: u64,
    /// Its name.
    pub name: TopicName,
    /// What everybody sees: on disk.
    visible: RwLock<Shape>,
    /// What the writer has decided, perhaps not on disk yet.
    written: RwLock<Shape>,
    deleted: AtomicBool,
    /// The writer has deleted it, perhaps not on disk yet.
    removed: AtomicBool,
    /// Turns keyless records over the partitions, an append at a time.
    sticky: AtomicU32,
    pub(crate) taps: Mutex<Taps>,
    /// Wakes readers that wait for records, and for the topic's end.
    pub(crate) changed: Notify,
}

impl Topic {
    pub(crate) fn new(
        id: u64,
        name: TopicName,
        config: TopicConfig,
        partitions: Arc<[Arc<Partition>]>,
        last_origin: u64,
    ) -> Arc<Self> {
        let shape = Shape { config: Arc::new(config), partitions };
        Arc::new(Self {
            id,
            name,
            visible: RwLock::new(shape.clone()),
            written: RwLock::new(shape),
            deleted: AtomicBool::new(false),
            removed: AtomicBool::new(false),
            sticky: AtomicU32::new(0),
            taps: Mutex::new(Taps::new(last_origin)),
            changed: Notify::new(),
        })
    }

    /// Its settings.
    #[must_use]
    pub fn config(&self) -> Arc<TopicConfig> {
        self.visible.read().config.clone()
    }

    /// What the writer has decided.
    pub(crate) fn written(&self) -> Shape {
        self.written.read().clone()
    }

    /// Decides on other settings and at least `count` partitions; seen when it is published. The writer's alone.
    pub(crate) fn write_shape(&self, count: u32, config: TopicConfig) -> Shape {
        let mut written = self.written.write();
        let more = (written.partitions.len()..count as usize).map(|_| Partition::new(0, 0, 0));
        let partitions = written.partitions.iter().cloned().chain(more).collect();
        *written = Shape { config: Arc::new(config), partitions };
        written.clone()
    }

    /// Lets everybody see what is on disk now.
    pub(crate) fn publish_shape(&self, shape: Shape) {
        *self.visible.write() = shape;
    }

    /// Its partitions, by number.
    #[must_use]
    pub fn partitions(&self) -> Arc<[Arc<Partition>]> {
        self.visible.read().partitions.clone()
    }

    /// One partition.
    pub fn partition(&self, number: u32) -> Result<Arc<Partition>, BrokerError> {
        let partitions = &self.visible.read().partitions;
        partitions.get(number as usize).cloned().ok_or_else(|| BrokerError::PartitionNotFound {
            topic: self.name.to_string(),
            partition: number,
            count: u32::try_from(partitions.len()).unwrap_or(u32::MAX),
        })
    }

    /// How many partitions it has.
    #[must_use]
    pub fn partition_count(&self) -> u32 {
        u32::try_from(self.visible.read().partitions.len()).unwrap_or(u32::MAX)
    }

    /// Where keyless records of the next append go.
    pub(crate) fn next_sticky(&self, count: u32) -> u32 {
        self.sticky.fetch_add(1, Ordering::Relaxed) % count
    }

    /// Whether it is gone.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    pub(crate) fn set_deleted(&self) {
        self.deleted.store(true, Ordering::Release);
    }

    /// Whether the writer has deleted it.
    pub(crate) fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Relaxed)
    }

    pub(crate) fn set_removed(&self) {
        self.removed.store(true, Ordering::Relaxed);
    }

    /// The journal's id of a partition.
    #[must_use]
    pub fn journal_id(&self, number: u32) -> PartitionId {
        journal_id(self.id, number)
    }

    /// Woken when records become visible, and when the topic is deleted.
    #[must_use]
    pub fn changed(&self) -> &Notify {
        &self.changed
    }

    pub(crate) fn not_found(&self) -> BrokerError {
        BrokerError::TopicNotFound { topic: self.name.to_string() }
    }
}

/// The journal's id of a topic's partition.
#[must_use]
pub fn journal_id(topic_id: u64, number: u32) -> PartitionId {
    topic_id << NUMBER_BITS | u64::from(number)
}

/// The topic's id and the partition's number that a journal id stands for.
#[must_use]
pub fn split_journal_id(id: PartitionId) -> (u64, u32) {
    let number = id & ((1 << NUMBER_BITS) - 1);
    (id >> NUMBER_BITS, u32::try_from(number).unwrap_or(u32::MAX))
}
