//! What members say of themselves, told to all processes through the log `__floe_members`. Nothing rests on it: it is there
//! for those who look.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::{
    agreed::{Agreed, At, Machine},
    cluster::Cluster,
    producer::Producer,
};

const TOPIC: &str = "__floe_members";
const TOPIC_CONFIG: &[(&str, &str)] =
    &[("cleanup.policy", "delete"), ("retention.ms", "3600000"), ("segment.ms", "600000")];
/// A member that says something else all the time is told to others this often.
const TELL_EVERY: Duration = Duration::from_secs(2);
/// What a member said is forgotten when nothing new came for this long.
const FORGET_AFTER_MS: i64 = 600_000;

/// A member says this.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Say {
    group: String,
    member: String,
    /// Text as a rule; what isn't is lost for those who look.
    status: String,
}

/// By group and member.
#[derive(Debug, Default)]
pub(super) struct ByMember(HashMap<(String, String), (i64, String)>);

impl Machine for ByMember {
    type Command = Say;
    type Outcome = ();

    fn apply(&mut self, at: At, say: Say) {
        self.0.retain(|_, (said_ms, _)| at.time_ms.saturating_sub(*said_ms) < FORGET_AFTER_MS);
        self.0.insert((say.group, say.member), (at.time_ms, say.status));
    }
}

/// What members said.
#[derive(Debug)]
pub(super) struct Statuses {
    agreed: Agreed<ByMember>,
    told: Mutex<HashMap<String, (Instant, Bytes)>>,
}

impl Statuses {
    pub(super) fn follow(
        cluster: &Arc<Cluster>,
        producer: &Arc<Producer>,
        stopping: tokio::sync::watch::Receiver<bool>,
    ) -> Self {
        let agreed = Agreed::follow(cluster, producer, TOPIC, TOPIC_CONFIG, ByMember::default(), stopping);
        Self { agreed, told: Mutex::default() }
    }

    /// Tells others, unless they were told just now or know it.
    pub(super) fn say(&self, group: &str, member: &str, status: &Bytes) {
        {
            let mut told = self.told.lock();
            if told.get(member).is_some_and(|(when, what)| what == status || when.elapsed() < TELL_EVERY) {
                return;
            }
            told.retain(|_, (when, _)| when.elapsed() < Duration::from_secs(600));
            told.insert(member.to_owned(), (Instant::now(), status.clone()));
        }
        let status = String::from_utf8_lossy(status).into_owned();
        // whether it arrives is of no consequence
        let _ = self.agreed.say(Say { group: group.to_owned(), member: member.to_owned(), status });
    }

    /// What a member of another process said last.
    pub(super) fn of(&self, group: &str, member: &str) -> Bytes {
        let name = (group.to_owned(), member.to_owned());
        self.agreed
            .look(|by_member| by_member.0.get(&name).map(|(_, status)| status.clone()))
            .unwrap_or_default()
            .into()
    }
}
