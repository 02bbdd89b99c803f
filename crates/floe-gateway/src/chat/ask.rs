//! `POST /chat`: a question and its answer in one request.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use floe_chat::{AnswerStatus, ChatEvent, Outcome, Question, Seat, Source, Told, Turn, new_id};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use utoipa::ToSchema;

use super::{chat, event_stream, failure};
use crate::{
    gateway::Gateway,
    json::{JsonBody, answer},
    limits::{ANSWER_WAIT_MS_DEFAULT, WAIT_MS_MAX},
    params::{InPath, RawParams},
    problem::{ApiError, Code, Problem},
};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A question.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewQuestion {
    /// A new one if absent.
    session_id: Option<String>,
    user_id: Option<String>,
    /// The same again is the same question.
    request_id: Option<String>,
    #[schema(example = "How does Floe make an acknowledged record durable?")]
    content: String,
}

/// An answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AnswerView {
    request_id: String,
    session_id: String,
    content: String,
    #[schema(value_type = Vec<Object>)]
    sources: Vec<Source>,
    /// `answered`, or `stopped`: then it is what there was by then.
    #[schema(value_type = String)]
    status: AnswerStatus,
}

/// A question whose answer isn't there yet.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StillRunning {
    request_id: String,
    session_id: String,
    #[schema(example = "running")]
    status: &'static str,
    /// Where to look for the answer.
    poll: String,
}

/// Ask a question
///
/// Answers with the answer; after `wait_ms` without one with 202 and where to look for it. With `Accept: text/event-stream` the
/// answer comes as it is written: events `ack`, `delta`, `restart` (what came before doesn't count), then `answer` or `error`.
#[utoipa::path(
    post,
    path = "/chat",
    tag = "chat (seed 002)",
    params(("wait_ms" = Option<u64>, Query, description = "How long to wait for the answer, 0 to 60000; 30000 if absent")),
    request_body = NewQuestion,
    responses(
        (status = 200, description = "The answer", body = AnswerView),
        (status = 202, description = "Not answered yet", body = StillRunning),
        (status = 404, description = "The session is somebody else's", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The request_id was used for another question", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "An id or the content is not as it should be", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many questions or sessions", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "`ANSWER_FAILED`: there will be no answer", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn ask(
    State(gateway): State<Arc<Gateway>>,
    params: RawParams,
    headers: HeaderMap,
    JsonBody(new): JsonBody<NewQuestion>,
) -> Result<Response, ApiError> {
    let params = params.only(&["wait_ms"])?;
    let wait = params.number("wait_ms", 0..=WAIT_MS_MAX)?.unwrap_or(ANSWER_WAIT_MS_DEFAULT);
    let chat = chat(&gateway)?.clone();
    let question = Question {
        session_id: new.session_id.unwrap_or_else(new_id),
        user_id: new.user_id,
        request_id: new.request_id,
        content: new.content,
        trace_id: trace_of(&headers),
    };
    let (session, user) = (question.session_id.clone(), question.user_id.clone());
    // a seat first: the answer can't be missed
    let mut seat = chat.join(&session, user.as_deref()).await.map_err(failure)?;
    let asked = chat.ask(question).await.map_err(failure)?;
    let known = chat.outcome(&session, user.as_deref(), &asked.request_id).await.map_err(failure)?;
    if wants_stream(&headers) {
        return Ok(event_stream::answer(&gateway, seat, &session, asked.request_id, known));
    }
    let limit = Duration::from_millis(wait);
    let stopped = gateway.stopped();
    let told = async {
        match known {
            Some(outcome) if outcome != Outcome::Running => Some(outcome),
            _ => Some(wait_for(&mut seat, &asked.request_id).await),
        }
    };
    let outcome = tokio::select! {
        outcome = timeout(limit, told) => outcome.unwrap_or(None),
        () = stopped => None,
    };
    view(&session, user.as_deref(), &asked.request_id, outcome.unwrap_or(Outcome::Running))
}

/// What became of a question
#[utoipa::path(
    get,
    path = "/chat/sessions/{session}/answers/{request}",
    tag = "chat (seed 002)",
    params(
        ("session" = String, Path, description = "The session"),
        ("request" = String, Path, description = "The question's request_id"),
        ("user_id" = Option<String>, Query, description = "Who opened the session"),
    ),
    responses(
        (status = 200, description = "The answer", body = AnswerView),
        (status = 202, description = "Not answered yet", body = StillRunning),
        (status = 404, description = "No such session or question", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "`ANSWER_FAILED`: there will be no answer", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn outcome(
    State(gateway): State<Arc<Gateway>>,
    InPath((session, request)): InPath<(String, String)>,
    params: RawParams,
) -> Result<Response, ApiError> {
    let params = params.only(&["user_id"])?;
    let outcome = chat(&gateway)?.outcome(&session, params.text("user_id"), &request).await;
    match outcome.map_err(failure)? {
        Some(outcome) => view(&session, params.text("user_id"), &request, outcome),
        None => Err(ApiError::new(Code::NotFound, "there is no such question in this session")),
    }
}

async fn wait_for(seat: &mut Seat, request_id: &str) -> Outcome {
    loop {
        // whoever missed so much that this may have been among it looks for it at the poll address
        let Told::Event(event) = seat.next().await else { return Outcome::Running };
        match &*event {
            ChatEvent::Answer { request_id: of, content, sources, status } if of == request_id => {
                return Outcome::Answered(Turn {
                    request_id: request_id.to_owned(),
                    question: String::new(),
                    answer: content.clone(),
                    sources: sources.clone(),
                    status: *status,
                    error: None,
                    at: String::new(),
                });
            }
            ChatEvent::Error { request_id: of, code, detail } if of == request_id => {
                return Outcome::Failed { code: code.clone(), detail: detail.clone() };
            }
            _ => {}
        }
    }
}

fn view(session: &str, user: Option<&str>, request_id: &str, outcome: Outcome) -> Result<Response, ApiError> {
    match outcome {
        Outcome::Answered(turn) if turn.status == AnswerStatus::Failed => {
            let why = turn.error.unwrap_or_else(|| "the question was not answered".to_owned());
            Err(ApiError::new(Code::AnswerFailed, why))
        }
        Outcome::Answered(turn) => Ok(answer(
            StatusCode::OK,
            AnswerView {
                request_id: request_id.to_owned(),
                session_id: session.to_owned(),
                content: turn.answer,
                sources: turn.sources,
                status: turn.status,
            },
        )),
        Outcome::Failed { code, detail } => {
            Err(ApiError::new(Code::AnswerFailed, format!("{code}: {detail}")))
        }
        Outcome::Running => {
            let mut poll = format!("/chat/sessions/{session}/answers/{request_id}");
            if let Some(user) = user {
                poll += &format!("?user_id={user}");
            }
            let location = HeaderValue::try_from(&poll);
            let running = StillRunning {
                request_id: request_id.to_owned(),
                session_id: session.to_owned(),
                status: "running",
                poll,
            };
            let mut response = answer(StatusCode::ACCEPTED, running);
            if let Ok(location) = location {
                response.headers_mut().insert(header::LOCATION, location);
            }
            Ok(response)
        }
    }
}

fn wants_stream(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|kind| {
        kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/event-stream")
    })
}

/// The trace id of a W3C `traceparent`: version, trace id, parent id and flags, with hyphens between.
fn trace_of(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(TRACEPARENT)?.to_str().ok()?;
    let trace = text.split('-').nth(1)?;
    let is_one = trace.len() == 32
        && trace.bytes().all(|byte| byte.is_ascii_hexdigit())
        && trace.bytes().any(|byte| byte != b'0');
    is_one.then(|| trace.to_ascii_lowercase())
}
