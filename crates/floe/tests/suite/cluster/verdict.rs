//! What a run with faults found: the figures, and each promise held or broken.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use floe_load::grouped;
use serde_json::Value;

use super::senders::{Plan, Sent};
use crate::pipeline_faults::watcher::Seen;

/// Everything there is to judge by.
pub(super) struct Verdict {
    pub(super) plan: Plan,
    pub(super) sent: Sent,
    /// From the first request to the last acknowledgement.
    pub(super) took: Duration,
    /// Of good events: rows, and different ids.
    pub(super) rows: String,
    pub(super) all_rows: String,
    /// How many records there are of each event that had an idempotency key.
    pub(super) keyed: BTreeMap<String, usize>,
    /// The ids of events that could not be stored.
    pub(super) dead_letters: Vec<String>,
    /// What `/get_status` says at rest.
    pub(super) status: Value,
    pub(super) watched: Vec<Watched>,
    /// Whether all processes stopped in order when asked to.
    pub(super) stopped: bool,
}

/// What the watcher at a gateway saw.
pub(super) struct Watched {
    pub(super) at: &'static str,
    pub(super) seen: Seen,
}

impl Verdict {
    pub(super) fn holds(&self) -> bool {
        self.promises().iter().all(|(_, held)| *held)
    }

    fn promises(&self) -> Vec<(String, bool)> {
        let Self { plan, sent, .. } = self;
        let good = plan.good();
        let different = self.different_letters();
        let poison: BTreeSet<String> = (0..plan.poison()).map(|number| format!("poison-{number}")).collect();
        let count = |name: &str| self.status[name].as_u64().unwrap_or(u64::MAX);
        let once = self.keyed.values().all(|count| *count == 1);
        let mut promises = vec![
            ("every request was acknowledged in the end".to_owned(), sent.acknowledged == plan.requests),
            (
                "every acknowledged event is one row, none is lost".to_owned(),
                self.rows == format!("{good}|{good}"),
            ),
            ("nothing else is in the table".to_owned(), self.all_rows == good.to_string()),
            (
                "the events that can't be stored are dead letters".to_owned(),
                different.iter().copied().eq(&poison),
            ),
            ("each of them once".to_owned(), self.dead_letters.len() == poison.len()),
            ("what had an idempotency key is one record".to_owned(), once),
            ("at rest the lag is 0".to_owned(), count("lag") == 0 && count("in_flight") == 0),
            ("and as many are counted".to_owned(), count("dead_lettered") == plan.poison() as u64),
            (
                "what was accepted is processed or a dead letter".to_owned(),
                count("accepted") == count("processed").saturating_add(count("dead_lettered")),
            ),
        ];
        for watched in &self.watched {
            let promise = format!("a watcher at {} saw every event once, after its row", watched.at);
            promises.push((promise, watched.seen.flaws().is_empty()));
        }
        promises.push(("all processes stopped in order when asked to".to_owned(), self.stopped));
        promises
    }

    fn different_letters(&self) -> BTreeSet<&String> {
        self.dead_letters.iter().collect()
    }

    fn figures(&self) -> Vec<(String, String)> {
        let Self { plan, sent, took, .. } = self;
        let number = |number: usize| grouped(number as u64);
        let per_minute = plan.requests as f64 * 60.0 / took.as_secs_f64();
        let mut figures = vec![
            ("requests".to_owned(), number(plan.requests)),
            ("acknowledged".to_owned(), number(sent.acknowledged)),
            ("sent again".to_owned(), number(sent.again)),
            ("per minute".to_owned(), grouped(per_minute as u64)),
            (
                "longest wait for an acknowledgement".to_owned(),
                format!("{:.1} s", sent.longest.as_secs_f64()),
            ),
            ("rows, different ids".to_owned(), self.rows.replace('|', ", ")),
            ("dead letters".to_owned(), number(self.dead_letters.len())),
            (
                "accepted, processed, dead-lettered".to_owned(),
                format!(
                    "{}, {}, {}",
                    self.status["accepted"], self.status["processed"], self.status["dead_lettered"]
                ),
            ),
        ];
        let not_once = self.keyed.iter().filter(|(_, count)| **count != 1);
        figures.extend(not_once.map(|(id, count)| (format!("records of {id}"), number(*count))));
        for id in self.different_letters() {
            let count = self.dead_letters.iter().filter(|other| *other == id).count();
            figures.extend((count > 1).then(|| (format!("dead letters of {id}"), number(count))));
        }
        for Watched { at, seen } in &self.watched {
            let told = format!("{} events over {} connections", number(seen.events), seen.connections);
            figures.push((format!("watched at {at}"), told));
            figures.extend(seen.flaws().into_iter().map(|flaw| (format!("watched at {at}"), flaw)));
        }
        figures
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures = self.figures();
        let width = figures.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in figures {
            writeln!(f, "{name:width$}  {value}")?;
        }
        writeln!(f)?;
        for (promise, held) in self.promises() {
            writeln!(f, "{:6}  {promise}", if held { "held" } else { "BROKEN" })?;
        }
        Ok(())
    }
}
