//! Seed 001, the way through: `GET /get_status` tells how far events have come.

use std::{sync::Arc, time::Instant};

use axum::{extract::State, response::Response};
use floe_engine::{Engine, EngineError, GroupDescription};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::ingest::EVENTS_TOPIC;
use crate::{
    gateway::Gateway,
    groups::{MemberView, members},
    json::answer,
    params::{RawParams, check_topic},
    problem::{ApiError, Code, Problem},
    rates::Totals,
    timestamp,
};

/// The consumer group of the pipeline that stores events; what it has committed is processed.
const STORE_GROUP: &str = "events-store";
/// Where that pipeline puts what it can't store.
const STORE_DEAD_LETTERS: &str = "dlq.events-store";

/// How far a topic's events have come.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IngestStatus {
    topic: String,
    partitions: Vec<PartitionStatus>,
    /// Events ever accepted.
    accepted: u64,
    /// Events stored by the pipeline `events-store`. At rest `accepted == processed + dead_lettered`.
    processed: u64,
    /// Deliveries that were tried again.
    retried: u64,
    /// Events that could not be stored and wait in the topic `dlq.events-store`.
    dead_lettered: u64,
    /// Accepted, and neither stored nor dead-lettered yet.
    in_flight: u64,
    lag: u64,
    rates: RatesView,
    consumers: Vec<MemberView>,
}

#[derive(Debug, Serialize, ToSchema)]
struct PartitionStatus {
    partition: u32,
    start: i64,
    end: i64,
    /// Null before the pipeline has a position.
    committed: Option<i64>,
    lag: u64,
}

#[derive(Debug, Serialize, ToSchema)]
struct RatesView {
    accepted_per_sec: f64,
    processed_per_sec: f64,
}

/// How far one event has come.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventStatus {
    event_id: String,
    /// `accepted`, or `stored` once the pipeline `events-store` has committed it.
    status: &'static str,
    topic: String,
    partition: u32,
    offset: i64,
    accepted_at: Option<String>,
}

/// How far events have come
///
/// With `event_id`, how far that event has: known of the newest 100,000 events that this server accepted.
#[utoipa::path(
    get,
    path = "/get_status",
    tag = "ingestion (seed 001)",
    params(
        ("topic" = Option<String>, Query, description = "`events` if absent"),
        ("event_id" = Option<String>, Query, description = "Only this event"),
    ),
    responses(
        (status = 200, description = "Offsets, counts and rates; or with `event_id`, an `EventStatus`", body = IngestStatus),
        (status = 404, description = "No such topic, or an event that isn't known (any more)", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_status(
    State(gateway): State<Arc<Gateway>>,
    params: RawParams,
) -> Result<Response, ApiError> {
    let params = params.only(&["topic", "event_id"])?;
    if let Some(id) = params.text("event_id") {
        return event_status(&gateway, id).map(|status| answer(StatusCode::OK, status));
    }
    let topic = params.text("topic").unwrap_or(EVENTS_TOPIC);
    check_topic(topic)?;
    let status = match status_of(&gateway, topic) {
        // It is made by the first event: before that there is nothing to report, which is no mistake.
        Err(EngineError::TopicNotFound { .. }) if topic == EVENTS_TOPIC => IngestStatus::empty(),
        status => status?,
    };
    Ok(answer(StatusCode::OK, status))
}

/// A topic's running totals, for the sampler.
pub(crate) fn totals(engine: &Engine, topic: &str) -> Result<Totals, EngineError> {
    let accepted = engine.topic_summary(topic)?.messages;
    let store = engine.describe_group(STORE_GROUP).ok();
    Ok(totals_from(accepted, store.as_ref(), topic, dead_letters(engine)))
}

/// What is dead-lettered was passed by the group too, but not processed.
fn totals_from(accepted: u64, store: Option<&GroupDescription>, topic: &str, dead_lettered: u64) -> Totals {
    let positions = store.into_iter().flat_map(|group| &group.partitions).filter(|at| at.topic == topic);
    let passed: u64 = positions.filter_map(|at| u64::try_from(at.committed).ok()).sum();
    Totals { accepted, processed: passed.saturating_sub(dead_lettered) }
}

fn dead_letters(engine: &Engine) -> u64 {
    engine.topic_summary(STORE_DEAD_LETTERS).map_or(0, |topic| topic.messages)
}

fn status_of(gateway: &Gateway, topic: &str) -> Result<IngestStatus, EngineError> {
    let engine = gateway.engine();
    let accepted = engine.topic_summary(topic)?.messages;
    let described = engine.describe_topic(topic)?;
    let store = engine.describe_group(STORE_GROUP).ok();
    let dead_lettered = dead_letters(engine);
    let totals = totals_from(accepted, store.as_ref(), topic, dead_lettered);
    let now = Instant::now();
    gateway.rates().watch(topic, totals, now);
    let rates = gateway.rates().of(topic, totals, now);
    let committed_in = |partition: u32| {
        let positions = &store.as_ref()?.partitions;
        positions.iter().find(|at| at.topic == topic && at.partition == partition).map(|at| at.committed)
    };
    let partitions: Vec<_> = described
        .partitions
        .iter()
        .map(|at| {
            let committed = committed_in(at.partition);
            let lag = u64::try_from(at.end - committed.unwrap_or(at.start)).unwrap_or(0);
            PartitionStatus { partition: at.partition, start: at.start, end: at.end, committed, lag }
        })
        .collect();
    Ok(IngestStatus {
        topic: topic.to_owned(),
        lag: partitions.iter().map(|at| at.lag).sum(),
        partitions,
        accepted,
        processed: totals.processed,
        // The pipelines count their attempts themselves; until they report them here there are none.
        retried: 0,
        dead_lettered,
        in_flight: accepted.saturating_sub(totals.processed).saturating_sub(dead_lettered),
        rates: RatesView { accepted_per_sec: rates.accepted, processed_per_sec: rates.processed },
        consumers: store.as_ref().map(members).unwrap_or_default(),
    })
}

impl IngestStatus {
    fn empty() -> Self {
        Self {
            topic: EVENTS_TOPIC.to_owned(),
            partitions: Vec::new(),
            accepted: 0,
            processed: 0,
            retried: 0,
            dead_lettered: 0,
            in_flight: 0,
            lag: 0,
            rates: RatesView { accepted_per_sec: 0.0, processed_per_sec: 0.0 },
            consumers: Vec::new(),
        }
    }
}

fn event_status(gateway: &Gateway, id: &str) -> Result<EventStatus, ApiError> {
    let receipt = gateway.receipts().find(id).ok_or_else(|| {
        let detail = format!(
            "no event '{}' is known: the newest 100,000 that this server accepted are",
            id.chars().take(64).collect::<String>().escape_debug()
        );
        ApiError::new(Code::NotFound, detail)
    })?;
    let place = receipt.placement;
    let store = gateway.engine().describe_group(STORE_GROUP).ok();
    let stored = store.iter().flat_map(|group| &group.partitions).any(|at| {
        *at.topic == *receipt.topic && at.partition == place.partition && at.committed > place.offset
    });
    Ok(EventStatus {
        event_id: id.to_owned(),
        status: if stored { "stored" } else { "accepted" },
        topic: receipt.topic.to_string(),
        partition: place.partition,
        offset: place.offset,
        accepted_at: timestamp::format(place.timestamp),
    })
}
