//! Groups: positions that don't go back, records that are given out once.

use std::collections::{HashMap, HashSet};

use super::{End, Event, Kind, Place, Report, check::Seen};

type Key = (u32, Place);

pub(super) fn check_groups(seen: &Seen<'_>, report: &mut Report) {
    check_positions(seen, report);
    let mut given: HashSet<(Key, i64)> = HashSet::new();
    for op in seen.ops {
        match &op.event {
            Event::Reset { group, place, .. } => given.retain(|((g, p), _)| g != group || p != place),
            Event::Deliver { group, place, records } if op.end == End::Ok => {
                for (offset, _) in records {
                    if !given.insert(((*group, *place), *offset)) {
                        report.add(Kind::DeliveredTwice, format!("group {group} {place:?} offset {offset}"));
                    }
                }
            }
            _ => {}
        }
    }
}

/// A position that is read must not lie before one that had been committed when the reading began, unless it was moved
/// on purpose since.
fn check_positions(seen: &Seen<'_>, report: &mut Report) {
    let mut points: Vec<(u64, bool, usize)> = Vec::new();
    for (number, op) in seen.ops.iter().enumerate() {
        if matches!(op.event, Event::Commit { .. } | Event::Reset { .. } | Event::Committed { .. }) {
            points.push((op.started, false, number));
            if op.ended != u64::MAX {
                points.push((op.ended, true, number));
            }
        }
    }
    points.sort_unstable();
    let mut floors: HashMap<Key, i64> = HashMap::new();
    let mut resets: HashMap<Key, u64> = HashMap::new();
    let mut at_start: HashMap<usize, (Option<i64>, u64)> = HashMap::new();
    for (time, is_end, number) in points {
        let op = &seen.ops[number];
        match &op.event {
            Event::Commit { group, place, offset } if is_end && op.end == End::Ok => {
                let key = (*group, *place);
                // a commit that overlaps a reset may have come before it
                if resets.get(&key).is_none_or(|reset| *reset < op.started) {
                    let floor = floors.entry(key).or_insert(*offset);
                    *floor = (*floor).max(*offset);
                }
            }
            Event::Reset { group, place, offset } => {
                let key = (*group, *place);
                floors.remove(&key);
                resets.insert(key, time);
                if is_end && op.end == End::Ok {
                    floors.insert(key, *offset);
                }
            }
            Event::Committed { group, place, offset } => {
                let key = (*group, *place);
                let reset = resets.get(&key).copied().unwrap_or(0);
                if !is_end {
                    at_start.insert(number, (floors.get(&key).copied(), reset));
                } else if let Some((Some(floor), then)) = at_start.remove(&number)
                    && op.end == End::Ok
                    && then == reset
                    && *offset < floor
                {
                    let detail = format!("group {group} {place:?}: {offset} behind {floor}");
                    report.add(Kind::CommitRegress, detail);
                }
            }
            _ => {}
        }
    }
}
