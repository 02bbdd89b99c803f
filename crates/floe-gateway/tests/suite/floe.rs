//! A server in a box, and a client that shows what came back.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use floe_engine::{Clock, EmbeddedConfig, Engine};
use floe_gateway::{Gateway, GatewayConfig, GatewayParts, serve};
use floe_journal::JournalConfig;
use floe_testkit::faulty::FaultyStorage;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

const JOURNAL: JournalConfig =
    JournalConfig { segment_bytes: 16 * 1024 * 1024, tail_cache_bytes: 4 * 1024 * 1024 };

/// A running server; it is stopped when dropped.
pub(crate) struct Floe {
    pub(crate) address: SocketAddr,
    engine: Engine,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<std::io::Result<()>>,
    _directory: Option<tempfile::TempDir>,
}

impl Floe {
    pub(crate) async fn start() -> Self {
        Self::with(&GatewayConfig::default()).await
    }

    pub(crate) async fn with(config: &GatewayConfig) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let engine = open_engine(directory.path());
        Self::over(engine, Some(directory), config).await
    }

    /// A server over storage that fails when it is told to.
    pub(crate) async fn on(storage: &FaultyStorage) -> Self {
        let engine = Engine::embedded_on(Arc::new(storage.clone()), JOURNAL, Clock::system()).unwrap();
        Self::over(engine, None, &GatewayConfig::default()).await
    }

    async fn over(engine: Engine, directory: Option<tempfile::TempDir>, config: &GatewayConfig) -> Self {
        Self::before(GatewayParts::of(engine), directory, config).await
    }

    /// A server before parts that were put together elsewhere.
    pub(crate) async fn before(
        parts: GatewayParts,
        directory: Option<tempfile::TempDir>,
        config: &GatewayConfig,
    ) -> Self {
        let engine = parts.engine.clone();
        let gateway = Gateway::new(parts, config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async move {
            let _ = stopped.await;
        };
        let served = tokio::spawn(serve(vec![listener], gateway, shutdown));
        Self { address, engine, stop: Some(stop), served, _directory: directory }
    }

    /// Tells the server to stop and waits until it has.
    pub(crate) async fn stop(mut self) {
        self.close_doors().await;
    }

    /// The same; the engine goes on.
    pub(crate) async fn close_doors(&mut self) {
        drop(self.stop.take());
        (&mut self.served).await.unwrap().unwrap();
    }

    /// Tells the server to stop.
    pub(crate) fn begin_stop(&mut self) {
        drop(self.stop.take());
    }

    pub(crate) fn call(&self, method: &str, path: &str) -> Call {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        Call { address: self.address, method, path: path.into(), headers: Vec::new(), body: Bytes::new() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path).send().await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path).json(&body).send().await
    }

    /// Makes a topic.
    pub(crate) async fn topic(&self, name: &str, partitions: u32) {
        let made = self.post("/topics", serde_json::json!({ "name": name, "partitions": partitions })).await;
        assert_eq!(made.status, 201, "{}", made.text());
    }

    /// Sends bytes as they are and shows what comes back until the server closes.
    pub(crate) async fn raw(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // A server that refuses early may close before all is sent.
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The status of a raw request's answer; `None` if the connection was closed without one.
    pub(crate) async fn raw_status(&self, request: &[u8]) -> Option<u16> {
        let answer = self.raw(request).await;
        answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).map(|status| status.parse().unwrap())
    }
}

impl Drop for Floe {
    fn drop(&mut self) {
        self.served.abort();
        self.engine.close();
    }
}

/// An engine that forgets; what it keeps while it runs is in `directory`.
fn open_engine(directory: &std::path::Path) -> Engine {
    engine_in(directory, true)
}

/// An engine on `directory`.
pub(crate) fn engine_in(directory: &std::path::Path, ephemeral: bool) -> Engine {
    let config = EmbeddedConfig {
        data_dir: directory.join("data"),
        ephemeral,
        journal: JOURNAL,
        clock: Clock::system(),
    };
    Engine::open_embedded(config).unwrap()
}

/// A request being put together.
pub(crate) struct Call {
    address: SocketAddr,
    method: Method,
    path: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Bytes,
}

impl Call {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.as_bytes().to_vec()));
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    pub(crate) fn body(self, content_type: &str, body: impl Into<Bytes>) -> Self {
        let mut call = self.header("content-type", content_type);
        call.body = body.into();
        call
    }

    pub(crate) fn bare_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) async fn send(self) -> Answer {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder().method(self.method).uri(self.path);
        if !self.headers.iter().any(|(name, _)| name == "host") {
            request = request.header("host", self.address.to_string());
        }
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(self.body)).unwrap();
        let (parts, body) = sender.send_request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|why| panic!("{why}: {}", self.text()))
    }

    pub(crate) fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Checks for a success and gives its JSON.
    #[track_caller]
    pub(crate) fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    /// Checks for a problem document and gives its detail.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> String {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.text());
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"));
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        for field in ["type", "title", "detail"] {
            assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{field} of {problem}");
        }
        problem["detail"].as_str().unwrap().to_owned()
    }
}
