//! The second half of the demo: what pipelines made of the stream of earthquakes, and one event that none can process.
//!
//! The earthquakes go through a pipeline into the table of events. Then a purchase arrives whose amount is no number: the
//! built-in pipeline refuses it, and it becomes a dead letter. The schema is corrected, the server started again, the
//! dead letter redriven; now it is in the table.

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::{Context, bail};
use floe_load::http::{Client, Target};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::answers::Asked;

/// How long the pipelines may take to catch up.
const CATCH_UP: Duration = Duration::from_secs(60);
/// How often it is looked at whether they have.
const LOOK: Duration = Duration::from_millis(50);
/// How long one call may take.
const CALL: Duration = Duration::from_secs(10);
/// The name of the file with the configuration, beside the data directory.
pub(super) const CONFIG: &str = "floe.toml";
const PURCHASE: &str = "purchase.json";
/// What an earthquake's type begins with; the magnitude follows.
const MAGNITUDE: &str = "magnitude ";
/// The built-in pipeline.
const EVENTS_STORE: &str = "events-store";
/// The id of the event that can't be processed.
const BAD_EVENT: &str = "order-with-a-typo";

/// The pipeline of the demo: an earthquake becomes an event whose type is its magnitude, rounded down.
const PIPELINE: &str = r#"
[[pipeline]]
name = "quakes"
from = "earthquakes"
map = '''
.properties as $p | {
  id,
  event_type: (if ($p.mag | type) == "number" then "magnitude \($p.mag | floor)" else "magnitude unknown" end),
  user_id: $p.net,
  data: {place: $p.place, magnitude: $p.mag}
}
'''

[[pipeline.to]]
type = "events"
"#;

/// The corrected schema of purchases: an amount may be a text, too.
const CORRECTED: &str = r#"{
  "type": "object",
  "properties": {"data": {"type": "object", "properties": {"amount": {"type": ["number", "string"]}}, "required": ["amount"]}},
  "required": ["data"]
}
"#;

/// What was found.
#[derive(Debug)]
pub(super) struct Found {
    /// Rows by magnitude, as the table counts them.
    pub(super) magnitudes: BTreeMap<String, u64>,
    /// The dead letter, before it was redriven.
    pub(super) letter: Letter,
    /// How many were redriven.
    pub(super) redriven: u64,
    /// Whether the event is in the table after that.
    pub(super) stored: bool,
    /// Dead letters that are still open.
    pub(super) open: u64,
    /// What it was asked about itself.
    pub(super) asked: Vec<Asked>,
}

/// A dead letter, as far as it is shown.
#[derive(Debug, Deserialize)]
pub(super) struct Letter {
    pub(super) id: String,
    pub(super) error: String,
    pub(super) attempts: u64,
}

#[derive(Deserialize)]
struct Counts {
    counts: Vec<Count>,
}

#[derive(Deserialize)]
struct Count {
    name: Option<String>,
    count: u64,
}

#[derive(Deserialize)]
struct Letters {
    dead_letters: Vec<Letter>,
}

#[derive(Deserialize)]
struct Redriven {
    redriven: u64,
}

/// Writes the configuration that the server starts with.
pub(super) fn configure(directory: &Path) -> anyhow::Result<()> {
    std::fs::write(directory.join(CONFIG), PIPELINE).context("cannot write the configuration")
}

/// Writes the corrected one.
pub(super) fn correct(directory: &Path) -> anyhow::Result<()> {
    std::fs::write(directory.join(PURCHASE), CORRECTED).context("cannot write the schema")?;
    let config = format!("[events]\nschemas = {{ purchase = \"{PURCHASE}\" }}\n{PIPELINE}");
    std::fs::write(directory.join(CONFIG), config).context("cannot write the configuration")
}

/// Waits until so many earthquakes are in the table, and counts them by magnitude.
pub(super) async fn magnitudes(target: &Target, expected: u64) -> anyhow::Result<BTreeMap<String, u64>> {
    let mut client = Client::new(target.clone(), CALL);
    let path = "/v1/events/counts?by=event_type";
    let complete = |counts: &BTreeMap<String, u64>| counts.values().sum::<u64>() >= expected;
    let found = wait_for(&mut client, path, |counts: Counts| {
        let named = counts.counts.into_iter().filter_map(|count| Some((count.name?, count.count)));
        let quakes: BTreeMap<_, _> = named
            .filter_map(|(name, count)| Some((name.strip_prefix(MAGNITUDE)?.to_owned(), count)))
            .collect();
        complete(&quakes).then_some(quakes)
    });
    found.await.with_context(|| format!("{expected} earthquakes were not stored in time"))
}

/// Sends the event that can't be processed, and waits for its dead letter.
pub(super) async fn provoke(target: &Target) -> anyhow::Result<Letter> {
    let mut client = Client::new(target.clone(), CALL);
    let event = json!({
        "id": BAD_EVENT, "event_type": "purchase", "user_id": "ada", "data": { "amount": "a lot" },
    });
    client.call("POST", "/register_event", event.to_string().as_bytes()).await?;
    let path = format!("/dead-letters/{EVENTS_STORE}");
    let letter = wait_for(&mut client, &path, |mut letters: Letters| letters.dead_letters.pop());
    letter.await.context("the dead letter did not arrive in time")
}

/// Redrives the dead letter; answers how many were, whether the event is in the table then, and what is still open.
pub(super) async fn redrive(target: &Target, letter: &Letter) -> anyhow::Result<(u64, bool, u64)> {
    let mut client = Client::new(target.clone(), CALL);
    let path = format!("/dead-letters/{EVENTS_STORE}");
    let body = json!({ "ids": [letter.id] }).to_string();
    let Redriven { redriven } = client.call_json("POST", &format!("{path}/redrive"), body.as_bytes()).await?;
    let event = format!("/v1/events/{BAD_EVENT}");
    let stored = wait_for(&mut client, &event, |event: Value| (event["id"] == BAD_EVENT).then_some(())).await;
    let open: Letters = client.call_json("GET", &path, b"").await?;
    Ok((redriven, stored.is_ok(), open.dead_letters.len() as u64))
}

/// Asks until the answer has what is looked for; what isn't there yet is asked for again.
async fn wait_for<T: DeserializeOwned, U>(
    client: &mut Client,
    path: &str,
    mut found: impl FnMut(T) -> Option<U>,
) -> anyhow::Result<U> {
    let started = Instant::now();
    loop {
        match client.call_json("GET", path, b"").await {
            Ok(answer) => {
                if let Some(found) = found(answer) {
                    return Ok(found);
                }
            }
            // Not there yet, or the database is not connected yet.
            Err(error) if matches!(error.status(), Some(404 | 503)) => {}
            Err(error) => return Err(error.into()),
        }
        if started.elapsed() > CATCH_UP {
            bail!("waited for {} s", CATCH_UP.as_secs());
        }
        sleep(LOOK).await;
    }
}
