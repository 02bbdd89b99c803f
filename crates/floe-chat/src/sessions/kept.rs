//! Sessions in the topic `chat.sessions`: every process that follows it knows them all.
//!
//! A record's key is the session, its value `{"opened":{…}}`, `{"turn":{…}}`, or null when the session was deleted. The order of
//! the topic decides: who opened a session first has it, and a turn of one that isn't open (any more) is nobody's. The topic's
//! retention is the sessions' expiry, so a session in use is said to be open again from time to time.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use floe_engine::{Append, Clock, IdempotencyKey, NewRecord, StoredRecord};
use floe_pipeline::Log;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::watch,
    time::{Duration, timeout},
};

use super::{SessionError, add, bound, is_open_to};
use crate::{
    follow::{Follower, OwnedTask, Seen, tell_seen},
    limits::SESSIONS_KEPT,
    message::{ANY_CONTENT, Turn},
    settings::SessionLimits,
    topics,
};

/// How long a session waits to see its own record.
const SEEN_WITHIN: Duration = Duration::from_secs(10);
/// A session is said to be open again after this share of its expiry. A process that starts anew may forget one so much earlier.
const RENEWED_AFTER_SHARE: i64 = 24;

/// One entry of the topic.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Entry {
    Opened { user_id: Option<String> },
    Turn(Turn),
}

/// A session.
#[derive(Debug)]
struct Session {
    /// Who opened it, if they said so.
    owner: Option<String>,
    turns: VecDeque<Turn>,
    /// When it was said to be open last.
    opened_ms: i64,
    /// When something was said last.
    touched_ms: i64,
}

#[derive(Debug)]
struct Known {
    sessions: Mutex<HashMap<String, Session>>,
    limits: SessionLimits,
    clock: Clock,
}

/// The sessions of a topic.
#[derive(Debug)]
pub(crate) struct KeptSessions {
    log: Log,
    known: Arc<Known>,
    /// The offset behind what is known; `None` until all that was there at the start is.
    seen: watch::Receiver<Seen>,
    _follower: OwnedTask,
}

impl KeptSessions {
    pub(crate) fn follow(log: Log, limits: SessionLimits, clock: Clock) -> Arc<Self> {
        let known = Arc::new(Known { sessions: Mutex::default(), limits, clock });
        let (seen, watched) = watch::channel(None);
        let follower = OwnedTask::spawn(follow(log.clone(), Arc::clone(&known), seen));
        Arc::new(Self { log, known, seen: watched, _follower: follower })
    }

    pub(super) async fn is_known(&self, id: &str) -> Result<bool, SessionError> {
        self.caught_up().await?;
        Ok(self.known.with(id, |session| session.is_some()))
    }

    pub(super) async fn check(&self, id: &str, user: Option<&str>) -> Result<(), SessionError> {
        self.caught_up().await?;
        let open = |session: Option<&Session>| {
            session.is_none_or(|session| is_open_to(session.owner.as_deref(), user))
        };
        if self.known.with(id, open) { Ok(()) } else { Err(SessionError::Foreign) }
    }

    pub(super) async fn claim(&self, id: &str, user: Option<&str>) -> Result<(), SessionError> {
        self.caught_up().await?;
        let now_ms = self.known.clock.now_ms();
        let fresh_ms = self.known.expiry_ms() / RENEWED_AFTER_SHARE;
        let owner = self.known.with(id, |session| {
            session
                .map(|session| (session.owner.clone(), session.opened_ms.saturating_add(fresh_ms) > now_ms))
        });
        let user_id = match owner {
            Some((_, true)) => None,
            Some((owner, false)) => Some(owner),
            None => Some(user.map(str::to_owned)),
        };
        if let Some(user_id) = user_id {
            let opened = Entry::Opened { user_id };
            let offset = self.append(id, Some(&opened), None).await?;
            self.saw(|seen| seen.is_some_and(|seen| seen > offset)).await?;
        }
        self.check(id, user).await
    }

    pub(super) async fn turns(&self, id: &str) -> Result<Vec<Turn>, SessionError> {
        self.caught_up().await?;
        Ok(self.known.with(id, |session| {
            session.map(|session| session.turns.iter().cloned().collect()).unwrap_or_default()
        }))
    }

    pub(super) async fn remember(&self, id: &str, turn: &Turn) -> Result<(), SessionError> {
        let key = format!("chat:turn:{id}:{}:{:?}", turn.request_id, turn.status);
        self.append(id, Some(&Entry::Turn(turn.clone())), Some(key)).await.map(drop)
    }

    pub(super) async fn forget(&self, id: &str) -> Result<(), SessionError> {
        let offset = self.append(id, None, None).await?;
        self.saw(|seen| seen.is_some_and(|seen| seen > offset)).await
    }

    async fn append(
        &self,
        id: &str,
        entry: Option<&Entry>,
        once: Option<String>,
    ) -> Result<i64, SessionError> {
        let value = entry.map(serde_json::to_vec).transpose();
        let value = value.map_err(|error| SessionError::Unavailable(error.to_string()))?;
        let record = NewRecord {
            key: Some(Bytes::copy_from_slice(id.as_bytes())),
            value: value.map(Bytes::from),
            partition: Some(0),
            ..NewRecord::default()
        };
        let append = Append {
            topic: topics::SESSIONS.to_owned(),
            records: vec![record],
            acks: None,
            idempotency: once.map(|key| IdempotencyKey { key, fingerprint: ANY_CONTENT }),
        };
        let appended = self.log.append(append).await?;
        Ok(appended.placements.last().map_or(-1, |place| place.offset))
    }

    async fn caught_up(&self) -> Result<(), SessionError> {
        self.saw(|seen| seen.is_some()).await
    }

    async fn saw(&self, enough: impl FnMut(&Seen) -> bool) -> Result<(), SessionError> {
        match timeout(SEEN_WITHIN, self.seen.clone().wait_for(enough)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => {
                Err(SessionError::Unavailable("the topic of the sessions can't be read for now".to_owned()))
            }
        }
    }
}

async fn follow(log: Log, known: Arc<Known>, seen: watch::Sender<Seen>) {
    let mut follower = Follower::from_start(log, topics::SESSIONS);
    loop {
        let page = follower.next_page().await;
        page.records.iter().for_each(|record| known.apply(record));
        tell_seen(&seen, page.next_offset, page.high_watermark);
    }
}

impl Known {
    fn expiry_ms(&self) -> i64 {
        i64::try_from(self.limits.expiry.as_millis()).unwrap_or(i64::MAX)
    }

    /// Looks at a session as it is now: without what has expired.
    fn with<T>(&self, id: &str, look: impl FnOnce(Option<&Session>) -> T) -> T {
        let now_ms = self.clock.now_ms();
        let mut sessions = self.sessions.lock();
        let expiry_ms = self.expiry_ms();
        if sessions.get(id).is_some_and(|session| session.touched_ms.saturating_add(expiry_ms) <= now_ms) {
            sessions.remove(id);
        }
        match sessions.get_mut(id) {
            Some(session) => {
                bound(&mut session.turns, &self.limits, now_ms);
                look(Some(session))
            }
            None => look(None),
        }
    }

    fn apply(&self, record: &StoredRecord) {
        let Some(id) = record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok()) else { return };
        let mut sessions = self.sessions.lock();
        let Some(value) = record.value.as_deref() else {
            sessions.remove(id);
            return;
        };
        // what somebody else wrote here is nothing of ours
        let Ok(entry) = serde_json::from_slice::<Entry>(value) else { return };
        match (entry, sessions.get_mut(id)) {
            (Entry::Opened { user_id }, None) => {
                if sessions.len() >= SESSIONS_KEPT {
                    forget_quietest(&mut sessions);
                }
                let (turns, at) = (VecDeque::new(), record.timestamp);
                let session = Session { owner: user_id, turns, opened_ms: at, touched_ms: at };
                sessions.insert(id.to_owned(), session);
            }
            (Entry::Opened { .. }, Some(session)) => {
                session.opened_ms = record.timestamp;
                session.touched_ms = record.timestamp;
            }
            (Entry::Turn(_), None) => {}
            (Entry::Turn(turn), Some(session)) => {
                session.touched_ms = record.timestamp;
                add(&mut session.turns, turn);
                bound(&mut session.turns, &self.limits, self.clock.now_ms());
            }
        }
    }
}

fn forget_quietest(sessions: &mut HashMap<String, Session>) {
    let quietest = sessions.iter().min_by_key(|(_, session)| session.touched_ms);
    if let Some(id) = quietest.map(|(id, _)| id.clone()) {
        sessions.remove(&id);
    }
}
