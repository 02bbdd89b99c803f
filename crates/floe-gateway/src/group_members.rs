//! Members of consumer groups in other processes: join, heartbeat, leave, commit. A worker of a pipeline that runs apart
//! from the server is such a member.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use bytes::Bytes;
use floe_engine::{EngineError, Membership};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::{
    gateway::Gateway,
    groups::{TopicPartition, within},
    json::{JsonBody, answer},
    limits::{
        COMMIT_OFFSETS_MAX, MEMBER_NAME_BYTES_MAX, MEMBER_STATUS_BYTES_MAX, POLL_TOPICS_MAX, SESSION_MS_MAX,
        SESSION_MS_MIN,
    },
    params::{InPath, RawParams, check_topic},
    problem::{ApiError, Code, Problem},
};

/// Session of a member that names none.
const SESSION_MS_DEFAULT: u64 = 10_000;

/// Who joins, and for what.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct JoinRequest {
    /// A name for people, 1 to 256 bytes.
    #[schema(example = "worker-1")]
    client_id: String,
    /// Up to 100 topics that exist; with none, the member owns nothing and is only seen.
    topics: Vec<String>,
    /// After so long without a heartbeat its partitions go to others: 1000 to 3600000; 10000 if absent.
    session_ms: Option<u64>,
}

/// A sign of life.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct HeartbeatRequest {
    /// Any JSON of at most 16 KiB that the member says of itself; it replaces what it said before.
    #[schema(value_type = Option<Object>)]
    status: Option<Box<RawValue>>,
}

/// What a member is told.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MembershipView {
    member: String,
    /// Goes with each commit.
    generation: u64,
    /// All it owns now; nobody else does.
    assignment: Vec<TopicPartition>,
}

/// Positions to commit.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct CommitRequest {
    /// Commit as this member: refused when it isn't one any more, or doesn't own a partition.
    member: Option<String>,
    /// The generation that the member was last told; goes with `member`.
    generation: Option<u64>,
    /// At most 10000.
    offsets: Vec<CommitOffset>,
}

/// One position.
#[derive(Debug, Deserialize, ToSchema)]
struct CommitOffset {
    topic: String,
    partition: u32,
    /// The next offset to read.
    offset: i64,
}

/// Committed, durably.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CommitDone {
    #[schema(example = "committed")]
    status: &'static str,
}

/// Join a group as a member
///
/// The group is made on first use. What the member owns may grow and shrink with every heartbeat; a partition goes from
/// one member to another only after the old one was told, has left or was silent for its session.
#[utoipa::path(
    post,
    path = "/groups/{group}/members",
    tag = "groups",
    params(("group" = String, Path, description = "The group")),
    request_body = JoinRequest,
    responses(
        (status = 201, description = "It is a member now", body = MembershipView),
        (status = 400, description = "A field out of its range", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such topic", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Too many members", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn join(
    State(gateway): State<Arc<Gateway>>,
    InPath(group): InPath<String>,
    params: RawParams,
    JsonBody(body): JsonBody<JoinRequest>,
) -> Result<Response, ApiError> {
    params.only(&[])?;
    if !(1..=MEMBER_NAME_BYTES_MAX).contains(&body.client_id.len()) {
        let detail = format!(
            "client_id: it has {} bytes, 1 to {MEMBER_NAME_BYTES_MAX} are taken",
            body.client_id.len()
        );
        return Err(ApiError::bad_request(detail));
    }
    if body.topics.len() > POLL_TOPICS_MAX {
        let detail = format!("topics: {} are named, at most {POLL_TOPICS_MAX} are taken", body.topics.len());
        return Err(ApiError::bad_request(detail));
    }
    for topic in &body.topics {
        check_topic(topic).map_err(|error| error.at("topics"))?;
    }
    let session_ms = within("session_ms", body.session_ms, SESSION_MS_MIN, SESSION_MS_MAX)?;
    let session = Duration::from_millis(session_ms.unwrap_or(SESSION_MS_DEFAULT));
    let joined = gateway.engine().join_group(&group, &body.client_id, body.topics, session).await?;
    Ok(answer(StatusCode::CREATED, view(joined)))
}

/// Stay a member
#[utoipa::path(
    post,
    path = "/groups/{group}/members/{member}/heartbeat",
    tag = "groups",
    params(
        ("group" = String, Path, description = "The group"),
        ("member" = String, Path, description = "The id that joining gave"),
    ),
    request_body = HeartbeatRequest,
    responses(
        (status = 200, description = "What it owns now", body = MembershipView),
        (status = 404, description = "It is no member (any more): join again", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The status is too large", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn heartbeat(
    State(gateway): State<Arc<Gateway>>,
    InPath((group, member)): InPath<(String, String)>,
    params: RawParams,
    JsonBody(body): JsonBody<HeartbeatRequest>,
) -> Result<Response, ApiError> {
    params.only(&[])?;
    if let Some(status) = &body.status
        && status.get().len() > MEMBER_STATUS_BYTES_MAX
    {
        let detail = format!(
            "status: it has {} bytes, at most {MEMBER_STATUS_BYTES_MAX} are taken",
            status.get().len()
        );
        return Err(ApiError::new(Code::RecordTooLarge, detail));
    }
    let status = body.status.map(|status| Bytes::copy_from_slice(status.get().as_bytes()));
    let told = gateway.engine().heartbeat(&group, &member, status).await.map_err(gone)?;
    Ok(answer(StatusCode::OK, view(told)))
}

/// Leave a group
#[utoipa::path(
    delete,
    path = "/groups/{group}/members/{member}",
    tag = "groups",
    params(
        ("group" = String, Path, description = "The group"),
        ("member" = String, Path, description = "The id that joining gave"),
    ),
    responses(
        (status = 204, description = "What it owned goes to the others"),
        (status = 404, description = "It is no member (any more)", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn leave(
    State(gateway): State<Arc<Gateway>>,
    InPath((group, member)): InPath<(String, String)>,
    params: RawParams,
) -> Result<StatusCode, ApiError> {
    params.only(&[])?;
    gateway.engine().leave_group(&group, &member).await.map_err(gone)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Commit positions
#[utoipa::path(
    post,
    path = "/groups/{group}/commit",
    tag = "groups",
    params(("group" = String, Path, description = "The group")),
    request_body = CommitRequest,
    responses(
        (status = 200, description = "All of them, durably", body = CommitDone),
        (status = 400, description = "No such partition, or an offset that isn't stored", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such topic", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The member must join again, or another one owns a partition", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn commit(
    State(gateway): State<Arc<Gateway>>,
    InPath(group): InPath<String>,
    params: RawParams,
    JsonBody(body): JsonBody<CommitRequest>,
) -> Result<Response, ApiError> {
    params.only(&[])?;
    let member = match (&body.member, body.generation) {
        (Some(member), Some(generation)) => Some((member.as_str(), generation)),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            return Err(ApiError::bad_request("member and generation go together: send both or neither"));
        }
    };
    if body.offsets.len() > COMMIT_OFFSETS_MAX {
        let detail =
            format!("offsets: {} are given, at most {COMMIT_OFFSETS_MAX} are taken", body.offsets.len());
        return Err(ApiError::bad_request(detail));
    }
    for at in &body.offsets {
        check_topic(&at.topic).map_err(|error| error.at("offsets"))?;
    }
    let offsets = body.offsets.into_iter().map(|at| (at.topic, at.partition, at.offset)).collect();
    match gateway.engine().commit(&group, member, offsets).await {
        // The group of a member that is gone may be gone with it.
        Err(error @ EngineError::GroupNotFound { .. }) => Err(ApiError::from(error).recode(Code::Conflict)),
        other => Ok(other.map(|()| answer(StatusCode::OK, CommitDone { status: "committed" }))?),
    }
}

/// The path names what isn't there; to a commit, which names it in its body, the same is a conflict.
fn gone(error: EngineError) -> ApiError {
    match error {
        EngineError::MemberUnknown { .. } => ApiError::from(error).recode(Code::NotFound),
        error => error.into(),
    }
}

fn view(told: Membership) -> MembershipView {
    MembershipView {
        member: told.member,
        generation: told.generation,
        assignment: told
            .assignment
            .into_iter()
            .map(|(topic, partition)| TopicPartition { topic, partition })
            .collect(),
    }
}
