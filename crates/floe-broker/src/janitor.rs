//! Retention and cleaning: what is too old or too much goes, and its space comes back.

use std::{sync::Arc, time::Duration};

use floe_journal::{BatchRef, Damage, DamageKind, PartitionId, ReadError, SegmentUsage};
use tokio::sync::oneshot;

use crate::{
    BrokerError, Topic,
    broker::Shared,
    command::{Answer, Command, MovedBatch},
    group::PartitionKey,
    limits::{
        MAX_CLOCK_DRIFT_MS, MOSTLY_DEAD_PERCENT, MOVE_CHUNK_BYTES, RETENTION_PARTITIONS_PER_TURN,
        SHORT_RETENTION_MS,
    },
    topic::split_journal_id,
};

/// Works turn by turn until the broker stops.
pub(crate) fn janitor_loop(shared: &Arc<Shared>, period: Duration) {
    let mut janitor = Janitor::new(shared);
    while !shared.janitor_rest(period) {
        if shared.is_failed() {
            continue;
        }
        if let Err(error) = janitor.turn() {
            tracing::debug!(%error, "a turn of retention and cleaning was cut short");
        }
    }
}

/// A moved batch takes this much more than its bytes, at most.
const MOVED_OVERHEAD_BYTES: usize = 64;

struct Janitor<'a> {
    shared: &'a Shared,
    /// Wall clock minus monotonic clock at start: what tells a clock that was set from time that passed.
    drift_at_start: i64,
    drift_told: bool,
    /// Where the round over all topics goes on.
    next_topic: usize,
}

impl<'a> Janitor<'a> {
    fn new(shared: &'a Shared) -> Self {
        Self { shared, drift_at_start: drift(shared), drift_told: false, next_topic: 0 }
    }

    fn turn(&mut self) -> Result<(), BrokerError> {
        self.retain()?;
        self.clean()
    }

    /// Moves the start of partitions that keep more, or older, than they should.
    fn retain(&mut self) -> Result<(), BrokerError> {
        let by_time = self.clock_is_steady();
        let topics = self.shared.catalog.all();
        let mut starts = Vec::new();
        let mut looked_at = 0;
        let short =
            |topic: &Topic| topic.config().retention_ms().is_some_and(|kept| kept < SHORT_RETENTION_MS);
        for topic in topics.iter().filter(|topic| short(topic)) {
            self.retain_topic(topic, by_time, &mut starts);
        }
        for _ in 0..topics.len() {
            if looked_at >= RETENTION_PARTITIONS_PER_TURN {
                break;
            }
            self.next_topic = (self.next_topic + 1) % topics.len();
            let topic = &topics[self.next_topic];
            looked_at += topic.partition_count() as usize;
            if !short(topic) {
                self.retain_topic(topic, by_time, &mut starts);
            }
        }
        if starts.is_empty() {
            return Ok(());
        }
        self.order(|answer| Command::LogStart { starts, answer })
    }

    fn retain_topic(&self, topic: &Topic, by_time: bool, starts: &mut Vec<(PartitionKey, i64)>) {
        let config = topic.config();
        let oldest = config
            .retention_ms()
            .filter(|_| by_time)
            .map(|kept| self.shared.clock.now_ms().saturating_sub(i64::try_from(kept).unwrap_or(i64::MAX)));
        let most = config.retention_bytes();
        for (partition, number) in topic.partitions().iter().zip(0u32..) {
            let (start, end) = (partition.start(), partition.end());
            let mut excess = most.map_or(0, |most| partition.bytes().saturating_sub(most));
            if start == end || (oldest.is_none() && excess == 0) {
                continue;
            }
            let mut keep_from = start;
            while keep_from < end {
                let id = topic.journal_id(number);
                let Ok(batches) = self.shared.journal.locate(id, keep_from, MOVE_CHUNK_BYTES) else { break };
                let Some(goes) = leading(&batches, end, oldest, &mut excess) else { break };
                keep_from = goes + 1;
            }
            if keep_from > start {
                starts.push(((topic.id, number), keep_from));
            }
        }
    }

    /// Whether wall time passes as monotonic time does. When the clock was set far ahead, records must not be deleted
    /// for it.
    fn clock_is_steady(&mut self) -> bool {
        let jump = drift(self.shared) - self.drift_at_start;
        let steady = jump.abs() <= MAX_CLOCK_DRIFT_MS;
        if !steady && !self.drift_told {
            tracing::warn!(
                jump_ms = jump,
                "the wall clock jumped: deletion by time waits until the next start"
            );
        }
        self.drift_told = !steady;
        steady
    }

    /// Gives back segments that hold nothing any more, and empties the one that holds least.
    fn clean(&mut self) -> Result<(), BrokerError> {
        // with state lost, a partition that nobody knows may be one that everybody wants back
        let doubtful = |damage: &Damage| {
            matches!(damage.kind, DamageKind::State | DamageKind::Frames | DamageKind::MissingSegment)
        };
        if self.shared.journal.damage().iter().any(doubtful) {
            return Ok(());
        }
        let log_start = |id: PartitionId| {
            let (topic_id, number) = split_journal_id(id);
            Some(self.shared.catalog.by_id(topic_id)?.partition(number).ok()?.start())
        };
        // two snapshots hold what lies before it, so that a damaged one costs nothing
        let snapshot = self.shared.journal.snapshot_position();
        let usage = self.shared.journal.usage(&log_start);
        let done: Vec<&SegmentUsage> = usage.iter().filter(|segment| segment.end <= snapshot).collect();
        for segment in done.iter().filter(|segment| segment.live_bytes == 0) {
            self.retire(segment)?;
        }
        let mostly_dead = |segment: &&&SegmentUsage| {
            segment.live_bytes > 0 && segment.live_bytes * 100 < segment.bytes * MOSTLY_DEAD_PERCENT
        };
        if let Some(segment) = done.iter().filter(mostly_dead).min_by_key(|segment| segment.live_bytes) {
            let batches = self.shared.journal.live_batches(segment.base, &log_start);
            let Ok(batches) = batches else { return Ok(()) };
            if self.move_all(&batches)? {
                self.retire(segment)?;
            }
        }
        Ok(())
    }

    fn retire(&self, segment: &SegmentUsage) -> Result<(), BrokerError> {
        let base = segment.base;
        self.order(|answer| Command::Retire { segment: base, answer })?;
        self.shared.journal.recycle(base);
        Ok(())
    }

    /// Writes batches again; answers whether all could be read.
    fn move_all(&self, batches: &[(PartitionId, BatchRef)]) -> Result<bool, BrokerError> {
        let most = usize::try_from(self.shared.max_frame_bytes / 2)
            .map_or(MOVE_CHUNK_BYTES, |most| most.min(MOVE_CHUNK_BYTES));
        let mut chunk = Vec::new();
        let mut bytes = 0;
        for (partition, batch) in batches {
            if !chunk.is_empty() && bytes + batch.length() + MOVED_OVERHEAD_BYTES > most {
                let batches = std::mem::take(&mut chunk);
                self.order(|answer| Command::Move { batches, answer })?;
                bytes = 0;
            }
            // a damaged batch stays where it is, and its segment with it: nothing is deleted for being damaged
            let body = match self.shared.journal.read(batch) {
                Ok(body) => body,
                Err(ReadError::Gone) => return Ok(false),
                Err(_) => {
                    self.shared.journal.report_damaged(*partition, batch);
                    return Ok(false);
                }
            };
            bytes += body.len() + MOVED_OVERHEAD_BYTES;
            chunk.push(MovedBatch {
                partition: *partition,
                flags: batch.flags(),
                base_offset: batch.base_offset(),
                last_offset_delta: u32::try_from(batch.last_offset() - batch.base_offset())
                    .unwrap_or(u32::MAX),
                max_timestamp: batch.max_timestamp(),
                origin: batch.origin(),
                bytes: body,
            });
        }
        if !chunk.is_empty() {
            self.order(|answer| Command::Move { batches: chunk, answer })?;
        }
        Ok(true)
    }

    /// Sends a command and waits until it is on disk.
    fn order(&self, command: impl FnOnce(Answer<()>) -> Command) -> Result<(), BrokerError> {
        let receiver: oneshot::Receiver<_> = self.shared.send(command)?;
        receiver.blocking_recv().unwrap_or(Err(BrokerError::Stopping))
    }
}

fn drift(shared: &Shared) -> i64 {
    shared.clock.now_ms().saturating_sub(i64::try_from(shared.clock.monotonic_ms()).unwrap_or(i64::MAX))
}

/// The last offset of the leading batches that go: too old, or needed to get below the size limit. A batch goes whole.
fn leading(batches: &[BatchRef], end: i64, oldest: Option<i64>, excess: &mut u64) -> Option<i64> {
    let mut last = None;
    for batch in batches.iter().filter(|batch| batch.last_offset() < end) {
        let too_old = oldest.is_some_and(|oldest| batch.max_timestamp() < oldest);
        let length = batch.length() as u64;
        if !too_old && *excess < length {
            break;
        }
        *excess = excess.saturating_sub(length);
        last = Some(batch.last_offset());
    }
    last
}
