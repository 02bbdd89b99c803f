//! Delivering a batch: steps, each sink in turn, and the dead-letter topic for what nobody takes.
//!
//! A record that one sink will never take is dead-lettered once; the other sinks get it all the same. A record of which a
//! map made several values is dead-lettered as a whole: what is left of it isn't delivered to that sink.

use std::{collections::HashSet, sync::Arc, time::Duration};

use floe_engine::StoredRecord;
use floe_transform::Outcome;
use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use super::{
    Cause, backoff,
    gather::Gathered,
    partition::{End, Partition},
};
use crate::{
    LogError,
    dead_letters::Failure,
    excerpt,
    limits::{ASKED_WAIT, DEAD_LETTER_WRITES, ERROR_BYTES, OUTAGE_WAITS},
    moment::now_ms,
    sinks::{Batch, DeliveryError, Hold, Outgoing},
};

/// A batch on its way.
#[derive(Debug)]
struct Work {
    /// As they were read.
    records: Vec<StoredRecord>,
    next_offset: i64,
    /// After the steps.
    outgoing: Vec<Outgoing>,
    /// How many records a filter left out.
    dropped: usize,
    /// Offsets of what was dead-lettered.
    dead: HashSet<i64>,
    /// How many of the records the fuse knows of.
    noted: usize,
}

/// The attempts on the record that a sink refused.
#[derive(Debug)]
struct Attempts {
    /// Refused so often.
    refused: u32,
    since: Instant,
    first_ms: i64,
}

impl Attempts {
    fn new() -> Self {
        Self { refused: 0, since: Instant::now(), first_ms: now_ms() }
    }

    fn failure(&self, error: String) -> Failure {
        Failure { error, attempts: self.refused.max(1), first_ms: self.first_ms, last_ms: now_ms() }
    }
}

/// What an attempt came to, for its line in the log.
#[derive(Clone, Copy, Debug)]
struct Attempt<'a> {
    sink: &'a str,
    number: u32,
    offset: i64,
    records: usize,
}

impl Partition {
    /// Delivers a batch to every sink and answers where reading goes on. When it is told to end before that is done, the
    /// place of what isn't delivered is kept.
    pub(super) async fn deliver(&mut self, holds: &mut [Hold], gathered: Gathered) -> Result<i64, End> {
        let mut work = self.transform(gathered).await?;
        let shared = Arc::clone(&self.shared);
        let last = holds.len().saturating_sub(1);
        for (number, hold) in holds.iter_mut().enumerate() {
            let left =
                if number == last { std::mem::take(&mut work.outgoing) } else { work.outgoing.clone() };
            let mut batch = Batch { records: left, next_offset: work.next_offset };
            let delivered = self.deliver_to(number, hold, &mut batch, &mut work).await;
            if let Err(end) = delivered {
                if number == last
                    && let Some(first) = batch.records.first()
                {
                    self.done(first.offset);
                }
                return Err(end);
            }
        }
        self.note(&mut work, i64::MAX);
        shared.tally.delivered.add((work.records.len() - work.dropped).saturating_sub(work.dead.len()));
        self.done(work.next_offset);
        Ok(work.next_offset)
    }

    /// Runs the steps. What they can't process is dead-lettered here.
    async fn transform(&mut self, gathered: Gathered) -> Result<Work, End> {
        let Gathered { mut records, mut next_offset, mut outcomes } = gathered;
        let mut outcomes = loop {
            if let Some(outcomes) = outcomes.take() {
                break outcomes;
            }
            match self.shared.steps.run(&self.key.topic, &records).await {
                Ok(run) => outcomes = Some(run),
                Err(error) => {
                    self.shared.halt(Cause::Failed, &error.to_string());
                    self.may_work().await?;
                }
            }
        };
        if let Some(fuse) = &self.shared.fuse
            && outcomes.iter().any(is_poison)
            && let Some(last) = fuse.foresee(outcomes.iter().map(is_poison))
            && last + 1 < records.len()
        {
            // what lies behind is read again when somebody has looked at it
            records.truncate(last + 1);
            outcomes.truncate(last + 1);
            next_offset = records[last].offset + 1;
        }
        let mut work =
            Work { records, next_offset, outgoing: Vec::new(), dropped: 0, dead: HashSet::new(), noted: 0 };
        let mut poison = Vec::new();
        for (record, outcome) in work.records.iter().zip(outcomes) {
            match outcome {
                Outcome::Values(values) => work.outgoing.extend(outgoing(record, values)),
                Outcome::Dropped => work.dropped += 1,
                Outcome::Poison(error) => poison.push((record.offset, Attempts::new().failure(error))),
            }
        }
        self.shared.tally.dropped.add(work.dropped);
        self.dead_letter("steps", &mut work, poison).await?;
        Ok(work)
    }

    async fn deliver_to(
        &mut self,
        number: usize,
        hold: &mut Hold,
        batch: &mut Batch,
        work: &mut Work,
    ) -> Result<(), End> {
        let shared = Arc::clone(&self.shared);
        let outlet = &shared.outlets[number];
        let sink = outlet.sink.label();
        let mut attempts = Attempts::new();
        let mut tried = 0;
        loop {
            self.may_work().await?;
            tried += 1;
            let offset = batch.records.first().map_or(batch.next_offset, |first| first.offset);
            let attempt = Attempt { sink, number: tried, offset, records: batch.records.len() };
            let Err(error) = hold.deliver(batch).await else {
                outlet.outage.reached();
                self.log_delivered(attempt);
                self.out_of_trouble();
                return Ok(());
            };
            match error {
                DeliveryError::Unavailable(error) => {
                    self.log_failure(attempt, "unavailable", &error);
                    outlet.outage.failed();
                    self.turn(Some(number)).await?;
                }
                DeliveryError::Retry { delivered, error, after } => {
                    outlet.outage.reached();
                    if delivered > 0 {
                        let delivered = batch.records.drain(..delivered.min(batch.records.len())).len();
                        self.log_delivered(Attempt { records: delivered, ..attempt });
                        (attempts, tried) = (Attempts::new(), 1);
                    }
                    let attempt = Attempt { number: tried, ..attempt };
                    attempts.refused = attempts.refused.saturating_add(1);
                    self.refused(attempt, batch, work, &mut attempts, error, after).await?;
                    tried = if attempts.refused == 0 { 0 } else { tried };
                }
                DeliveryError::Poison { delivered, records } => {
                    outlet.outage.reached();
                    attempts.refused = attempts.refused.saturating_add(1);
                    self.poisoned(attempt, batch, work, &attempts, delivered, records).await?;
                    (attempts, tried) = (Attempts::new(), 0);
                }
                DeliveryError::Fenced => {
                    self.log_failure(attempt, "fenced", "another worker has claimed the partition");
                    return Err(End::Fenced);
                }
                DeliveryError::Fatal(error) => {
                    self.log_failure(attempt, "failed", &error);
                    shared.halt(Cause::Failed, &format!("{sink}: {error}"));
                }
            }
        }
    }

    /// A sink refused the first record for now: waits, or dead-letters it when it was tried often and long enough.
    async fn refused(
        &mut self,
        attempt: Attempt<'_>,
        batch: &mut Batch,
        work: &mut Work,
        attempts: &mut Attempts,
        error: String,
        after: Option<Duration>,
    ) -> Result<(), End> {
        let retry = self.shared.spec.retry;
        let left = retry.elapsed.saturating_sub(attempts.since.elapsed());
        let first = batch.records.first().map(|first| first.offset);
        let attempt =
            Attempt { offset: first.unwrap_or(batch.next_offset), records: batch.records.len(), ..attempt };
        if let Some(offset) = first
            && (attempts.refused >= retry.attempts || left.is_zero())
        {
            self.dead_letter(attempt.sink, work, vec![(offset, attempts.failure(error))]).await?;
            batch.records.retain(|record| record.offset != offset);
            self.note(work, offset);
            *attempts = Attempts::new();
            return Ok(());
        }
        self.log_failure(attempt, "retry", &error);
        let wait = backoff::wait(attempts.refused, retry.initial, retry.max);
        let wait = wait.max(after.unwrap_or_default().min(ASKED_WAIT));
        // with nothing to dead-letter there is no last attempt to hurry for
        let wait = if first.is_some() { wait.min(left) } else { wait };
        self.rest(wait).await
    }

    /// A sink will never take some of the records.
    async fn poisoned(
        &mut self,
        attempt: Attempt<'_>,
        batch: &mut Batch,
        work: &mut Work,
        attempts: &Attempts,
        delivered: usize,
        records: Vec<(usize, String)>,
    ) -> Result<(), End> {
        let letter = |(place, error): (usize, String)| {
            Some((batch.records.get(place)?.offset, attempts.failure(error)))
        };
        let letters: Vec<_> = records.into_iter().filter_map(letter).collect();
        if letters.is_empty() && delivered == 0 {
            // a sink that names nothing would be asked again at once, for ever
            self.log_failure(attempt, "retry", "the sink refused records and did not say which");
            return self.rest(self.shared.spec.retry.max.max(OUTAGE_WAITS.0)).await;
        }
        let refused: HashSet<i64> = letters.iter().map(|(offset, _)| *offset).collect();
        let delivered = batch.records.drain(..delivered.min(batch.records.len())).len();
        self.log_delivered(Attempt { records: delivered, ..attempt });
        self.dead_letter(attempt.sink, work, letters).await?;
        batch.records.retain(|record| !refused.contains(&record.offset));
        Ok(())
    }

    /// Writes dead letters; waits until they are durable. A record that is dead-lettered already stays so.
    async fn dead_letter(
        &mut self,
        sink: &str,
        work: &mut Work,
        mut letters: Vec<(i64, Failure)>,
    ) -> Result<(), End> {
        letters.retain(|(offset, _)| work.dead.insert(*offset));
        while let Some((offset, _)) = letters.first() {
            let offset = *offset;
            let (shared, key) = (Arc::clone(&self.shared), self.key.clone());
            if let Err(error) = shared.letters.prepare().await {
                self.dead_letter_failed(offset, error).await?;
                continue;
            }
            let write = |(offset, failure): (i64, Failure)| {
                let record = work.records.iter().find(|record| record.offset == offset);
                let (shared, key) = (&shared, &key);
                async move {
                    let written = match record {
                        Some(record) => shared.letters.write(key, record, &failure).await,
                        None => Ok(()),
                    };
                    (offset, failure, written)
                }
            };
            let written: Vec<_> = stream::iter(std::mem::take(&mut letters))
                .map(write)
                .buffered(DEAD_LETTER_WRITES)
                .collect()
                .await;
            let mut failed = None;
            for (offset, failure, written) in written {
                match written {
                    Ok(()) => self.log_dead_letter(sink, offset, &failure),
                    Err(error) => {
                        letters.push((offset, failure));
                        failed = Some(error);
                    }
                }
            }
            if let Some(error) = failed {
                self.dead_letter_failed(offset, error).await?;
            }
        }
        Ok(())
    }

    async fn dead_letter_failed(&mut self, offset: i64, error: LogError) -> Result<(), End> {
        match error {
            LogError::Refused(why) => {
                self.shared.halt(Cause::Failed, &format!("a dead letter can't be written: {why}"));
                self.may_work().await
            }
            // the dead-letter topic's absence says nothing of the one that is read
            LogError::NoTopic { topic } => {
                let error = format!("topic '{topic}' for dead letters does not exist");
                self.log_failed(offset, LogError::Unavailable(error)).await
            }
            error => self.log_failed(offset, error).await,
        }
    }

    /// Tells the fuse what became of the records up to `through`.
    fn note(&self, work: &mut Work, through: i64) {
        let Some(fuse) = &self.shared.fuse else { return };
        let fresh = work.records[work.noted..].iter().take_while(|record| record.offset <= through);
        let mut noted = 0;
        for record in fresh {
            noted += 1;
            if let Some(why) = fuse.note(work.dead.contains(&record.offset)) {
                self.shared.halt(Cause::Fuse, &why);
            }
        }
        work.noted += noted;
    }

    fn log_delivered(&self, Attempt { sink, number, offset, records }: Attempt<'_>) {
        if records == 0 {
            return;
        }
        tracing::info!(
            target: "floe_pipeline", pipeline = &*self.key.pipeline, topic = &*self.key.topic,
            partition = self.key.partition, offset, records, attempt = number, outcome = "delivered", sink,
            "delivery"
        );
    }

    /// An attempt failed, and is made again (or is the last one of this owner).
    fn log_failure(&self, attempt: Attempt<'_>, outcome: &str, error: &str) {
        let Attempt { sink, number, offset, records } = attempt;
        let error = excerpt::of(error, ERROR_BYTES);
        tracing::warn!(
            target: "floe_pipeline", pipeline = &*self.key.pipeline, topic = &*self.key.topic,
            partition = self.key.partition, offset, records, attempt = number, outcome, error, sink, "delivery"
        );
        self.shared.tally.retried.add(1);
        self.in_trouble(offset, &format!("{sink}: {error}"));
    }

    fn log_dead_letter(&self, sink: &str, offset: i64, failure: &Failure) {
        let error = excerpt::of(&failure.error, ERROR_BYTES);
        tracing::warn!(
            target: "floe_pipeline", pipeline = &*self.key.pipeline, topic = &*self.key.topic,
            partition = self.key.partition, offset, records = 1, attempt = failure.attempts,
            outcome = "dead_lettered", error, sink, "delivery"
        );
        self.shared.tally.dead_lettered.add(1);
        self.shared.tally.error(self.place.error(offset, &format!("{sink}: {error}")));
    }
}

fn is_poison(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Poison(_))
}

fn outgoing(record: &StoredRecord, values: Vec<Option<bytes::Bytes>>) -> impl Iterator<Item = Outgoing> {
    (0..).zip(values).map(|(index, value)| Outgoing {
        offset: record.offset,
        index,
        timestamp: record.timestamp,
        key: record.key.clone(),
        value,
        headers: record.headers.clone(),
    })
}
