//! How far one event has come: `GET /get_status?event_id=`.

use std::time::Duration;

use floe_engine::{Engine, OffsetSpec, PartitionRead, Placement, StoredRecord};
use floe_pipeline::{DeadLetter, DeadLetterState, Origin, PipelineView};
use floe_store::StoredEvent;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    ingest_status::{STORE_PIPELINE, readers},
    recall,
};
use crate::{
    gateway::Gateway,
    problem::{ApiError, Code},
    timestamp,
};

/// How far one event has come.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventStatus {
    event_id: String,
    /// `accepted`, `stored`, `dead_lettered`, or `erased` if it was stored and its row was deleted.
    status: &'static str,
    topic: String,
    partition: u32,
    offset: i64,
    accepted_at: Option<String>,
    /// Since when its row can be read.
    stored_at: Option<String>,
    dead_lettered_at: Option<String>,
    /// Why it was dead-lettered.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Every pipeline that reads its topic.
    pipelines: Vec<PipelineStep>,
}

/// What one pipeline has done with an event.
#[derive(Debug, Serialize, ToSchema)]
struct PipelineStep {
    pipeline: String,
    /// `pending`, `processed`, `dead_lettered`, or `redriven`: dead-lettered, and written to the topic again.
    status: &'static str,
    /// When it was dead-lettered, or stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
}

/// One event's status.
pub(super) async fn of(gateway: &Gateway, id: &str) -> Result<EventStatus, ApiError> {
    let row = match gateway.events() {
        // A store that can't be reached says nothing about the event; what else is known is told.
        Some(events) => events.store.get(id).await,
        None => Ok(None),
    };
    let store_told = row.is_ok() && gateway.events().is_some();
    let row = row.ok().flatten();
    let known = match place(gateway, id, row.as_ref()) {
        Some(known) => Some(known),
        None => {
            recall::news(gateway).await;
            place(gateway, id, row.as_ref())
        }
    };
    let (origin, accepted_ms) = known.ok_or_else(|| unknown(id))?;
    let letters = gateway.dead_letters().of_origin(&origin).await.unwrap_or_default();
    let readers = readers(gateway, &origin.topic).await?;
    let pipelines: Vec<_> = readers
        .iter()
        .map(|view| {
            let letter = letters.iter().find(|(pipeline, _)| *pipeline == view.name);
            step(view, &origin, letter.map(|(_, letter)| letter), row.as_ref())
        })
        .collect();
    let main = pipelines.first();
    let status = match main.map(|step| step.status) {
        _ if row.is_some() => "stored",
        Some("dead_lettered") => "dead_lettered",
        Some("processed") if store_told && main.is_some_and(|step| step.pipeline == STORE_PIPELINE) => {
            "erased"
        }
        Some("processed") => "stored",
        _ => "accepted",
    };
    let letter = letters.iter().find(|(pipeline, _)| main.is_some_and(|step| step.pipeline == *pipeline));
    let letter = letter.filter(|_| row.is_none()).map(|(_, letter)| letter);
    let accepted_ms = match accepted_ms {
        Some(ms) => Some(ms),
        None => record_at(gateway.engine(), &origin).await.map(|record| record.timestamp),
    };
    Ok(EventStatus {
        event_id: id.to_owned(),
        status,
        accepted_at: accepted_ms.and_then(timestamp::format),
        stored_at: row.as_ref().and_then(|event| timestamp::format(event.stored_at)),
        dead_lettered_at: letter.and_then(|letter| timestamp::format(letter.last_failure)),
        error: letter.map(|letter| letter.error.clone()),
        topic: origin.topic,
        partition: origin.partition,
        offset: origin.offset,
        pipelines,
    })
}

/// Where the event is in the log, and when it came if that is known. A row says best: of an id that came twice it has
/// the place of the one that counts.
fn place(gateway: &Gateway, id: &str, row: Option<&StoredEvent>) -> Option<(Origin, Option<i64>)> {
    let receipt = gateway.receipts().find(id);
    if let Some(row) = row {
        let origin = Origin { topic: row.topic.clone(), partition: row.partition, offset: row.offset };
        let noted = receipt.filter(|receipt| {
            *receipt.topic == *row.topic
                && (receipt.placement.partition, receipt.placement.offset) == (row.partition, row.offset)
        });
        return Some((origin, noted.and_then(|receipt| known_time(receipt.placement))));
    }
    let receipt = receipt?;
    let Placement { partition, offset, .. } = receipt.placement;
    let origin = Origin { topic: receipt.topic.to_string(), partition, offset };
    Some((origin, known_time(receipt.placement)))
}

/// The time of a place, unless it was noted without one.
fn known_time(placement: Placement) -> Option<i64> {
    (placement.timestamp >= 0).then_some(placement.timestamp)
}

fn step(
    view: &PipelineView,
    origin: &Origin,
    letter: Option<&DeadLetter>,
    row: Option<&StoredEvent>,
) -> PipelineStep {
    let row = row.filter(|_| view.name == STORE_PIPELINE);
    let passed = view.partitions.iter().any(|(topic, partition, committed, _)| {
        *topic == origin.topic && *partition == origin.partition && *committed > origin.offset
    });
    let (status, at) = match (row, letter) {
        (Some(row), _) => ("processed", Some(row.stored_at)),
        (None, Some(letter)) if letter.state == DeadLetterState::Redriven => {
            ("redriven", Some(letter.last_failure))
        }
        (None, Some(letter)) => ("dead_lettered", Some(letter.last_failure)),
        (None, None) if passed => ("processed", None),
        (None, None) => ("pending", None),
    };
    PipelineStep { pipeline: view.name.clone(), status, at: at.and_then(timestamp::format) }
}

fn unknown(id: &str) -> ApiError {
    let detail = format!(
        "no event '{}' is known: the stored ones are, and the newest 100,000 that were accepted or dead-lettered",
        id.chars().take(64).collect::<String>().escape_debug()
    );
    ApiError::new(Code::NotFound, detail)
}

async fn record_at(engine: &Engine, origin: &Origin) -> Option<StoredRecord> {
    let read = PartitionRead {
        topic: origin.topic.clone(),
        partition: origin.partition,
        from: OffsetSpec::Offset(origin.offset),
        max_records: 1,
        max_bytes: 1,
        wait: Duration::ZERO,
    };
    let page = engine.read(read).await.ok()?;
    page.records.into_iter().find(|record| record.offset == origin.offset)
}
