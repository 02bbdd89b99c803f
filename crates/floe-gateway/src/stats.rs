//! `GET /stats`: the numbers of all topics.

use std::{collections::BTreeMap, sync::Arc};

use axum::{extract::State, response::Response};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    gateway::Gateway,
    json::answer,
    params::RawParams,
    problem::{ApiError, Problem},
};

/// Topics by name, and their sums.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Stats {
    topics: BTreeMap<String, TopicStats>,
    /// All records ever accepted.
    messages: u64,
    /// Live WebSocket and SSE subscriptions.
    subscribers: usize,
    /// Bytes stored now.
    bytes: u64,
    uptime_sec: u64,
}

#[derive(Debug, Serialize, ToSchema)]
struct TopicStats {
    messages: u64,
    subscribers: usize,
    bytes: u64,
    partitions: u32,
}

/// Numbers of all topics
#[utoipa::path(get, path = "/stats", tag = "operations", responses(
    (status = 200, description = "By topic", body = Stats),
    (status = 503, description = "The log can't be reached", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn stats(
    State(gateway): State<Arc<Gateway>>,
    params: RawParams,
) -> Result<Response, ApiError> {
    params.only(&[])?;
    let mut stats = Stats {
        topics: BTreeMap::new(),
        messages: 0,
        subscribers: gateway.live().total_subscribers(),
        bytes: 0,
        uptime_sec: gateway.uptime().as_secs(),
    };
    for topic in gateway.engine().topics().await? {
        stats.messages += topic.messages;
        stats.bytes += topic.bytes;
        let subscribers = gateway.live().subscribers(&topic.name);
        let line = TopicStats {
            messages: topic.messages,
            subscribers,
            bytes: topic.bytes,
            partitions: topic.partitions,
        };
        stats.topics.insert(topic.name, line);
    }
    Ok(answer(StatusCode::OK, stats))
}
