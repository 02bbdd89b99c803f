//! Pages for people: where things are, Swagger UI and ReDoc. All from the binary; no page asks another host for anything.

use std::sync::LazyLock;

use axum::{
    Router,
    response::{Html, IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::{
    params::RawParams,
    problem::{ApiError, unknown_path},
};

static LANDING: &str = include_str!("landing.html");

/// ReDoc with its script inside, made once: it is nearly a megabyte.
static REDOC: LazyLock<Bytes> =
    LazyLock::new(|| aide::redoc::Redoc::new("/openapi.json").with_title("Floe: ReDoc").html().into());

const LANDING_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// ReDoc keeps its script in the page, its search in a worker made of a blob, and asks another host for its logo,
/// which `img-src` stops.
const REDOC_POLICY: &str = "default-src 'self'; script-src 'unsafe-inline'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; font-src 'self' data:; worker-src blob:; object-src 'none'; base-uri 'none'; \
     frame-ancestors 'none'";

const SWAGGER_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     object-src 'none'; base-uri 'none'; frame-ancestors 'none'";

/// What is where
#[utoipa::path(get, path = "/", tag = "documents", responses((status = 200, description = "A page of links", body = String, content_type = "text/html")))]
pub(crate) async fn landing(params: RawParams) -> Result<Response, ApiError> {
    params.only(&[])?;
    Ok(page(Html(LANDING).into_response(), LANDING_POLICY))
}

/// This document, in ReDoc
#[utoipa::path(get, path = "/redoc", tag = "documents", responses((status = 200, description = "ReDoc", body = String, content_type = "text/html")))]
pub(crate) async fn redoc(params: RawParams) -> Result<Response, ApiError> {
    params.only(&[])?;
    Ok(page(Html(REDOC.clone()).into_response(), REDOC_POLICY))
}

/// Swagger UI at `/docs`, and `/openapi.json`.
pub(crate) fn swagger(openapi: OpenApi) -> Router {
    let config = Config::default().try_it_out_enabled(true).validator_url("none");
    let ui = SwaggerUi::new("/docs").url("/openapi.json", openapi).config(config);
    Router::from(ui).layer(axum::middleware::map_response(async |response: Response| {
        let found = response.status() != StatusCode::NOT_FOUND;
        let response = if found { response } else { unknown_path().await.into_response() };
        page(response, SWAGGER_POLICY)
    }))
}

/// What every page carries beside its own policy.
pub(crate) fn page(mut response: Response, policy: &'static str) -> Response {
    const OPENER: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(OPENER, HeaderValue::from_static("same-origin"));
    response
}
