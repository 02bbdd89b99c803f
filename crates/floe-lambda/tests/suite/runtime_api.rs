//! Lambda's side: its Runtime API (version 2018-06-01) on a port of loopback, which hands out one invocation after another.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Json, Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::StatusCode;
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
};

/// Invocations that may wait for the function to ask.
const WAITING_MAX: usize = 64;

/// The service, for one function.
pub(crate) struct RuntimeApi {
    address: SocketAddr,
    invocations: mpsc::Sender<Invocation>,
    state: Arc<Handed>,
    count: AtomicU64,
}

struct Invocation {
    id: String,
    event: Value,
    within: Duration,
}

/// What the function said: its answer, or its error.
pub(crate) type Told = Result<Value, Value>;

struct Handed {
    next: tokio::sync::Mutex<mpsc::Receiver<Invocation>>,
    waiting: Mutex<HashMap<String, oneshot::Sender<Told>>>,
}

impl RuntimeApi {
    pub(crate) async fn start() -> Self {
        let (invocations, next) = mpsc::channel(WAITING_MAX);
        let state = Arc::new(Handed { next: tokio::sync::Mutex::new(next), waiting: Mutex::default() });
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next_invocation))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .with_state(state.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, invocations, state, count: AtomicU64::new(0) }
    }

    /// `AWS_LAMBDA_RUNTIME_API`.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// An invocation of a function that may take so long.
    pub(crate) async fn invoke(&self, event: Value, within: Duration) -> oneshot::Receiver<Told> {
        let id = format!("invocation-{}", self.count.fetch_add(1, Ordering::SeqCst));
        let (tell, told) = oneshot::channel();
        self.state.waiting.lock().unwrap().insert(id.clone(), tell);
        self.invocations.send(Invocation { id, event, within }).await.ok().unwrap();
        told
    }
}

async fn next_invocation(State(state): State<Arc<Handed>>) -> Response {
    let Some(Invocation { id, event, within }) = state.next.lock().await.recv().await else {
        return StatusCode::GONE.into_response();
    };
    let deadline = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + within;
    let headers = [
        ("lambda-runtime-aws-request-id", id),
        ("lambda-runtime-deadline-ms", deadline.as_millis().to_string()),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:eu-central-1:123456789012:function:floe".into(),
        ),
        ("lambda-runtime-trace-id", "Root=1-5e1b4151-43a0913a12345678901234567;Sampled=0".into()),
    ];
    (headers, Json(event)).into_response()
}

// Lambda's runtimes don't say that what they send is JSON.
async fn response(State(state): State<Arc<Handed>>, Path(id): Path<String>, answer: String) -> StatusCode {
    state.tell(&id, Ok(serde_json::from_str(&answer).unwrap()))
}

async fn error(State(state): State<Arc<Handed>>, Path(id): Path<String>, error: String) -> StatusCode {
    state.tell(&id, Err(serde_json::from_str(&error).unwrap()))
}

impl Handed {
    fn tell(&self, id: &str, told: Told) -> StatusCode {
        match self.waiting.lock().unwrap().remove(id) {
            // whoever invoked it may have gone
            Some(waiting) => {
                let _ = waiting.send(told);
                StatusCode::ACCEPTED
            }
            None => StatusCode::BAD_REQUEST,
        }
    }
}
