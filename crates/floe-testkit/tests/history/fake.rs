//! A log in memory that is right, or wrong in one way.

use std::{collections::BTreeMap, ops::Deref};

use floe_testkit::history::{End, Event, FinalLog, FinalPlace, History, Place, Sent, Value};
use rand::{RngExt, SeedableRng, rngs::StdRng};

/// What the log does wrong, once in a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    AckBeforeStore,
    LoseLastAcked,
    LoseOneFromTheMiddle,
    LeaveAHole,
    SwapTwo,
    RepeatABatch,
    ReuseOffsets,
    ServeUnsynced,
    HalfABatch,
    FlipAByte,
    StoreFailed,
    Invent,
    SkipInAnAnswer,
    RepeatInAnAnswer,
    LeadPast,
    LeadBack,
    CommitGoesBack,
    DeliverTwice,
    LiveDropsOne,
}

const PLACES: [Place; 3] = [(1, 0), (1, 1), (2, 0)];
const STEPS: usize = 120;

#[derive(Clone, Copy)]
struct Stored {
    value: Value,
    wrong: bool,
}

#[derive(Default)]
struct Partition {
    log: Vec<Stored>,
    start: usize,
    /// Readers stop here; what lies behind may be lost by a crash.
    durable: usize,
    read_to: usize,
    live_to: usize,
    committed: usize,
    delivered: usize,
}

struct Fake {
    random: StdRng,
    history: History,
    places: BTreeMap<Place, Partition>,
    counter: u32,
    bug: Option<Bug>,
    planted: bool,
}

/// What was read in the end, and whether the bug had its chance.
pub(crate) struct Last {
    log: FinalLog,
    planted: bool,
}

impl Last {
    pub(crate) fn planted(&self) -> Option<&FinalLog> {
        self.planted.then_some(&self.log)
    }
}

impl Deref for Last {
    type Target = FinalLog;
    fn deref(&self) -> &FinalLog {
        &self.log
    }
}

/// A random history of the log, with one bug or none.
pub(crate) fn run(seed: u64, bug: Option<Bug>) -> (History, Last) {
    let places = PLACES.map(|place| (place, Partition::default())).into();
    let random = StdRng::seed_from_u64(seed);
    let mut fake = Fake { random, history: History::default(), places, counter: 0, bug, planted: false };
    for step in 0..STEPS {
        // the bug comes when there is something to break
        let armed = step > STEPS / 3;
        let place = PLACES[fake.random.random_range(0..PLACES.len())];
        match fake.random.random_range(0..12) {
            0..5 => fake.send(place, armed),
            5..7 => fake.poll(place, armed),
            7 => fake.live(place, armed),
            8 => fake.deliver(place, armed),
            9 => fake.committed(place, armed),
            10 => fake.trim(place),
            _ => fake.crash(armed),
        }
    }
    fake.finish()
}

impl Fake {
    /// Whether the bug happens here: once, where it can.
    fn plants(&mut self, bug: Bug, armed: bool) -> bool {
        let plants = armed && !self.planted && self.bug == Some(bug);
        self.planted |= plants;
        plants
    }

    fn at(&mut self, place: Place) -> &mut Partition {
        self.places.get_mut(&place).unwrap()
    }

    fn send(&mut self, place: Place, armed: bool) {
        let count = self.random.random_range(1..4);
        let mut sent: Vec<Sent> = (0..count)
            .map(|_| {
                self.counter += 1;
                Sent { place, value: Value { process: 1, counter: self.counter }, offset: None }
            })
            .collect();
        let op = self.history.begin(1, Event::Send(sent.clone()));
        if self.random.random_bool(0.05) {
            if self.plants(Bug::StoreFailed, armed) {
                self.store(place, &sent);
                self.sync();
            }
            return self.history.end(op, End::Fail);
        }
        if count > 1 && self.plants(Bug::HalfABatch, armed) {
            self.store(place, &sent[..1]);
            self.sync();
            return;
        }
        if self.plants(Bug::AckBeforeStore, armed) {
            let end = self.at(place).log.len();
            number(&mut sent, end);
            self.history.end_with(op, End::Ok, Event::Send(sent));
            return;
        }
        let base = self.at(place).log.len();
        self.store(place, &sent);
        let answered = self.random.random_bool(0.85);
        self.spoil(place, base, &sent, armed && answered);
        if !answered {
            // not answered, and perhaps not on disk
            return;
        }
        self.sync();
        number(&mut sent, base);
        self.history.end_with(op, End::Ok, Event::Send(sent));
    }

    fn store(&mut self, place: Place, sent: &[Sent]) {
        let values = sent.iter().map(|sent| Stored { value: sent.value, wrong: false });
        self.at(place).log.extend(values);
    }

    /// What goes wrong while storing.
    fn spoil(&mut self, place: Place, base: usize, sent: &[Sent], armed: bool) {
        if self.plants(Bug::RepeatABatch, armed) {
            self.store(place, sent);
        }
        if sent.len() > 1 && self.plants(Bug::SwapTwo, armed) {
            self.at(place).log.swap(base, base + 1);
        }
        if self.plants(Bug::Invent, armed) {
            let value = Value { process: 99, counter: 1 };
            self.at(place).log.push(Stored { value, wrong: false });
        }
        if self.plants(Bug::FlipAByte, armed) {
            self.at(place).log[base].wrong = true;
        }
    }

    fn sync(&mut self) {
        self.places.values_mut().for_each(|partition| partition.durable = partition.log.len());
    }

    fn records(&mut self, place: Place, from: usize, to: usize) -> Vec<(i64, Option<Value>)> {
        let stored = &self.at(place).log;
        (from..to).map(|at| (at as i64, (!stored[at].wrong).then_some(stored[at].value))).collect()
    }

    fn poll(&mut self, place: Place, armed: bool) {
        let (mut from, mut to) = {
            let partition = self.at(place);
            (partition.read_to.max(partition.start), partition.durable)
        };
        if to > from + 1 && self.plants(Bug::LeadPast, armed) {
            self.at(place).read_to += 1;
            from += 1;
            if self.at(place).read_to == 1 {
                // nothing was read before: there is nothing to be led past
                self.planted = false;
            }
        }
        if from > self.at(place).start && self.plants(Bug::LeadBack, armed) {
            from -= 1;
            to = to.max(from + 1);
        }
        if self.at(place).log.len() > to && self.plants(Bug::ServeUnsynced, armed) {
            to = self.at(place).log.len();
            let records = self.records(place, from, to);
            self.history.saw(2, Event::Poll { place, records });
            let durable = self.at(place).durable;
            self.at(place).log.truncate(durable);
            self.at(place).read_to = durable;
            self.history.saw(2, Event::Seek { place });
            return;
        }
        if from >= to {
            return;
        }
        let mut records = self.records(place, from, to);
        if records.len() > 2 && self.plants(Bug::SkipInAnAnswer, armed) {
            records.remove(1);
        }
        if records.len() > 1 && self.plants(Bug::RepeatInAnAnswer, armed) {
            records.insert(1, records[0]);
        }
        self.at(place).read_to = to;
        self.history.saw(2, Event::Poll { place, records });
    }

    fn live(&mut self, place: Place, armed: bool) {
        let (from, to) = {
            let partition = self.at(place);
            (partition.live_to.max(partition.start), partition.durable)
        };
        if from >= to {
            return;
        }
        if from > 0 && self.random.random_bool(0.1) {
            let last = to as i64 - 1;
            let before = self.at(place).live_to;
            if before == from {
                self.history.saw(3, Event::LiveGap { place, from: from as i64, to: last });
                self.at(place).live_to = to;
            }
            return;
        }
        let mut records = self.records(place, from, to);
        if records.len() > 2 && self.plants(Bug::LiveDropsOne, armed) {
            records.remove(1);
        }
        self.at(place).live_to = to;
        self.history.saw(3, Event::Live { place, records });
    }

    fn deliver(&mut self, place: Place, armed: bool) {
        let (mut from, to) = {
            let partition = self.at(place);
            (partition.delivered.max(partition.start), partition.durable)
        };
        if from >= to {
            return;
        }
        if self.at(place).delivered > self.at(place).start && self.plants(Bug::DeliverTwice, armed) {
            from = self.at(place).delivered - 1;
        }
        let records = self.records(place, from, to);
        let op = self.history.begin(4, Event::Commit { group: 1, place, offset: to as i64 });
        self.at(place).delivered = to;
        self.at(place).committed = to;
        self.history.end(op, End::Ok);
        self.history.saw(4, Event::Deliver { group: 1, place, records });
    }

    fn committed(&mut self, place: Place, armed: bool) {
        let mut committed = self.at(place).committed;
        if committed == 0 {
            return;
        }
        if self.random.random_bool(0.1) {
            let op = self.history.begin(5, Event::Reset { group: 1, place, offset: 0 });
            self.at(place).committed = 0;
            self.at(place).delivered = 0;
            self.history.end(op, End::Ok);
            return;
        }
        if self.plants(Bug::CommitGoesBack, armed) {
            committed -= 1;
        }
        self.history.saw(5, Event::Committed { group: 1, place, offset: committed as i64 });
    }

    fn trim(&mut self, place: Place) {
        // a bug that touches old records would be hidden by retention
        if self.bug.is_none() && self.random.random_bool(0.3) {
            let partition = self.at(place);
            partition.start = partition.start.max(partition.durable / 2);
        }
    }

    fn crash(&mut self, armed: bool) {
        let mut acked: Option<Place> = None;
        for (place, partition) in &mut self.places {
            // what isn't durable is there as a whole, or not at all
            let kept = if self.random.random_bool(0.5) { partition.durable } else { partition.log.len() };
            partition.log.truncate(kept);
            partition.durable = kept;
            if partition.start < kept && !partition.log.is_empty() {
                acked = Some(*place);
            }
        }
        let Some(place) = acked else { return };
        let unread = |partition: &Partition| {
            partition.log.len()
                - partition.read_to.max(partition.live_to).max(partition.delivered).min(partition.log.len())
        };
        if unread(&self.places[&place]) > 0
            && self.is_acked(self.places[&place].log.len() - 1, place)
            && self.plants(Bug::LoseLastAcked, armed)
        {
            let partition = self.at(place);
            partition.log.pop();
            partition.durable = partition.log.len();
        }
        let long = self.places[&place].log.len() > 4;
        let middle = self.places[&place].log.len() / 2;
        if long && self.is_acked(middle, place) && self.plants(Bug::LoseOneFromTheMiddle, armed) {
            let partition = self.at(place);
            partition.log.remove(middle);
            partition.durable = partition.log.len();
            partition.read_to = partition.read_to.min(partition.durable);
            partition.live_to = partition.live_to.min(partition.durable);
            partition.delivered = partition.delivered.min(partition.durable);
        }
        if long && self.places[&place].read_to > 2 && self.plants(Bug::ReuseOffsets, armed) {
            let partition = self.at(place);
            partition.log.truncate(1);
            partition.durable = 1;
            (partition.read_to, partition.live_to, partition.delivered) = (1, 1, 1);
            self.counter += 1;
            let sent = Sent { place, value: Value { process: 1, counter: self.counter }, offset: None };
            self.history.begin(1, Event::Send(vec![sent]));
            self.store(place, &[sent]);
            self.sync();
        }
        if long && self.plants(Bug::LeaveAHole, armed) {
            // told at the end: see `finish`
            self.at(place).log[middle].value = Value { process: 0, counter: 0 };
        }
    }

    fn is_acked(&self, at: usize, place: Place) -> bool {
        let last = self.places[&place].log.get(at).map(|stored| stored.value);
        self.history.sends().any(|(sent, end)| {
            end == End::Ok && sent.iter().any(|sent| Some(sent.value) == last && sent.offset.is_some())
        })
    }

    fn finish(mut self) -> (History, Last) {
        self.sync();
        let mut log = FinalLog::default();
        for place in PLACES {
            let partition = &self.places[&place];
            let (start, end) = (partition.start, partition.durable);
            let mut records = self.records(place, start, end);
            records.retain(|(_, value)| *value != Some(Value { process: 0, counter: 0 }));
            log.places.insert(place, FinalPlace { start: start as i64, end: end as i64, records });
        }
        (self.history, Last { log, planted: self.planted })
    }
}

fn number(sent: &mut [Sent], base: usize) {
    for (sent, offset) in sent.iter_mut().zip(base as i64..) {
        sent.offset = Some(offset);
    }
}
