//! Redriving and discarding.

use std::time::Duration;

use floe_engine::{Acks, Append, EngineError, IdempotencyKey, NewRecord, TopicDescription};
use futures_util::{StreamExt, stream};
use tokio::time::MissedTickBehavior;

use super::{
    ANY_CONTENT, DeadLetter, DeadLetterState, DeadLetters, MAX_REDRIVES, Redrive, Redriven, Selection,
    headers, marks::Became, parse_id, topic_of,
};
use crate::{
    LogError,
    limits::{DEAD_LETTER_WRITES, LETTERS_PER_TURN, SKIPPED_TOLD},
};

/// What became of one dead letter in a turn.
enum Turned {
    /// It is in its origin topic again.
    Redriven,
    /// It was left alone, and why.
    Skipped(String),
}

/// Those that a selection names or finds, in turns.
struct Picked<'a> {
    letters: &'a DeadLetters,
    selection: &'a Selection,
    /// Named ones that are still to come; `None` when the topic is gone through instead.
    named: Option<std::collections::btree_set::IntoIter<(u32, i64)>>,
    topic: TopicDescription,
    scan: super::scan::Scan<'a>,
}

impl<'a> Picked<'a> {
    async fn new(
        letters: &'a DeadLetters,
        pipeline: &str,
        selection: &'a Selection,
    ) -> Result<Self, LogError> {
        let named = (!selection.ids.is_empty()).then(|| selection.places()).transpose()?;
        let topic = letters.shared.engine.describe_topic(&topic_of(pipeline)).await?;
        let scan = letters.scan(topic.clone(), None, false).await?;
        Ok(Self { letters, selection, named: named.map(IntoIterator::into_iter), topic, scan })
    }

    /// The next ones, at most `most`; none at the end. Named ones come whatever became of them, or not at all if they
    /// are not there: then their id is told.
    async fn turn(&mut self, most: usize) -> Result<(Vec<DeadLetter>, Vec<String>), LogError> {
        let Some(named) = &mut self.named else {
            return Ok((self.scan.page(most, |letter| self.selection.meant(letter)).await?, Vec::new()));
        };
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for (partition, offset) in named.by_ref() {
            match self.letters.at(&self.topic, partition, offset).await? {
                Some(letter) if self.selection.meant(&letter) => found.push(letter),
                Some(_) => {}
                None => missing.push(super::id(partition, offset)),
            }
            if found.len() >= most {
                break;
            }
        }
        Ok((found, missing))
    }
}

impl DeadLetters {
    /// Writes them to their origin topics again, each at most once, and marks them. Two at once don't write one twice, nor
    /// does a repeat after a crash (within the window of idempotency keys, a day).
    pub async fn redrive(&self, pipeline: &str, redrive: &Redrive) -> Result<Redriven, LogError> {
        let (most, mut pace) = pace(redrive.rate)?;
        let limit = redrive.selection.limit.map_or(u64::MAX, |limit| limit as u64);
        let mut picked = Picked::new(self, pipeline, &redrive.selection).await?;
        let topic = (picked.topic.name.clone(), picked.topic.id);
        let mut done = Redriven::default();
        while done.redriven < limit {
            let left = usize::try_from(limit - done.redriven).unwrap_or(usize::MAX);
            let (letters, missing) = picked.turn(most.min(left)).await?;
            if letters.is_empty() && missing.is_empty() {
                break;
            }
            for id in missing {
                done.skip(id, "there is no such dead letter".to_owned());
            }
            if redrive.dry_run {
                for letter in &letters {
                    match self.why_not(letter, redrive.force).await? {
                        None => done.redriven += 1,
                        Some(why) => done.skip(letter.id.clone(), why),
                    }
                }
                continue;
            }
            if let Some(pace) = &mut pace {
                pace.tick().await;
            }
            self.redrive_turn((&topic.0, topic.1), letters, redrive.force, &mut done).await?;
        }
        Ok(done)
    }

    async fn redrive_turn(
        &self,
        topic: (&str, u64),
        letters: Vec<DeadLetter>,
        force: bool,
        done: &mut Redriven,
    ) -> Result<(), LogError> {
        let mut marks = self.shared.marks.lock().await;
        marks.catch_up(&self.shared.engine).await?;
        let letters = letters.into_iter().map(|mut letter| {
            // somebody else may have been here since it was read
            if let Some((partition, offset)) = parse_id(&letter.id) {
                letter.state = marks.state(topic.1, partition, offset);
            }
            letter
        });
        let check = |letter: DeadLetter| async move {
            let why_not = self.why_not(&letter, force).await;
            (letter, why_not)
        };
        let letters: Vec<_> = letters.collect();
        // All are checked before the first is written: then nothing comes between one write and the next.
        let checked: Vec<_> = stream::iter(letters).map(check).buffered(DEAD_LETTER_WRITES).collect().await;
        let turn = |(letter, why_not): (DeadLetter, Result<Option<String>, LogError>)| async move {
            let turned = match why_not {
                Ok(None) => self.redrive_one(topic.1, &letter).await,
                Ok(Some(why)) => Ok(Turned::Skipped(why)),
                Err(error) => Err(error),
            };
            (letter.id, turned)
        };
        // Each is asked for in order before the first answer is awaited, so they keep their order.
        let turned: Vec<_> = stream::iter(checked).map(turn).buffered(DEAD_LETTER_WRITES).collect().await;
        let (mut written, mut failed) = (Vec::new(), None);
        for (id, turned) in turned {
            match turned {
                Ok(Turned::Redriven) => written.push(id),
                Ok(Turned::Skipped(why)) => done.skip(id, why),
                Err(error) => failed = Some(error),
            }
        }
        marks.write(&self.shared.engine, topic, &written, Became::Redriven).await?;
        done.redriven += written.len() as u64;
        failed.map_or(Ok(()), Err)
    }

    async fn redrive_one(&self, topic_id: u64, letter: &DeadLetter) -> Result<Turned, LogError> {
        let Some(origin) = &letter.origin else { return Ok(Turned::Skipped(NO_ORIGIN.to_owned())) };
        let mut headers = letter.headers.clone();
        headers.retain(|header| header.name != headers::REDRIVES);
        headers.push(headers::text(headers::REDRIVES, letter.redrives.saturating_add(1).to_string()));
        let (key, value) = (letter.key.clone(), letter.value.clone());
        let record = NewRecord { key, value, headers, partition: Some(origin.partition), timestamp: None };
        let key = format!("redrive:{topic_id}:{}", letter.id);
        let append = Append {
            topic: origin.topic.clone(),
            records: vec![record],
            acks: Some(Acks::Durable),
            idempotency: Some(IdempotencyKey { key, fingerprint: ANY_CONTENT }),
        };
        match self.shared.engine.append(append).await {
            Ok(_) => Ok(Turned::Redriven),
            Err(
                error @ (EngineError::RecordTooLarge { .. }
                | EngineError::InternalTopic { .. }
                | EngineError::TopicNotFound { .. }
                | EngineError::PartitionNotFound { .. }),
            ) => Ok(Turned::Skipped(error.to_string())),
            Err(error) => Err(error.into()),
        }
    }

    /// Why a dead letter isn't redriven.
    async fn why_not(&self, letter: &DeadLetter, force: bool) -> Result<Option<String>, LogError> {
        match letter.state {
            DeadLetterState::Redriven => return Ok(Some("it was redriven before".to_owned())),
            DeadLetterState::Discarded => return Ok(Some("it was discarded".to_owned())),
            DeadLetterState::Open => {}
        }
        let Some(origin) = &letter.origin else { return Ok(Some(NO_ORIGIN.to_owned())) };
        if letter.redrives >= MAX_REDRIVES && !force {
            let why = format!("it came back {} times; only force redrives it again", letter.redrives);
            return Ok(Some(why));
        }
        match self.shared.engine.topic_summary(&origin.topic).await {
            Ok(topic) if origin.partition >= topic.partitions => {
                Ok(Some(format!("topic '{}' has no partition {} any more", origin.topic, origin.partition)))
            }
            Ok(_) => Ok(None),
            Err(error) => match (error.to_string(), error.into()) {
                (_, error @ LogError::Unavailable(_)) => Err(error),
                (why, _) => Ok(Some(why)),
            },
        }
    }

    /// Marks them as decided against; answers how many. Those that were redriven or discarded before are left alone.
    pub async fn discard(&self, pipeline: &str, selection: &Selection) -> Result<u64, LogError> {
        let limit = selection.limit.map_or(u64::MAX, |limit| limit as u64);
        let mut picked = Picked::new(self, pipeline, selection).await?;
        let topic = (picked.topic.name.clone(), picked.topic.id);
        let mut discarded = 0;
        while discarded < limit {
            let left = usize::try_from(limit - discarded).unwrap_or(usize::MAX);
            let (letters, missing) = picked.turn(LETTERS_PER_TURN.min(left)).await?;
            if letters.is_empty() && missing.is_empty() {
                break;
            }
            let mut marks = self.shared.marks.lock().await;
            marks.catch_up(&self.shared.engine).await?;
            let open = letters.into_iter().map(|letter| letter.id).filter(|id| {
                let place = parse_id(id);
                place.is_some_and(|(partition, offset)| {
                    marks.state(topic.1, partition, offset) == DeadLetterState::Open
                })
            });
            let open: Vec<_> = open.collect();
            marks.write(&self.shared.engine, (&topic.0, topic.1), &open, Became::Discarded).await?;
            discarded += open.len() as u64;
        }
        Ok(discarded)
    }
}

const NO_ORIGIN: &str = "its headers don't say where it came from";

impl Redriven {
    fn skip(&mut self, id: String, why: String) {
        if self.skipped.len() < SKIPPED_TOLD {
            self.skipped.push((id, why));
        }
    }
}

/// How many are redriven in a turn, and when the next turn may begin.
fn pace(rate: Option<f64>) -> Result<(usize, Option<tokio::time::Interval>), LogError> {
    /// Turns a second when the rate is higher than that.
    const TURNS: f64 = 10.0;
    let Some(rate) = rate else { return Ok((LETTERS_PER_TURN, None)) };
    if !(rate.is_finite() && rate >= 0.001) {
        return Err(LogError::Refused(format!(
            "the rate {rate} is not a number of records per second from 0.001 on"
        )));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before")]
    let most = (rate / TURNS).floor().clamp(1.0, LETTERS_PER_TURN as f64) as usize;
    let mut pace = tokio::time::interval(Duration::from_secs_f64((most as f64 / rate).max(0.000_001)));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Ok((most, Some(pace)))
}
