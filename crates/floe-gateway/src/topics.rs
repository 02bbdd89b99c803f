//! `/topics` and `/topics/{topic}`: make, list, describe, change, delete.

use std::{collections::BTreeMap, sync::Arc};

use axum::{extract::State, response::Response};
use floe_engine::{Engine, EngineError, TopicDescription, TopicSpec};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    gateway::Gateway,
    json::{JsonBody, answer},
    limits::TOPIC_GROUPS_MAX,
    params::{RawParams, TopicInPath, check_client_topic},
    problem::{ApiError, Problem},
};

/// A topic to be made.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct CreateTopic {
    /// `[A-Za-z0-9._-]{1,249}`, not `.` or `..`.
    #[schema(example = "orders")]
    name: String,
    /// 1 to 10000; 1 if absent.
    #[schema(example = 3)]
    partitions: Option<u32>,
    /// `retention.ms`; -1 keeps records for ever.
    retention_ms: Option<i64>,
    /// `retention.bytes`; -1 is no limit.
    retention_bytes: Option<i64>,
    /// `cleanup.policy`: `delete`, `compact` or `compact,delete`.
    cleanup_policy: Option<String>,
    /// `max.message.bytes`.
    max_message_bytes: Option<u64>,
    /// Settings under Kafka's names, and Floe's own (`floe.…`).
    #[serde(default)]
    #[schema(value_type = Object)]
    config: BTreeMap<String, Setting>,
}

/// What is to change. Partitions only grow; a setting of null goes back to its default.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct AlterTopic {
    partitions: Option<u32>,
    #[serde(default)]
    #[schema(value_type = Object)]
    config: BTreeMap<String, Option<Setting>>,
}

/// A setting's value as JSON users write it; the engine takes its text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Setting {
    Text(String),
    Number(i64),
    Fraction(f64),
    Switch(bool),
}

impl Setting {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
            Self::Fraction(number) => number.to_string(),
            Self::Switch(on) => on.to_string(),
        }
    }
}

impl CreateTopic {
    fn into_spec(self) -> Result<TopicSpec, ApiError> {
        let mut config: BTreeMap<_, _> =
            self.config.into_iter().map(|(key, value)| (key, value.into_text())).collect();
        for (key, value) in [
            ("retention.ms", self.retention_ms.map(|value| value.to_string())),
            ("retention.bytes", self.retention_bytes.map(|value| value.to_string())),
            ("cleanup.policy", self.cleanup_policy),
            ("max.message.bytes", self.max_message_bytes.map(|value| value.to_string())),
        ] {
            let Some(value) = value else { continue };
            if config.get(key).is_some_and(|given| *given != value) {
                let detail =
                    format!("{key} is given twice, by its own field and in config, with different values");
                return Err(ApiError::bad_request(detail));
            }
            config.insert(key.to_owned(), value);
        }
        Ok(TopicSpec { name: self.name, partitions: self.partitions.unwrap_or(1), config })
    }
}

/// What became of a topic.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TopicDone {
    #[schema(example = "created")]
    pub(crate) status: &'static str,
    pub(crate) topic: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) partitions: Option<usize>,
}

/// All topics.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TopicList {
    topics: Vec<TopicLine>,
}

#[derive(Debug, Serialize, ToSchema)]
struct TopicLine {
    name: String,
    /// Live WebSocket and SSE subscriptions.
    subscribers: usize,
    partitions: u32,
    /// All records ever accepted.
    messages: u64,
}

/// A topic in full.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TopicView {
    topic: String,
    /// A topic that is deleted and made again has another one.
    id: u64,
    partitions: Vec<PartitionView>,
    config: BTreeMap<String, String>,
    /// Live WebSocket and SSE subscriptions.
    subscribers: usize,
    /// The consumer groups with positions on it.
    groups: Vec<ReaderView>,
    /// Groups that were left out because there are too many to list.
    #[serde(skip_serializing_if = "is_zero")]
    groups_omitted: usize,
}

#[derive(Debug, Serialize, ToSchema)]
struct PartitionView {
    partition: u32,
    /// The first offset kept.
    start: i64,
    /// The offset behind the newest visible record.
    end: i64,
    /// Bytes stored now.
    size: u64,
    leader: i32,
}

#[derive(Debug, Serialize, ToSchema)]
struct ReaderView {
    group: String,
    lag: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde calls")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Make a topic
#[utoipa::path(
    post,
    path = "/topics",
    tag = "topics",
    request_body = CreateTopic,
    responses(
        (status = 201, description = "Made, durably", body = TopicDone),
        (status = 400, description = "A name, number or setting that isn't taken", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "An internal name (`__…`)", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "There is one of this name", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create(
    State(gateway): State<Arc<Gateway>>,
    params: RawParams,
    JsonBody(body): JsonBody<CreateTopic>,
) -> Result<Response, ApiError> {
    params.only(&[])?;
    make(gateway.engine(), body.into_spec()?).await
}

/// Makes a topic that a client named.
pub(crate) async fn make(engine: &Engine, spec: TopicSpec) -> Result<Response, ApiError> {
    check_client_topic(&spec.name)?;
    let made = engine.create_topic(spec).await?;
    let done = TopicDone { status: "created", topic: made.name, partitions: Some(made.partitions.len()) };
    Ok(answer(StatusCode::CREATED, done))
}

/// List topics
#[utoipa::path(get, path = "/topics", tag = "topics", responses((status = 200, description = "By name", body = TopicList)))]
pub(crate) async fn list(
    State(gateway): State<Arc<Gateway>>,
    params: RawParams,
) -> Result<Response, ApiError> {
    params.only(&[])?;
    let line = |topic: floe_engine::TopicSummary| TopicLine {
        subscribers: gateway.live().subscribers(&topic.name),
        name: topic.name,
        partitions: topic.partitions,
        messages: topic.messages,
    };
    let topics = gateway.engine().topics().await?.into_iter().map(line).collect();
    Ok(answer(StatusCode::OK, TopicList { topics }))
}

/// Describe a topic
#[utoipa::path(
    get,
    path = "/topics/{topic}",
    tag = "topics",
    params(("topic" = String, Path, description = "The topic")),
    responses(
        (status = 200, description = "The topic in full", body = TopicView),
        (status = 404, description = "No such topic", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn describe(
    State(gateway): State<Arc<Gateway>>,
    TopicInPath(topic): TopicInPath,
    params: RawParams,
) -> Result<Response, ApiError> {
    params.only(&[])?;
    let described = gateway.engine().describe_topic(&topic).await?;
    let readers = readers(gateway.engine(), &topic).await?;
    Ok(answer(StatusCode::OK, view(&gateway, described, readers)))
}

/// Change a topic
#[utoipa::path(
    patch,
    path = "/topics/{topic}",
    tag = "topics",
    params(("topic" = String, Path, description = "The topic")),
    request_body = AlterTopic,
    responses(
        (status = 200, description = "The topic as it is now, durably", body = TopicView),
        (status = 400, description = "Fewer partitions, or a setting that isn't taken", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such topic", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn alter(
    State(gateway): State<Arc<Gateway>>,
    TopicInPath(topic): TopicInPath,
    params: RawParams,
    JsonBody(body): JsonBody<AlterTopic>,
) -> Result<Response, ApiError> {
    params.only(&[])?;
    check_client_topic(&topic)?;
    let config = body.config.into_iter().map(|(key, value)| (key, value.map(Setting::into_text))).collect();
    let altered = gateway.engine().alter_topic(&topic, body.partitions, config).await?;
    // It is changed: that its groups can't be told now doesn't make a failure of it.
    let readers = readers(gateway.engine(), &topic).await.unwrap_or_default();
    Ok(answer(StatusCode::OK, view(&gateway, altered, readers)))
}

/// Delete a topic
///
/// With its records and all groups' positions on it. Live subscribers are told `topic_deleted`.
#[utoipa::path(
    delete,
    path = "/topics/{topic}",
    tag = "topics",
    params(("topic" = String, Path, description = "The topic")),
    responses(
        (status = 200, description = "Gone, durably", body = TopicDone),
        (status = 404, description = "No such topic", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete(
    State(gateway): State<Arc<Gateway>>,
    TopicInPath(topic): TopicInPath,
    params: RawParams,
) -> Result<Response, ApiError> {
    params.only(&[])?;
    remove(gateway.engine(), topic).await
}

/// Deletes a topic that a client named.
pub(crate) async fn remove(engine: &Engine, topic: String) -> Result<Response, ApiError> {
    check_client_topic(&topic)?;
    engine.delete_topic(&topic).await?;
    Ok(answer(StatusCode::OK, TopicDone { status: "deleted", topic, partitions: None }))
}

fn view(gateway: &Gateway, described: TopicDescription, readers: (Vec<ReaderView>, usize)) -> TopicView {
    let (groups, groups_omitted) = readers;
    let partition = |at: floe_engine::PartitionDescription| PartitionView {
        partition: at.partition,
        start: at.start,
        end: at.end,
        size: at.bytes,
        leader: at.leader,
    };
    TopicView {
        subscribers: gateway.live().subscribers(&described.name),
        partitions: described.partitions.into_iter().map(partition).collect(),
        topic: described.name,
        id: described.id,
        config: described.config,
        groups,
        groups_omitted,
    }
}

/// The groups with a position on a topic, and how many of them are over the limit.
async fn readers(engine: &Engine, topic: &str) -> Result<(Vec<ReaderView>, usize), EngineError> {
    let mut readers = Vec::new();
    let mut omitted = 0;
    for summary in engine.groups().await? {
        let group = match engine.describe_group(&summary.group).await {
            // Deleted since the list was made.
            Err(EngineError::GroupNotFound { .. }) => continue,
            group => group?,
        };
        let mut positions = group.partitions.iter().filter(|at| at.topic == topic).peekable();
        if positions.peek().is_none() {
            continue;
        }
        if readers.len() == TOPIC_GROUPS_MAX {
            omitted += 1;
            continue;
        }
        readers.push(ReaderView { lag: positions.map(|at| at.lag).sum(), group: group.group });
    }
    Ok((readers, omitted))
}
