//! What sessions remember: who opened them, and their newest questions and answers.
//!
//! Kept in a topic by default, so that every process knows them on either engine and nothing else has to run; or in Redis.

mod kept;
mod redis;

use std::{collections::VecDeque, sync::Arc};

use floe_engine::Clock;
use floe_pipeline::{Log, LogError};

use crate::{
    message::{AnswerStatus, Turn, milliseconds},
    settings::{ChatSettings, SessionLimits},
};

pub(crate) use self::{kept::KeptSessions, redis::RedisSessions};

/// Where sessions are. Cloning shares it.
#[derive(Clone, Debug)]
pub(crate) enum Sessions {
    Kept(Arc<KeptSessions>),
    Redis(Arc<RedisSessions>),
}

/// Why a session can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SessionError {
    /// Somebody else opened it.
    Foreign,
    /// Where it is kept can't be reached.
    Unavailable(String),
}

impl Sessions {
    /// Where the settings say. Nothing is waited for. Must be called inside a tokio runtime.
    pub(crate) fn open(settings: &ChatSettings, log: &Log, clock: &Clock) -> Result<Self, String> {
        let limits = settings.sessions;
        Ok(match &settings.redis {
            Some(url) => Self::Redis(Arc::new(RedisSessions::new(url, limits, clock.clone())?)),
            None => Self::Kept(KeptSessions::follow(log.clone(), limits, clock.clone())),
        })
    }

    /// Whether there is such a session.
    pub(crate) async fn is_known(&self, id: &str) -> Result<bool, SessionError> {
        match self {
            Self::Kept(kept) => kept.is_known(id).await,
            Self::Redis(redis) => redis.is_known(id).await,
        }
    }

    /// Refuses who didn't open the session. One that isn't there is nobody's.
    pub(crate) async fn check(&self, id: &str, user: Option<&str>) -> Result<(), SessionError> {
        match self {
            Self::Kept(kept) => kept.check(id, user).await,
            Self::Redis(redis) => redis.check(id, user).await,
        }
    }

    /// Opens the session for this user unless it is there; then refuses who didn't open it.
    pub(crate) async fn claim(&self, id: &str, user: Option<&str>) -> Result<(), SessionError> {
        match self {
            Self::Kept(kept) => kept.claim(id, user).await,
            Self::Redis(redis) => redis.claim(id, user).await,
        }
    }

    /// What the session remembers, oldest first.
    pub(crate) async fn turns(&self, id: &str) -> Result<Vec<Turn>, SessionError> {
        match self {
            Self::Kept(kept) => kept.turns(id).await,
            Self::Redis(redis) => redis.turns(id).await,
        }
    }

    /// Remembers a turn, durably; one that is there already is not remembered twice, and one of a session that was deleted isn't.
    pub(crate) async fn remember(&self, id: &str, turn: &Turn) -> Result<(), SessionError> {
        match self {
            Self::Kept(kept) => kept.remember(id, turn).await,
            Self::Redis(redis) => redis.remember(id, turn).await,
        }
    }

    /// Forgets a session.
    pub(crate) async fn forget(&self, id: &str) -> Result<(), SessionError> {
        match self {
            Self::Kept(kept) => kept.forget(id).await,
            Self::Redis(redis) => redis.forget(id).await,
        }
    }
}

impl From<LogError> for SessionError {
    fn from(error: LogError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// Drops what a session doesn't remember any more: turns that are too old, and the oldest over the limits.
fn bound(turns: &mut VecDeque<Turn>, limits: &SessionLimits, now_ms: i64) {
    let oldest = now_ms.saturating_sub(i64::try_from(limits.expiry.as_millis()).unwrap_or(i64::MAX));
    turns.retain(|turn| milliseconds(&turn.at).is_none_or(|at| at > oldest));
    let (mut kept, mut characters) = (0, 0);
    for turn in turns.iter().rev() {
        characters += turn.question.chars().count() + turn.answer.chars().count();
        if kept == limits.turns || (characters > limits.characters && kept > 0) {
            break;
        }
        kept += 1;
    }
    turns.drain(..turns.len() - kept);
}

/// Adds a turn. One that is there already stays as it is, unless it had failed: a question that failed may be asked again.
fn add(turns: &mut VecDeque<Turn>, turn: Turn) {
    match turns.iter_mut().find(|there| there.request_id == turn.request_id) {
        Some(there) if there.status == AnswerStatus::Failed => *there = turn,
        Some(_) => {}
        None => turns.push_back(turn),
    }
}

/// Whether a session of `owner` is open to `user`.
fn is_open_to(owner: Option<&str>, user: Option<&str>) -> bool {
    owner.is_none_or(|owner| user == Some(owner))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::message::rfc3339;

    fn turn(number: i64, characters: usize) -> Turn {
        Turn {
            request_id: number.to_string(),
            question: "é".repeat(characters),
            answer: String::new(),
            sources: Vec::new(),
            status: AnswerStatus::Answered,
            error: None,
            at: rfc3339(number * 1_000),
        }
    }

    fn left(limits: SessionLimits, turns: &[(i64, usize)], now_ms: i64) -> Vec<String> {
        let mut turns: VecDeque<_> = turns.iter().map(|(at, characters)| turn(*at, *characters)).collect();
        bound(&mut turns, &limits, now_ms);
        turns.into_iter().map(|turn| turn.request_id).collect()
    }

    #[test]
    fn a_session_is_bounded_by_turns_characters_and_age() {
        let limits = SessionLimits { turns: 3, characters: 100, expiry: Duration::from_secs(60) };
        let turns = [(1, 10), (2, 10), (3, 10), (4, 10)];
        assert_eq!(left(limits, &turns, 5_000), ["2", "3", "4"]);
        assert_eq!(left(limits, &turns, 62_500), ["3", "4"]);
        assert_eq!(left(limits, &[(1, 60), (2, 60)], 5_000), ["2"]);
        assert_eq!(left(limits, &[(1, 10), (2, 600)], 5_000), ["2"], "the newest stays, whatever its size");
        assert_eq!(left(limits, &turns, 1_000_000), [""; 0]);
    }

    #[test]
    fn a_question_that_failed_may_be_answered_later() {
        let mut turns = VecDeque::new();
        let of = |answer: &str, status| Turn { answer: answer.to_owned(), status, ..turn(1, 1) };
        for given in [
            of("", AnswerStatus::Failed),
            of("so", AnswerStatus::Answered),
            of("other", AnswerStatus::Answered),
            of("", AnswerStatus::Failed),
        ] {
            add(&mut turns, given);
        }
        assert_eq!(turns, [of("so", AnswerStatus::Answered)]);
    }

    #[test]
    fn a_session_is_open_to_who_opened_it() {
        assert!(is_open_to(None, None) && is_open_to(None, Some("u")) && is_open_to(Some("u"), Some("u")));
        assert!(!is_open_to(Some("u"), None) && !is_open_to(Some("u"), Some("v")));
    }
}
