//! Another node's log, over HTTP.
//!
//! Records travel in the binary form of [`super::wire`], everything else as JSON. A node that can't be reached, is
//! overloaded, full or stopping is [`LogError::Unavailable`]: the caller asks again. Nothing is asked again in here.

use std::{fmt, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use floe_engine::{Append, Appended, Membership, OffsetSpec, Page, PartitionRead, Placement};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url, header};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{json, value::RawValue};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    LogError, TopicShape,
    wire::{self, WireAppend},
};
use crate::Command;

/// How long a connection may take to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long an answer may take, beyond what it was asked to wait.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// Connections kept open for the next request; each partition's reader waits on one of its own.
const IDLE_CONNECTIONS: usize = 256;
/// What a node takes in one read; more is asked for as this.
const MAX_READ_RECORDS: usize = 10_000;
const MAX_READ_BYTES: usize = 16 << 20;
const MAX_READ_WAIT: Duration = Duration::from_secs(60);
/// An answer with records: a node's largest page, with room for one record that is larger.
const MAX_PAGE_BYTES: usize = 160 << 20;
/// Any other answer.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// A node that is reached over its HTTP interface. Cloning shares the connections.
#[derive(Clone)]
pub struct RemoteLog {
    client: Client,
    node: Arc<Url>,
}

/// A problem document, as far as it is of use here.
#[derive(Debug, Default, Deserialize)]
struct Problem {
    #[serde(default)]
    code: String,
    #[serde(default)]
    detail: String,
    start: Option<i64>,
    end: Option<i64>,
}

/// An answer that isn't the one hoped for.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    problem: Problem,
}

#[derive(Deserialize)]
struct Health {
    log_id: Arc<str>,
}

#[derive(Deserialize)]
struct Topic {
    id: u64,
    partitions: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Group {
    partitions: Vec<Committed>,
}

#[derive(Deserialize)]
struct Committed {
    topic: String,
    partition: u32,
    committed: i64,
}

#[derive(Deserialize)]
struct Member {
    member: String,
    generation: u64,
    assignment: Vec<Assigned>,
}

#[derive(Deserialize)]
struct Assigned {
    topic: String,
    partition: u32,
}

#[derive(Deserialize)]
struct Stored {
    offsets: Vec<Place>,
}

#[derive(Deserialize)]
struct Place {
    partition: u32,
    offset: i64,
    timestamp: Option<String>,
}

impl RemoteLog {
    /// `url`: `http://host:port` of a Floe node. Nothing is sent yet.
    pub fn new(url: &str) -> Result<Self, String> {
        let node = Url::parse(url).map_err(|error| format!("it is not an address: {error}"))?;
        let plain = node.path() == "/" && node.query().is_none() && node.fragment().is_none();
        if !matches!(node.scheme(), "http" | "https") || !node.has_host() || !plain {
            return Err("expected the address of a node, such as http://node:8080".to_owned());
        }
        if !node.username().is_empty() || node.password().is_some() {
            return Err("an address may not hold a name and a password".to_owned());
        }
        let client = Client::builder()
            .connect_timeout(CONNECT_LIMIT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("floe/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| format!("cannot prepare connections: {error}"))?;
        Ok(Self { client, node: Arc::new(node) })
    }

    /// The node's address, for people.
    #[must_use]
    pub fn url(&self) -> &str {
        self.node.as_str().trim_end_matches('/')
    }

    /// The log's id.
    pub(super) async fn id(&self) -> Result<Arc<str>, LogError> {
        let health: Health = self.json(self.get(&["health"], &[])).await?;
        Ok(health.log_id)
    }

    /// A topic's id and partitions.
    pub(super) async fn topic(&self, topic: &str) -> Result<TopicShape, LogError> {
        let found: Topic = self.json(self.get(&["topics", topic], &[])).await.map_err(named(topic))?;
        let partitions = u32::try_from(found.partitions.len()).unwrap_or(u32::MAX);
        Ok(TopicShape { id: found.id, partitions })
    }

    /// Makes a topic unless it is there.
    pub(super) async fn ensure_topic(
        &self,
        topic: &str,
        partitions: u32,
        config: &[(&str, &str)],
    ) -> Result<(), LogError> {
        let config: serde_json::Map<_, _> =
            config.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        let body = json!({ "name": topic, "partitions": partitions, "config": config });
        match self.call(self.post(&["topics"], &[]).json(&body), MAX_ANSWER_BYTES).await? {
            Err(refusal) if refusal.problem.code == "TOPIC_EXISTS" => Ok(()),
            answer => answer.map(drop).map_err(LogError::from).map_err(named(topic)),
        }
    }

    /// Reads one partition.
    pub(super) async fn read(&self, read: PartitionRead) -> Result<Page, LogError> {
        let asked = match read.from {
            OffsetSpec::Offset(offset) => offset,
            OffsetSpec::Earliest | OffsetSpec::Latest | OffsetSpec::Time(_) => 0,
        };
        let query = [
            ("offset", place(read.from)),
            ("max_records", read.max_records.clamp(1, MAX_READ_RECORDS).to_string()),
            ("max_bytes", read.max_bytes.clamp(1, MAX_READ_BYTES).to_string()),
            ("wait_ms", read.wait.min(MAX_READ_WAIT).as_millis().to_string()),
        ];
        let partition = read.partition.to_string();
        let request = self
            .get(&["topics", &read.topic, "partitions", &partition, "batch"], &query)
            .header(header::ACCEPT, wire::MEDIA_TYPE)
            .timeout(read.wait.saturating_add(ANSWER_LIMIT));
        match self.call(request, MAX_PAGE_BYTES).await? {
            Ok((_, body)) => wire::decode_page(body).map_err(|error| self.not_understood(error)),
            Err(Refusal { problem: Problem { start: Some(start), end: Some(end), .. }, .. }) => {
                Err(LogError::OutOfRange { offset: asked, start, end })
            }
            Err(refusal) if refusal.status == StatusCode::BAD_REQUEST => {
                // A topic that was made again may have fewer partitions than the one that was joined for.
                let shape = self.topic(&read.topic).await?;
                let gone = read.partition >= shape.partitions;
                Err(if gone { LogError::NoTopic { topic: read.topic } } else { refusal.into() })
            }
            Err(refusal) => Err(named(&read.topic)(refusal.into())),
        }
    }

    /// Stores records durably.
    pub(super) async fn append(&self, append: Append) -> Result<Appended, LogError> {
        let Append { topic, records, acks: _, idempotency } = append;
        let fingerprint = idempotency.as_ref().map(|key| key.fingerprint);
        let mut request = self
            .post(&["topics", &topic, "batch"], &[("acks", "all".to_owned())])
            .header(header::CONTENT_TYPE, wire::MEDIA_TYPE)
            .body(wire::encode_append(&WireAppend { fingerprint, records }));
        if let Some(key) = idempotency {
            request = request.header("idempotency-key", key.key);
        }
        let (head, body) =
            self.call(request, MAX_ANSWER_BYTES).await?.map_err(|refusal| named(&topic)(refusal.into()))?;
        let stored: Stored = self.parse(&body)?;
        let placements = stored.offsets.into_iter().map(|place| Placement {
            partition: place.partition,
            offset: place.offset,
            timestamp: place.timestamp.as_deref().and_then(millis).unwrap_or(-1),
        });
        let replayed = head.get("idempotency-replayed").is_some_and(|value| value.as_bytes() == b"true");
        Ok(Appended { placements: placements.collect(), replayed })
    }

    /// A group's committed position.
    pub(super) async fn committed(
        &self,
        group: &str,
        topic: &str,
        partition: u32,
    ) -> Result<Option<i64>, LogError> {
        match self.call(self.get(&["groups", group], &[]), MAX_ANSWER_BYTES).await? {
            Ok((_, body)) => {
                let group: Group = self.parse(&body)?;
                let found = group.partitions.iter().find(|at| at.topic == topic && at.partition == partition);
                Ok(found.map(|at| at.committed))
            }
            Err(refusal) if refusal.status == StatusCode::NOT_FOUND => Ok(None),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// Commits positions as a member.
    pub(super) async fn commit(
        &self,
        group: &str,
        member: &str,
        generation: u64,
        offsets: Vec<(String, u32, i64)>,
    ) -> Result<(), LogError> {
        let offsets: Vec<_> = offsets
            .into_iter()
            .map(|(topic, partition, offset)| {
                json!({ "topic": topic, "partition": partition, "offset": offset })
            })
            .collect();
        let body = json!({ "member": member, "generation": generation, "offsets": offsets });
        match self.call(self.post(&["groups", group, "commit"], &[]).json(&body), MAX_ANSWER_BYTES).await? {
            Ok(_) => Ok(()),
            Err(refusal) if refusal.status == StatusCode::CONFLICT => Err(LogError::MemberGone),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// Joins a group.
    pub(super) async fn join(
        &self,
        group: &str,
        client_id: &str,
        topics: Vec<String>,
        session: Duration,
    ) -> Result<Membership, LogError> {
        let session_ms = u64::try_from(session.as_millis()).unwrap_or(u64::MAX);
        let body = json!({ "client_id": client_id, "topics": topics, "session_ms": session_ms });
        let member: Member = self.json(self.post(&["groups", group, "members"], &[]).json(&body)).await?;
        Ok(member.into())
    }

    /// Keeps a member alive and tells its assignment.
    pub(super) async fn heartbeat(
        &self,
        group: &str,
        member: &str,
        status: Bytes,
    ) -> Result<Membership, LogError> {
        let status: Option<Box<RawValue>> = match status.is_empty() {
            true => None,
            false => Some(
                serde_json::from_slice(&status)
                    .map_err(|error| LogError::Refused(format!("the status is not JSON: {error}")))?,
            ),
        };
        let body = status.map_or_else(|| json!({}), |status| json!({ "status": status }));
        let request = self.post(&["groups", group, "members", member, "heartbeat"], &[]).json(&body);
        match self.call(request, MAX_ANSWER_BYTES).await? {
            Ok((_, body)) => Ok(self.parse::<Member>(&body)?.into()),
            Err(refusal) if refusal.is_about_the_member() => Err(LogError::MemberGone),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// Leaves a group; a member that is gone already has left.
    pub(super) async fn leave(&self, group: &str, member: &str) -> Result<(), LogError> {
        let request = self.request(Method::DELETE, &["groups", group, "members", member], &[]);
        match self.call(request, MAX_ANSWER_BYTES).await? {
            Ok(_) => Ok(()),
            Err(refusal) if refusal.is_about_the_member() => Ok(()),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// Writes what a pipeline is to do from now on.
    pub(super) async fn command(&self, pipeline: &str, command: &Command) -> Result<(), LogError> {
        let (verb, body) = match command {
            Command::Run => ("resume", json!({})),
            Command::Pause { reason, by_fuse } => ("pause", json!({ "reason": reason, "by_fuse": by_fuse })),
        };
        let request = self.post(&["pipelines", pipeline, verb], &[]).json(&body);
        self.call(request, MAX_ANSWER_BYTES).await?.map(drop).map_err(LogError::from)
    }

    fn get(&self, path: &[&str], query: &[(&str, String)]) -> RequestBuilder {
        self.request(Method::GET, path, query)
    }

    fn post(&self, path: &[&str], query: &[(&str, String)]) -> RequestBuilder {
        self.request(Method::POST, path, query)
    }

    fn request(&self, method: Method, path: &[&str], query: &[(&str, String)]) -> RequestBuilder {
        let mut url = Url::clone(&self.node);
        // An http address always has a path that segments can be put behind.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.clear().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.client.request(method, url).timeout(ANSWER_LIMIT)
    }

    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, LogError> {
        let (_, body) = self.call(request, MAX_ANSWER_BYTES).await??;
        self.parse(&body)
    }

    fn parse<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, LogError> {
        serde_json::from_slice(body).map_err(|error| self.not_understood(error))
    }

    fn not_understood(&self, error: impl fmt::Display) -> LogError {
        LogError::Refused(format!(
            "{} does not answer as a Floe node of this version does: {error}",
            self.url()
        ))
    }

    /// Sends a request and takes its whole answer, which may have so many bytes. The outer error is that there was none.
    async fn call(
        &self,
        request: RequestBuilder,
        most: usize,
    ) -> Result<Result<(header::HeaderMap, Bytes), Refusal>, LogError> {
        let mut response = request.send().await.map_err(|error| self.out_of_reach(&error))?;
        let body = self.body(&mut response, most).await?;
        if response.status().is_success() {
            return Ok(Ok((std::mem::take(response.headers_mut()), body)));
        }
        Ok(Err(Refusal {
            status: response.status(),
            problem: serde_json::from_slice(&body).unwrap_or_default(),
        }))
    }

    async fn body(&self, response: &mut Response, most: usize) -> Result<Bytes, LogError> {
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.out_of_reach(&error))? {
            if body.len() + chunk.len() > most {
                return Err(self.not_understood(format_args!("an answer has more than {most} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    fn out_of_reach(&self, error: &reqwest::Error) -> LogError {
        // Its own text names the whole address, its cause what happened.
        let mut cause: &dyn std::error::Error = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        let why = if error.is_timeout() { "no answer in time".to_owned() } else { cause.to_string() };
        LogError::Unavailable(format!("{} can't be reached: {why}", self.url()))
    }
}

impl fmt::Debug for RemoteLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteLog").field("node", &self.url()).finish_non_exhaustive()
    }
}

impl Refusal {
    /// The group or the member is not there, or not any more.
    fn is_about_the_member(&self) -> bool {
        matches!(self.status, StatusCode::NOT_FOUND | StatusCode::CONFLICT)
    }
}

impl From<Refusal> for LogError {
    fn from(Refusal { status, problem }: Refusal) -> Self {
        let why = match problem.detail.as_str() {
            "" => format!("the node answered {}", status.as_u16()),
            detail => detail.to_owned(),
        };
        let passes = status.is_server_error()
            || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
        match problem.code.as_str() {
            // The caller knows which one.
            "TOPIC_NOT_FOUND" => Self::NoTopic { topic: String::new() },
            _ if passes => Self::Unavailable(why),
            _ => Self::Refused(why),
        }
    }
}

impl From<Member> for Membership {
    fn from(Member { member, generation, assignment }: Member) -> Self {
        let assignment = assignment.into_iter().map(|at| (at.topic, at.partition)).collect();
        Self { member, generation, assignment }
    }
}

/// Names the topic that isn't there.
fn named(topic: &str) -> impl Fn(LogError) -> LogError {
    move |error| match error {
        LogError::NoTopic { .. } => LogError::NoTopic { topic: topic.to_owned() },
        other => other,
    }
}

fn place(from: OffsetSpec) -> String {
    match from {
        OffsetSpec::Earliest => "earliest".to_owned(),
        OffsetSpec::Latest => "latest".to_owned(),
        OffsetSpec::Offset(offset) => offset.to_string(),
        OffsetSpec::Time(millis) => OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000)
            .ok()
            .and_then(|time| time.format(&Rfc3339).ok())
            .unwrap_or_else(|| "earliest".to_owned()),
    }
}

/// Milliseconds since the epoch of an RFC 3339 time.
fn millis(text: &str) -> Option<i64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000_000)).ok()
}
