//! What is written down while it happens.

use std::collections::BTreeMap;

use super::Value;

/// A partition: topic (its incarnation) and number.
pub type Place = (u64, u32);

/// Where an operation is in the history.
pub type OpId = usize;

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was answered well.
    Ok,
    /// It surely did not happen.
    Fail,
    /// It may have happened: a crash, a lost connection, an answer that says so.
    Info,
}

/// One value of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Where it goes; the sender fixes it.
    pub place: Place,
    /// What.
    pub value: Value,
    /// The offset that the answer told, when the answer promised that it stays.
    pub offset: Option<i64>,
}

/// What was done or seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Values to be stored, all or none.
    Send(Vec<Sent>),
    /// A stretch of one partition was read; a value that is not as it was sent is `None`.
    Poll {
        /// The partition.
        place: Place,
        /// Offsets and values in the order of the answer.
        records: Vec<(i64, Option<Value>)>,
    },
    /// The process reads on elsewhere.
    Seek {
        /// The partition.
        place: Place,
    },
    /// A group's readers were given records that no other reader of the group shall get.
    Deliver {
        /// The group.
        group: u32,
        /// The partition.
        place: Place,
        /// Offsets and values.
        records: Vec<(i64, Option<Value>)>,
    },
    /// A position was committed.
    Commit {
        /// The group.
        group: u32,
        /// The partition.
        place: Place,
        /// The next offset to read.
        offset: i64,
    },
    /// A position was moved on purpose.
    Reset {
        /// The group.
        group: u32,
        /// The partition.
        place: Place,
        /// The next offset to read.
        offset: i64,
    },
    /// A group's position was asked for; the answer.
    Committed {
        /// The group.
        group: u32,
        /// The partition.
        place: Place,
        /// The next offset to read.
        offset: i64,
    },
    /// A follower was shown records.
    Live {
        /// The partition.
        place: Place,
        /// Offsets and values.
        records: Vec<(i64, Option<Value>)>,
    },
    /// A follower was told that it misses these, first and last.
    LiveGap {
        /// The partition.
        place: Place,
        /// The first.
        from: i64,
        /// The last.
        to: i64,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Op {
    pub(super) process: u32,
    pub(super) started: u64,
    pub(super) ended: u64,
    pub(super) end: End,
    pub(super) event: Event,
}

/// All that happened.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub(super) ops: Vec<Op>,
    time: u64,
}

/// What every partition holds when all is over and everything was read.
#[derive(Clone, Debug, Default)]
pub struct FinalLog {
    /// Every partition.
    pub places: BTreeMap<Place, FinalPlace>,
}

/// One partition when all is over.
#[derive(Clone, Debug, Default)]
pub struct FinalPlace {
    /// Its first offset kept.
    pub start: i64,
    /// The offset behind its last record.
    pub end: i64,
    /// All between, as read.
    pub records: Vec<(i64, Option<Value>)>,
}

impl History {
    fn tick(&mut self) -> u64 {
        self.time += 1;
        self.time
    }

    /// Notes that an operation begins; until it is ended, nobody knows.
    pub fn begin(&mut self, process: u32, event: Event) -> OpId {
        let started = self.tick();
        self.ops.push(Op { process, started, ended: u64::MAX, end: End::Info, event });
        self.ops.len() - 1
    }

    /// Notes how it ended.
    pub fn end(&mut self, op: OpId, end: End) {
        let ended = self.tick();
        self.ops[op].ended = ended;
        self.ops[op].end = end;
    }

    /// The same with what the answer told.
    pub fn end_with(&mut self, op: OpId, end: End, event: Event) {
        self.end(op, end);
        self.ops[op].event = event;
    }

    /// Notes something that was seen at once.
    pub fn saw(&mut self, process: u32, event: Event) {
        let op = self.begin(process, event);
        self.end(op, End::Ok);
    }

    /// How many operations there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Whether nothing happened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// All sends with how they ended.
    pub fn sends(&self) -> impl Iterator<Item = (&[Sent], End)> {
        self.ops.iter().filter_map(|op| match &op.event {
            Event::Send(sent) => Some((sent.as_slice(), op.end)),
            _ => None,
        })
    }
}
