//! `/chat/sessions`: look at one, stop an answer, forget it.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use floe_chat::{RunningView, SessionView, Turn};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::{chat, failure};
use crate::{
    gateway::Gateway,
    json::answer,
    params::{InPath, RawParams},
    problem::{ApiError, Code, Problem},
};

/// A session.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Session {
    session_id: String,
    /// `{request_id, question, answer, sources, status, at}`, oldest first.
    #[schema(value_type = Vec<Object>)]
    turns: Vec<Turn>,
    /// `{request_id, question, content}`: questions that wait for their answers, with what there is of these.
    #[schema(value_type = Vec<Object>)]
    running: Vec<RunningView>,
}

impl Session {
    pub(super) fn new(session_id: &str, view: SessionView) -> Self {
        Self { session_id: session_id.to_owned(), turns: view.turns, running: view.running }
    }
}

/// Look at a session
#[utoipa::path(
    get,
    path = "/chat/sessions/{session}",
    tag = "chat (seed 002)",
    params(
        ("session" = String, Path, description = "The session"),
        ("user_id" = Option<String>, Query, description = "Who opened it"),
    ),
    responses(
        (status = 200, description = "The session", body = Session),
        (status = 404, description = "No such session, or somebody else's", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show_session(
    State(gateway): State<Arc<Gateway>>,
    InPath(session): InPath<String>,
    params: RawParams,
) -> Result<Response, ApiError> {
    let params = params.only(&["user_id"])?;
    let chat = chat(&gateway)?;
    let view = chat.session(&session, params.text("user_id")).await.map_err(failure)?;
    let is_there = !view.turns.is_empty() || !view.running.is_empty();
    if !is_there && !chat.is_known(&session).await.map_err(failure)? {
        let detail = format!("there is no session '{}'", session.escape_debug());
        return Err(ApiError::new(Code::NotFound, detail));
    }
    Ok(answer(StatusCode::OK, Session::new(&session, view)))
}

/// Forget a session
///
/// What was said in it is no longer remembered; its messages stay in their topics as long as those keep them.
#[utoipa::path(
    delete,
    path = "/chat/sessions/{session}",
    tag = "chat (seed 002)",
    params(
        ("session" = String, Path, description = "The session"),
        ("user_id" = Option<String>, Query, description = "Who opened it"),
    ),
    responses(
        (status = 204, description = "Forgotten"),
        (status = 404, description = "No such session, or somebody else's", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete_session(
    State(gateway): State<Arc<Gateway>>,
    InPath(session): InPath<String>,
    params: RawParams,
) -> Result<Response, ApiError> {
    let params = params.only(&["user_id"])?;
    chat(&gateway)?.delete_session(&session, params.text("user_id")).await.map_err(failure)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Stop an answer
///
/// It ends where it is, as an answer with the status `stopped`. One that is complete already stays as it is.
#[utoipa::path(
    post,
    path = "/chat/sessions/{session}/answers/{request}/stop",
    tag = "chat (seed 002)",
    params(
        ("session" = String, Path, description = "The session"),
        ("request" = String, Path, description = "The question's request_id"),
        ("user_id" = Option<String>, Query, description = "Who opened the session"),
    ),
    responses(
        (status = 202, description = "It will end"),
        (status = 404, description = "The session is somebody else's", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn stop_answer(
    State(gateway): State<Arc<Gateway>>,
    InPath((session, request)): InPath<(String, String)>,
    params: RawParams,
) -> Result<Response, ApiError> {
    let params = params.only(&["user_id"])?;
    chat(&gateway)?.stop(&session, params.text("user_id"), &request).await.map_err(failure)?;
    Ok(StatusCode::ACCEPTED.into_response())
}
