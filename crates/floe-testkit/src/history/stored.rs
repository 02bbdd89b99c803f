//! What is stored in the end, against what was sent, answered and read.

use std::collections::HashSet;

use super::{End, Event, FinalPlace, Kind, Place, Report, Value, check::Seen};

pub(super) fn check_stored(seen: &Seen<'_>, report: &mut Report) {
    let mut stored: HashSet<(Place, Value)> = HashSet::new();
    for (place, FinalPlace { start, end, records }) in &seen.last.places {
        let offsets: HashSet<i64> = records.iter().map(|(offset, _)| *offset).collect();
        for missing in (*start..*end).filter(|offset| !offsets.contains(offset)) {
            match seen.log.get(place).and_then(|log| log.get(&missing)) {
                Some(value) if seen.read_at.contains_key(value) => {
                    report.add(Kind::Vanished, format!("{place:?} offset {missing}: {value:?}"));
                }
                _ => report.add(Kind::OffsetGap, format!("{place:?} offset {missing}")),
            }
        }
        stored.extend(records.iter().filter_map(|(_, value)| Some((*place, (*value)?))));
        vanished_at_the_end(seen, *place, *end, report);
    }
    check_values(seen, report);
    check_sent(seen, &stored, report);
}

/// Readers saw more than there is.
fn vanished_at_the_end(seen: &Seen<'_>, place: Place, end: i64, report: &mut Report) {
    for (offset, value) in seen.log.get(&place).into_iter().flat_map(|log| log.range(end..)) {
        if seen.read_at.get(value).is_some_and(|places| places.contains(&(place, *offset))) {
            report
                .add(Kind::Vanished, format!("{place:?} offset {offset}: {value:?}, the log ends at {end}"));
        }
    }
}

fn check_values(seen: &Seen<'_>, report: &mut Report) {
    for (value, places) in &seen.read_at {
        if places.len() > 1 {
            report.add(Kind::Duplicate, format!("{value:?} at {places:?}"));
        }
        match seen.sender.get(value) {
            None => report.add(Kind::Invented, format!("{value:?} at {places:?}")),
            Some(op) if seen.ops[*op].end == End::Fail => {
                report.add(Kind::Aborted, format!("{value:?} at {places:?}"));
            }
            Some(_) => {}
        }
    }
}

fn check_sent(seen: &Seen<'_>, stored: &HashSet<(Place, Value)>, report: &mut Report) {
    for op in seen.ops {
        let Event::Send(sent) = &op.event else { continue };
        let mut there = 0;
        let mut missing = Vec::new();
        for sent in sent {
            let trimmed = match sent.offset {
                Some(offset) => offset < seen.start(sent.place),
                // where it was is not known: it may have been in what retention took
                None => seen.start(sent.place) > 0,
            };
            if stored.contains(&(sent.place, sent.value)) {
                there += 1;
            } else if !trimmed {
                missing.push(sent);
            }
        }
        if there > 0 && !missing.is_empty() {
            report.add(Kind::TornBatch, format!("{there} stored, missing: {missing:?}"));
        }
        if op.end != End::Ok {
            continue;
        }
        for sent in missing.iter().filter(|sent| sent.offset.is_some()) {
            let offset = sent.offset.unwrap_or(i64::MAX);
            let last = seen.last.places.get(&sent.place).and_then(|last| last.records.last());
            let behind = last.is_some_and(|(last, _)| *last > offset);
            let kind = if behind { Kind::LostWrite } else { Kind::Unseen };
            report.add(kind, format!("{sent:?} of process {}", op.process));
        }
    }
}
