//! `/pipelines`: what the pipelines of this log are doing, whichever process runs them; pause and resume.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use floe_pipeline::{LogError, PipelineView, WorkerState, WorkerStatus, WorkerView};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    body,
    gateway::Gateway,
    groups::TopicPartition,
    json::{self, answer},
    limits::PAUSE_REASON_BYTES_MAX,
    params::{InPath, RawParams},
    problem::{ApiError, Code, Problem},
    timestamp,
};

/// All pipelines.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PipelineList {
    pipelines: Vec<PipelineInfo>,
}

/// One pipeline.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PipelineInfo {
    name: String,
    /// Its consumer group.
    group: String,
    /// `running`, `retrying`, `paused`, `fuse_blown`, `failed`, `starting`, or `stopped` when nobody runs it.
    state: &'static str,
    /// Why, when it isn't simply running.
    reason: Option<String>,
    topics: Vec<String>,
    /// Kind and target of each, without secrets; empty if this server's configuration doesn't have the pipeline.
    sinks: Vec<String>,
    /// Records not yet committed.
    lag: u64,
    committed_per_sec: f64,
    /// Dead letters ever.
    dead_lettered: u64,
    /// Of those, the ones that are neither redriven nor discarded.
    dead_letters_open: u64,
    partitions: Vec<PartitionProgress>,
    workers: Vec<WorkerInfo>,
}

/// How far it is in one partition.
#[derive(Debug, Serialize, ToSchema)]
struct PartitionProgress {
    topic: String,
    partition: u32,
    /// The next offset it will read after a restart.
    committed: i64,
    end: i64,
    lag: u64,
}

/// One worker. Counters are since it started.
#[derive(Debug, Serialize, ToSchema)]
struct WorkerInfo {
    id: String,
    client_id: String,
    last_seen: Option<String>,
    partitions: Vec<TopicPartition>,
    /// `starting`, `running`, `retrying`, `paused`, `failed` or `draining`.
    state: &'static str,
    reason: Option<String>,
    /// Kind and target of each, without secrets.
    sinks: Vec<String>,
    read: u64,
    delivered: u64,
    /// Left out by a filter.
    dropped: u64,
    dead_lettered: u64,
    /// Attempts that failed and were made again.
    retried: u64,
    /// Read, and not yet committed.
    in_flight: u64,
    /// The newest, newest first.
    errors: Vec<ErrorInfo>,
}

/// An error and where it happened.
#[derive(Debug, Serialize, ToSchema)]
struct ErrorInfo {
    at: Option<String>,
    topic: String,
    partition: u32,
    /// The first offset of what failed.
    offset: i64,
    error: String,
}

/// Why a pipeline is paused.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct PauseRequest {
    /// For people, at most 1024 bytes.
    #[schema(example = "the table is being moved")]
    reason: Option<String>,
    /// A worker's fuse did it.
    #[serde(default)]
    by_fuse: bool,
}

/// What a pipeline is to do from now on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CommandDone {
    /// `paused` or `resumed`.
    status: &'static str,
    pipeline: String,
}

/// List pipelines
///
/// Those in this server's configuration, and those whose workers run elsewhere (groups `pipeline:…`).
#[utoipa::path(get, path = "/pipelines", tag = "pipelines", responses((status = 200, description = "By name", body = PipelineList)))]
pub(crate) async fn list(
    State(gateway): State<Arc<Gateway>>,
    params: RawParams,
) -> Result<Response, ApiError> {
    params.only(&[])?;
    let pipelines = gateway.directory().list().await.map_err(log_failure)?;
    let pipelines = pipelines.into_iter().map(info).collect();
    Ok(answer(StatusCode::OK, PipelineList { pipelines }))
}

/// Describe a pipeline
#[utoipa::path(
    get,
    path = "/pipelines/{pipeline}",
    tag = "pipelines",
    params(("pipeline" = String, Path, description = "The pipeline")),
    responses(
        (status = 200, description = "State, lag, rates, workers and their last errors", body = PipelineInfo),
        (status = 404, description = "No such pipeline", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn describe(
    State(gateway): State<Arc<Gateway>>,
    InPath(name): InPath<String>,
    params: RawParams,
) -> Result<Response, ApiError> {
    params.only(&[])?;
    let view = known(&gateway, &name).await?;
    Ok(answer(StatusCode::OK, info(view)))
}

/// Pause a pipeline
///
/// Its workers finish the batch they hold and read nothing more until it is resumed; a restart doesn't change that. The
/// body may be left out.
#[utoipa::path(
    post,
    path = "/pipelines/{pipeline}/pause",
    tag = "pipelines",
    params(("pipeline" = String, Path, description = "The pipeline")),
    request_body(content = Option<PauseRequest>, content_type = "application/json"),
    responses(
        (status = 200, description = "Noted, durably; workers follow within a second or so", body = CommandDone),
        (status = 404, description = "No such pipeline", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn pause(
    State(gateway): State<Arc<Gateway>>,
    InPath(name): InPath<String>,
    params: RawParams,
    request: Request,
) -> Result<Response, ApiError> {
    params.only(&[])?;
    let (parts, body) = request.into_parts();
    let received = body::receive(&gateway, &parts.headers, body).await?;
    let body = match received.bytes.is_empty() {
        true => PauseRequest::default(),
        false => {
            json::require_json(&parts.headers)?;
            json::object(&received.bytes)?
        }
    };
    let reason = body.reason.as_deref().unwrap_or("paused on request");
    if reason.len() > PAUSE_REASON_BYTES_MAX {
        let detail =
            format!("reason: it has {} bytes, at most {PAUSE_REASON_BYTES_MAX} are taken", reason.len());
        return Err(ApiError::bad_request(detail));
    }
    // A worker elsewhere may run a pipeline whose group has a name of its own, which tells nothing here.
    if !body.by_fuse {
        known(&gateway, &name).await?;
    }
    gateway.directory().pause(&name, reason, body.by_fuse).await.map_err(log_failure)?;
    Ok(answer(StatusCode::OK, CommandDone { status: "paused", pipeline: name }))
}

/// Resume a pipeline
///
/// Also after its fuse has blown or a sink has refused. Takes no body.
#[utoipa::path(
    post,
    path = "/pipelines/{pipeline}/resume",
    tag = "pipelines",
    params(("pipeline" = String, Path, description = "The pipeline")),
    responses(
        (status = 200, description = "Noted, durably; workers follow within a second or so", body = CommandDone),
        (status = 404, description = "No such pipeline", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn resume(
    State(gateway): State<Arc<Gateway>>,
    InPath(name): InPath<String>,
    params: RawParams,
) -> Result<Response, ApiError> {
    params.only(&[])?;
    known(&gateway, &name).await?;
    gateway.directory().resume(&name).await.map_err(log_failure)?;
    Ok(answer(StatusCode::OK, CommandDone { status: "resumed", pipeline: name }))
}

async fn known(gateway: &Gateway, name: &str) -> Result<PipelineView, ApiError> {
    let view = gateway.directory().get(name).await.map_err(log_failure)?;
    view.ok_or_else(|| unknown(name))
}

/// The answer about a pipeline that nobody has heard of.
pub(crate) fn unknown(name: &str) -> ApiError {
    let name: String = name.chars().take(100).collect();
    let detail = format!("pipeline '{}' does not exist; GET /pipelines lists them", name.escape_debug());
    ApiError::new(Code::NotFound, detail)
}

/// What the log could not do for a pipeline's desk.
pub(crate) fn log_failure(error: LogError) -> ApiError {
    match error {
        LogError::Unavailable(why) => ApiError::new(Code::Unavailable, why).retry_after(1),
        error @ LogError::NoTopic { .. } => ApiError::new(Code::TopicNotFound, error.to_string()),
        error @ LogError::MemberGone => ApiError::new(Code::Conflict, error.to_string()),
        error @ LogError::OutOfRange { .. } => ApiError::bad_request(error.to_string()),
        LogError::Refused(why) => ApiError::bad_request(why),
    }
}

fn info(view: PipelineView) -> PipelineInfo {
    let partition = |(topic, partition, committed, end): (String, u32, i64, i64)| PartitionProgress {
        topic,
        partition,
        committed,
        end,
        lag: u64::try_from(end.saturating_sub(committed)).unwrap_or(0),
    };
    PipelineInfo {
        name: view.name,
        group: view.group,
        state: view.state,
        reason: view.reason,
        topics: view.topics,
        sinks: view.sinks,
        lag: view.lag,
        committed_per_sec: (view.committed_per_sec * 10.0).round() / 10.0,
        dead_lettered: view.dead_lettered,
        dead_letters_open: view.dead_letters_open,
        partitions: view.partitions.into_iter().map(partition).collect(),
        workers: view.workers.into_iter().map(worker).collect(),
    }
}

fn worker(view: WorkerView) -> WorkerInfo {
    let WorkerView { id, client_id, last_seen_ms, partitions, status } = view;
    let WorkerStatus {
        state,
        reason,
        sinks,
        read,
        delivered,
        dropped,
        dead_lettered,
        retried,
        in_flight,
        errors,
    } = status;
    WorkerInfo {
        id,
        client_id,
        last_seen: timestamp::ago(last_seen_ms),
        partitions: partitions
            .into_iter()
            .map(|(topic, partition)| TopicPartition { topic, partition })
            .collect(),
        state: state_name(state),
        reason,
        sinks,
        read,
        delivered,
        dropped,
        dead_lettered,
        retried,
        in_flight,
        errors: errors
            .into_iter()
            .map(|error| ErrorInfo {
                at: timestamp::format(error.at),
                topic: error.topic,
                partition: error.partition,
                offset: error.offset,
                error: error.error,
            })
            .collect(),
    }
}

fn state_name(state: WorkerState) -> &'static str {
    match state {
        WorkerState::Starting => "starting",
        WorkerState::Running => "running",
        WorkerState::Retrying => "retrying",
        WorkerState::Paused => "paused",
        WorkerState::Failed => "failed",
        WorkerState::Draining => "draining",
    }
}
