//! Clients that send single events at a steady rate, and don't give up: what one gateway doesn't answer goes to the other.

use std::time::Duration;

use floe_load::{
    Backoff,
    http::{Client, Target},
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::pipeline_faults::senders::{event, poison};

pub(super) const PER_MINUTE: usize = 10_000;
/// Requests on their way at once: enough to keep the rate while each takes a second.
const LANES: usize = 160;
/// Of so many requests, one is poison.
const POISON_EACH: usize = 50;
/// Of so many good ones, one has an idempotency key. The ids of the others say what is a repeat.
const KEY_EACH: usize = 4;
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// The good events' ids: `event-0`, `event-1`, ….
pub(super) const PREFIX: &str = "event-";

/// How much is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// One event each.
    pub(super) requests: usize,
}

impl Plan {
    /// As much as can be sent in so many seconds.
    pub(super) fn lasting(seconds: usize) -> Self {
        Self { requests: seconds * PER_MINUTE / 60 }
    }

    /// How long Kafka is away at least: for a minute, if the load lasts.
    pub(super) fn outage(self) -> Duration {
        let lasts = u64::try_from(self.requests * 60 / PER_MINUTE).unwrap();
        Duration::from_secs(lasts / 3).min(Duration::from_secs(60))
    }

    /// How many poisonous events there are: ids `poison-0`, `poison-1`, ….
    pub(super) fn poison(self) -> usize {
        self.requests / POISON_EACH
    }

    /// How many good ones.
    pub(super) fn good(self) -> usize {
        self.requests - self.poison()
    }

    /// The ids of the events that were sent under idempotency keys.
    pub(super) fn keyed(self) -> impl Iterator<Item = String> {
        let good = (0..self.good()).step_by(KEY_EACH).map(|number| format!("{PREFIX}{number}"));
        good.chain((0..self.poison()).map(|number| format!("poison-{number}")))
    }
}

/// What the senders have seen by now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    pub(super) acknowledged: usize,
    /// Requests that had to be sent again.
    pub(super) again: usize,
    /// The longest that anyone waited for an acknowledgement, all attempts together.
    pub(super) longest: Duration,
}

/// Senders on their way.
pub(super) struct Sending {
    pub(super) progress: watch::Receiver<Sent>,
    lanes: JoinSet<()>,
    began: Instant,
}

impl Sending {
    pub(super) fn start(gateways: [&str; 2], plan: Plan) -> Self {
        let (tell, progress) = watch::channel(Sent::default());
        let mut lanes = JoinSet::new();
        for lane in 0..LANES {
            let clients = gateways.map(|url| Client::new(Target::parse(url).unwrap(), ANSWER_WITHIN));
            lanes.spawn(send_lane(clients, plan, lane, tell.clone()));
        }
        Self { progress, lanes, began: Instant::now() }
    }

    /// Waits until so many percent of the requests are acknowledged; answers how many are.
    pub(super) async fn acknowledged(&mut self, plan: Plan, percent: usize) -> usize {
        let enough = plan.requests * percent / 100;
        self.progress.wait_for(|sent| sent.acknowledged >= enough).await.unwrap().acknowledged
    }

    /// Waits until everything is acknowledged; answers what it took.
    pub(super) async fn end(mut self) -> (Sent, Duration) {
        while let Some(ended) = self.lanes.join_next().await {
            ended.unwrap();
        }
        (*self.progress.borrow(), self.began.elapsed())
    }
}

async fn send_lane(mut clients: [Client; 2], plan: Plan, lane: usize, tell: watch::Sender<Sent>) {
    let mut beat = interval(Duration::from_secs(60) * u32::try_from(LANES).unwrap() / PER_MINUTE as u32);
    // what a fault has held up is made up for
    beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in (lane..plan.requests).step_by(LANES) {
        beat.tick().await;
        let request = Request::new(number);
        let due = Instant::now();
        let again = request.until_accepted(&mut clients, number).await;
        tell.send_modify(|sent| {
            sent.acknowledged += 1;
            sent.again += again;
            sent.longest = sent.longest.max(due.elapsed());
        });
    }
}

/// One event on its way.
struct Request {
    path: &'static str,
    key: Option<String>,
    body: String,
}

impl Request {
    fn new(number: usize) -> Self {
        if number % POISON_EACH == POISON_EACH - 1 {
            // a repeat would be a record of its own, and so a dead letter of its own
            let poisoned = number / POISON_EACH;
            let key = Some(format!("poison-{poisoned}"));
            return Self { path: "/register_event", key, body: poison(poisoned) };
        }
        let good = number - number / POISON_EACH;
        let path = if good.is_multiple_of(2) { "/v1/event" } else { "/register_event" };
        let key = good.is_multiple_of(KEY_EACH).then(|| format!("good-{good}"));
        Self { path, key, body: event(PREFIX, good) }
    }

    /// Sends to one gateway, then the other, until it is accepted; answers how often it was sent again.
    async fn until_accepted(&self, clients: &mut [Client; 2], first: usize) -> usize {
        let mut headers = vec![("Content-Type", "application/json")];
        headers.extend(self.key.as_deref().map(|key| ("Idempotency-Key", key)));
        let mut backoff = Backoff::default();
        for attempt in 0.. {
            let client = &mut clients[(first + attempt) % 2];
            match client.send("POST", self.path, &headers, self.body.as_bytes()).await {
                Ok(answer) if answer.status == 202 => return attempt,
                Ok(answer) if (400..500).contains(&answer.status) && answer.status != 429 => {
                    let why = String::from_utf8_lossy(&answer.body);
                    panic!("{} {} answered {}: {why}", self.path, self.body, answer.status);
                }
                // refused for now, or nobody knows
                Ok(_) | Err(_) => tokio::time::sleep(backoff.next_pause()).await,
            }
        }
        unreachable!("attempts have no end")
    }
}
