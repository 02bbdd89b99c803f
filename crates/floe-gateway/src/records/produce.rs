//! `POST /topics/{topic}/records`: in every form that events come in, stored whole or not at all.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use bytes::Bytes;
use floe_engine::{Append, Appended, Header, NewRecord};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use utoipa::ToSchema;

use super::{envelope::Envelope, lines, print::write_number};
use crate::{
    body, cloudevents,
    gateway::Gateway,
    idempotency, json, json_text,
    params::{InPath, Params, write_failure},
    problem::{ApiError, Problem},
    timestamp,
};

/// Store records
///
/// The content type says how they are given:
/// - `application/json`: one record `{key?, value, headers?, partition?, timestamp?}`, or `{records: […]}` of those;
/// - `application/x-ndjson`: one such record per line;
/// - CloudEvents 1.0: binary (`ce-*` headers), `application/cloudevents+json`, `application/cloudevents-batch+json`;
///   the extension `partitionkey` is the key;
/// - any other: the body itself is the value, `?key=` and `?partition=` go with it. Forms are refused.
///
/// A request is stored whole or not at all. `value: null` is a tombstone; `{"$base64": "…"}` stands for bytes that
/// are not JSON, in values, keys and headers; a header's array of values repeats its name. The answer comes when the
/// promise holds: `acks=all` on disk (or the topic's own default), `acks=1` accepted by the log, `acks=0` none
/// (then the offset is -1).
#[utoipa::path(
    post,
    path = "/topics/{topic}/records",
    tag = "records",
    params(
        ("topic" = String, Path, description = "The topic"),
        ("acks" = Option<String>, Query, description = "`all`, `1` or `0`; the topic's default if absent"),
        ("key" = Option<String>, Query, description = "The key of a value that is the body itself, or of a CloudEvent"),
        ("partition" = Option<u32>, Query, description = "The partition of a value that is the body itself, or of CloudEvents"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters: a repeat returns the first answer, with `Idempotency-Replayed: true`"),
    ),
    request_body(
        content(
            (ProduceBody = "application/json"),
            (String = "application/x-ndjson", example = "{\"key\":\"u1\",\"value\":{\"n\":1}}\n{\"value\":2}\n"),
            (serde_json::Value = "application/cloudevents+json"),
            (Vec<serde_json::Value> = "application/cloudevents-batch+json"),
            (String = "application/octet-stream"),
        ),
    ),
    responses(
        (status = 201, description = "Stored: one record as `Stored`, several as `StoredBatch`", body = StoredEither),
        (status = 400, description = "Malformed, in what and where is said", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "An internal topic", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such topic", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The Idempotency-Key was used for other content", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "A record or the body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "A content type or coding that isn't taken", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Overloaded, the disk failed, or the log can't be reached", body = Problem, content_type = "application/problem+json"),
        (status = 504, description = "`OUTCOME_UNKNOWN`: it may be stored or not; with the same Idempotency-Key a repeat is safe", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "The disk is full", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn produce(
    State(gateway): State<Arc<Gateway>>,
    InPath(topic): InPath<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let form = Form::of(&parts.headers)?;
    let params = Params::parse(parts.uri.query(), form.params())?;
    let acks = params.acks()?;
    let received = body::receive(&gateway, &parts.headers, body).await?;
    let beside = ["key", "partition"].map(|name| params.text(name).unwrap_or_default().as_bytes());
    let idempotency = idempotency::of(&parts.headers, &[beside[0], beside[1], &received.bytes])?;
    let parse = move |body: &Bytes| form.parse(&parts.headers, &params, body);
    let parsed = body::parse(&received.bytes, parse).await?;
    let append = Append { topic: topic.clone(), records: parsed.records, acks, idempotency };
    let appended = gateway.engine().append(append).await.map_err(write_failure)?;
    Ok(answer(&topic, &appended, parsed.single))
}

/// What `POST /topics/{topic}/records` takes as JSON; [`Envelope`] reads it.
#[derive(ToSchema)]
#[schema(as = Record)]
#[expect(dead_code, reason = "describes to the OpenAPI document what is read by hand")]
pub(crate) struct ProduceBody {
    /// Decides the partition. A string is its UTF-8 bytes, other JSON its compact text.
    #[schema(value_type = Option<Object>, example = "user123")]
    key: Option<()>,
    /// Any JSON, stored as the text that was sent. Null is a tombstone.
    #[schema(value_type = Object)]
    value: (),
    /// Names and values; an array of values repeats the name.
    #[schema(value_type = Option<Object>)]
    headers: Option<()>,
    /// An explicit partition.
    partition: Option<u32>,
    /// RFC 3339, or milliseconds since 1970; the time of storing if absent.
    #[schema(value_type = Option<String>)]
    timestamp: Option<()>,
    /// Several records, in place of all other fields.
    #[schema(value_type = Option<Vec<Object>>)]
    records: Option<()>,
}

/// Where one record went.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes to the OpenAPI document what is written by hand")]
pub(crate) struct Stored {
    topic: String,
    partition: u32,
    offset: i64,
    timestamp: String,
}

/// Where several records went, in their order.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes to the OpenAPI document what is written by hand")]
pub(crate) struct StoredBatch {
    topic: String,
    offsets: Vec<StoredAt>,
}

/// Where one of several records went.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes to the OpenAPI document what is written by hand")]
pub(crate) struct StoredAt {
    partition: u32,
    offset: i64,
}

/// One record's place, or those of several.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes to the OpenAPI document what is written by hand")]
pub(crate) enum StoredEither {
    One(Stored),
    Several(StoredBatch),
}

/// How the records are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Lines,
    EventBinary,
    EventStructured,
    EventBatch,
    Raw,
}

struct Parsed {
    records: Vec<NewRecord>,
    /// The request's form is that of one record, so the answer is too.
    single: bool,
}

impl Form {
    fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        if headers.contains_key(cloudevents::SPEC_VERSION) {
            return Ok(Self::EventBinary);
        }
        if json::is_plain_json(headers) {
            return Ok(Self::Json);
        }
        match json::media_type(headers).as_deref() {
            Some("application/json") => Ok(Self::Json),
            Some(
                "application/x-ndjson"
                | "application/ndjson"
                | "application/jsonl"
                | "application/x-jsonlines",
            ) => Ok(Self::Lines),
            Some("application/cloudevents+json") => Ok(Self::EventStructured),
            Some("application/cloudevents-batch+json") => Ok(Self::EventBatch),
            // What a form sends, and curl if it isn't told otherwise, is never meant as a value.
            form @ (Some("" | "application/x-www-form-urlencoded" | "multipart/form-data") | None) => {
                let expected = "application/json, application/x-ndjson, CloudEvents, or the value's own type";
                Err(json::unsupported(form, expected))
            }
            Some(_) => Ok(Self::Raw),
        }
    }

    const fn params(self) -> &'static [&'static str] {
        match self {
            Self::Json | Self::Lines => &["acks"],
            Self::EventBinary | Self::EventStructured | Self::EventBatch | Self::Raw => {
                &["acks", "key", "partition"]
            }
        }
    }

    fn parse(self, headers: &HeaderMap, params: &Params, body: &Bytes) -> Result<Parsed, ApiError> {
        let mut records = match self {
            Self::Json => return parse_json(body),
            Self::Lines => return Ok(Parsed { records: lines::parse(body)?, single: false }),
            Self::EventBinary => vec![cloudevents::binary(headers, body)?],
            Self::EventStructured => vec![cloudevents::structured(body)?],
            Self::EventBatch => cloudevents::batch(body)?,
            Self::Raw => vec![raw(headers, body)],
        };
        let key = params.text("key").map(|key| Bytes::copy_from_slice(key.as_bytes()));
        let partition = params.number("partition", 0..=u32::MAX)?;
        for record in &mut records {
            record.key = key.clone().or(record.key.take());
            record.partition = partition;
        }
        Ok(Parsed { records, single: self == Self::Raw })
    }
}

fn parse_json(body: &Bytes) -> Result<Parsed, ApiError> {
    json::require_object(body)?;
    json_text::inspect(body)?;
    let envelope: Envelope<'_> = serde_json::from_slice(body).map_err(|error| json::syntax(&error))?;
    if envelope.records.is_none() {
        return Ok(Parsed { records: vec![envelope.into_record(body)?], single: true });
    }
    let batch = envelope.into_batch()?;
    lines::count(batch.len())?;
    let mut records = Vec::with_capacity(batch.len());
    for (at, envelope) in batch.into_iter().enumerate() {
        records.push(envelope.into_record(body).map_err(|error| error.at(&format!("records[{at}]")))?);
    }
    Ok(Parsed { records, single: false })
}

fn raw(headers: &HeaderMap, body: &Bytes) -> NewRecord {
    let content_type = headers.get(header::CONTENT_TYPE).map(|kind| Bytes::copy_from_slice(kind.as_bytes()));
    let headers = vec![Header { name: "content-type".into(), value: content_type }];
    NewRecord { value: Some(body.clone()), headers, ..NewRecord::default() }
}

/// The answer, written by hand: a topic's name needs no escapes.
fn answer(topic: &str, appended: &Appended, single: bool) -> Response {
    let mut out = Vec::with_capacity(96 + topic.len() + 40 * appended.placements.len());
    out.extend_from_slice(b"{\"topic\":\"");
    out.extend_from_slice(topic.as_bytes());
    match appended.placements.as_slice() {
        [placement] if single => {
            out.extend_from_slice(b"\",\"partition\":");
            write_number(&mut out, placement.partition);
            out.extend_from_slice(b",\"offset\":");
            write_number(&mut out, placement.offset);
            out.extend_from_slice(b",\"timestamp\":");
            timestamp::write_json(&mut out, placement.timestamp);
        }
        placements => {
            out.extend_from_slice(b"\",\"offsets\":[");
            for (at, placement) in placements.iter().enumerate() {
                out.extend_from_slice(if at == 0 { b"{\"partition\":" } else { b",{\"partition\":" });
                write_number(&mut out, placement.partition);
                out.extend_from_slice(b",\"offset\":");
                write_number(&mut out, placement.offset);
                out.push(b'}');
            }
            out.push(b']');
        }
    }
    out.push(b'}');
    created(out, appended.replayed)
}

fn created(body: Vec<u8>, replayed: bool) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::CREATED;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    idempotency::mark(response.headers_mut(), replayed);
    response
}
