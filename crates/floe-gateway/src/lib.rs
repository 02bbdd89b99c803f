//! The doors of HTTP, SSE and WebSocket: decode, one call to the engine, encode.
//!
//! In reading order: how connections come in and who may call, what a request and an answer are made of, the native
//! API, the sockets, the dialects of the seed documents, and the documents that describe it all.

mod gateway;
mod guard;
pub mod limits;
mod problem;
mod routes;
mod server;

mod body;
mod cursor;
mod idempotency;
mod json;
mod json_text;
mod params;
mod timestamp;

mod cloudevents;
mod dead_letters;
mod group_members;
mod groups;
mod health;
mod metrics;
mod pipelines;
mod records;
mod scrape;
mod scrape_pipelines;
mod stats;
mod topics;
mod troubles;

mod live_doors;
mod sse;
mod ws;

mod chat;
mod dialects;
mod rates;
mod receipts;

mod console;
mod docs;

pub use gateway::{Door, EventService, Gateway, GatewayConfig, GatewayParts};
pub use problem::{ApiError, Code, FieldFault, Problem, code_of};
pub use routes::{ingestion_router, openapi};
pub use server::{ConnectionPlace, serve};
