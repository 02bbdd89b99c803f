//! `/health`: for people, for supervisors (`live`: restart me), and for balancers (`ready`: send me work).

use std::sync::Arc;

use axum::{extract::State, response::Response};
use floe_engine::StorageState;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    gateway::Gateway,
    json::answer,
    params::RawParams,
    problem::{ApiError, Code, Problem},
    troubles::{self, Trouble},
};

/// How the server is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`, `degraded` (reads only, the log can't be reached, damage was found, or what `reasons` says) or `stopping`.
    status: &'static str,
    uptime_sec: u64,
    /// Left out while the log can't be reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    topics: Option<usize>,
    /// Live WebSocket and SSE subscriptions.
    subscribers: usize,
    version: &'static str,
    engine: &'static str,
    /// Which log this is; no other one has this id. Left out while the log can't be reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    log_id: Option<String>,
    /// `writable`, `full`, `failed`, `unreachable` or `stopping`.
    storage: &'static str,
    /// Ranges found damaged on disk; they are not served.
    damaged_ranges: usize,
    /// Pipelines that stopped or can't deliver, a log, a store or Redis that can't be reached. Except with the log, events
    /// are accepted and read all the same.
    reasons: Vec<Trouble>,
}

/// Whether it can take work, and what doesn't work behind that.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Ready {
    /// `ok`, or `degraded` for the `reasons` given.
    #[schema(example = "ok")]
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<Trouble>,
}

/// A single word.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Status {
    #[schema(example = "ok")]
    status: &'static str,
}

/// How the server is
///
/// Always 200 while it answers; `status` says the rest.
#[utoipa::path(get, path = "/health", tag = "operations", responses((status = 200, description = "Its state", body = Health)))]
pub(crate) async fn health(
    State(gateway): State<Arc<Gateway>>,
    params: RawParams,
) -> Result<Response, ApiError> {
    params.only(&[])?;
    let engine = gateway.engine().health();
    let reasons = troubles::of(&gateway).await;
    let status = match engine.storage {
        _ if gateway.is_stopping() => "stopping",
        StorageState::Stopping => "stopping",
        StorageState::Writable if engine.damage.is_empty() && reasons.is_empty() => "ok",
        StorageState::Writable | StorageState::Full | StorageState::Failed | StorageState::Unreachable => {
            "degraded"
        }
    };
    let (topics, log_id) = match gateway.is_log_away() {
        true => (None, None),
        false => (gateway.engine().topics().await.ok(), gateway.engine().log_id().await.ok()),
    };
    let health = Health {
        status,
        uptime_sec: gateway.uptime().as_secs(),
        topics: topics.map(|topics| topics.len()),
        subscribers: gateway.live().total_subscribers(),
        version: env!("CARGO_PKG_VERSION"),
        engine: engine.engine,
        log_id,
        storage: storage_name(engine.storage),
        damaged_ranges: engine.damage.len(),
        reasons,
    };
    Ok(answer(StatusCode::OK, health))
}

/// Whether the process lives
#[utoipa::path(get, path = "/health/live", tag = "operations", responses((status = 200, description = "It does", body = Status)))]
pub(crate) async fn live(params: RawParams) -> Result<Response, ApiError> {
    params.only(&[])?;
    Ok(answer(StatusCode::OK, Status { status: "ok" }))
}

/// Whether it can take work
///
/// A server whose store or pipelines are in trouble still accepts and keeps events, so it stays ready: taking it away from
/// its clients would lose what it can do. `status` is `degraded` then.
#[utoipa::path(
    get,
    path = "/health/ready",
    tag = "operations",
    responses(
        (status = 200, description = "It can", body = Ready),
        (status = 503, description = "It can't, and why", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn ready(
    State(gateway): State<Arc<Gateway>>,
    params: RawParams,
) -> Result<Response, ApiError> {
    params.only(&[])?;
    let not_ready = |code, why| Err(ApiError::new(code, why).restatus(StatusCode::SERVICE_UNAVAILABLE));
    if gateway.is_stopping() {
        return not_ready(Code::Unavailable, "the server is stopping");
    }
    match gateway.engine().health().storage {
        StorageState::Writable => {
            let reasons = troubles::of(&gateway).await;
            let status = if reasons.is_empty() { "ok" } else { "degraded" };
            Ok(answer(StatusCode::OK, Ready { status, reasons }))
        }
        StorageState::Full => {
            not_ready(Code::StorageFull, "the disk is full; reads go on, writing resumes by itself")
        }
        StorageState::Failed => not_ready(
            Code::StorageFailed,
            "a write to disk failed; reads go on, no more writes until a restart",
        ),
        StorageState::Unreachable => not_ready(Code::Unavailable, "the log can't be reached"),
        StorageState::Stopping => not_ready(Code::Unavailable, "the engine is stopping"),
    }
}

fn storage_name(state: StorageState) -> &'static str {
    match state {
        StorageState::Writable => "writable",
        StorageState::Full => "full",
        StorageState::Failed => "failed",
        StorageState::Unreachable => "unreachable",
        StorageState::Stopping => "stopping",
    }
}
