//! What is noted of events that this process has not accepted: before its start, at another gateway of a cluster, or at a
//! door that doesn't know what an event is. Only of those that wait to be stored or are dead-lettered: all others are found by
//! their rows.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use floe_engine::{OffsetSpec, PartitionRead, Placement};
use floe_pipeline::TOPIC_PREFIX;
use tokio::sync::Mutex;

use super::{
    events_topic::{EVENTS_TOPIC, id_in, id_of},
    ingest_status::STORE_PIPELINE,
};
use crate::{
    gateway::Gateway,
    limits::{DEAD_LETTERS_PAGE_MAX, READ_BYTES_DEFAULT, READ_RECORDS_MAX, RECEIPTS_MAX},
};

/// How far it was looked.
#[derive(Debug, Default)]
pub(crate) struct Recalled(Mutex<Looked>);

#[derive(Debug, Default)]
struct Looked {
    /// The next offset of each partition of the events' topic.
    events: BTreeMap<u32, i64>,
    /// The newest dead letter of each pipeline.
    letters: BTreeMap<String, String>,
    /// When the last look began.
    at: Option<Instant>,
}

/// Whether what is found came before all that is noted, or after.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Age {
    Older,
    Newer,
}

/// Notes what was there before this start.
pub(crate) async fn all(gateway: &Gateway) {
    look(gateway, &mut *gateway.recalled().0.lock().await, Age::Older).await;
}

/// Notes what has come since. One looks at a time, for all who asked before.
pub(super) async fn news(gateway: &Gateway) {
    let asked = Instant::now();
    let mut looked = gateway.recalled().0.lock().await;
    if looked.at.is_none_or(|at| at <= asked) {
        look(gateway, &mut looked, Age::Newer).await;
    }
}

async fn look(gateway: &Gateway, looked: &mut Looked, age: Age) {
    looked.at = Some(Instant::now());
    look_at_events(gateway, looked, age).await;
    if let Ok(counts) = gateway.dead_letters().counts().await {
        for count in counts {
            if !look_at_letters(gateway, &count.pipeline, looked, age).await {
                break;
            }
        }
    }
}

/// Answers whether there is room for more.
fn note(gateway: &Gateway, topic: &str, id: &str, placement: Placement, age: Age) -> bool {
    match age {
        Age::Older => gateway.receipts().note_older(topic, id, placement),
        Age::Newer => {
            gateway.receipts().note(topic, std::iter::once((id, placement)));
            true
        }
    }
}

async fn look_at_events(gateway: &Gateway, looked: &mut Looked, age: Age) {
    let engine = gateway.engine();
    let Ok(described) = engine.describe_topic(EVENTS_TOPIC).await else { return };
    let store = gateway.directory().get(STORE_PIPELINE).await.ok().flatten();
    let share = i64::try_from(RECEIPTS_MAX / described.partitions.len().max(1)).unwrap_or(i64::MAX);
    for at in &described.partitions {
        let positions = store.iter().flat_map(|view| &view.partitions);
        let committed = positions
            .filter(|(topic, partition, ..)| topic == EVENTS_TOPIC && *partition == at.partition)
            .map(|(_, _, committed, _)| *committed)
            .next();
        // of a topic that was made again, nothing was looked at
        let seen = looked.events.get(&at.partition).copied().filter(|seen| *seen <= at.end);
        let oldest = at.start.max(at.end.saturating_sub(share));
        let mut next = committed.unwrap_or(at.start).max(seen.unwrap_or(at.start)).max(oldest);
        while next < at.end {
            let read = PartitionRead {
                topic: EVENTS_TOPIC.to_owned(),
                partition: at.partition,
                from: OffsetSpec::Offset(next),
                max_records: READ_RECORDS_MAX,
                max_bytes: READ_BYTES_DEFAULT,
                wait: Duration::ZERO,
            };
            let Ok(page) = engine.read(read).await else { break };
            for record in &page.records {
                let placement = Placement {
                    partition: record.partition,
                    offset: record.offset,
                    timestamp: record.timestamp,
                };
                if !note(gateway, EVENTS_TOPIC, &id_of(EVENTS_TOPIC, record), placement, age) {
                    return;
                }
            }
            if page.next_offset <= next {
                break;
            }
            next = page.next_offset;
        }
        looked.events.insert(at.partition, next);
    }
}

/// Answers whether there is room for more.
async fn look_at_letters(gateway: &Gateway, pipeline: &str, looked: &mut Looked, age: Age) -> bool {
    let topic = format!("{TOPIC_PREFIX}{pipeline}");
    let ever = gateway.engine().topic_summary(&topic).await.map_or(0, |topic| topic.messages);
    let newest = ever.checked_sub(RECEIPTS_MAX as u64 + 1);
    let mut after = looked.letters.get(pipeline).cloned().or(newest.map(|offset| format!("0-{offset}")));
    loop {
        let page = gateway.dead_letters().list(pipeline, after.as_deref(), DEAD_LETTERS_PAGE_MAX, true).await;
        let Ok(page) = page else { return true };
        for letter in &page.letters {
            let Some(origin) = &letter.origin else { continue };
            let Some(id) = id_in(letter.value.as_ref(), &letter.headers) else { continue };
            // When it was accepted is in the log, if anybody asks.
            let placement = Placement { partition: origin.partition, offset: origin.offset, timestamp: -1 };
            if !note(gateway, &origin.topic, &id, placement, age) {
                return false;
            }
        }
        if let Some(last) = page.letters.last() {
            looked.letters.insert(pipeline.to_owned(), last.id.clone());
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return true,
        }
    }
}
