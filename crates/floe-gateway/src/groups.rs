//! `/groups`: list, describe, poll and acknowledge without a session, move positions, delete.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use floe_engine::{Delivery, DeliveryMode, EngineError, GroupDescription, GroupState, OffsetSpec, Poll};
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::{
    gateway::Gateway,
    json::{JsonBody, answer},
    limits::{
        LEASE_MS_DEFAULT, LEASE_MS_MAX, POLL_TOPICS_MAX, READ_BYTES_DEFAULT, READ_RECORDS_DEFAULT,
        READ_RECORDS_MAX, WAIT_MS_MAX, WAIT_SLICE,
    },
    params::{InPath, RawParams, check_topic, parse_place, wait_of},
    problem::{ApiError, Problem},
    records::{RecordStyle, write_record},
    timestamp,
};

/// All groups.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GroupList {
    groups: Vec<GroupLine>,
}

#[derive(Debug, Serialize, ToSchema)]
struct GroupLine {
    group: String,
    state: &'static str,
    members: usize,
}

/// A group in full.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GroupView {
    group: String,
    /// `stable` with members or open deliveries, else `empty`.
    state: &'static str,
    generation: u64,
    members: Vec<MemberView>,
    partitions: Vec<PositionView>,
    /// Of all partitions together.
    lag: u64,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MemberView {
    id: String,
    client_id: String,
    partitions: Vec<TopicPartition>,
    last_seen: Option<String>,
    /// What it last said of itself, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    status: Option<Box<RawValue>>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TopicPartition {
    pub(crate) topic: String,
    pub(crate) partition: u32,
}

#[derive(Debug, Serialize, ToSchema)]
struct PositionView {
    topic: String,
    partition: u32,
    /// The next offset the group will read.
    committed: i64,
    end: i64,
    lag: u64,
}

/// What to take, and when it counts as read.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct PollRequest {
    /// 1 to 100 topics.
    topics: Vec<String>,
    /// At most this many records, 1 to 10000; 100 if absent.
    max: Option<u64>,
    /// How long to wait when there is nothing yet, 0 to 60000.
    wait_ms: Option<u64>,
    /// Commit before the answer: each record is given out at most once, and there is nothing to acknowledge.
    #[serde(default)]
    auto_commit: bool,
    /// Not acknowledged for this long, the records are delivered again: 1 to 43200000; 30000 if absent.
    lease_ms: Option<u64>,
}

/// Which delivery was dealt with.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct AckRequest {
    /// The token of the poll's answer.
    delivery: String,
}

/// Where a group is to read on.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct ResetRequest {
    topic: String,
    /// Only this partition.
    partition: Option<u32>,
    /// `"earliest"`, `"latest"`, an offset, or an RFC 3339 time.
    #[schema(value_type = Object, example = "earliest")]
    to: Place,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Place {
    Offset(u64),
    Text(String),
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ResetDone {
    group: String,
    topic: String,
    partitions: Vec<OffsetView>,
}

#[derive(Debug, Serialize, ToSchema)]
struct OffsetView {
    partition: u32,
    offset: i64,
}

/// An acknowledged delivery.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AckDone {
    #[schema(example = "acknowledged")]
    status: &'static str,
    group: String,
}

/// Records for a group.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes to the OpenAPI document what is written by hand")]
pub(crate) struct PollAnswer {
    /// As in a read, each with its `topic`.
    #[schema(value_type = Vec<Object>)]
    records: (),
    /// The token to acknowledge them with; null when there is nothing to acknowledge.
    delivery: Option<String>,
    /// Where the group reads on: `[{topic, partition, offset}]`.
    #[schema(value_type = Vec<Object>)]
    next: (),
}

/// List groups
#[utoipa::path(get, path = "/groups", tag = "groups", responses((status = 200, description = "By name", body = GroupList)))]
pub(crate) async fn list(
    State(gateway): State<Arc<Gateway>>,
    params: RawParams,
) -> Result<Response, ApiError> {
    params.only(&[])?;
    let line = |group: floe_engine::GroupSummary| GroupLine {
        group: group.group,
        state: state_name(group.state),
        members: group.members,
    };
    let groups = gateway.engine().groups().await?.into_iter().map(line).collect();
    Ok(answer(StatusCode::OK, GroupList { groups }))
}

/// Describe a group
#[utoipa::path(
    get,
    path = "/groups/{group}",
    tag = "groups",
    params(("group" = String, Path, description = "The group")),
    responses(
        (status = 200, description = "State, members, and positions with their lag", body = GroupView),
        (status = 404, description = "No such group", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn describe(
    State(gateway): State<Arc<Gateway>>,
    InPath(group): InPath<String>,
    params: RawParams,
) -> Result<Response, ApiError> {
    params.only(&[])?;
    Ok(answer(StatusCode::OK, view(gateway.engine().describe_group(&group).await?)))
}

/// Take a group's next records
///
/// There is no consumer to create or to keep alive: the group is made on first use and starts at each topic's earliest
/// record. No two open deliveries of a group hold the same record.
#[utoipa::path(
    post,
    path = "/groups/{group}/poll",
    tag = "groups",
    params(("group" = String, Path, description = "The group")),
    request_body = PollRequest,
    responses(
        (status = 200, description = "Records, and the token to acknowledge them with", body = PollAnswer),
        (status = 400, description = "A field out of its range", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such topic", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn poll(
    State(gateway): State<Arc<Gateway>>,
    InPath(group): InPath<String>,
    params: RawParams,
    JsonBody(body): JsonBody<PollRequest>,
) -> Result<Response, ApiError> {
    params.only(&[])?;
    let delivery = wait_for_records(&gateway, body.into_poll(group)?).await?;
    Ok(print(&delivery))
}

/// Acknowledge a delivery
#[utoipa::path(
    post,
    path = "/groups/{group}/ack",
    tag = "groups",
    params(("group" = String, Path, description = "The group")),
    request_body = AckRequest,
    responses(
        (status = 200, description = "Its records are committed, durably", body = AckDone),
        (status = 409, description = "It is not open: acknowledged before, or its lease ran out", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn ack(
    State(gateway): State<Arc<Gateway>>,
    InPath(group): InPath<String>,
    params: RawParams,
    JsonBody(body): JsonBody<AckRequest>,
) -> Result<Response, ApiError> {
    params.only(&[])?;
    gateway.engine().ack(&group, &body.delivery).await?;
    Ok(answer(StatusCode::OK, AckDone { status: "acknowledged", group }))
}

/// Move a group's positions
#[utoipa::path(
    post,
    path = "/groups/{group}/offsets",
    tag = "groups",
    params(("group" = String, Path, description = "The group")),
    request_body = ResetRequest,
    responses(
        (status = 200, description = "The new positions, durably", body = ResetDone),
        (status = 400, description = "No such partition or place", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such topic", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The group has members or open deliveries", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn reset(
    State(gateway): State<Arc<Gateway>>,
    InPath(group): InPath<String>,
    params: RawParams,
    JsonBody(body): JsonBody<ResetRequest>,
) -> Result<Response, ApiError> {
    params.only(&[])?;
    check_topic(&body.topic)?;
    let to = body.to.resolve()?;
    let moved = gateway.engine().reset_group(&group, &body.topic, body.partition, to).await?;
    let partitions = moved.into_iter().map(|(partition, offset)| OffsetView { partition, offset }).collect();
    Ok(answer(StatusCode::OK, ResetDone { group, topic: body.topic, partitions }))
}

/// Delete a group
#[utoipa::path(
    delete,
    path = "/groups/{group}",
    tag = "groups",
    params(("group" = String, Path, description = "The group")),
    responses(
        (status = 204, description = "Gone with all its positions, durably"),
        (status = 404, description = "No such group", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The group has members or open deliveries", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete(
    State(gateway): State<Arc<Gateway>>,
    InPath(group): InPath<String>,
    params: RawParams,
) -> Result<StatusCode, ApiError> {
    params.only(&[])?;
    gateway.engine().delete_group(&group).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl PollRequest {
    fn into_poll(self, group: String) -> Result<Poll, ApiError> {
        if !(1..=POLL_TOPICS_MAX).contains(&self.topics.len()) {
            let detail =
                format!("topics: {} are named, 1 to {POLL_TOPICS_MAX} are expected", self.topics.len());
            return Err(ApiError::bad_request(detail));
        }
        for topic in &self.topics {
            check_topic(topic).map_err(|error| error.at("topics"))?;
        }
        let max = within("max", self.max, 1, READ_RECORDS_MAX as u64)?;
        let lease_ms = within("lease_ms", self.lease_ms, 1, LEASE_MS_MAX)?.unwrap_or(LEASE_MS_DEFAULT);
        Ok(Poll {
            group,
            topics: self.topics,
            partition: None,
            max_records: max.and_then(|max| usize::try_from(max).ok()).unwrap_or(READ_RECORDS_DEFAULT),
            max_bytes: READ_BYTES_DEFAULT,
            wait: wait_of(within("wait_ms", self.wait_ms, 0, WAIT_MS_MAX)?),
            mode: if self.auto_commit {
                DeliveryMode::Commit
            } else {
                DeliveryMode::Lease(Duration::from_millis(lease_ms))
            },
            require_subscription: false,
        })
    }
}

impl Place {
    fn resolve(self) -> Result<OffsetSpec, ApiError> {
        match self {
            Self::Offset(offset) => parse_place("to", &offset.to_string()),
            Self::Text(text) => parse_place("to", &text),
        }
    }
}

/// A number of a body's field, within its range.
pub(crate) fn within(
    name: &str,
    number: Option<u64>,
    least: u64,
    most: u64,
) -> Result<Option<u64>, ApiError> {
    match number {
        Some(number) if !(least..=most).contains(&number) => Err(ApiError::bad_request(format!(
            "{name}: {number} is not a whole number from {least} to {most}"
        ))),
        number => Ok(number),
    }
}

/// Polls; a wait ends early when the server begins to stop.
///
/// A leased delivery that is dropped comes again when its lease is over, so such a wait is simply left. A committed one
/// would be lost, so that wait is a row of short ones, none of which is left.
async fn wait_for_records(gateway: &Gateway, mut poll: Poll) -> Result<Delivery, EngineError> {
    let engine = gateway.engine();
    if poll.wait.is_zero() {
        return engine.poll(poll).await;
    }
    if matches!(poll.mode, DeliveryMode::Lease(_)) {
        let at_once = Poll { wait: Duration::ZERO, ..poll.clone() };
        return tokio::select! {
            delivery = engine.poll(poll) => delivery,
            () = gateway.stopped() => engine.poll(at_once).await,
        };
    }
    let mut left = poll.wait;
    loop {
        poll.wait = if gateway.is_stopping() { Duration::ZERO } else { left.min(WAIT_SLICE) };
        left = left.saturating_sub(poll.wait);
        let delivery = engine.poll(poll.clone()).await?;
        if !delivery.records.is_empty() || left.is_zero() || gateway.is_stopping() {
            return Ok(delivery);
        }
    }
}

fn print(delivery: &Delivery) -> Response {
    #[derive(Serialize)]
    struct Next<'a> {
        topic: &'a str,
        partition: u32,
        offset: i64,
    }
    #[derive(Serialize)]
    struct Rest<'a> {
        delivery: Option<&'a str>,
        next: Vec<Next<'a>>,
    }
    let mut out = Vec::with_capacity(256 * (delivery.records.len() + 1));
    out.extend_from_slice(b"{\"records\":[");
    for (at, (topic, record)) in delivery.records.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_record(&mut out, record, RecordStyle { topic: Some(topic), ..RecordStyle::default() });
    }
    out.extend_from_slice(b"],");
    let next = delivery.next_offsets.iter();
    let next = next
        .map(|(topic, partition, offset)| Next { topic, partition: *partition, offset: *offset })
        .collect();
    // The rest is an object of its own, joined to what is there; text and numbers can't fail to be written.
    let rest = serde_json::to_vec(&Rest { delivery: delivery.id.as_deref(), next })
        .unwrap_or_else(|_| b"{}".to_vec());
    out.extend_from_slice(&rest[1..]);
    let mut response = Response::new(out.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn state_name(state: GroupState) -> &'static str {
    match state {
        GroupState::Stable => "stable",
        GroupState::Empty => "empty",
    }
}

fn view(group: GroupDescription) -> GroupView {
    GroupView {
        state: state_name(group.state),
        generation: group.generation,
        lag: group.partitions.iter().map(|at| at.lag).sum(),
        members: members(&group),
        partitions: group
            .partitions
            .into_iter()
            .map(|at| PositionView {
                topic: at.topic,
                partition: at.partition,
                committed: at.committed,
                end: at.end,
                lag: at.lag,
            })
            .collect(),
        group: group.group,
    }
}

/// A group's members with the time they were last heard of.
pub(crate) fn members(group: &GroupDescription) -> Vec<MemberView> {
    let member = |member: &floe_engine::MemberDescription| MemberView {
        id: member.id.clone(),
        client_id: member.client_id.clone(),
        partitions: member
            .assignment
            .iter()
            .map(|(topic, partition)| TopicPartition { topic: topic.clone(), partition: *partition })
            .collect(),
        last_seen: timestamp::ago(member.last_seen_ms),
        status: serde_json::from_slice(&member.status).ok(),
    };
    group.members.iter().map(member).collect()
}
