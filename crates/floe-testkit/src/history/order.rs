//! The order of sends, and of what readers were given.

use std::collections::HashMap;

use super::{End, Event, Kind, Place, Report, Value, check::Seen};

pub(super) fn check_sends(seen: &Seen<'_>, report: &mut Report) {
    let mut last: HashMap<(u32, Place), i64> = HashMap::new();
    for op in seen.ops.iter().filter(|op| op.end == End::Ok) {
        let Event::Send(sent) = &op.event else { continue };
        for sent in sent {
            let Some(offset) = sent.offset else { continue };
            let before = last.insert((op.process, sent.place), offset);
            if before.is_some_and(|before| before >= offset) {
                report.add(Kind::SendNonmonotonic, format!("{sent:?} behind offset {before:?}"));
            }
        }
    }
    // what wasn't answered keeps its order, too, when it was stored
    for (place, kept) in &seen.last.places {
        let mut last: HashMap<u32, (u32, i64)> = HashMap::new();
        for (offset, value) in &kept.records {
            let Some(Value { process, counter }) = *value else { continue };
            let before = last.insert(process, (counter, *offset));
            if before.is_some_and(|(before, _)| before > counter) {
                report.add(
                    Kind::SendNonmonotonic,
                    format!("{place:?}: process {process}'s {counter} at {offset} is behind {before:?}"),
                );
            }
        }
    }
}

pub(super) fn check_polls(seen: &Seen<'_>, report: &mut Report) {
    let mut last: HashMap<(u32, Place), i64> = HashMap::new();
    for op in seen.ops.iter().filter(|op| op.end == End::Ok) {
        match &op.event {
            Event::Seek { place } => drop(last.remove(&(op.process, *place))),
            Event::Poll { place, records } => {
                check_inside(seen, *place, records, report);
                let (Some((first, _)), Some((end, _))) = (records.first(), records.last()) else { continue };
                if let Some(before) = last.insert((op.process, *place), *end) {
                    let detail = || format!("{place:?}: process {} read {before}, then {first}", op.process);
                    if *first <= before {
                        report.add(Kind::ExternalNonmonotonic, detail());
                    } else if passes_over(seen, *place, before, *first) {
                        report.add(Kind::ExternalSkip, detail());
                    }
                }
            }
            Event::Send(_)
            | Event::Deliver { .. }
            | Event::Commit { .. }
            | Event::Reset { .. }
            | Event::Committed { .. }
            | Event::Live { .. }
            | Event::LiveGap { .. } => {}
        }
    }
}

fn check_inside(seen: &Seen<'_>, place: Place, records: &[(i64, Option<Value>)], report: &mut Report) {
    for pair in records.windows(2) {
        let (before, after) = (pair[0].0, pair[1].0);
        if after <= before {
            report.add(Kind::InternalNonmonotonic, format!("{place:?}: {after} behind {before}"));
        } else if passes_over(seen, place, before, after) {
            report.add(Kind::InternalSkip, format!("{place:?}: {after} behind {before}"));
        }
    }
}

/// Whether there was something between two offsets that a reader should have got. What retention took by the end may
/// have been gone then.
pub(super) fn passes_over(seen: &Seen<'_>, place: Place, before: i64, after: i64) -> bool {
    let from = (before + 1).max(seen.start(place));
    from < after && seen.log.get(&place).is_some_and(|log| log.range(from..after).next().is_some())
}
