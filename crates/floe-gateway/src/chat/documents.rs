//! `/chat/documents`: what answers come from.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use floe_chat::{DocumentSummary, DocumentView, documents::Document, new_id};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{chat, failure};
use crate::{
    body,
    gateway::Gateway,
    json::{self, answer},
    params::{InPath, Params, RawParams},
    problem::{ApiError, Code, Problem},
};

/// A document.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewDocument {
    /// A new one if absent; a document that is there under this id is replaced.
    id: Option<String>,
    /// Its first heading, or else its id, if absent.
    title: Option<String>,
    /// Markdown or plain text.
    content: String,
}

/// All documents.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DocumentList {
    /// `{id, title, bytes, passages, updated_at}`, by id.
    #[schema(value_type = Vec<Object>)]
    documents: Vec<DocumentSummary>,
}

/// A document in full.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DocumentShown {
    #[serde(flatten)]
    #[schema(value_type = Object)]
    document: DocumentView,
}

/// Add or replace a document
///
/// As JSON, or as it is with the content type `text/markdown` or `text/plain` and its id and title in the query. Answers are
/// found in it from then on.
#[utoipa::path(
    post,
    path = "/chat/documents",
    tag = "chat (seed 002)",
    params(
        ("id" = Option<String>, Query, description = "Of a body that isn't JSON: its id"),
        ("title" = Option<String>, Query, description = "Of a body that isn't JSON: its title"),
    ),
    request_body = NewDocument,
    responses(
        (status = 201, description = "Stored, on disk", body = Object),
        (status = 400, description = "Not JSON, or not UTF-8", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Another content type", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "No text, or an id or a title that isn't one", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn add_document(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let params = Params::parse(parts.uri.query(), &["id", "title"])?;
    let is_text = is_text(&parts.headers)?;
    let received = body::receive(&gateway, &parts.headers, body).await?;
    let document = match is_text {
        true => of_text(&params, &received.bytes)?,
        false => of_json(&received.bytes)?,
    };
    let id = document.id.clone();
    match chat(&gateway)?.put_document(&document).await.map_err(failure)? {
        Some(summary) => Ok(answer(StatusCode::CREATED, summary)),
        None => Ok(answer(StatusCode::CREATED, serde_json::json!({"id": id}))),
    }
}

/// List documents
#[utoipa::path(
    get,
    path = "/chat/documents",
    tag = "chat (seed 002)",
    responses((status = 200, description = "All of them, by id", body = DocumentList))
)]
pub(crate) async fn list_documents(
    State(gateway): State<Arc<Gateway>>,
    params: RawParams,
) -> Result<Response, ApiError> {
    params.only(&[])?;
    Ok(answer(StatusCode::OK, DocumentList { documents: chat(&gateway)?.documents().await }))
}

/// Show a document
///
/// With the passages that it was cut into, which are what answers point at.
#[utoipa::path(
    get,
    path = "/chat/documents/{id}",
    tag = "chat (seed 002)",
    params(("id" = String, Path, description = "The document; a slash in it as %2F")),
    responses(
        (status = 200, description = "The document", body = DocumentShown),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show_document(
    State(gateway): State<Arc<Gateway>>,
    InPath(id): InPath<String>,
    params: RawParams,
) -> Result<Response, ApiError> {
    params.only(&[])?;
    match chat(&gateway)?.document(&id).await {
        Some(document) => Ok(answer(StatusCode::OK, DocumentShown { document })),
        None => Err(no_document(&id)),
    }
}

/// Delete a document
#[utoipa::path(
    delete,
    path = "/chat/documents/{id}",
    tag = "chat (seed 002)",
    params(("id" = String, Path, description = "The document; a slash in it as %2F")),
    responses(
        (status = 204, description = "Deleted, on disk"),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete_document(
    State(gateway): State<Arc<Gateway>>,
    InPath(id): InPath<String>,
    params: RawParams,
) -> Result<Response, ApiError> {
    params.only(&[])?;
    match chat(&gateway)?.delete_document(&id).await.map_err(failure)? {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Err(no_document(&id)),
    }
}

fn no_document(id: &str) -> ApiError {
    ApiError::new(Code::NotFound, format!("there is no document '{}'", id.escape_debug()))
}

fn is_text(headers: &HeaderMap) -> Result<bool, ApiError> {
    match json::media_type(headers).as_deref() {
        Some("text/markdown" | "text/plain") => Ok(true),
        _ => json::require_json(headers).map(|()| false),
    }
}

fn of_text(params: &Params, body: &Bytes) -> Result<Document, ApiError> {
    let content = std::str::from_utf8(body).map_err(|error| {
        ApiError::bad_request(format!("the document is not UTF-8 at byte {}", error.valid_up_to()))
    })?;
    let of = |name: &str| params.text(name).map(str::to_owned);
    Ok(document(of("id"), of("title"), content.to_owned()))
}

fn of_json(body: &Bytes) -> Result<Document, ApiError> {
    let NewDocument { id, title, content } = json::object(body)?;
    Ok(document(id, title, content))
}

fn document(id: Option<String>, title: Option<String>, content: String) -> Document {
    let id = id.unwrap_or_else(new_id);
    let heading =
        || content.lines().find_map(|line| line.strip_prefix("# ")).map(|line| line.trim().to_owned());
    let title = title.or_else(heading).unwrap_or_else(|| id.clone());
    Document { id, title, content }
}
