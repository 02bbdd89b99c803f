//! A large read as a stream: a record per line, page after page, up to the end as it was when asked.

use std::{io, sync::Arc, time::Duration};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use floe_engine::{Cursor, TopicRead, TopicStart};
use futures_util::stream;
use http::{HeaderValue, header};
use tokio::sync::mpsc;

use super::{
    print::{RecordStyle, write_record},
    read::{Bounds, Outcome, Source, read_or_stop, write_gap},
};
use crate::{
    gateway::Gateway,
    limits::{STREAM_CHUNK_BYTES, STREAM_CHUNK_RECORDS, STREAM_CHUNKS_AHEAD},
    problem::ApiError,
};

/// Where a stream ends, fixed when it begins: writers can't make it endless.
#[derive(Debug)]
enum End {
    Offset(i64),
    Cursor(Cursor),
}

/// How much is streamed at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Most {
    pub(super) records: u64,
    pub(super) bytes: u64,
}

impl Most {
    /// What of it one chunk may take.
    fn chunk(self, wait: Duration) -> Bounds {
        let at_most = |left: u64, chunk: usize| usize::try_from(left).unwrap_or(usize::MAX).min(chunk);
        Bounds {
            max_records: at_most(self.records, STREAM_CHUNK_RECORDS),
            max_bytes: at_most(self.bytes, STREAM_CHUNK_BYTES),
            wait,
        }
    }
}

/// Answers with a stream. The first page is read before, so that what is wrong with the request has its own status.
pub(super) async fn respond(
    gateway: Arc<Gateway>,
    source: Source,
    most: Most,
    wait: Duration,
) -> Result<Response, ApiError> {
    // The end is fixed before the first read, except where that one waits for it to move.
    let end = match &source {
        Source::Topic { topic, .. } if wait.is_zero() => Some(end_of(&gateway, topic).await?),
        _ => None,
    };
    let first = read_or_stop(&gateway, &source, most.chunk(wait)).await?;
    let end = match (&first, end) {
        (_, Some(end)) => end,
        (Outcome::Partition(_, page), None) => End::Offset(page.high_watermark),
        (Outcome::Topic(page), None) => End::Cursor(page.next.clone()),
    };
    let (chunks, mut taken) = mpsc::channel(STREAM_CHUNKS_AHEAD);
    tokio::spawn(Pump { gateway, source, end, left: most, chunks }.run(first));
    // Unlike an unfolded stream this one may be polled behind its end, as compression does.
    let body = Body::from_stream(stream::poll_fn(move |context| taken.poll_recv(context)));
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    Ok(response)
}

async fn end_of(gateway: &Gateway, topic: &str) -> Result<End, ApiError> {
    let read = TopicRead {
        topic: topic.to_owned(),
        from: TopicStart::Latest,
        max_records: 1,
        max_bytes: 1,
        wait: Duration::ZERO,
    };
    Ok(End::Cursor(gateway.engine().read_topic(read).await?.next))
}

/// Reads ahead of the connection by a bounded number of chunks; ends when the client has gone.
struct Pump {
    gateway: Arc<Gateway>,
    source: Source,
    end: End,
    left: Most,
    chunks: mpsc::Sender<io::Result<Bytes>>,
}

impl Pump {
    async fn run(mut self, mut outcome: Outcome) {
        loop {
            let last = self.is_last(&outcome);
            let chunk = print(&outcome);
            self.left.records = self.left.records.saturating_sub(outcome.records().len() as u64);
            self.left.bytes = self.left.bytes.saturating_sub(chunk.len() as u64);
            let enough = last || self.left.records == 0 || self.left.bytes == 0;
            if (!chunk.is_empty() && self.chunks.send(Ok(chunk)).await.is_err()) || enough {
                return;
            }
            if self.gateway.is_stopping() {
                return self.cut("the server is stopping").await;
            }
            self.source.advance(&outcome);
            outcome = match self.source.read(self.gateway.engine(), self.left.chunk(Duration::ZERO)).await {
                Ok(outcome) => outcome,
                Err(error) => return self.cut(error.detail()).await,
            };
        }
    }

    fn is_last(&self, outcome: &Outcome) -> bool {
        match (outcome, &self.end) {
            (Outcome::Partition(_, page), End::Offset(end)) => {
                page.next_offset >= *end || (page.records.is_empty() && page.gaps.is_empty())
            }
            (Outcome::Topic(page), End::Cursor(end)) => {
                page.next.reaches(end) || (page.records.is_empty() && page.gaps.is_empty())
            }
            (Outcome::Partition(..), End::Cursor(_)) | (Outcome::Topic(_), End::Offset(_)) => true,
        }
    }

    /// Breaks the connection off: the client must not take a part for the whole.
    async fn cut(self, why: &str) {
        tracing::warn!(why, "a streamed read was cut off");
        // If the client has gone too there is nobody to tell.
        let _ = self.chunks.send(Err(io::Error::other("cut off"))).await;
    }
}

fn print(outcome: &Outcome) -> Bytes {
    let records = outcome.records();
    let across = matches!(outcome, Outcome::Topic(_));
    let style = RecordStyle { topic: None, cursor: across, one_line: true };
    let values: usize = records.iter().map(|record| record.value.as_ref().map_or(4, Bytes::len)).sum();
    let mut out = Vec::with_capacity(values + values / 8 + records.len() * 192);
    for gap in outcome.gaps() {
        out.extend_from_slice(b"{\"gap\":");
        write_gap(&mut out, gap);
        out.extend_from_slice(b"}\n");
    }
    for record in records {
        write_record(&mut out, record, style);
        out.push(b'\n');
    }
    out.into()
}
