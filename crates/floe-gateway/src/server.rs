//! The accept loop: connections in, bounded in number and time, and a stop that lets accepted requests finish.

use std::{convert::Infallible, io, sync::Arc, time::Instant};

use axum::{Router, body::Body, extract::Request, response::IntoResponse};
use floe_engine::EngineError;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::metrics::gauge::Gauge;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
};
use tower::Service;

use crate::{
    dialects,
    gateway::Gateway,
    guard::Admitted,
    limits::{
        ACCEPT_BACKOFF, CONNECTION_BUFFER_BYTES, HEAD_HEADERS_MAX, HEAD_TIMEOUT, SAMPLE_EVERY, STOP_GRACE,
    },
    metrics::Metrics,
    routes,
};

/// One connection's place among all; an upgraded connection takes it along through the request's extensions and
/// gives it back when it ends.
#[derive(Clone, Debug)]
pub struct ConnectionPlace(#[expect(dead_code, reason = "held for its drop")] Arc<OwnedSemaphorePermit>);

/// Serves `gateway` on all `listeners` until `shutdown` resolves; returns when the last connection is closed, WebSockets
/// too, or the grace period ([`STOP_GRACE`]) is over.
///
/// On shutdown no connection is accepted any more, waits and streams are told to end ([`Gateway::stopping`]), and
/// requests that were accepted finish.
pub async fn serve(
    listeners: Vec<TcpListener>,
    gateway: Arc<Gateway>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let router = routes::router(Arc::clone(&gateway));
    let places = Arc::new(Semaphore::new(gateway.max_connections()));
    let mut acceptors = JoinSet::new();
    for listener in listeners {
        let on_loopback = listener.local_addr()?.ip().is_loopback();
        let door = Door { gateway: Arc::clone(&gateway), router: router.clone(), on_loopback };
        acceptors.spawn(accept(listener, door, Arc::clone(&places)));
    }
    // Dropping the set, however this function ends, ends its tasks.
    let mut beside = JoinSet::new();
    beside.spawn(sample(Arc::clone(&gateway)));
    let recalling = Arc::clone(&gateway);
    beside.spawn(async move { dialects::recall_receipts(&recalling).await });
    shutdown.await;
    gateway.begin_stop();
    drop(beside);
    let finish = async {
        while acceptors.join_next().await.is_some() {}
        // What was upgraded has left its connection's task, but not given its place back.
        let all = u32::try_from(gateway.max_connections()).unwrap_or(u32::MAX);
        drop(places.acquire_many(all).await);
    };
    if tokio::time::timeout(STOP_GRACE, finish).await.is_err() {
        tracing::warn!("connections were closed at the end of the grace period");
    }
    Ok(())
}

/// What a connection needs to answer its requests.
#[derive(Clone)]
struct Door {
    gateway: Arc<Gateway>,
    router: Router,
    on_loopback: bool,
}

async fn accept(listener: TcpListener, door: Door, places: Arc<Semaphore>) {
    let mut stopping = door.gateway.stopping();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopping.wait_for(|stopping| *stopping) => break,
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                report_panic(ended);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => match Arc::clone(&places).try_acquire_owned() {
                Ok(place) => drop(connections.spawn(serve_connection(stream, door.clone(), place))),
                Err(_) => refuse(&stream, &door.gateway),
            },
            Err(error) => back_off(&error).await,
        }
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        report_panic(ended);
    }
}

/// A connection that was reset before it was accepted is its client's affair. Anything else (no descriptors, no
/// memory) lasts, and accepting again at once would spin.
async fn back_off(error: &io::Error) {
    use io::ErrorKind as K;
    if matches!(
        error.kind(),
        K::ConnectionAborted | K::ConnectionReset | K::ConnectionRefused | K::Interrupted
    ) {
        return;
    }
    tracing::error!(%error, retry_ms = ACCEPT_BACKOFF.as_millis() as u64, "accepting connections failed");
    tokio::time::sleep(ACCEPT_BACKOFF).await;
}

/// Too many connections: says so as far as the socket takes it at once, and closes.
fn refuse(stream: &TcpStream, gateway: &Gateway) {
    const ANSWER: &[u8] =
        b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    gateway.metrics().connections_refused.inc();
    // A socket just accepted has room for this; if it hasn't, its peer sees the close.
    let _ = stream.try_write(ANSWER);
}

fn report_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection's task panicked");
    }
}

async fn serve_connection(stream: TcpStream, door: Door, place: OwnedSemaphorePermit) {
    // Without it small answers wait for the acknowledgement of the one before. A socket that refuses is closing.
    let _ = stream.set_nodelay(true);
    let gateway = Arc::clone(&door.gateway);
    let _counted = Counted::new(gateway.metrics());
    let place = ConnectionPlace(Arc::new(place));
    let mut stopping = gateway.stopping();
    let service = service_fn(move |request| door.clone().answer(request, place.clone()));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(CONNECTION_BUFFER_BYTES)
        .max_headers(HEAD_HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = stop_signal(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        report(&error);
    }
}

/// Counts a connection as open for as long as it is, however it ends.
struct Counted(Gauge);

impl Counted {
    fn new(metrics: &Metrics) -> Self {
        metrics.connections.inc();
        Self(metrics.connections.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

async fn stop_signal(stopping: &mut watch::Receiver<bool>) {
    // The gateway keeps the sender; if it went first, that is a stop too.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// Clients come, go and talk nonsense all day: that is for debugging only, but for the one mistake worth a hint.
fn report(error: &hyper::Error) {
    if error.is_parse() {
        tracing::debug!(%error, "a connection sent no HTTP/1 request (TLS, or Kafka's protocol, on the plain port?)");
    } else {
        tracing::debug!(%error, "a connection ended early");
    }
}

impl Door {
    /// Answers one request: the guard, the route, and what every answer carries. All that is common to all routes is
    /// here, since a layer costs each of them more than these few lines.
    async fn answer(
        mut self,
        request: Request<Incoming>,
        place: ConnectionPlace,
    ) -> Result<http::Response<Body>, Infallible> {
        let started = Instant::now();
        let (mut parts, body) = request.into_parts();
        if parts.headers.contains_key(header::UPGRADE) {
            parts.extensions.insert(place);
        }
        let mut response = match self.gateway.guard().admit(&parts, self.on_loopback) {
            Err(error) => error.into_response(),
            Ok(Admitted::Listed(origin)) if is_preflight(&parts) => preflight(&origin),
            Ok(admitted) => {
                let request = Request::from_parts(parts, Body::new(body));
                let mut response = match self.router.call(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                };
                if let Admitted::Listed(origin) = admitted {
                    allow_origin(&mut response, origin);
                }
                response
            }
        };
        response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        self.gateway.metrics().observe(response.status(), started.elapsed());
        Ok(response)
    }
}

fn is_preflight(parts: &http::request::Parts) -> bool {
    parts.method == Method::OPTIONS && parts.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to a listed origin's browser that asks first. Of other origins it gets the plain 405.
fn preflight(origin: &HeaderValue) -> http::Response<Body> {
    const HEADERS: [(HeaderName, &str); 3] = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, PATCH, DELETE"),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "content-type, content-encoding, idempotency-key, authorization, x-api-key, last-event-id, ce-id, \
             ce-source, ce-type, ce-specversion, ce-time, ce-subject, ce-partitionkey",
        ),
        (header::ACCESS_CONTROL_MAX_AGE, "600"),
    ];
    let mut response = StatusCode::NO_CONTENT.into_response();
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    allow_origin(&mut response, origin.clone());
    response
}

fn allow_origin(response: &mut http::Response<Body>, origin: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    let exposed = HeaderValue::from_static("idempotency-replayed, retry-after, ratelimit");
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
}

/// Takes a sample of the watched topics once a second, until the gateway stops.
async fn sample(gateway: Arc<Gateway>) {
    let mut ticks = tokio::time::interval(SAMPLE_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        // A log that doesn't answer is asked again in the next turn.
        let Ok(pipelines) = gateway.directory().list().await else { continue };
        for topic in gateway.rates().watched() {
            let totals = match dialects::ingest_totals(&gateway, &topic, &pipelines).await {
                Ok(totals) => Some(totals),
                Err(EngineError::TopicNotFound { .. }) => None,
                Err(_) => continue,
            };
            gateway.rates().sample(&topic, totals, Instant::now());
        }
        // Nobody has to ask for the usual topic's rates first.
        if let Ok(totals) = dialects::ingest_totals(&gateway, dialects::EVENTS_TOPIC, &pipelines).await {
            gateway.rates().watch(dialects::EVENTS_TOPIC, totals, Instant::now());
        }
    }
}
