//! One HTTP connection of a run: takes records as they are due, sends them, settles their outcome.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use serde::{Deserialize, de::IgnoredAny};
use tokio::time::{Instant, sleep};

use crate::{
    LoadOptions, Payloads, Retry,
    backoff::Backoff,
    encode::Encoder,
    feed::{Puller, Work},
    http::{Connection, HttpError, Response},
    ledger::{Fate, Ledger},
    record_id::RunId,
    tally::{Outcome, Tally},
};

const CANNOT_CONNECT: &str = "cannot connect";

/// A connection with all that it needs.
#[derive(Debug)]
pub(crate) struct HttpWorker {
    batched: bool,
    retry: Retry,
    payloads: Arc<Payloads>,
    puller: Puller,
    tally: Arc<Tally>,
    encoder: Encoder,
    ledger: Option<Ledger>,
    next_counter: u64,
    line: Line,
}

/// The way to the server: a connection, or the pause before the next one.
#[derive(Debug)]
struct Line {
    options: Arc<LoadOptions>,
    connection: Option<Connection>,
    backoff: Backoff,
}

/// What one attempt to send a request brought.
#[derive(Debug)]
enum Attempt {
    Answered(Response),
    Nothing(HttpError),
}

/// How the records of one request ended.
#[derive(Debug)]
enum Settlement {
    Whole(Outcome),
    /// Record by record: whether it was stored.
    Each(Vec<bool>),
}

#[derive(Deserialize)]
struct BatchAnswer {
    offsets: Vec<BatchPlace>,
}

#[derive(Deserialize)]
struct BatchPlace {
    #[serde(default)]
    error: Option<IgnoredAny>,
}

impl HttpWorker {
    pub(crate) fn new(
        options: &Arc<LoadOptions>,
        payloads: &Arc<Payloads>,
        puller: Puller,
        tally: &Arc<Tally>,
        run: RunId,
        connection: u16,
    ) -> Self {
        let tracked = options.verify != crate::Verify::Skip;
        Self {
            encoder: Encoder::new(options, run, connection),
            batched: options.batch > 1,
            retry: options.retry,
            payloads: Arc::clone(payloads),
            puller,
            tally: Arc::clone(tally),
            ledger: tracked.then(|| Ledger::new(connection)),
            next_counter: 0,
            line: Line { options: Arc::clone(options), connection: None, backoff: Backoff::default() },
        }
    }

    /// Sends until the feed ends; returns what it knows of each record, when that is asked for.
    pub(crate) async fn run(mut self) -> Option<Ledger> {
        while let Some(work) = self.puller.next().await {
            let first = self.next_counter;
            self.next_counter += work.indices.len() as u64;
            if let Some(ledger) = &mut self.ledger {
                ledger.open(work.indices.len());
            }
            let settlement = self.deliver(&work, first).await;
            self.settle(&work, first, &settlement);
        }
        self.ledger
    }

    /// Sends one request, again and again if that is wanted, until its outcome is final.
    async fn deliver(&mut self, work: &Work, first_counter: u64) -> Settlement {
        let records = work.indices.len() as u64;
        let value_bytes = work.indices.iter().map(|index| self.payloads.get(*index).value.len() as u64).sum();
        let request = self.encoder.request(&self.payloads, &work.indices, first_counter);
        self.tally.sending(records, value_bytes);
        let patience = match self.retry {
            Retry::Never => None,
            Retry::For(patience) => Some(Instant::now() + patience),
        };
        let mut doubt = None;
        loop {
            let attempt = self.line.attempt(request).await;
            let outcome = outcome_of(&attempt);
            if let (Outcome::Acknowledged, Attempt::Answered(response)) = (&outcome, &attempt) {
                self.line.backoff.reset();
                if response.header("idempotency-replayed") == Some("true") {
                    self.tally.replayed.fetch_add(records, Relaxed);
                }
                return settlement_of(response, work.indices.len(), self.batched);
            }
            if let Outcome::Unknown(kind) = &outcome {
                doubt.get_or_insert_with(|| kind.clone());
            }
            let again = patience.is_some_and(|until| Instant::now() < until) && is_passing(&attempt);
            if again || matches!(&outcome, Outcome::Failed(kind) if kind == CANNOT_CONNECT) {
                sleep(self.line.backoff.next_pause()).await;
            }
            if !again {
                // A refusal says nothing about an earlier attempt that was never answered.
                return Settlement::Whole(doubt.map_or(outcome, Outcome::Unknown));
            }
            self.tally.resent.fetch_add(records, Relaxed);
        }
    }

    fn settle(&mut self, work: &Work, first_counter: u64, settlement: &Settlement) {
        let count = |outcome: &Outcome, records: u64| {
            if records > 0 {
                self.tally.settle(outcome, records);
            }
        };
        let fates: Vec<_> = match settlement {
            Settlement::Whole(outcome) => {
                count(outcome, work.indices.len() as u64);
                vec![Fate::of(outcome); work.indices.len()]
            }
            Settlement::Each(stored) => {
                let acknowledged = stored.iter().filter(|stored| **stored).count();
                count(&Outcome::Acknowledged, acknowledged as u64);
                let refused = Outcome::Failed("refused within a batch".to_owned());
                count(&refused, (stored.len() - acknowledged) as u64);
                stored.iter().map(|stored| if *stored { Fate::Acknowledged } else { Fate::Failed }).collect()
            }
        };
        if fates.contains(&Fate::Acknowledged) {
            self.tally.acknowledged_after(work.intended.elapsed());
        }
        if let Some(ledger) = &mut self.ledger {
            fates.iter().zip(first_counter..).for_each(|(fate, counter)| ledger.settle(counter, *fate));
        }
    }
}

impl Line {
    async fn attempt(&mut self, request: &[u8]) -> Attempt {
        let kept = self.connection.take().filter(Connection::is_usable);
        let mut connection = match kept {
            Some(connection) => connection,
            None => match Connection::open(&self.options.target).await {
                Ok(connection) => connection,
                Err(error) => return Attempt::Nothing(error),
            },
        };
        match connection.exchange(request, self.options.timeout).await {
            Ok(response) => {
                self.connection = Some(connection);
                Attempt::Answered(response)
            }
            Err(error) => Attempt::Nothing(error),
        }
    }
}

/// What an attempt says about its records.
fn outcome_of(attempt: &Attempt) -> Outcome {
    match attempt {
        Attempt::Nothing(error) if error.nothing_was_sent() => Outcome::Failed(CANNOT_CONNECT.to_owned()),
        Attempt::Nothing(HttpError::TimedOut(_)) => Outcome::Unknown("no answer in time".to_owned()),
        Attempt::Nothing(HttpError::Broken(_)) => Outcome::Unknown("connection broke".to_owned()),
        Attempt::Nothing(error) => Outcome::Unknown(error.to_string()),
        Attempt::Answered(response) if response.is_success() => Outcome::Acknowledged,
        Attempt::Answered(response) => {
            let kind = kind_of(response);
            // These statuses leave open whether the write happened: see the codes' meanings in the HTTP contract.
            let open = matches!(response.status, 408 | 500 | 502 | 504) || kind.ends_with("STORAGE_FAILED");
            if open { Outcome::Unknown(kind) } else { Outcome::Failed(kind) }
        }
    }
}

/// Whether the same request may do better later.
fn is_passing(attempt: &Attempt) -> bool {
    match attempt {
        Attempt::Nothing(HttpError::TooLarge(_)) => false,
        Attempt::Nothing(_) => true,
        Attempt::Answered(response) => matches!(response.status, 408 | 429 | 500..=599),
    }
}

/// The status and, when there is one, the code of the problem.
fn kind_of(response: &Response) -> String {
    #[derive(Default, Deserialize)]
    struct Problem {
        #[serde(default)]
        code: Option<String>,
    }
    let problem: Problem = serde_json::from_slice(&response.body).unwrap_or_default();
    match problem.code {
        Some(code) => format!("{} {}", response.status, code.escape_debug()),
        None => response.status.to_string(),
    }
}

/// Reads from a success how each record ended.
fn settlement_of(response: &Response, records: usize, batched: bool) -> Settlement {
    if !batched || !contains(&response.body, b"\"error\"") {
        return Settlement::Whole(Outcome::Acknowledged);
    }
    match serde_json::from_slice::<BatchAnswer>(&response.body) {
        Ok(answer) if answer.offsets.len() == records => {
            Settlement::Each(answer.offsets.iter().map(|place| place.error.is_none()).collect())
        }
        _ => Settlement::Whole(Outcome::Unknown("an answer that can't be read".to_owned())),
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
