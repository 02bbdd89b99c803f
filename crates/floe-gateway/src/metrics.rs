//! What the doors count, and `GET /metrics`.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use http::{HeaderValue, StatusCode, header};
use parking_lot::Mutex;
use prometheus_client::{
    encoding::text,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use crate::{
    gateway::Gateway,
    params::RawParams,
    problem::{ApiError, Code},
    scrape::Scrape,
    scrape_pipelines::PipelineScrape,
};

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the request duration's buckets, in seconds. Long polls fall into the last ones.
const DURATION_BUCKETS: [f64; 12] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0, 30.0];

/// The counters that requests move; everything else is asked of the engine at scrape time.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Mutex<Registry>,
    /// By the status's first digit: 1xx to 5xx.
    responses: [Counter; 5],
    durations: Histogram,
    pub(crate) connections: Gauge,
    pub(crate) connections_refused: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::default();
        let durations = Histogram::new(DURATION_BUCKETS);
        let connections = Gauge::default();
        let connections_refused = Counter::default();
        let family = Family::<[(&str, &str); 1], Counter>::default();
        let responses = ["1xx", "2xx", "3xx", "4xx", "5xx"].map(|class| {
            let counter = family.get_or_create(&[("status", class)]);
            counter.clone()
        });
        registry.register("floe_http_responses", "Answers by the class of their status", family);
        let help = "Time from a request's head to its answer's head";
        registry.register_with_unit("floe_http_request_duration", help, Unit::Seconds, durations.clone());
        registry.register(
            "floe_http_connections",
            "Open connections, WebSockets left out",
            connections.clone(),
        );
        let help = "Connections closed at once because there were too many";
        registry.register("floe_http_connections_refused", help, connections_refused.clone());
        Self { registry: Mutex::new(registry), responses, durations, connections, connections_refused }
    }

    /// Counts an answer.
    pub(crate) fn observe(&self, status: StatusCode, elapsed: Duration) {
        let class = usize::from(status.as_u16() / 100).clamp(1, self.responses.len());
        self.responses[class - 1].inc();
        self.durations.observe(elapsed.as_secs_f64());
    }
}

/// Metrics
///
/// In the OpenMetrics text format. Consumer lag is there under the exporters' usual name, `kafka_consumergroup_lag`.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operations",
    responses((status = 200, description = "OpenMetrics text", body = String, content_type = CONTENT_TYPE))
)]
pub(crate) async fn metrics(
    State(gateway): State<Arc<Gateway>>,
    params: RawParams,
) -> Result<Response, ApiError> {
    params.only(&[])?;
    let mut scraped = Registry::default();
    scraped.register_collector(Box::new(Scrape::of(&gateway).await));
    scraped.register_collector(Box::new(PipelineScrape::of(&gateway).await));
    let mut out = String::with_capacity(16 * 1024);
    let written = text::encode_registry(&mut out, &gateway.metrics().registry.lock())
        .and_then(|()| text::encode_registry(&mut out, &scraped))
        .and_then(|()| text::encode_eof(&mut out));
    written.map_err(|_| ApiError::new(Code::Internal, "the metrics could not be written"))?;
    let mut response = Response::new(out.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    Ok(response)
}
