//! Reading as a consumer group: a delivery is acknowledged when its records are printed.

use floe_load::http::escape;
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{Patience, Printer, outage::Outage};
use crate::{cli::Server, exit, output::tell};

/// Records asked for at a time.
const POLL_RECORDS: u64 = 1_000;
/// How long the server is asked to wait for records when following.
const WAIT_MS: u64 = 20_000;

#[derive(Deserialize)]
struct Delivery<'a> {
    #[serde(borrow)]
    records: Vec<&'a RawValue>,
    #[serde(default)]
    delivery: Option<String>,
}

/// Reads what the group hasn't read yet.
pub(super) async fn consume(
    server: &Server,
    topic: &str,
    group: &str,
    partition: Option<u32>,
    patience: Patience,
    mut printer: Printer,
) -> anyhow::Result<()> {
    if partition.is_some() {
        return Err(exit::usage("a group shares all partitions among its readers: leave -p out"));
    }
    let mut client = server.client()?;
    let (poll, ack) = (format!("/groups/{}/poll", escape(group)), format!("/groups/{}/ack", escape(group)));
    let mut outage = Outage::default();
    loop {
        let wait_ms = if patience == Patience::Follow { WAIT_MS } else { 0 };
        let max = printer.left().min(POLL_RECORDS);
        if max == 0 {
            break;
        }
        let body = json!({ "topics": [topic], "max": max, "wait_ms": wait_ms }).to_string();
        let answer = match client.call("POST", &poll, body.as_bytes()).await {
            Ok(answer) => answer,
            Err(error) if patience == Patience::Follow => {
                outage.wait(error).await?;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        outage.is_over();
        let delivery: Delivery<'_> = serde_json::from_slice(&answer.body)?;
        for record in &delivery.records {
            printer.print(record.get())?;
        }
        // Printed first and acknowledged then: a failure in between prints records again, it never skips them.
        printer.flush()?;
        if let Some(token) = &delivery.delivery {
            let body = json!({ "delivery": token }).to_string();
            if let Err(error) = client.call("POST", &ack, body.as_bytes()).await {
                tell(&format!(
                    "the last {} records will be delivered again: {error}",
                    delivery.records.len()
                ));
            }
        }
        if delivery.records.is_empty() && patience == Patience::UntilEnd {
            break;
        }
    }
    printer.flush()
}
