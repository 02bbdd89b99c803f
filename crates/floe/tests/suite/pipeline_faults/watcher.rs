//! Clients of `/v1/ws/events` that come back after every broken connection, with the cursor of the last event they got.

use std::time::Duration;

use floe_load::{
    Backoff, Socket,
    http::{Client, Target},
    open_socket,
};
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;

/// Of so many events, one is looked up the moment it arrives.
const LOOK_UP_EACH: usize = 500;
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Which events are awaited: `counts[at]` of those with the prefix `prefixes[at]`.
#[derive(Clone, Debug)]
pub(crate) struct Awaited {
    pub(crate) prefixes: Vec<&'static str>,
    pub(crate) counts: Vec<usize>,
}

/// What a watcher saw.
#[derive(Debug)]
pub(crate) struct Seen {
    awaited: Awaited,
    seen: Vec<Vec<bool>>,
    cursor: String,
    /// Different events.
    pub(crate) events: usize,
    /// Events that came again.
    pub(crate) repeats: Vec<String>,
    /// Events that nobody awaited.
    pub(crate) strangers: Vec<String>,
    /// Events that were looked up the moment they arrived, and there.
    pub(crate) found: usize,
    /// And those that were not.
    pub(crate) missing: Vec<String>,
    pub(crate) connections: usize,
}

#[derive(Deserialize)]
struct Frame<'a> {
    id: &'a str,
    #[serde(borrow)]
    cursor: &'a RawValue,
}

/// Watches from the beginning until `finish` says so; tells `progress` how many different events it has seen.
pub(crate) async fn watch(
    url: String,
    awaited: Awaited,
    progress: watch::Sender<usize>,
    mut finish: watch::Receiver<bool>,
) -> Seen {
    let target = Target::parse(&url).unwrap();
    let mut client = Client::new(target.clone(), ANSWER_WITHIN);
    let mut seen = Seen::new(awaited);
    let mut backoff = Backoff::default();
    while !*finish.borrow() {
        if let Ok(mut socket) = open_socket(&target, &format!("/v1/ws/events?after={}", seen.cursor)).await {
            seen.connections += 1;
            backoff.reset();
            tokio::select! {
                () = follow(&mut socket, &mut seen, &mut client, &progress) => {}
                _ = finish.wait_for(|finish| *finish) => return seen,
            }
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.next_pause()) => {}
            _ = finish.wait_for(|finish| *finish) => return seen,
        }
    }
    seen
}

/// Reads until the connection breaks.
async fn follow(socket: &mut Socket, seen: &mut Seen, client: &mut Client, progress: &watch::Sender<usize>) {
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else { continue };
        let frame: Frame<'_> = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        seen.note(&frame);
        progress.send_replace(seen.events);
        if seen.events.is_multiple_of(LOOK_UP_EACH) {
            match client.send("GET", &format!("/v1/events/{}", frame.id), &[], b"").await {
                Ok(answer) if answer.status == 200 => seen.found += 1,
                Ok(answer) if answer.status == 404 => seen.missing.push(frame.id.to_owned()),
                // the server or its database is down right now
                Ok(_) | Err(_) => {}
            }
        }
    }
}

impl Seen {
    fn new(awaited: Awaited) -> Self {
        Self {
            seen: awaited.counts.iter().map(|count| vec![false; *count]).collect(),
            awaited,
            cursor: "0".to_owned(),
            events: 0,
            repeats: Vec::new(),
            strangers: Vec::new(),
            found: 0,
            missing: Vec::new(),
            connections: 0,
        }
    }

    fn note(&mut self, frame: &Frame<'_>) {
        frame.cursor.get().clone_into(&mut self.cursor);
        let place = self.awaited.prefixes.iter().enumerate().find_map(|(at, prefix)| {
            let number: usize = frame.id.strip_prefix(prefix)?.parse().ok()?;
            Some((at, number))
        });
        let Some(seen) = place.and_then(|(at, number)| self.seen[at].get_mut(number)) else {
            self.strangers.push(frame.id.to_owned());
            return;
        };
        if std::mem::replace(seen, true) {
            self.repeats.push(frame.id.to_owned());
        } else {
            self.events += 1;
        }
    }

    /// What is not as it should be: every event once, and each there when it was looked up.
    pub(crate) fn flaws(&self) -> Vec<String> {
        let all: usize = self.awaited.counts.iter().sum();
        let few = |ids: &[String]| format!("{:?}", &ids[..ids.len().min(20)]);
        let found = [
            (self.events != all).then(|| format!("{} of {all} seen", self.events)),
            (!self.repeats.is_empty()).then(|| format!("seen again: {}", few(&self.repeats))),
            (!self.strangers.is_empty()).then(|| format!("nobody sent: {}", few(&self.strangers))),
            (!self.missing.is_empty()).then(|| format!("seen before readable: {}", few(&self.missing))),
            (self.found <= all / LOOK_UP_EACH / 2).then(|| format!("only {} could be looked up", self.found)),
        ];
        found.into_iter().flatten().collect()
    }

    pub(crate) fn assert_flawless(&self) {
        let flaws = self.flaws();
        assert!(flaws.is_empty(), "over {} connections: {}", self.connections, flaws.join("; "));
    }
}
