//! Which path leads where, and the OpenAPI document that comes from the same list.

use std::sync::Arc;

use axum::Router;
use floe_engine::Engine;
use tower_http::compression::CompressionLayer;
use utoipa::{OpenApi, openapi};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    chat, console, dead_letters, dialects, docs,
    gateway::{Door, Gateway, GatewayParts},
    group_members, groups, health, live_doors, metrics, pipelines,
    problem::{ApiError, Code, Problem, unknown_path, wrong_method},
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
        (name = "pipelines", description = "From topics to sinks: what they are doing; pause and resume"),
        (name = "dead letters", description = "What pipelines could not deliver: look, redrive, discard"),
        (name = "live", description = "WebSocket and Server-Sent Events"),
        (name = "pub/sub (seed 000)", description = "Topics, e-mail subscribers, reading by key"),
        (name = "ingestion (seed 001)", description = "Any JSON in, and how far it has come"),
        (name = "activity (seed 003)", description = "Typed events in, stored, found, counted, followed"),
        (name = "chat (seed 002)", description = "Questions and answers over topics"),
        (name = "operations", description = "Health, numbers, metrics"),
        (name = "documents", description = "Pages for people"),
    )
)]
struct Document;

/// The routes of the doors that are open, ready to be called.
pub(crate) fn router(gateway: Arc<Gateway>) -> Router {
    let (router, document) = open(|door| gateway.has_door(door)).split_for_parts();
    router
        .with_state(gateway)
        .merge(docs::swagger(document))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
}

/// The routes by which events come in, and nothing else, for a process that may stand still, or be gone, once it has
/// answered: each answer is given when its events are durable, whatever they or their topic ask for. Must be called inside a
/// tokio runtime.
pub fn ingestion_router(engine: Engine) -> Router {
    let router: OpenApiRouter<Arc<Gateway>> = OpenApiRouter::new()
        .routes(routes!(dialects::register_event))
        .routes(routes!(dialects::get_status))
        .routes(routes!(dialects::track_event))
        .routes(routes!(dialects::track_events))
        .routes(routes!(health::health));
    let (router, _) = router.split_for_parts();
    router
        .with_state(Gateway::durable(GatewayParts::of(engine)))
        .fallback(no_way_in)
        .method_not_allowed_fallback(wrong_method)
}

async fn no_way_in() -> ApiError {
    ApiError::new(
        Code::NotFound,
        "no such path here, where events only come in: POST /register_event, /v1/event, /v1/events; GET /get_status, /health",
    )
}

/// The OpenAPI document of all routes.
#[must_use]
pub fn openapi() -> openapi::OpenApi {
    open(|_| true).into_openapi()
}

type Routes = OpenApiRouter<Arc<Gateway>>;

fn open(has: impl Fn(Door) -> bool) -> Routes {
    let doors: [(Door, fn() -> Routes); 5] = [
        (Door::Records, writes),
        (Door::Records, reads),
        (Door::Producer, producer),
        (Door::Consumer, consumer),
        (Door::Chat, chat_doors),
    ];
    let opened = doors.into_iter().filter(|(door, _)| has(*door));
    opened
        .fold(OpenApiRouter::with_openapi(Document::openapi()).merge(operations()), |router, (_, routes)| {
            router.merge(routes())
        })
}

/// What is open everywhere.
fn operations() -> Routes {
    OpenApiRouter::new()
        .routes(routes!(health::health))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .merge(
            OpenApiRouter::new()
                .routes(routes!(metrics::metrics))
                .routes(routes!(docs::landing))
                .routes(routes!(docs::redoc))
                .layer(CompressionLayer::new()),
        )
}

fn producer() -> Routes {
    OpenApiRouter::new().routes(routes!(chat::post_message))
}

fn consumer() -> Routes {
    OpenApiRouter::new().routes(routes!(chat::take_message))
}

fn chat_doors() -> Routes {
    OpenApiRouter::new()
        .routes(routes!(chat::ask, console::chat_page))
        .routes(routes!(chat::outcome))
        .routes(routes!(chat::chat_socket))
        .routes(routes!(chat::show_session, chat::delete_session))
        .routes(routes!(chat::stop_answer))
        .merge(
            OpenApiRouter::new()
                .routes(routes!(chat::list_documents, chat::add_document))
                .routes(routes!(chat::show_document, chat::delete_document))
                .routes(routes!(console::chat_file))
                .layer(CompressionLayer::new()),
        )
}

/// Routes with small answers, and the hottest ones: no layer around them.
fn writes() -> Routes {
    OpenApiRouter::new()
        .routes(routes!(records::produce))
        .routes(routes!(dialects::register_event))
        .routes(routes!(dialects::track_event))
        .routes(routes!(dialects::write))
        .routes(routes!(dialects::create_topic))
        .routes(routes!(dialects::delete_topic))
        .routes(routes!(dialects::subscribe))
        .routes(routes!(dialects::unsubscribe))
        .routes(routes!(records::append_batch))
        .routes(routes!(records::read_batch))
        .routes(routes!(group_members::join))
        .routes(routes!(group_members::heartbeat))
        .routes(routes!(group_members::leave))
        .routes(routes!(group_members::commit))
        .routes(routes!(live_doors::web_socket))
        .routes(routes!(live_doors::event_stream))
        .routes(routes!(dialects::follow_events))
}

/// Routes with answers that may be large: compressed if the client asks for it.
fn reads() -> Routes {
    OpenApiRouter::new()
        .routes(routes!(topics::list, topics::create))
        .routes(routes!(topics::describe, topics::alter, topics::delete))
        .routes(routes!(records::read))
        .routes(routes!(groups::list))
        .routes(routes!(groups::describe, groups::delete))
        .routes(routes!(groups::poll))
        .routes(routes!(groups::ack))
        .routes(routes!(groups::reset))
        .routes(routes!(pipelines::list))
        .routes(routes!(pipelines::describe))
        .routes(routes!(pipelines::pause))
        .routes(routes!(pipelines::resume))
        .routes(routes!(dead_letters::counts))
        .routes(routes!(dead_letters::list, dead_letters::discard))
        .routes(routes!(dead_letters::show))
        .routes(routes!(dead_letters::redrive))
        .routes(routes!(dialects::read))
        .routes(routes!(dialects::list_events, dialects::track_events))
        .routes(routes!(dialects::count_events))
        .routes(routes!(dialects::find_event, dialects::erase_event))
        .routes(routes!(dialects::get_status))
        .routes(routes!(stats::stats))
        .routes(routes!(console::client))
        .routes(routes!(console::live_page))
        .routes(routes!(console::live_script))
        .routes(routes!(console::live_style))
        .layer(CompressionLayer::new())
}
