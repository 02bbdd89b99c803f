//! Asks a model.

use std::{fmt, sync::Arc, time::Duration};

use floe_pipeline::sinks::fields::Secret;
use reqwest::{
    Client, Response, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue},
    redirect::Policy,
};
use tokio::time::{Instant, sleep};

use super::{
    backoff::Backoff,
    breaker::{Breaker, BreakerState},
    clock::Clock,
    config::{ModelConfig, Waits},
    error::ModelError,
    limits::RETRY_AFTER_MAX,
    prompt::{Prompt, Spoken},
    reception::Reception,
    refusal, stream, whole,
};

const USER_AGENT: &str = concat!("floe/", env!("CARGO_PKG_VERSION"));
const ACCEPTED: HeaderValue = HeaderValue::from_static("text/event-stream, application/json");
const JSON: &str = "application/json";
const EVENT_STREAM: &str = "text/event-stream";

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// All that was handed out, in one piece. Empty if the model had nothing to say.
    pub content: String,
    /// How it ends.
    pub finish: Finish,
}

/// How an answer ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model has said what it wanted to say.
    Stop,
    /// The server's limit of tokens was reached.
    Length,
    /// The server holds the rest back.
    Filtered,
    /// The server named another reason.
    Other(String),
    /// The server did not say, but that the answer is whole.
    Untold,
}

/// A model that can be asked by many at once, who share its connections and its breaker. Cheap to clone.
#[derive(Clone)]
pub struct Model {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    endpoint: Url,
    headers: HeaderMap,
    key: Option<Secret>,
    name: String,
    waits: Waits,
    retries: u32,
    retry_pause: Duration,
    max_answer_bytes: usize,
    breaker: Breaker,
}

impl Model {
    /// Checks the configuration; nothing is sent. An error names the setting, and nothing of the address or the key.
    pub fn new(config: ModelConfig) -> Result<Self, String> {
        config.check()?;
        let endpoint = config.endpoint()?;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, ACCEPTED);
        if let Some(authorization) = config.authorization()? {
            headers.insert(AUTHORIZATION, authorization);
        }
        let mut client = Client::builder()
            .user_agent(USER_AGENT)
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .tcp_nodelay(true)
            .connect_timeout(config.waits.connect);
        if endpoint.scheme() == "http" {
            // Redirects aren't followed, so no certificate is ever looked at: none have to be there.
            client = client.tls_certs_only([]);
        }
        let client = client.build().map_err(|error| format!("model: no HTTP client: {}", cause(&error)))?;
        let shared = Shared {
            client,
            endpoint,
            headers,
            key: config.key,
            name: config.name,
            waits: config.waits,
            retries: config.retries,
            retry_pause: config.retry_pause,
            max_answer_bytes: config.max_answer_bytes,
            breaker: Breaker::new(config.breaker.failures, config.breaker.pause),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The model's name, as the server knows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Whether the model may be asked at present.
    #[must_use]
    pub fn breaker(&self) -> BreakerState {
        self.shared.breaker.state()
    }

    /// Asks for the next message of a conversation. `on_delta` gets the answer part by part, as it comes; it is called
    /// between two reads, and should not take long. `Ok` has all the parts, in order, in one piece.
    ///
    /// As long as nothing was handed out, failures that pass are met with further attempts. After that a failure is told
    /// ([`ModelError::handed_out_bytes`]): what was handed out is no answer, and who asks again gets one from its beginning.
    ///
    /// Cancel safe: dropping the future is the way to cancel. It closes the connection, by which the server can tell, and
    /// neither counts as a failure of the model nor keeps others from trying one that was left alone.
    pub async fn answer(
        &self,
        messages: &[Spoken],
        on_delta: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Answered, ModelError> {
        let shared = &*self.shared;
        let end = Instant::now() + shared.waits.total;
        let mut backoff = Backoff::new(shared.retry_pause);
        let mut retries_left = shared.retries;
        let mut last = None;
        loop {
            let ticket = match shared.breaker.enter() {
                Ok(ticket) => ticket,
                // What has failed just now says more than that it failed too often.
                Err(retry_in) => return Err(last.unwrap_or(ModelError::Open { retry_in })),
            };
            let clock = Clock::start(shared.waits.first_token, shared.waits.idle, end);
            let mut reception =
                Reception::new(clock, ticket, shared.key.as_ref(), shared.max_answer_bytes, &mut *on_delta);
            let error = match shared.attempt(messages, &mut reception).await {
                Ok(finish) => return Ok(Answered { content: reception.succeed(), finish }),
                Err(error) => error,
            };
            reception.fail(&error);
            let pause = pause_before_retry(&error, &mut backoff)
                .filter(|pause| retries_left > 0 && Instant::now() + *pause < end);
            let Some(pause) = pause else { return Err(error) };
            let pause_ms = pause.as_millis();
            tracing::warn!(model = shared.name, %error, pause_ms, "the model is asked again");
            retries_left -= 1;
            last = Some(error);
            sleep(pause).await;
        }
    }
}

impl Shared {
    /// Sends the request once and hears the answer.
    async fn attempt(
        &self,
        messages: &[Spoken],
        reception: &mut Reception<'_>,
    ) -> Result<Finish, ModelError> {
        let prompt = Prompt { model: &self.name, messages, stream: true };
        let request = self.client.post(self.endpoint.clone()).headers(self.headers.clone()).json(&prompt);
        let response = match reception.clock.wait(request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                return Err(ModelError::Unreachable { cause: reception.told(&cause(&error)) });
            }
            Err(stage) => return Err(reception.timed_out(stage)),
        };
        if !response.status().is_success() {
            return Err(refusal::read(response, reception).await);
        }
        if is(&response, JSON) {
            return whole::hear(response, reception).await;
        }
        let declared = is(&response, EVENT_STREAM);
        stream::hear(response, reception, declared).await
    }
}

/// How long to wait before another attempt, if there may be one.
fn pause_before_retry(error: &ModelError, backoff: &mut Backoff) -> Option<Duration> {
    if !error.may_be_repeated() {
        return None;
    }
    let wished = error.retry_after().unwrap_or_default();
    (wished <= RETRY_AFTER_MAX).then(|| backoff.next_pause().max(wished))
}

/// Whether a response has this media type, with whatever parameters.
fn is(response: &Response, media_type: &str) -> bool {
    let told = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    told.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(media_type)
}

/// What lies at the bottom of an error; what lies above it repeats the address.
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it took too long to connect".to_owned();
    }
    let below = std::iter::successors(std::error::Error::source(error), |cause| cause.source()).last();
    below.map_or_else(|| "the request could not be sent".to_owned(), ToString::to_string)
}

impl Finish {
    /// The protocol's word.
    pub(super) fn of(reason: &str) -> Self {
        match reason {
            "stop" => Self::Stop,
            "length" => Self::Length,
            "content_filter" => Self::Filtered,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl fmt::Debug for Model {
    /// The address is checked by now: there is no room for a secret in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("endpoint", &self.shared.endpoint.as_str())
            .field("name", &self.shared.name)
            .finish_non_exhaustive()
    }
}
