//! Seed 001, the way through: `GET /get_status` tells how far events have come.

use std::{sync::Arc, time::Instant};

use axum::{extract::State, response::Response};
use floe_engine::EngineError;
use floe_pipeline::{PipelineView, WorkerView};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::{event_status, events_topic::EVENTS_TOPIC};
use crate::{
    gateway::Gateway,
    groups::TopicPartition,
    json::answer,
    params::{RawParams, check_topic},
    pipelines::log_failure,
    problem::{ApiError, Problem},
    rates::Totals,
    timestamp,
};

/// The pipeline that puts events into the store.
pub(super) const STORE_PIPELINE: &str = "events-store";

/// How far a topic's events have come.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IngestStatus {
    topic: String,
    /// The pipeline that the numbers are about: `events-store` if it reads the topic, else the first that does by name.
    pipeline: Option<String>,
    partitions: Vec<PartitionStatus>,
    /// Events ever accepted.
    accepted: u64,
    /// Events that the pipeline has dealt with and not dead-lettered. At rest `accepted == processed + dead_lettered`.
    processed: u64,
    /// Attempts that failed and were made again, since the workers started.
    retried: u64,
    /// Events that could not be processed and are in the pipeline's topic of dead letters. (Of a pipeline that reads
    /// several topics, those of all of them.)
    dead_lettered: u64,
    /// Accepted, and neither processed nor dead-lettered yet.
    in_flight: u64,
    lag: u64,
    rates: RatesView,
    consumers: Vec<ConsumerView>,
    /// All pipelines that read the topic.
    pipelines: Vec<ReaderStatus>,
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

#[derive(Debug, Default, Serialize, ToSchema)]
struct RatesView {
    accepted_per_sec: f64,
    processed_per_sec: f64,
}

/// A worker of the pipeline.
#[derive(Debug, Serialize, ToSchema)]
struct ConsumerView {
    id: String,
    client_id: String,
    partitions: Vec<TopicPartition>,
    last_seen: Option<String>,
}

/// One pipeline that reads the topic.
#[derive(Debug, Serialize, ToSchema)]
struct ReaderStatus {
    pipeline: String,
    /// As in `GET /pipelines`.
    state: &'static str,
    processed: u64,
    dead_lettered: u64,
}

/// How far events have come
///
/// With `event_id`, how far that event has: through every pipeline that reads its topic.
#[utoipa::path(
    get,
    path = "/get_status",
    tag = "ingestion (seed 001)",
    params(
        ("topic" = Option<String>, Query, description = "`events` if absent"),
        ("event_id" = Option<String>, Query, description = "Only this event"),
    ),
    responses(
        (status = 200, description = "Offsets, counts and rates; or with `event_id`, an `EventStatus`", body = StatusEither),
        (status = 404, description = "No such topic, or an event that isn't known (any more)", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_status(
    State(gateway): State<Arc<Gateway>>,
    params: RawParams,
) -> Result<Response, ApiError> {
    let params = params.only(&["topic", "event_id"])?;
    if let Some(id) = params.text("event_id") {
        return Ok(answer(StatusCode::OK, event_status::of(&gateway, id).await?));
    }
    let topic = params.text("topic").unwrap_or(EVENTS_TOPIC);
    check_topic(topic)?;
    // Asked first: what is accepted meanwhile must not look processed before it was accepted.
    let readers = readers(&gateway, topic).await?;
    let status = match status_of(&gateway, topic, &readers).await {
        // It is made by the first event: before that there is nothing to report, which is no mistake.
        Err(EngineError::TopicNotFound { .. }) if topic == EVENTS_TOPIC => IngestStatus::empty(&readers),
        status => status?,
    };
    Ok(answer(StatusCode::OK, status))
}

/// A topic's status, or one event's.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes to the OpenAPI document what is one or the other")]
pub(crate) enum StatusEither {
    Topic(IngestStatus),
    Event(event_status::EventStatus),
}

/// The pipelines that read a topic, the one that its numbers are about first.
pub(super) async fn readers(gateway: &Gateway, topic: &str) -> Result<Vec<PipelineView>, ApiError> {
    let mut readers = gateway.directory().list().await.map_err(log_failure)?;
    readers.retain(|view| reads(view, topic));
    readers.sort_by_key(|view| view.name != STORE_PIPELINE);
    Ok(readers)
}

fn reads(view: &PipelineView, topic: &str) -> bool {
    view.topics.iter().any(|read| read == topic) || view.partitions.iter().any(|at| at.0 == topic)
}

/// A topic's running totals, for the sampler.
pub(crate) async fn totals(
    gateway: &Gateway,
    topic: &str,
    pipelines: &[PipelineView],
) -> Result<Totals, EngineError> {
    let readers = pipelines.iter().filter(|view| reads(view, topic));
    let main = readers.min_by_key(|view| view.name != STORE_PIPELINE);
    let accepted = gateway.engine().topic_summary(topic).await?.messages;
    Ok(Totals { accepted, processed: main.map_or(0, |main| processed(main, topic)) })
}

/// What is dead-lettered was passed by the pipeline too, but not processed.
fn processed(view: &PipelineView, topic: &str) -> u64 {
    let positions = view.partitions.iter().filter(|at| at.0 == topic);
    let passed: u64 = positions.filter_map(|(_, _, committed, _)| u64::try_from(*committed).ok()).sum();
    passed.saturating_sub(view.dead_lettered)
}

async fn status_of(
    gateway: &Gateway,
    topic: &str,
    readers: &[PipelineView],
) -> Result<IngestStatus, EngineError> {
    let engine = gateway.engine();
    let accepted = engine.topic_summary(topic).await?.messages;
    let described = engine.describe_topic(topic).await?;
    let main = readers.first();
    let totals = Totals { accepted, processed: main.map_or(0, |main| processed(main, topic)) };
    let dead_lettered = main.map_or(0, |main| main.dead_lettered);
    let now = Instant::now();
    gateway.rates().watch(topic, totals, now);
    let rates = gateway.rates().of(topic, totals, now);
    let committed_in = |partition: u32| {
        let at = main?.partitions.iter().find(|at| at.0 == topic && at.1 == partition)?;
        Some(at.2)
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
        pipeline: main.map(|main| main.name.clone()),
        lag: partitions.iter().map(|at| at.lag).sum(),
        partitions,
        accepted,
        processed: totals.processed,
        retried: main.map_or(0, |main| main.workers.iter().map(|worker| worker.status.retried).sum()),
        dead_lettered,
        in_flight: accepted.saturating_sub(totals.processed).saturating_sub(dead_lettered),
        rates: RatesView { accepted_per_sec: rates.accepted, processed_per_sec: rates.processed },
        consumers: main.into_iter().flat_map(|main| &main.workers).map(consumer).collect(),
        pipelines: readers.iter().map(|view| reader(view, topic)).collect(),
    })
}

impl IngestStatus {
    fn empty(readers: &[PipelineView]) -> Self {
        let main = readers.first();
        Self {
            topic: EVENTS_TOPIC.to_owned(),
            pipeline: main.map(|main| main.name.clone()),
            partitions: Vec::new(),
            accepted: 0,
            processed: 0,
            retried: 0,
            dead_lettered: 0,
            in_flight: 0,
            lag: 0,
            rates: RatesView::default(),
            consumers: main.into_iter().flat_map(|main| &main.workers).map(consumer).collect(),
            pipelines: readers.iter().map(|view| reader(view, EVENTS_TOPIC)).collect(),
        }
    }
}

fn reader(view: &PipelineView, topic: &str) -> ReaderStatus {
    ReaderStatus {
        pipeline: view.name.clone(),
        state: view.state,
        processed: processed(view, topic),
        dead_lettered: view.dead_lettered,
    }
}

fn consumer(worker: &WorkerView) -> ConsumerView {
    let owned = worker.partitions.iter();
    ConsumerView {
        id: worker.id.clone(),
        client_id: worker.client_id.clone(),
        partitions: owned
            .map(|(topic, partition)| TopicPartition { topic: topic.clone(), partition: *partition })
            .collect(),
        last_seen: timestamp::ago(worker.last_seen_ms),
    }
}
