//! `/dead-letters`: what pipelines could not deliver, and what is to become of it.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use bytes::Bytes;
use floe_engine::Header;
use floe_pipeline::{
    DeadLetter, DeadLetterCounts, DeadLetterPage, DeadLetterState, LogError, Redrive, Redriven, Selection,
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    gateway::Gateway,
    json::{JsonBody, answer, written},
    limits::{DEAD_LETTER_IDS_MAX, DEAD_LETTERS_PAGE_DEFAULT, DEAD_LETTERS_PAGE_MAX, REDRIVE_RATE_MAX},
    params::{InPath, RawParams},
    pipelines::{log_failure, unknown},
    problem::{ApiError, Code, Problem},
    records::{write_headers, write_key, write_number, write_str, write_value},
    timestamp,
};

/// Counts of all dead letters.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CountList {
    dead_letters: Vec<CountLine>,
}

#[derive(Debug, Serialize, ToSchema)]
struct CountLine {
    pipeline: String,
    /// They are records of this topic.
    topic: String,
    /// Ever.
    total: u64,
    redriven: u64,
    discarded: u64,
    /// Still waiting for somebody.
    open: u64,
}

/// A dead letter.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes to the OpenAPI document what is written by hand")]
pub(crate) struct DeadLetterView {
    /// `partition-offset` in the topic of dead letters.
    #[schema(example = "0-17")]
    id: String,
    /// `open`, `redriven` or `discarded`.
    state: String,
    /// Why it could not be delivered.
    error: String,
    attempts: u32,
    first_failure: Option<String>,
    last_failure: Option<String>,
    /// `{topic, partition, offset}` that it was read at; null if its headers don't say.
    #[schema(value_type = Option<Object>)]
    origin: Option<()>,
    /// How often it was redriven before it came here again.
    redrives: u32,
    /// As in a read.
    #[schema(value_type = Option<Object>)]
    key: Option<()>,
    /// As in a read.
    #[schema(value_type = Option<Object>)]
    value: Option<()>,
    /// As they were in the origin topic.
    #[schema(value_type = Object)]
    headers: (),
}

/// Dead letters of a pipeline.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes to the OpenAPI document what is written by hand")]
pub(crate) struct DeadLetterList {
    pipeline: String,
    /// Oldest first.
    dead_letters: Vec<DeadLetterView>,
    /// What `after` is for the next page; null at the end.
    next: Option<String>,
}

/// Which dead letters are meant: `ids`, `all: true`, or a filter.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct Which {
    /// At most 10000.
    #[serde(default)]
    ids: Vec<String>,
    #[serde(default)]
    all: bool,
    /// Only those whose error has this text in it.
    error_contains: Option<String>,
    /// Only those that came from this topic.
    topic: Option<String>,
    /// At most so many.
    limit: Option<u64>,
}

/// Which dead letters to write to their origin topics again, and how.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct RedriveRequest {
    #[serde(flatten)]
    which: Which,
    /// Only say what would be done.
    #[serde(default)]
    dry_run: bool,
    /// At most so many a second.
    rate: Option<f64>,
    /// Also those that came back three times before.
    #[serde(default)]
    force: bool,
}

/// What a redrive did, or would do.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RedriveDone {
    redriven: u64,
    /// Left alone, and why.
    skipped: Vec<Skipped>,
    dry_run: bool,
}

#[derive(Debug, Serialize, ToSchema)]
struct Skipped {
    id: String,
    why: String,
}

/// What was decided against.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DiscardDone {
    discarded: u64,
}

/// Count dead letters
#[utoipa::path(get, path = "/dead-letters", tag = "dead letters", responses((status = 200, description = "By pipeline", body = CountList)))]
pub(crate) async fn counts(
    State(gateway): State<Arc<Gateway>>,
    params: RawParams,
) -> Result<Response, ApiError> {
    params.only(&[])?;
    let counts = gateway.dead_letters().counts().await.map_err(log_failure)?;
    let line = |counts: DeadLetterCounts| CountLine {
        topic: format!("{}{}", floe_pipeline::TOPIC_PREFIX, counts.pipeline),
        pipeline: counts.pipeline,
        total: counts.total,
        redriven: counts.redriven,
        discarded: counts.discarded,
        open: counts.open,
    };
    let dead_letters = counts.into_iter().map(line).collect();
    Ok(answer(StatusCode::OK, CountList { dead_letters }))
}

/// List a pipeline's dead letters
#[utoipa::path(
    get,
    path = "/dead-letters/{pipeline}",
    tag = "dead letters",
    params(
        ("pipeline" = String, Path, description = "The pipeline"),
        ("after" = Option<String>, Query, description = "Go on behind this id"),
        ("limit" = Option<u32>, Query, description = "At most so many, 1 to 1000; 100 if absent"),
        ("state" = Option<String>, Query, description = "`open` (default) or `all`"),
    ),
    responses(
        (status = 200, description = "Oldest first, with why, how often and when they failed, and where they came from", body = DeadLetterList),
        (status = 404, description = "No such pipeline", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    State(gateway): State<Arc<Gateway>>,
    InPath(pipeline): InPath<String>,
    params: RawParams,
) -> Result<Response, ApiError> {
    let params = params.only(&["after", "limit", "state"])?;
    let limit = params.number("limit", 1..=DEAD_LETTERS_PAGE_MAX)?.unwrap_or(DEAD_LETTERS_PAGE_DEFAULT);
    let all = match params.text("state") {
        None | Some("open") => false,
        Some("all") => true,
        Some(other) => {
            return Err(ApiError::bad_request(format!(
                "state={} is not one of open, all",
                other.escape_debug()
            )));
        }
    };
    let page = gateway.dead_letters().list(&pipeline, params.text("after"), limit, all).await;
    let page =
        or_none(&gateway, &pipeline, page, || DeadLetterPage { letters: Vec::new(), next: None }).await?;
    let mut out = Vec::with_capacity(128 + 512 * page.letters.len());
    out.extend_from_slice(b"{\"pipeline\":");
    write_str(&mut out, &pipeline);
    out.extend_from_slice(b",\"dead_letters\":[");
    for (at, letter) in page.letters.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_letter(&mut out, letter);
    }
    out.extend_from_slice(b"],\"next\":");
    match &page.next {
        Some(next) => write_str(&mut out, next),
        None => out.extend_from_slice(b"null"),
    }
    out.push(b'}');
    Ok(written(StatusCode::OK, out))
}

/// Show a dead letter
#[utoipa::path(
    get,
    path = "/dead-letters/{pipeline}/{id}",
    tag = "dead letters",
    params(
        ("pipeline" = String, Path, description = "The pipeline"),
        ("id" = String, Path, description = "Its id"),
    ),
    responses(
        (status = 200, description = "The dead letter", body = DeadLetterView),
        (status = 404, description = "No such dead letter", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show(
    State(gateway): State<Arc<Gateway>>,
    InPath((pipeline, id)): InPath<(String, String)>,
    params: RawParams,
) -> Result<Response, ApiError> {
    params.only(&[])?;
    let letter = gateway.dead_letters().get(&pipeline, &id).await;
    let Some(letter) = or_none(&gateway, &pipeline, letter, || None).await? else {
        let id: String = id.chars().take(64).collect();
        let detail = format!(
            "there is no dead letter '{}' of this pipeline; GET /dead-letters/{{pipeline}} lists them",
            id.escape_debug()
        );
        return Err(ApiError::new(Code::NotFound, detail));
    };
    let mut out = Vec::with_capacity(512);
    write_letter(&mut out, &letter);
    Ok(written(StatusCode::OK, out))
}

/// Redrive dead letters
///
/// Writes them to the topics they came from again, each once, and marks them; their key, value and headers are those
/// they had. `ids`, `all: true` or a filter says which.
#[utoipa::path(
    post,
    path = "/dead-letters/{pipeline}/redrive",
    tag = "dead letters",
    params(("pipeline" = String, Path, description = "The pipeline")),
    request_body = RedriveRequest,
    responses(
        (status = 202, description = "They are in their origin topics, durably; or would be, of a dry run", body = RedriveDone),
        (status = 400, description = "It isn't said which", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such pipeline", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn redrive(
    State(gateway): State<Arc<Gateway>>,
    InPath(pipeline): InPath<String>,
    params: RawParams,
    JsonBody(body): JsonBody<RedriveRequest>,
) -> Result<Response, ApiError> {
    params.only(&[])?;
    let dry_run = body.dry_run;
    let redrive = body.into_redrive()?;
    let done = gateway.dead_letters().redrive(&pipeline, &redrive).await;
    let done = or_none(&gateway, &pipeline, done, Redriven::default).await?;
    let skipped = done.skipped.into_iter().map(|(id, why)| Skipped { id, why }).collect();
    Ok(answer(StatusCode::ACCEPTED, RedriveDone { redriven: done.redriven, skipped, dry_run }))
}

/// Discard dead letters
///
/// Marks them as decided against; the topic keeps its records until its retention removes them. `ids`, `all: true` or a
/// filter says which.
#[utoipa::path(
    delete,
    path = "/dead-letters/{pipeline}",
    tag = "dead letters",
    params(("pipeline" = String, Path, description = "The pipeline")),
    request_body = Which,
    responses(
        (status = 200, description = "How many were open and are discarded now, durably", body = DiscardDone),
        (status = 400, description = "It isn't said which", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such pipeline", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn discard(
    State(gateway): State<Arc<Gateway>>,
    InPath(pipeline): InPath<String>,
    params: RawParams,
    JsonBody(body): JsonBody<Which>,
) -> Result<Response, ApiError> {
    params.only(&[])?;
    let selection = body.into_selection()?;
    let discarded = gateway.dead_letters().discard(&pipeline, &selection).await;
    let discarded = or_none(&gateway, &pipeline, discarded, || 0).await?;
    Ok(answer(StatusCode::OK, DiscardDone { discarded }))
}

/// A pipeline that never had dead letters has no topic for them: that is no mistake of somebody who asks.
async fn or_none<T>(
    gateway: &Gateway,
    pipeline: &str,
    found: Result<T, LogError>,
    none: impl FnOnce() -> T,
) -> Result<T, ApiError> {
    match found {
        Err(LogError::NoTopic { .. }) => {
            match gateway.directory().get(pipeline).await.map_err(log_failure)? {
                Some(_) => Ok(none()),
                None => Err(unknown(pipeline)),
            }
        }
        found => found.map_err(log_failure),
    }
}

impl Which {
    fn into_selection(self) -> Result<Selection, ApiError> {
        let filtered = self.error_contains.is_some() || self.topic.is_some();
        if self.ids.is_empty() && !self.all && !filtered {
            return Err(ApiError::bad_request(
                "it isn't said which dead letters are meant: send ids, \"all\": true, or a filter \
                 (error_contains, topic)",
            ));
        }
        if !self.ids.is_empty() && self.all {
            return Err(ApiError::bad_request("ids and \"all\": true contradict each other; send one"));
        }
        if self.ids.len() > DEAD_LETTER_IDS_MAX {
            let detail =
                format!("ids: {} are given, at most {DEAD_LETTER_IDS_MAX} are taken", self.ids.len());
            return Err(ApiError::bad_request(detail));
        }
        if self.limit == Some(0) {
            return Err(ApiError::bad_request("limit: 0 is not a whole number from 1"));
        }
        Ok(Selection {
            ids: self.ids,
            error_contains: self.error_contains,
            topic: self.topic,
            limit: self.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
        })
    }
}

impl RedriveRequest {
    fn into_redrive(self) -> Result<Redrive, ApiError> {
        if let Some(rate) = self.rate
            && !(rate > 0.0 && rate <= REDRIVE_RATE_MAX)
        {
            let detail = format!("rate: {rate} is not a number above 0, at most {REDRIVE_RATE_MAX}");
            return Err(ApiError::bad_request(detail));
        }
        Ok(Redrive {
            selection: self.which.into_selection()?,
            dry_run: self.dry_run,
            rate: self.rate,
            force: self.force,
        })
    }
}

fn state_name(state: DeadLetterState) -> &'static str {
    match state {
        DeadLetterState::Open => "open",
        DeadLetterState::Redriven => "redriven",
        DeadLetterState::Discarded => "discarded",
    }
}

fn write_letter(out: &mut Vec<u8>, letter: &DeadLetter) {
    out.extend_from_slice(b"{\"id\":");
    write_str(out, &letter.id);
    out.extend_from_slice(b",\"state\":");
    write_str(out, state_name(letter.state));
    out.extend_from_slice(b",\"error\":");
    write_str(out, &letter.error);
    out.extend_from_slice(b",\"attempts\":");
    write_number(out, letter.attempts);
    out.extend_from_slice(b",\"first_failure\":");
    match letter.first_failure {
        Some(ms) => timestamp::write_json(out, ms),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"last_failure\":");
    timestamp::write_json(out, letter.last_failure);
    out.extend_from_slice(b",\"origin\":");
    match &letter.origin {
        Some(origin) => {
            out.extend_from_slice(b"{\"topic\":");
            write_str(out, &origin.topic);
            out.extend_from_slice(b",\"partition\":");
            write_number(out, origin.partition);
            out.extend_from_slice(b",\"offset\":");
            write_number(out, origin.offset);
            out.push(b'}');
        }
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"redrives\":");
    write_number(out, letter.redrives);
    write_content(out, letter.key.as_ref(), letter.value.as_ref(), &letter.headers);
    out.push(b'}');
}

fn write_content(out: &mut Vec<u8>, key: Option<&Bytes>, value: Option<&Bytes>, headers: &[Header]) {
    out.extend_from_slice(b",\"key\":");
    write_key(out, key);
    out.extend_from_slice(b",\"value\":");
    write_value(out, value, false);
    out.extend_from_slice(b",\"headers\":");
    write_headers(out, headers);
}
