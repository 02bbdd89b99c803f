//! Which path leads where, and the OpenAPI document that comes from the same list.

use std::sync::Arc;

use axum::Router;
use tower_http::compression::CompressionLayer;
use utoipa::{OpenApi, openapi};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    dialects, docs,
    gateway::Gateway,
    groups, health, live_doors, metrics,
    problem::{Problem, unknown_path, wrong_method},
    records, stats, topics,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Floe",
        description = "A durable event-streaming server. Failures are answered with `application/problem+json` (RFC 9457); `code` is for programs, `detail` says what was wrong, where, and what would be right. Request bodies may be compressed with gzip, zstd, br or deflate.",
        license(name = "MIT", identifier = "MIT"),
    ),
    components(schemas(Problem)),
    tags(
        (name = "topics", description = "Make, list, describe, change, delete"),
        (name = "records", description = "Store and read"),
        (name = "groups", description = "Consumer groups without a consumer to keep alive"),
        (name = "live", description = "WebSocket and Server-Sent Events"),
        (name = "pub/sub (seed 000)", description = "Topics, e-mail subscribers, reading by key"),
        (name = "ingestion (seed 001)", description = "Any JSON in, and how far it has come"),
        (name = "operations", description = "Health, numbers, metrics"),
        (name = "documents", description = "Pages for people"),
    )
)]
struct Document;

/// All routes, ready to be called.
pub(crate) fn router(gateway: Arc<Gateway>) -> Router {
    let (router, document) = all().split_for_parts();
    router
        .with_state(gateway)
        .merge(docs::swagger(document))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
}

/// The OpenAPI document of all routes.
#[must_use]
pub fn openapi() -> openapi::OpenApi {
    all().into_openapi()
}

fn all() -> OpenApiRouter<Arc<Gateway>> {
    OpenApiRouter::with_openapi(Document::openapi()).merge(writes()).merge(reads())
}

/// Routes with small answers, and the hottest ones: no layer around them.
fn writes() -> OpenApiRouter<Arc<Gateway>> {
    OpenApiRouter::new()
        .routes(routes!(records::produce))
        .routes(routes!(dialects::register_event))
        .routes(routes!(dialects::write))
        .routes(routes!(dialects::create_topic))
        .routes(routes!(dialects::delete_topic))
        .routes(routes!(dialects::subscribe))
        .routes(routes!(dialects::unsubscribe))
        .routes(routes!(health::health))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(live_doors::web_socket))
        .routes(routes!(live_doors::event_stream))
}

/// Routes with answers that may be large: compressed if the client asks for it.
fn reads() -> OpenApiRouter<Arc<Gateway>> {
    OpenApiRouter::new()
        .routes(routes!(topics::list, topics::create))
        .routes(routes!(topics::describe, topics::alter, topics::delete))
        .routes(routes!(records::read))
        .routes(routes!(groups::list))
        .routes(routes!(groups::describe, groups::delete))
        .routes(routes!(groups::poll))
        .routes(routes!(groups::ack))
        .routes(routes!(groups::reset))
        .routes(routes!(dialects::read))
        .routes(routes!(dialects::get_status))
        .routes(routes!(stats::stats))
        .routes(routes!(metrics::metrics))
        .routes(routes!(docs::landing))
        .routes(routes!(docs::redoc))
        .layer(CompressionLayer::new())
}
