//! Records as workers of other processes exchange them with the server: in the binary form of `floe_pipeline::wire`, in
//! which nothing is lost.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use bytes::Bytes;
use floe_engine::{Append, Appended, OffsetSpec};
use floe_pipeline::wire;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    lines::count,
    read::{Bounds, Outcome, Source, read_or_stop},
};
use crate::{
    body,
    gateway::Gateway,
    idempotency, json,
    limits::{READ_BYTES_DEFAULT, READ_BYTES_MAX, READ_RECORDS_DEFAULT, READ_RECORDS_MAX, WAIT_MS_MAX},
    params::{InPath, Params, RawParams, TopicInPath, check_topic, wait_of, write_failure},
    problem::{ApiError, Code, Problem},
    timestamp,
};

/// Read a partition's records without loss
///
/// As `GET /topics/{topic}/records?partition=`, in a binary form that keeps bytes that are no text and headers that
/// repeat; with the offset to go on at, the first kept and the one behind the newest.
#[utoipa::path(
    get,
    path = "/topics/{topic}/partitions/{partition}/batch",
    tag = "records",
    params(
        ("topic" = String, Path, description = "The topic"),
        ("partition" = u32, Path, description = "The partition"),
        ("offset" = Option<String>, Query, description = "`earliest` (default), `latest`, an offset, or an RFC 3339 time"),
        ("max_records" = Option<u32>, Query, description = "At most this many records, 1 to 10000; 100 if absent"),
        ("max_bytes" = Option<u32>, Query, description = "At most about this many bytes, 1 to 16777216; the first record comes whatever its size"),
        ("wait_ms" = Option<u32>, Query, description = "How long to wait when there is nothing yet, 0 (default) to 60000"),
    ),
    responses(
        (status = 200, description = "A page, version 2 of its form", body = Vec<u8>, content_type = "application/vnd.floe.records"),
        (status = 400, description = "No such partition, or a parameter out of its range", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such topic", body = Problem, content_type = "application/problem+json"),
        (status = 416, description = "`OFFSET_OUT_OF_RANGE`: the offset isn't stored; `start` and `end` say what is", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn read_batch(
    State(gateway): State<Arc<Gateway>>,
    InPath((topic, partition)): InPath<(String, u32)>,
    params: RawParams,
) -> Result<Response, ApiError> {
    let params = params.only(&["offset", "max_records", "max_bytes", "wait_ms"])?;
    check_topic(&topic)?;
    let from = params.place("offset")?.unwrap_or(OffsetSpec::Earliest);
    let bounds = Bounds {
        max_records: params.number("max_records", 1..=READ_RECORDS_MAX)?.unwrap_or(READ_RECORDS_DEFAULT),
        max_bytes: params.number("max_bytes", 1..=READ_BYTES_MAX)?.unwrap_or(READ_BYTES_DEFAULT),
        wait: wait_of(params.number("wait_ms", 0..=WAIT_MS_MAX)?),
    };
    let source = Source::Partition { topic, partition, from };
    let outcome = read_or_stop(&gateway, &source, bounds).await;
    match outcome.map_err(out_of_range)? {
        Outcome::Partition(_, page) => Ok(document(wire::encode_page(&page))),
        // A source only gives outcomes of its own kind.
        Outcome::Topic(_) => Err(ApiError::bad_request("a partition is read here")),
    }
}

/// Where records went, in their order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BatchStored {
    topic: String,
    offsets: Vec<BatchPlace>,
}

/// Where one record went.
#[derive(Debug, Serialize, ToSchema)]
struct BatchPlace {
    partition: u32,
    /// -1 with `acks=0`.
    offset: i64,
    timestamp: Option<String>,
}

/// Store records without loss
///
/// As `POST /topics/{topic}/records`, in the binary form of a worker's append. Stored whole or not at all.
#[utoipa::path(
    post,
    path = "/topics/{topic}/batch",
    tag = "records",
    params(
        ("topic" = String, Path, description = "The topic"),
        ("acks" = Option<String>, Query, description = "`all`, `1` or `0`; the topic's default if absent"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeat returns the first answer, with `Idempotency-Replayed: true`"),
    ),
    request_body(content = Vec<u8>, content_type = "application/vnd.floe.records"),
    responses(
        (status = 201, description = "Stored", body = BatchStored),
        (status = 400, description = "Not records in that form", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "An internal topic", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such topic", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The Idempotency-Key was used for other content", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "A record or the body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Another content type", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn append_batch(
    State(gateway): State<Arc<Gateway>>,
    TopicInPath(topic): TopicInPath,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let params = Params::parse(parts.uri.query(), &["acks"])?;
    let acks = params.acks()?;
    match json::media_type(&parts.headers) {
        Some(kind) if kind == wire::MEDIA_TYPE => {}
        other => return Err(json::unsupported(other.as_deref(), wire::MEDIA_TYPE)),
    }
    let received = body::receive(&gateway, &parts.headers, body).await?;
    let mut idempotency = idempotency::of(&parts.headers, &[&received.bytes])?;
    let append = body::parse(&received.bytes, |body| {
        let append = wire::decode_append(body.clone()).map_err(|why| {
            ApiError::bad_request(format!("the body is not records as {}: {why}", wire::MEDIA_TYPE))
        })?;
        count(append.records.len())?;
        Ok(append)
    })
    .await?;
    if let (Some(key), Some(fingerprint)) = (&mut idempotency, append.fingerprint) {
        key.fingerprint = fingerprint;
    }
    let append = Append { topic: topic.clone(), records: append.records, acks, idempotency };
    let appended = gateway.engine().append(append).await.map_err(write_failure)?;
    Ok(stored(topic, &appended))
}

/// A worker acts on this one: it has a code of its own here.
fn out_of_range(error: ApiError) -> ApiError {
    if error.stored().is_some() { error.recode(Code::OffsetOutOfRange) } else { error }
}

fn document(bytes: Bytes) -> Response {
    let mut response = Response::new(bytes.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(wire::MEDIA_TYPE));
    response
}

fn stored(topic: String, appended: &Appended) -> Response {
    let place = |at: &floe_engine::Placement| BatchPlace {
        partition: at.partition,
        offset: at.offset,
        timestamp: timestamp::format(at.timestamp),
    };
    let offsets = appended.placements.iter().map(place).collect();
    let mut response = json::answer(StatusCode::CREATED, BatchStored { topic, offsets });
    idempotency::mark(response.headers_mut(), appended.replayed);
    response
}
