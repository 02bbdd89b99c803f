//! Seed 000: topics, e-mail subscribers, and reading by key. A user is the consumer group `user:<email>`.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use floe_engine::{Append, DeliveryMode, EngineError, NewRecord, OffsetSpec, Poll, TopicSpec};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::{
    body,
    gateway::Gateway,
    idempotency, json,
    json::answer,
    limits::{READ_BYTES_DEFAULT, READ_RECORDS_DEFAULT, READ_RECORDS_MAX},
    params::{InPath, Params, RawParams, TopicInPath, check_topic, write_failure},
    problem::{ApiError, Code, Problem},
    records::{json_content_type, key_bytes, write_key, write_value},
    timestamp, topics,
};

/// Longest e-mail address, in bytes.
const EMAIL_BYTES_MAX: usize = 254;

/// Create a topic
#[utoipa::path(
    post,
    path = "/create_topic/{topic_id}/{num_partitions}",
    tag = "pub/sub (seed 000)",
    params(
        ("topic_id" = String, Path, description = "The topic"),
        ("num_partitions" = u32, Path, description = "1 to 10000"),
    ),
    responses(
        (status = 201, description = "Made, durably", body = topics::TopicDone),
        (status = 400, description = "Not a topic name, or not 1 to 10000 partitions", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "There is one of this name", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create_topic(
    State(gateway): State<Arc<Gateway>>,
    InPath((name, partitions)): InPath<(String, String)>,
    params: RawParams,
) -> Result<Response, ApiError> {
    params.only(&[])?;
    let partitions =
        partitions.parse().ok().filter(|count| (1..=10_000).contains(count)).ok_or_else(|| {
            ApiError::bad_request(format!(
                "'{}' is not a number of partitions from 1 to 10000",
                partitions.escape_debug()
            ))
        })?;
    topics::make(gateway.engine(), TopicSpec { name, partitions, config: BTreeMap::new() }).await
}

/// Delete a topic
///
/// Its subscriptions go with it.
#[utoipa::path(
    delete,
    path = "/delete_topic/{topic_id}",
    tag = "pub/sub (seed 000)",
    params(("topic_id" = String, Path, description = "The topic")),
    responses(
        (status = 200, description = "Gone, durably", body = topics::TopicDone),
        (status = 404, description = "No such topic", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete_topic(
    State(gateway): State<Arc<Gateway>>,
    TopicInPath(topic): TopicInPath,
    params: RawParams,
) -> Result<Response, ApiError> {
    params.only(&[])?;
    topics::remove(gateway.engine(), topic).await
}

/// A message.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes to the OpenAPI document what is read by hand")]
pub(crate) struct WriteBody {
    /// Decides the partition.
    #[schema(example = "user123")]
    key: String,
    /// Any JSON but null.
    #[schema(value_type = Object, example = "Breaking news update")]
    value: (),
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    key: Option<&'a RawValue>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Written {
    #[schema(example = "written")]
    status: &'static str,
    topic: String,
    #[schema(value_type = String)]
    key: Box<RawValue>,
    partition: u32,
    offset: i64,
}

/// Write a message
///
/// The key decides the partition, as it does for Kafka's clients. Answered when the message is on disk.
#[utoipa::path(
    post,
    path = "/write/{topic_id}",
    tag = "pub/sub (seed 000)",
    params(
        ("topic_id" = String, Path, description = "The topic"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeat returns the first answer"),
    ),
    request_body = WriteBody,
    responses(
        (status = 201, description = "Written", body = Written),
        (status = 400, description = "No key or no value", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such topic", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn write(
    State(gateway): State<Arc<Gateway>>,
    InPath(topic): InPath<String>,
    request: axum::extract::Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let acks = Params::parse(parts.uri.query(), &["acks"])?.acks()?;
    json::require_json(&parts.headers)?;
    let received = body::receive(&gateway, &parts.headers, body).await?;
    json::require_object(&received.bytes)?;
    crate::json_text::inspect(&received.bytes)?;
    let message: Message<'_> =
        serde_json::from_slice(&received.bytes).map_err(|error| json::syntax(&error))?;
    let given = |field: Option<_>, name| {
        field.ok_or_else(|| {
            ApiError::bad_request(format!("the field '{name}' is missing; send {{\"key\", \"value\"}}"))
        })
    };
    let (key, value) = (given(message.key, "key")?, given(message.value, "value")?);
    let record = NewRecord {
        key: key_bytes(&received.bytes, key.get())?.filter(|key| !key.is_empty()),
        value: Some(received.bytes.slice_ref(value.get().as_bytes())),
        headers: vec![json_content_type()],
        ..NewRecord::default()
    };
    if record.key.is_none() {
        return Err(ApiError::bad_request("the field 'key' is empty; messages are read by their key"));
    }
    let idempotency = idempotency::of(&parts.headers, &[&received.bytes])?;
    let append = Append { topic: topic.clone(), records: vec![record], acks, idempotency };
    let appended = gateway.engine().append(append).await.map_err(write_failure)?;
    let placement =
        appended.placements.first().ok_or_else(|| ApiError::new(Code::Internal, "no place was given"))?;
    let (partition, offset) = (placement.partition, placement.offset);
    let written = Written { status: "written", topic, key: key.to_owned(), partition, offset };
    let mut response = answer(StatusCode::CREATED, written);
    idempotency::mark(response.headers_mut(), appended.replayed);
    Ok(response)
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Subscription {
    #[schema(example = "subscribed")]
    status: &'static str,
    email: String,
    topic: String,
    /// The next offset by partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    positions: Option<BTreeMap<u32, i64>>,
}

/// Subscribe a user
///
/// From the earliest message on, unless `from=latest`. Repeating it keeps the positions.
#[utoipa::path(
    post,
    path = "/subscribe/{email}/{topic_id}",
    tag = "pub/sub (seed 000)",
    params(
        ("email" = String, Path, description = "The user"),
        ("topic_id" = String, Path, description = "The topic"),
        ("from" = Option<String>, Query, description = "`earliest` (default) or `latest`"),
    ),
    responses(
        (status = 200, description = "Subscribed", body = Subscription),
        (status = 400, description = "Not an e-mail address", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such topic", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn subscribe(
    State(gateway): State<Arc<Gateway>>,
    InPath((email, topic)): InPath<(String, String)>,
    params: RawParams,
) -> Result<Response, ApiError> {
    let from = match params.only(&["from"])?.text("from") {
        None | Some("earliest") => OffsetSpec::Earliest,
        Some("latest") => OffsetSpec::Latest,
        Some(other) => {
            return Err(ApiError::bad_request(format!(
                "from={} is not one of earliest, latest",
                other.escape_debug()
            )));
        }
    };
    let group = group_of(&email)?;
    check_topic(&topic)?;
    let offsets = gateway.engine().subscribe_group(&group, &topic, from).await?;
    let positions = Some((0..).zip(offsets).collect());
    Ok(answer(StatusCode::OK, Subscription { status: "subscribed", email, topic, positions }))
}

/// Unsubscribe a user
#[utoipa::path(
    post,
    path = "/unsubscribe/{email}/{topic_id}",
    tag = "pub/sub (seed 000)",
    params(("email" = String, Path, description = "The user"), ("topic_id" = String, Path, description = "The topic")),
    responses(
        (status = 200, description = "Unsubscribed", body = Subscription),
        (status = 400, description = "Not an e-mail address", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such topic, or not subscribed to it", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn unsubscribe(
    State(gateway): State<Arc<Gateway>>,
    InPath((email, topic)): InPath<(String, String)>,
    params: RawParams,
) -> Result<Response, ApiError> {
    params.only(&[])?;
    let group = group_of(&email)?;
    check_topic(&topic)?;
    match gateway.engine().unsubscribe_group(&group, &topic).await {
        Ok(()) => {
            let done = Subscription { status: "unsubscribed", email, topic, positions: None };
            Ok(answer(StatusCode::OK, done))
        }
        // There is nothing to take away, which is not the same as not being let in.
        Err(error @ (EngineError::NotSubscribed { .. } | EngineError::GroupNotFound { .. })) => {
            Err(ApiError::from(error).recode(Code::NotFound))
        }
        Err(error) => Err(error.into()),
    }
}

/// New messages of a key's partition.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes to the OpenAPI document what is written by hand")]
pub(crate) struct ReadAnswer {
    topic: String,
    partition: u32,
    /// `[{key, value, offset, timestamp}]`
    #[schema(value_type = Vec<Object>)]
    messages: (),
    next_offset: i64,
    /// Messages of the partition that the user has yet to read.
    lag: u64,
}

/// Read new messages
///
/// Those of the key's partition that the user has not read; the user's offset moves on. Two reads at once by one user
/// never return the same message.
#[utoipa::path(
    get,
    path = "/read/{email}/{topic_id}/{key}",
    tag = "pub/sub (seed 000)",
    params(
        ("email" = String, Path, description = "The user"),
        ("topic_id" = String, Path, description = "The topic"),
        ("key" = String, Path, description = "Its partition is read"),
        ("limit" = Option<u32>, Query, description = "1 to 10000; 100 if absent"),
    ),
    responses(
        (status = 200, description = "The new messages", body = ReadAnswer),
        (status = 403, description = "The user is not subscribed", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such topic", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn read(
    State(gateway): State<Arc<Gateway>>,
    InPath((email, topic, key)): InPath<(String, String, String)>,
    params: RawParams,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    gateway.guard().refuse_other_pages(&headers)?;
    if method == Method::HEAD {
        return Err(ApiError::bad_request("HEAD would move the user's offset and show nothing; use GET"));
    }
    let limit = params.only(&["limit"])?.number("limit", 1..=READ_RECORDS_MAX)?;
    let group = group_of(&email)?;
    check_topic(&topic)?;
    let partition = gateway.engine().partition_of(&topic, key.as_bytes()).await?;
    let poll = Poll {
        group: group.clone(),
        topics: vec![topic.clone()],
        partition: Some(partition),
        max_records: limit.unwrap_or(READ_RECORDS_DEFAULT),
        max_bytes: READ_BYTES_DEFAULT,
        wait: Duration::ZERO,
        mode: DeliveryMode::Commit,
        require_subscription: true,
    };
    let delivery = match gateway.engine().poll(poll).await {
        Err(EngineError::GroupNotFound { group }) => {
            return Err(EngineError::NotSubscribed { group, topic }.into());
        }
        delivery => delivery?,
    };
    let position = gateway.engine().describe_group(&group).await?.partitions;
    let position = position.into_iter().find(|at| at.topic == topic && at.partition == partition);
    let (committed, end) = position.map_or((0, 0), |at| (at.committed, at.end));
    // Another read of the same user may have moved on since: what this one gave out ends at its own offset.
    let next = delivery.next_offsets.first().map_or(committed, |(_, _, offset)| *offset);
    Ok(print(&topic, partition, &delivery.records, next, end.saturating_sub(next).max(0)))
}

fn print(
    topic: &str,
    partition: u32,
    records: &[(String, floe_engine::StoredRecord)],
    next: i64,
    lag: i64,
) -> Response {
    use std::io::Write;
    let mut out = Vec::with_capacity(160 * (records.len() + 1));
    // Writing to memory can't fail, and a topic's name needs no escapes.
    let _ = write!(out, "{{\"topic\":\"{topic}\",\"partition\":{partition},\"messages\":[");
    for (at, (_, record)) in records.iter().enumerate() {
        out.extend_from_slice(if at == 0 { b"{\"key\":" } else { b",{\"key\":" });
        write_key(&mut out, record.key.as_ref());
        out.extend_from_slice(b",\"value\":");
        write_value(&mut out, record.value.as_ref(), false);
        let _ = write!(out, ",\"offset\":{},\"timestamp\":", record.offset);
        timestamp::write_json(&mut out, record.timestamp);
        out.push(b'}');
    }
    let _ = write!(out, "],\"next_offset\":{next},\"lag\":{lag}}}");
    let mut response = Response::new(out.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn group_of(email: &str) -> Result<String, ApiError> {
    if is_email(email) {
        return Ok(format!("user:{email}"));
    }
    Err(ApiError::bad_request(format!(
        "'{}' is not an e-mail address; one looks like john@example.com",
        email.chars().take(EMAIL_BYTES_MAX).collect::<String>().escape_debug()
    )))
}

/// The rule that browsers use for their e-mail fields, and a dot in the domain.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let in_local = |byte: u8| byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= EMAIL_BYTES_MAX
        && (1..=64).contains(&local.len())
        && local.bytes().all(in_local)
        && domain.contains('.')
        && domain.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_other_text() {
        for good in ["john@example.com", "j.o+tag@mail.example.co.uk", "x@1.de", "o'neil@a-b.io"] {
            assert!(is_email(good), "{good}");
        }
        let long = format!("{}@example.com", "x".repeat(65));
        for bad in [
            "",
            "john",
            "john@",
            "@example.com",
            "john@example",
            "a@b@c.de",
            "a b@c.de",
            "a@-b.de",
            "a@b..de",
            "é@b.de",
            "a@b.de\n",
            &long,
        ] {
            assert!(!is_email(bad), "{bad}");
        }
    }
}
