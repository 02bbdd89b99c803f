//! All checks, one after the other; each takes time in proportion to the history.

use std::collections::{BTreeMap, HashMap};

use super::{
    End, Event, FinalLog, History, Kind, Place, Report, Value,
    event::Op,
    groups::check_groups,
    live::check_live,
    order::{check_polls, check_sends},
    stored::check_stored,
};

/// What all checks look things up in.
pub(super) struct Seen<'a> {
    pub(super) ops: &'a [Op],
    pub(super) last: &'a FinalLog,
    /// What is known to have been at each offset, by answers to senders and by readers.
    pub(super) log: BTreeMap<Place, BTreeMap<i64, Value>>,
    /// The operation that sent a value.
    pub(super) sender: HashMap<Value, usize>,
    /// Where each value was seen by a reader, the final one included.
    pub(super) read_at: HashMap<Value, Vec<(Place, i64)>>,
}

/// Looks for what no correct log could have shown. `last` is what was read when all was over.
#[must_use]
pub fn check(history: &History, last: &FinalLog) -> Report {
    let mut report = Report::default();
    let mut seen = Seen {
        ops: &history.ops,
        last,
        log: BTreeMap::new(),
        sender: HashMap::new(),
        read_at: HashMap::new(),
    };
    seen.collect(&mut report);
    check_stored(&seen, &mut report);
    check_sends(&seen, &mut report);
    check_polls(&seen, &mut report);
    check_groups(&seen, &mut report);
    check_live(&seen, &mut report);
    report
}

impl Seen<'_> {
    fn collect(&mut self, report: &mut Report) {
        for (number, op) in self.ops.iter().enumerate() {
            match &op.event {
                Event::Send(sent) => {
                    for sent in sent {
                        self.sender.insert(sent.value, number);
                        if let Some(offset) = sent.offset.filter(|_| op.end == End::Ok) {
                            self.put(sent.place, offset, sent.value, report);
                        }
                    }
                }
                Event::Poll { place, records }
                | Event::Deliver { place, records, .. }
                | Event::Live { place, records } => self.read(*place, records, report),
                Event::Seek { .. }
                | Event::Commit { .. }
                | Event::Reset { .. }
                | Event::Committed { .. }
                | Event::LiveGap { .. } => {}
            }
        }
        for (place, last) in &self.last.places {
            self.read(*place, &last.records, report);
        }
    }

    fn put(&mut self, place: Place, offset: i64, value: Value, report: &mut Report) {
        let known = *self.log.entry(place).or_default().entry(offset).or_insert(value);
        if known != value {
            report.add(Kind::DivergentOffset, format!("{place:?} offset {offset}: {known:?} and {value:?}"));
        }
    }

    fn read(&mut self, place: Place, records: &[(i64, Option<Value>)], report: &mut Report) {
        for (offset, value) in records {
            let Some(value) = *value else {
                report.add(Kind::WrongBytes, format!("{place:?} offset {offset}"));
                continue;
            };
            self.put(place, *offset, value, report);
            let places = self.read_at.entry(value).or_default();
            if !places.contains(&(place, *offset)) {
                places.push((place, *offset));
            }
        }
    }

    /// The first offset kept in the end.
    pub(super) fn start(&self, place: Place) -> i64 {
        self.last.places.get(&place).map_or(0, |last| last.start)
    }
}
