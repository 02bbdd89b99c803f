//! The topic of a run, over HTTP: made when it is missing, measured before, read back after.

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use crate::http::{CallError, Client, accept, escape};

/// Records asked for at a time when reading back.
const READ_RECORDS: usize = 5_000;
/// Bytes asked for at a time when reading back.
const READ_BYTES: usize = 4 << 20;

/// A partition's bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct PartitionBounds {
    /// Its number.
    pub partition: u32,
    /// The first offset kept.
    pub start: i64,
    /// The offset behind the newest record.
    pub end: i64,
}

/// A record as the NDJSON door writes it; key, value and headers as they stand in the text.
#[derive(Debug, Deserialize)]
pub struct ReadRecord<'a> {
    /// The partition.
    pub partition: u32,
    /// The offset.
    pub offset: i64,
    /// The key as JSON.
    #[serde(borrow, default)]
    pub key: Option<&'a RawValue>,
    /// The value as JSON.
    #[serde(borrow, default)]
    pub value: Option<&'a RawValue>,
    /// The headers as JSON.
    #[serde(borrow, default)]
    pub headers: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Description {
    partitions: Vec<PartitionBounds>,
}

/// The bounds of a topic's partitions.
pub async fn bounds(client: &mut Client, topic: &str) -> Result<Vec<PartitionBounds>, CallError> {
    let description: Description =
        client.call_json("GET", &format!("/topics/{}", escape(topic)), b"").await?;
    Ok(description.partitions)
}

/// The bounds of a topic's partitions; makes the topic when it is missing and that is wanted.
pub(crate) async fn ensure(
    client: &mut Client,
    topic: &str,
    create_partitions: Option<u32>,
) -> anyhow::Result<Vec<PartitionBounds>> {
    match bounds(client, topic).await {
        Ok(bounds) => return Ok(bounds),
        Err(error) if error.status() == Some(404) && create_partitions.is_some() => {}
        Err(error) => return Err(error.into()),
    }
    let body = json!({ "name": topic, "partitions": create_partitions }).to_string();
    match client.call("POST", "/topics", body.as_bytes()).await {
        Ok(_) => {}
        // Somebody else was faster.
        Err(error) if error.status() == Some(409) => {}
        Err(error) => {
            return Err(error).with_context(|| format!("cannot make topic '{}'", topic.escape_debug()));
        }
    }
    Ok(bounds(client, topic).await?)
}

/// One page of a partition as NDJSON text.
pub async fn read_page(
    client: &mut Client,
    topic: &str,
    partition: u32,
    offset: i64,
    wait_ms: u64,
) -> Result<bytes::Bytes, CallError> {
    let path = format!(
        "/topics/{}/records?partition={partition}&offset={offset}&limit={READ_RECORDS}&max_bytes={READ_BYTES}&wait_ms={wait_ms}",
        escape(topic)
    );
    Ok(accept(client.send("GET", &path, &[("Accept", "application/x-ndjson")], b"").await?)?.body)
}

/// The records of a page; lines that are no records (a cursor to read on from, say) are passed over.
pub fn records_of(page: &[u8]) -> anyhow::Result<Vec<ReadRecord<'_>>> {
    let text = std::str::from_utf8(page).context("the answer is not UTF-8")?;
    let mut records = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        match serde_json::from_str::<ReadRecord<'_>>(line) {
            Ok(record) => records.push(record),
            Err(_) if serde_json::from_str::<&RawValue>(line).is_ok() => {}
            Err(error) => bail!("a line of the answer is not JSON: {error}"),
        }
    }
    Ok(records)
}
