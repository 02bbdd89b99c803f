//! One partition: claims it at every sink, finds its place, and works until it is given up.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use floe_engine::{OffsetSpec, PartitionRead};
use floe_store::PositionKey;
use tokio::{sync::watch, time::Instant};

use super::{
    Cause, Place, Shared,
    gather::{self, Gathered},
    switch::Position,
};
use crate::{
    LogError, Start,
    sinks::{DeliveryError, Hold, Sink},
};

/// Why a partition's task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It was told to.
    Released,
    /// Another owner has claimed it at a sink.
    Fenced,
    /// The topic is gone.
    NoTopic,
}

/// A partition's task.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) shared: Arc<Shared>,
    pub(super) place: Arc<Place>,
    pub(super) key: PositionKey,
    /// The worker's id, as the sinks keep it beside their positions.
    owner: String,
    /// Where it starts without a position.
    start: Start,
    switch: watch::Receiver<Position>,
    /// Whether it was told to end.
    released: watch::Receiver<bool>,
}

impl Partition {
    pub(super) fn new(
        shared: Arc<Shared>,
        place: Arc<Place>,
        log: Arc<str>,
        owner: String,
        start: Start,
        released: watch::Receiver<bool>,
    ) -> Self {
        let key = PositionKey {
            log,
            pipeline: Arc::clone(&shared.name),
            topic: Arc::clone(&place.topic),
            topic_id: place.topic_id,
            partition: place.partition,
        };
        let switch = shared.switch.watch();
        Self { shared, place, key, owner, start, switch, released }
    }

    /// Works until it is told to end. What it holds then is finished or left for the next owner.
    pub(super) async fn run(mut self) -> End {
        let Err(end) = self.work().await;
        end
    }

    async fn work(&mut self) -> Result<std::convert::Infallible, End> {
        self.may_work().await?;
        let mut holds = self.claim().await?;
        let mut next = self.find_place(&holds).await?;
        self.place.read.store(next, Ordering::Release);
        self.done(next);
        let mut ahead = None;
        loop {
            self.may_work().await?;
            let gathered = match ahead.take() {
                Some(gathered) => gathered,
                None => self.gather(next).await?,
            };
            if gathered.next_offset == next {
                continue;
            }
            self.shared.tally.read.add(gathered.records.len());
            self.place.read.store(gathered.next_offset, Ordering::Release);
            let expected = gathered.next_offset;
            (next, ahead) = self.deliver_and_look_ahead(&mut holds, gathered).await?;
            if next != expected {
                // the fuse has cut the batch: what was read behind it is read again
                ahead = None;
                self.place.read.store(next, Ordering::Release);
            }
        }
    }

    /// Delivers a batch, and prepares the next one meanwhile if there is a whole one.
    async fn deliver_and_look_ahead(
        &mut self,
        holds: &mut [Hold],
        gathered: Gathered,
    ) -> Result<(i64, Option<Gathered>), End> {
        let from = gathered.next_offset;
        // where one batch isn't full there is hardly another one behind it
        if !gathered.is_full(&self.shared.spec.batch) {
            return Ok((self.deliver(holds, gathered).await?, None));
        }
        let looking = gather::ahead(Arc::clone(&self.shared), Arc::clone(&self.place), from);
        let mut looking = std::pin::pin!(looking);
        let mut seen = None;
        let next = {
            let mut delivering = std::pin::pin!(self.deliver(holds, gathered));
            loop {
                tokio::select! {
                    next = &mut delivering => break next?,
                    gathered = &mut looking, if seen.is_none() => seen = Some(gathered),
                }
            }
        };
        while seen.is_none() && !self.interrupted() {
            tokio::select! {
                gathered = &mut looking => seen = Some(gathered),
                () = self.told() => {}
            }
        }
        Ok((next, seen.flatten()))
    }

    /// Everything before `offset` is done.
    pub(super) fn done(&self, offset: i64) {
        self.place.done.store(offset, Ordering::Release);
        self.shared.news.notify_one();
    }

    /// Waits until the pipeline may work.
    pub(super) async fn may_work(&mut self) -> Result<(), End> {
        loop {
            if *self.released.borrow_and_update() || self.switch.borrow_and_update().draining {
                return Err(End::Released);
            }
            if self.switch.borrow().runs() {
                return Ok(());
            }
            self.told().await;
        }
    }

    /// Waits; shorter if the pipeline stood meanwhile and goes on.
    pub(super) async fn rest(&mut self, wait: Duration) -> Result<(), End> {
        let until = Instant::now() + wait;
        loop {
            let stands = !self.switch.borrow().runs();
            self.may_work().await?;
            if stands || Instant::now() >= until {
                return Ok(());
            }
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                () = self.told() => {}
            }
        }
    }

    /// Resolves when it is told something: to stand, to go on, or to end. Cancel-safe.
    pub(super) async fn told(&mut self) {
        let told = tokio::select! {
            told = self.switch.changed() => told,
            told = self.released.changed() => told,
        };
        if told.is_err() {
            // the member is gone, and this task is about to be
            std::future::pending::<()>().await;
        }
    }

    /// Whether it is to stop what it waits for.
    pub(super) fn interrupted(&self) -> bool {
        *self.released.borrow() || !self.switch.borrow().runs()
    }

    /// Something is wrong, and is waited for. Logged by the caller.
    pub(super) fn in_trouble(&self, offset: i64, error: &str) {
        self.shared.tally.error(self.place.error(offset, error));
        if self.place.trouble.lock().replace(error.to_owned()).is_none() {
            self.shared.news.notify_one();
        }
    }

    /// Nothing is wrong any more.
    pub(super) fn out_of_trouble(&self) {
        if self.place.trouble.lock().take().is_some() {
            self.shared.news.notify_one();
        }
    }

    /// Waits out a failure of the log; `Err` when there is nothing to wait for.
    pub(super) async fn log_failed(&mut self, offset: i64, error: LogError) -> Result<(), End> {
        match error {
            LogError::NoTopic { topic } if *topic == *self.place.topic => Err(End::NoTopic),
            LogError::Refused(why) => {
                self.shared.halt(Cause::Failed, &why);
                self.may_work().await
            }
            error => {
                let error = error.to_string();
                tracing::warn!(
                    target: "floe_pipeline", pipeline = &*self.key.pipeline, topic = &*self.key.topic,
                    partition = self.key.partition, offset, error, "the log does not do what it is asked for; trying again"
                );
                self.in_trouble(offset, &error);
                self.shared.log_outage.failed();
                self.turn(None).await
            }
        }
    }

    /// Waits for the turn to try a sink (or the log) that can't be reached.
    pub(super) async fn turn(&mut self, outlet: Option<usize>) -> Result<(), End> {
        let shared = Arc::clone(&self.shared);
        let outage = outlet.map_or(&shared.log_outage, |outlet| &shared.outlets[outlet].outage);
        loop {
            self.may_work().await?;
            tokio::select! {
                () = outage.turn() => return Ok(()),
                () = self.told() => {}
            }
        }
    }

    async fn claim(&mut self) -> Result<Vec<Hold>, End> {
        let shared = Arc::clone(&self.shared);
        let mut holds = Vec::with_capacity(shared.outlets.len());
        for (number, outlet) in shared.outlets.iter().enumerate() {
            loop {
                self.may_work().await?;
                match self.claim_at(&outlet.sink).await? {
                    Ok(hold) => {
                        outlet.outage.reached();
                        self.out_of_trouble();
                        holds.push(hold);
                        break;
                    }
                    Err(DeliveryError::Fenced) => return Err(End::Fenced),
                    Err(DeliveryError::Fatal(why)) => {
                        self.shared.halt(Cause::Failed, &format!("{}: {why}", outlet.sink.label()));
                    }
                    Err(DeliveryError::Unavailable(error) | DeliveryError::Retry { error, .. }) => {
                        self.claim_failed(outlet.sink.label(), &error);
                        outlet.outage.failed();
                        self.turn(Some(number)).await?;
                    }
                    Err(DeliveryError::Poison { .. }) => {
                        let why = format!("{}: it refused the partition", outlet.sink.label());
                        self.shared.halt(Cause::Failed, &why);
                    }
                }
            }
        }
        Ok(holds)
    }

    /// One claim. A sink that can't be reached may take long to say so, and who is told to end doesn't wait for that.
    async fn claim_at(&mut self, sink: &Sink) -> Result<Result<Hold, DeliveryError>, End> {
        let (key, owner) = (self.key.clone(), self.owner.clone());
        let mut claiming = std::pin::pin!(sink.claim(&key, &owner));
        loop {
            tokio::select! {
                claimed = &mut claiming => return Ok(claimed),
                () = self.told() => {
                    if *self.released.borrow() || self.switch.borrow().draining {
                        return Err(End::Released);
                    }
                }
            }
        }
    }

    fn claim_failed(&self, sink: &str, error: &str) {
        tracing::warn!(
            target: "floe_pipeline", pipeline = &*self.key.pipeline, topic = &*self.key.topic,
            partition = self.key.partition, sink, outcome = "unavailable", error, "claiming the partition"
        );
        self.shared.tally.retried.add(1);
        self.in_trouble(0, &format!("{sink}: {error}"));
    }

    /// Where reading starts: at what the group has committed, or where the sink that is furthest behind says.
    async fn find_place(&mut self, holds: &[Hold]) -> Result<i64, End> {
        let committed = loop {
            self.may_work().await?;
            let (group, partition) = (&self.shared.spec.group, self.key.partition);
            match self.shared.log.committed(group, &self.key.topic, partition).await {
                Ok(committed) => break committed,
                Err(error) => self.log_failed(0, error).await?,
            }
        };
        self.shared.log_outage.reached();
        self.out_of_trouble();
        let committed = match committed {
            Some(committed) => committed,
            None => self.bound(self.start).await?,
        };
        if let Some(furthest) = holds.iter().filter_map(Hold::position).max()
            && furthest > committed
        {
            self.not_ahead_of_the_log(furthest).await?;
        }
        Ok(holds.iter().filter_map(Hold::position).fold(committed, i64::min))
    }

    /// A sink that has more than the log ever had belongs to a later state of it: it would pass over as many new records
    /// as there are missing, without a word.
    async fn not_ahead_of_the_log(&mut self, position: i64) -> Result<(), End> {
        let end = self.bound(Start::Latest).await?;
        if position <= end {
            return Ok(());
        }
        let (topic, partition) = (&self.key.topic, self.key.partition);
        let why = format!(
            "the sink has stored '{topic}' partition {partition} up to offset {position}, but the log ends at {end}: it is \
             an older copy of the log that the sink knows; remove the pipeline's rows from the sink's table \
             floe_positions to go on with what is in the log"
        );
        self.shared.halt(Cause::Failed, &why);
        self.may_work().await?;
        // claimed anew, and looked at again
        Err(End::Fenced)
    }

    /// The first offset kept, or the one behind the newest record.
    async fn bound(&mut self, which: Start) -> Result<i64, End> {
        let from = match which {
            Start::Earliest => OffsetSpec::Earliest,
            Start::Latest => OffsetSpec::Latest,
        };
        loop {
            let read = PartitionRead {
                topic: self.key.topic.to_string(),
                partition: self.key.partition,
                from,
                max_records: 1,
                max_bytes: 1,
                wait: Duration::ZERO,
            };
            match self.shared.log.read(read).await {
                Ok(page) => {
                    return Ok(match which {
                        Start::Earliest => page.log_start,
                        // a record may come between finding the end and reading there
                        Start::Latest => page.records.first().map_or(page.next_offset, |first| first.offset),
                    });
                }
                Err(error) => self.log_failed(0, error).await?,
            }
        }
    }
}
