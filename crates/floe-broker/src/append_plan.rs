//! An append on the caller's side: records sorted into partitions before the writer sees them, and where they went.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    BrokerError, NewRecord, Topic,
    batch::{BatchBuilder, TimestampType},
    command::{AppendOutcome, BuiltBatch, Content},
    idempotency::PlacedRun,
    limits::MAX_APPEND_BATCHES,
    partitioner::partition_for_key,
};

/// An append's records, sorted into partitions before the writer sees them: several records are built into batches
/// here, on the caller's thread, so that the writer only has to set their offsets.
pub(crate) struct AppendPlan {
    pub(crate) content: Content,
    /// When the batches were built.
    pub(crate) built_ms: i64,
    /// Per record, in the order given: its partition and its own timestamp.
    pub(crate) order: Vec<(u32, Option<i64>)>,
}

impl AppendPlan {
    pub(crate) fn new(topic: &Topic, records: Vec<NewRecord>, now_ms: i64) -> Result<Self, BrokerError> {
        let count = topic.partition_count();
        let sticky = topic.next_sticky(count);
        let choose = |record: &NewRecord| match (record.partition, &record.key) {
            (Some(partition), _) if partition < count => Ok(partition),
            (Some(partition), _) => topic.partition(partition).map(|_| partition),
            (None, Some(key)) => Ok(partition_for_key(key, count)),
            (None, None) => Ok(sticky),
        };
        let mut records = records;
        let mut order = Vec::with_capacity(records.len());
        for record in &records {
            order.push((choose(record)?, record.timestamp));
        }
        let content = match records.len() {
            0 => Content::Batches(Vec::new()),
            1 => {
                let record = records.swap_remove(0);
                let limit = topic.config().max_message_bytes();
                let size = BatchBuilder::new().size_with_record(&record, now_ms);
                if size > limit {
                    return Err(BrokerError::RecordTooLarge { topic: topic.name.to_string(), size, limit });
                }
                Content::Record { partition: order[0].0, record }
            }
            _ => Content::Batches(build(topic, &records, &order, now_ms)?),
        };
        Ok(Self { content, built_ms: now_ms, order })
    }
}

/// Builds batches, in the order of the partitions' first records; a partition with much gets several.
fn build(
    topic: &Topic,
    records: &[NewRecord],
    order: &[(u32, Option<i64>)],
    now_ms: i64,
) -> Result<Vec<BuiltBatch>, BrokerError> {
    let limit = topic.config().max_message_bytes();
    let mut open: BTreeMap<u32, BatchBuilder> = BTreeMap::new();
    let mut built = Vec::new();
    // records of one partition often follow each other: its batch is looked up once for all of them
    let mut rest = records.iter().zip(order).peekable();
    while let Some((_, (partition, _))) = rest.peek().copied() {
        let builder = open.entry(*partition).or_default();
        while let Some((record, _)) = rest.next_if(|(_, (next, _))| next == partition) {
            if builder.push_record_within(limit, record, now_ms).is_ok() {
                continue;
            }
            if !builder.is_empty() {
                built.push(finish(*partition, std::mem::take(builder)));
            }
            builder
                .push_record_within(limit, record, now_ms)
                .map_err(|size| BrokerError::RecordTooLarge { topic: topic.name.to_string(), size, limit })?;
        }
    }
    built.extend(
        open.into_iter().filter(|(_, builder)| !builder.is_empty()).map(|(p, builder)| finish(p, builder)),
    );
    if built.len() > MAX_APPEND_BATCHES {
        return Err(BrokerError::LimitReached { what: "batches of one write", limit: MAX_APPEND_BATCHES });
    }
    Ok(built)
}

fn finish(partition: u32, builder: BatchBuilder) -> BuiltBatch {
    let records = u32::try_from(builder.len()).expect("a request's records fit");
    BuiltBatch { partition, records, bytes: builder.finish(0) }
}

/// The offsets of each partition's records, in their order.
struct Taken<'a>(BTreeMap<u32, VecDeque<&'a PlacedRun>>, BTreeMap<u32, u32>);

impl<'a> Taken<'a> {
    fn new(runs: &'a [PlacedRun]) -> Self {
        let mut by_partition: BTreeMap<u32, VecDeque<&PlacedRun>> = BTreeMap::new();
        for run in runs {
            by_partition.entry(run.partition).or_default().push_back(run);
        }
        Self(by_partition, BTreeMap::new())
    }

    fn next(&mut self, partition: u32) -> Option<i64> {
        let runs = self.0.get_mut(&partition)?;
        let taken = self.1.entry(partition).or_default();
        let run = *runs.front()?;
        let offset = run.base_offset + i64::from(*taken);
        *taken += 1;
        if *taken >= run.count {
            runs.pop_front();
            *taken = 0;
        }
        Some(offset)
    }
}

/// The same runs in the order in which the records were given, for a repeat of the request to be answered from.
pub(crate) fn in_request_order(order: &[u32], runs: &[PlacedRun]) -> Box<[PlacedRun]> {
    let mut taken = Taken::new(runs);
    let mut ordered: Vec<PlacedRun> = Vec::new();
    for partition in order {
        let Some(offset) = taken.next(*partition) else { continue };
        match ordered.last_mut() {
            Some(last)
                if last.partition == *partition && last.base_offset + i64::from(last.count) == offset =>
            {
                last.count += 1;
            }
            _ => ordered.push(PlacedRun { partition: *partition, base_offset: offset, count: 1 }),
        }
    }
    ordered.into()
}

/// Each record's place: partition, offset and timestamp.
pub(crate) fn placements(
    outcome: &AppendOutcome,
    order: &[(u32, Option<i64>)],
    topic: &Topic,
) -> Vec<(u32, i64, i64)> {
    let log_append = topic.config().timestamp_type() == TimestampType::LogAppend;
    let time = |own: Option<i64>| {
        if log_append { outcome.timestamp_ms } else { own.unwrap_or(outcome.timestamp_ms) }
    };
    let runs = outcome.runs.as_slice();
    if outcome.replayed {
        // as they were answered the first time, whatever partitions would be chosen today
        let places = runs.iter().flat_map(|run| {
            let offsets = run.base_offset..run.base_offset + i64::from(run.count);
            offsets.map(|offset| (run.partition, offset))
        });
        return places
            .zip(order)
            .map(|((partition, offset), (_, own))| (partition, offset, time(*own)))
            .collect();
    }
    let mut taken = Taken::new(runs);
    let place = |(partition, own): &(u32, Option<i64>)| {
        (*partition, taken.next(*partition).unwrap_or(-1), time(*own))
    };
    order.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_come_back_in_the_order_of_the_request() {
        let runs = [
            PlacedRun { partition: 0, base_offset: 10, count: 2 },
            PlacedRun { partition: 1, base_offset: 5, count: 1 },
            PlacedRun { partition: 0, base_offset: 12, count: 1 },
        ];
        let ordered = in_request_order(&[1, 0, 0, 0], &runs);
        assert_eq!(
            *ordered,
            [
                PlacedRun { partition: 1, base_offset: 5, count: 1 },
                PlacedRun { partition: 0, base_offset: 10, count: 3 }
            ]
        );
        let mixed = in_request_order(&[0, 1, 0, 0], &runs);
        assert_eq!(mixed.iter().map(|run| run.count).collect::<Vec<_>>(), [1, 1, 2]);
    }
}
