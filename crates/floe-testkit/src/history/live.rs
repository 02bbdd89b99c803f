//! Followers: each record once and in order, or an explicit gap.

use std::collections::HashMap;

use super::{Event, Kind, Place, Report, check::Seen, order::passes_over};

pub(super) fn check_live(seen: &Seen<'_>, report: &mut Report) {
    let mut last: HashMap<(u32, Place), i64> = HashMap::new();
    for op in seen.ops {
        match &op.event {
            Event::Seek { place } => drop(last.remove(&(op.process, *place))),
            Event::LiveGap { place, from, to } => {
                let before = last.insert((op.process, *place), *to);
                if before.is_some_and(|before| before + 1 != *from) {
                    report.add(Kind::LiveGap, format!("{place:?}: told of {from} to {to} behind {before:?}"));
                }
            }
            Event::Live { place, records } => {
                for (offset, _) in records {
                    let Some(before) = last.insert((op.process, *place), *offset) else { continue };
                    let detail = || format!("{place:?}: process {}: {offset} behind {before}", op.process);
                    if *offset <= before {
                        report.add(Kind::LiveRepeat, detail());
                    } else if passes_over(seen, *place, before, *offset) {
                        report.add(Kind::LiveGap, detail());
                    }
                }
            }
            _ => {}
        }
    }
}
