//! Clients that don't give up: every event is sent again, with the same id, until the server says it has it.

use std::{fmt::Write, time::Duration};

use floe_load::{
    Backoff,
    http::{Client, Target},
};
use tokio::{sync::watch, task::JoinSet};

/// Events of one request.
const BATCH: usize = 100;
/// Poison in a request that has some.
const POISON: usize = 2;
/// Connections that send.
const LANES: usize = 6;
/// How far senders run ahead of what was seen: so there is load from the first event to the last, whatever is down.
const LEAD: usize = 15_000;
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Good ones: ids `<prefix>0`, `<prefix>1`, ….
    pub(super) events: usize,
    pub(super) prefix: &'static str,
}

impl Plan {
    /// How many poisonous events go with the good ones: ids `poison-0`, `poison-1`, ….
    pub(super) fn poison(self) -> usize {
        self.events / BATCH / 2 * POISON
    }
}

/// Sends all of them; ends when all are acknowledged. `seen` is how many a watcher has seen by now.
pub(super) async fn send(url: &str, plan: Plan, seen: watch::Receiver<usize>) {
    let mut lanes = JoinSet::new();
    for lane in 0..LANES {
        let client = Client::new(Target::parse(url).unwrap(), ANSWER_WITHIN);
        lanes.spawn(send_lane(client, plan, lane, seen.clone()));
    }
    while let Some(ended) = lanes.join_next().await {
        ended.unwrap();
    }
}

async fn send_lane(mut client: Client, plan: Plan, lane: usize, mut seen: watch::Receiver<usize>) {
    for batch in (lane..plan.events / BATCH).step_by(LANES) {
        seen.wait_for(|seen| seen + LEAD >= batch * BATCH).await.unwrap();
        let first = batch * BATCH;
        let good = (first..first + BATCH).map(|number| event(plan.prefix, number));
        if batch % 2 == 0 {
            // a repeat is stored as records of its own: their ids tell that they are the same events
            let body = format!("[{}]", good.collect::<Vec<_>>().join(","));
            until_accepted(&mut client, "/v1/events", &[("Content-Type", "application/json")], &body).await;
        } else {
            let poison = (0..POISON).map(|number| poison(batch / 2 * POISON + number));
            let body = good.chain(poison).fold(String::new(), |mut body, event| {
                writeln!(body, "{event}").unwrap();
                body
            });
            let key = format!("batch-{batch}");
            let headers = [("Content-Type", "application/x-ndjson"), ("Idempotency-Key", key.as_str())];
            until_accepted(&mut client, "/register_event", &headers, &body).await;
        }
    }
}

pub(crate) fn event(prefix: &str, number: usize) -> String {
    let (user, amount) = (number % 500, number % 97);
    let kind = if number.is_multiple_of(3) { "purchase" } else { "view" };
    format!(
        r#"{{"id":"{prefix}{number}","event_type":"{kind}","user_id":"u-{user}","data":{{"amount":{amount}}}}}"#
    )
}

/// Accepted at the door that asks for no schema, and refused by the pipeline.
pub(crate) fn poison(number: usize) -> String {
    format!(
        r#"{{"id":"poison-{number}","event_type":"purchase","user_id":"u-1","data":{{"amount":"a lot"}}}}"#
    )
}

async fn until_accepted(client: &mut Client, path: &str, headers: &[(&str, &str)], body: &str) {
    let mut backoff = Backoff::default();
    loop {
        match client.send("POST", path, headers, body.as_bytes()).await {
            Ok(answer) if answer.status == 202 => return,
            Ok(answer) if (400..500).contains(&answer.status) && answer.status != 429 => {
                panic!("{path} answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
            }
            // refused for now, or nobody knows
            Ok(_) | Err(_) => tokio::time::sleep(backoff.next_pause()).await,
        }
    }
}
