//! `GET /topics/{topic}/records`: one partition by offset, or the whole topic by cursor.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use floe_engine::{
    Engine, Gap, OffsetSpec, Page, PartitionRead, StoredRecord, TopicPage, TopicRead, TopicStart,
};
use http::{HeaderMap, HeaderValue, header};
use utoipa::ToSchema;

use super::{
    print::{RecordStyle, write_number, write_record},
    stream,
};
use crate::{
    cursor,
    gateway::Gateway,
    limits::{READ_BYTES_DEFAULT, READ_BYTES_MAX, READ_RECORDS_DEFAULT, READ_RECORDS_MAX, WAIT_MS_MAX},
    params::{Params, RawParams, TopicInPath, wait_of},
    problem::{ApiError, Problem},
};

/// Read records
///
/// With `partition`: from `offset` on, and `next.offset` to read on. Without: all partitions in the order in which
/// they were stored, from `cursor` (or `offset=earliest|latest|<time>`) on, and `next.cursor` to read on.
/// `wait_ms` waits for the first record if there is none yet. A value that isn't JSON is `{"$base64": "…"}`.
///
/// With `Accept: application/x-ndjson` everything up to the end as it was when asked (or `limit` records, or about
/// `max_bytes`) is streamed, a record per line; without `partition` each line has its `cursor`. Offsets that were damaged on disk are named in
/// `gaps`, or as a line `{"gap":{partition,from,to}}`.
#[utoipa::path(
    get,
    path = "/topics/{topic}/records",
    tag = "records",
    params(
        ("topic" = String, Path, description = "The topic"),
        ("partition" = Option<u32>, Query, description = "Only this partition"),
        ("offset" = Option<String>, Query, description = "`earliest` (default), `latest`, an offset (with `partition`), or an RFC 3339 time"),
        ("cursor" = Option<String>, Query, description = "Where an earlier read said to go on"),
        ("limit" = Option<u32>, Query, description = "At most this many records, 1 to 10000; 100 if absent, unlimited in a stream"),
        ("max_bytes" = Option<u32>, Query, description = "At most about this many bytes, 1 to 16777216 (unlimited in a stream); the first record comes whatever its size"),
        ("wait_ms" = Option<u32>, Query, description = "How long to wait when there is nothing yet, 0 (default) to 60000"),
    ),
    responses(
        (status = 200, description = "Records in their order", content(
            (RecordPage = "application/json"),
            (String = "application/x-ndjson"),
        )),
        (status = 400, description = "A parameter out of its range, or an altered cursor", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such topic", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn read(
    State(gateway): State<Arc<Gateway>>,
    TopicInPath(topic): TopicInPath,
    params: RawParams,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let params = params.only(&["partition", "offset", "cursor", "limit", "max_bytes", "wait_ms"])?;
    if wants_lines(&headers) {
        let source = Source::new(topic, &params)?;
        let most = stream::Most {
            records: params.number("limit", 1..=u64::MAX)?.unwrap_or(u64::MAX),
            bytes: params.number("max_bytes", 1..=u64::MAX)?.unwrap_or(u64::MAX),
        };
        return stream::respond(gateway, source, most, wait(&params)?).await;
    }
    let source = Source::new(topic, &params)?;
    let request = Bounds {
        max_records: params.number("limit", 1..=READ_RECORDS_MAX)?.unwrap_or(READ_RECORDS_DEFAULT),
        max_bytes: params.number("max_bytes", 1..=READ_BYTES_MAX)?.unwrap_or(READ_BYTES_DEFAULT),
        wait: wait(&params)?,
    };
    let page = read_or_stop(&gateway, &source, request).await?;
    Ok(print(&page))
}

fn wait(params: &Params) -> Result<std::time::Duration, ApiError> {
    Ok(wait_of(params.number("wait_ms", 0..=WAIT_MS_MAX)?))
}

fn wants_lines(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|accept| {
        accept.split(',').any(|kind| {
            let kind = kind.split(';').next().unwrap_or_default().trim();
            kind.eq_ignore_ascii_case("application/x-ndjson")
                || kind.eq_ignore_ascii_case("application/jsonl")
        })
    })
}

/// How much one read takes at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) max_records: usize,
    pub(super) max_bytes: usize,
    pub(super) wait: std::time::Duration,
}

/// What is read, and where the next read starts.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Partition { topic: String, partition: u32, from: OffsetSpec },
    Topic { topic: String, from: TopicStart },
}

/// What one read gave.
#[derive(Debug)]
pub(super) enum Outcome {
    Partition(u32, Page),
    Topic(TopicPage),
}

impl Source {
    fn new(topic: String, params: &Params) -> Result<Self, ApiError> {
        let partition = params.number("partition", 0..=u32::MAX)?;
        let offset = params.place("offset")?;
        match (partition, offset, params.text("cursor")) {
            (Some(_), _, Some(_)) => {
                Err(ApiError::bad_request("cursor goes across all partitions; with partition use offset"))
            }
            (None, Some(_), Some(_)) => {
                Err(ApiError::bad_request("cursor and offset both say where to start; send one"))
            }
            (Some(partition), offset, None) => {
                Ok(Self::Partition { topic, partition, from: offset.unwrap_or(OffsetSpec::Earliest) })
            }
            (None, None, Some(token)) => {
                Ok(Self::Topic { topic, from: TopicStart::After(cursor::parse(token)?) })
            }
            (None, Some(OffsetSpec::Offset(_)), None) => Err(ApiError::bad_request(
                "an offset is one of a partition; send partition too, or use cursor",
            )),
            (None, Some(OffsetSpec::Latest), None) => Ok(Self::Topic { topic, from: TopicStart::Latest }),
            (None, Some(OffsetSpec::Time(ms)), None) => Ok(Self::Topic { topic, from: TopicStart::Time(ms) }),
            (None, Some(OffsetSpec::Earliest) | None, None) => {
                Ok(Self::Topic { topic, from: TopicStart::Earliest })
            }
        }
    }

    pub(super) async fn read(&self, engine: &Engine, bounds: Bounds) -> Result<Outcome, ApiError> {
        let Bounds { max_records, max_bytes, wait } = bounds;
        match self.clone() {
            Self::Partition { topic, partition, from } => {
                let read = PartitionRead { topic, partition, from, max_records, max_bytes, wait };
                Ok(Outcome::Partition(partition, engine.read(read).await?))
            }
            Self::Topic { topic, from } => {
                let read = TopicRead { topic, from, max_records, max_bytes, wait };
                Ok(Outcome::Topic(engine.read_topic(read).await?))
            }
        }
    }

    pub(super) fn advance(&mut self, outcome: &Outcome) {
        match (self, outcome) {
            (Self::Partition { from, .. }, Outcome::Partition(_, page)) => {
                *from = OffsetSpec::Offset(page.next_offset)
            }
            (Self::Topic { from, .. }, Outcome::Topic(page)) => *from = TopicStart::After(page.next.clone()),
            // A source only gives outcomes of its own kind.
            (Self::Partition { .. }, Outcome::Topic(_)) | (Self::Topic { .. }, Outcome::Partition(..)) => {}
        }
    }
}

impl Outcome {
    pub(super) fn records(&self) -> &[StoredRecord] {
        match self {
            Self::Partition(_, page) => &page.records,
            Self::Topic(page) => &page.records,
        }
    }

    pub(super) fn gaps(&self) -> &[Gap] {
        match self {
            Self::Partition(_, page) => &page.gaps,
            Self::Topic(page) => &page.gaps,
        }
    }
}

/// Reads; a wait ends early, with what there is, when the server begins to stop.
pub(super) async fn read_or_stop(
    gateway: &Gateway,
    source: &Source,
    bounds: Bounds,
) -> Result<Outcome, ApiError> {
    if !bounds.wait.is_zero() {
        tokio::select! {
            outcome = source.read(gateway.engine(), bounds) => return outcome,
            () = gateway.stopped() => {}
        }
    }
    source.read(gateway.engine(), Bounds { wait: std::time::Duration::ZERO, ..bounds }).await
}

fn print(outcome: &Outcome) -> Response {
    let records = outcome.records();
    let values: usize = records.iter().map(|record| record.value.as_ref().map_or(4, bytes::Bytes::len)).sum();
    let mut out = Vec::with_capacity(values + values / 4 + records.len() * 160 + 128);
    out.extend_from_slice(b"{\"records\":[");
    for (at, record) in records.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_record(&mut out, record, RecordStyle::default());
    }
    out.extend_from_slice(b"],\"next\":{");
    match outcome {
        Outcome::Partition(partition, page) => {
            out.extend_from_slice(b"\"partition\":");
            write_number(&mut out, *partition);
            out.extend_from_slice(b",\"offset\":");
            write_number(&mut out, page.next_offset);
            out.extend_from_slice(b"},\"start\":");
            write_number(&mut out, page.log_start);
            out.extend_from_slice(b",\"end\":");
            write_number(&mut out, page.high_watermark);
        }
        Outcome::Topic(page) => {
            out.extend_from_slice(b"\"cursor\":\"");
            cursor::write(&mut out, &page.next);
            out.extend_from_slice(b"\"}");
        }
    }
    if !outcome.gaps().is_empty() {
        out.extend_from_slice(b",\"gaps\":[");
        for (at, gap) in outcome.gaps().iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            write_gap(&mut out, gap);
        }
        out.push(b']');
    }
    out.push(b'}');
    let mut response = Response::new(out.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Appends `{partition,from,to}`.
pub(super) fn write_gap(out: &mut Vec<u8>, gap: &Gap) {
    out.extend_from_slice(b"{\"partition\":");
    write_number(out, gap.partition);
    out.extend_from_slice(b",\"from\":");
    write_number(out, gap.from);
    out.extend_from_slice(b",\"to\":");
    write_number(out, gap.to);
    out.push(b'}');
}

/// Records in their order, and where to read on.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes to the OpenAPI document what is written by hand")]
pub(crate) struct RecordPage {
    records: Vec<ReadRecord>,
    /// `{partition, offset}` of one partition, `{cursor}` across all.
    #[schema(value_type = Object)]
    next: (),
    /// The first offset kept (of one partition).
    start: Option<i64>,
    /// The offset behind the newest visible record (of one partition).
    end: Option<i64>,
    /// Offsets that are damaged on disk and were passed over: `[{partition, from, to}]`.
    #[schema(value_type = Option<Vec<Object>>)]
    gaps: Option<()>,
}

/// A record as it is read.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes to the OpenAPI document what is written by hand")]
pub(crate) struct ReadRecord {
    partition: u32,
    offset: i64,
    timestamp: Option<String>,
    /// A string, or `{"$base64": "…"}` for what isn't UTF-8.
    #[schema(value_type = Option<Object>)]
    key: Option<()>,
    /// The JSON that was stored, or `{"$base64": "…"}` for what isn't JSON.
    #[schema(value_type = Option<Object>)]
    value: Option<()>,
    /// Names and values; a name that repeats has an array.
    #[schema(value_type = Object)]
    headers: (),
}
