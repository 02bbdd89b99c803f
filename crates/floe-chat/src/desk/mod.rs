//! What doors ask of the chat: post and take messages, ask and watch, keep documents.

mod board;
mod documents;
mod flood;
mod messages;
mod upkeep;

use std::{collections::HashMap, sync::Arc, time::Duration};

use floe_engine::{Acks, Append, Clock, Engine, EngineError, Placement};
use floe_pipeline::{Log, LogError};
use tokio::{
    sync::{
        broadcast::{self, error::RecvError},
        watch,
    },
    time::timeout,
};

use self::board::{Board, Full};
pub use self::{
    board::{ChatEvent, Outcome, RunningView},
    messages::{FilteredMessage, Posted},
};
use crate::{
    ChatSettings, Knowledge, SessionLimits,
    desk::flood::Flood,
    follow::OwnedTask,
    library::{DocumentError, Library},
    message::{Message, MessageFault, MessageType, Turn, check_content, check_id, milliseconds, new_id},
    profanity::ProfanityFilter,
    sessions::{SessionError, Sessions},
    stream::Stop,
    topics,
};

/// How long the topics are waited for.
const MADE_WITHIN: Duration = Duration::from_secs(5);
/// How old an answer may be to be shown though the session doesn't remember it yet: that comes a moment before or after.
const BRIDGED_MS: i64 = 10_000;

/// The chat of one gateway. Cloning is cheap and shares it.
#[derive(Clone, Debug)]
pub struct Chat {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    engine: Engine,
    log: Log,
    board: Arc<Board>,
    sessions: Sessions,
    library: Library,
    filter: ProfanityFilter,
    flood: Flood,
    clock: Clock,
    limits: SessionLimits,
    retention: Duration,
    /// Whether the topics are known to be there.
    made: watch::Receiver<bool>,
    _upkeep: OwnedTask,
}

/// A question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// Its session.
    pub session_id: String,
    /// Who asks.
    pub user_id: Option<String>,
    /// An id of the client's own: the same again is the same question.
    pub request_id: Option<String>,
    /// What is asked.
    pub content: String,
    /// The trace it is part of (W3C), if the client has one.
    pub trace_id: Option<String>,
}

/// A question that was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its id.
    pub request_id: String,
    /// Where it is in `query`.
    pub placement: Placement,
}

/// A session as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionView {
    /// Questions and answers, oldest first.
    pub turns: Vec<Turn>,
    /// Questions that wait for their answers.
    pub running: Vec<RunningView>,
}

/// A place in a session.
#[derive(Debug)]
pub struct Seat {
    /// The session as it was when the seat was taken.
    pub view: SessionView,
    events: broadcast::Receiver<Arc<ChatEvent>>,
}

/// What a seat is told next.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// Something happened.
    Event(Arc<ChatEvent>),
    /// So much happened that some is lost: look at the session anew.
    Missed,
}

/// Why something isn't done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChatError {
    /// What was sent isn't right.
    #[error(transparent)]
    Message(#[from] MessageFault),
    /// There is no such session, or it is somebody else's.
    #[error("there is no session '{0}'")]
    NoSession(String),
    /// The id was used for another question.
    #[error("the request_id '{0}' was used for another question")]
    RequestIdUsed(String),
    /// Too much of something.
    #[error("{what}: at most {limit}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// Too many new sessions.
    #[error("too many new sessions at once: try again in a moment")]
    Flood,
    /// The engine can't do it.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The log can't do it.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Where sessions are kept can't be reached.
    #[error("sessions can't be reached for now: {0}")]
    SessionsAway(String),
    /// A document isn't taken.
    #[error(transparent)]
    Document(#[from] DocumentError),
}

impl Chat {
    /// Opens the chat of an engine, and makes its topics as soon as that can be. `Err` says what is wrong with the settings. Must be
    /// called inside a tokio runtime.
    pub fn open(engine: Engine, settings: &ChatSettings, knowledge: Knowledge) -> Result<Self, String> {
        let log = Log::Engine(engine.clone());
        let board = Arc::new(Board::new(upkeep::patience(settings)));
        let filter = settings.profanity.filter()?;
        let (making, made) = watch::channel(false);
        let upkeep = OwnedTask::spawn(upkeep::run(
            log.clone(),
            settings.clone(),
            knowledge.clock.clone(),
            making,
            Arc::clone(&board),
        ));
        let Knowledge { library, sessions, clock } = knowledge;
        Ok(Self {
            inner: Arc::new(Inner {
                engine,
                log,
                board,
                sessions,
                library,
                filter,
                flood: Flood::new(),
                clock,
                limits: settings.sessions,
                retention: settings.retention,
                made,
                _upkeep: upkeep,
            }),
        })
    }

    /// Asks; durable on `Ok`. A repeat under the same id is the same question.
    pub async fn ask(&self, question: Question) -> Result<Asked, ChatError> {
        let request_id = question.request_id.clone().unwrap_or_else(new_id);
        check_content(&question.content)?;
        check_id("request_id", &request_id)?;
        self.enter(&question.session_id, question.user_id.as_deref()).await?;
        let session = question.session_id.as_str();
        let begun =
            self.inner.board.begin(session, &request_id, &question.content).map_err(|full| match full {
                Full::Session => ChatError::TooMany {
                    what: "questions of this session wait for their answers",
                    limit: crate::limits::QUESTIONS_PER_SESSION,
                },
                Full::Gateway => ChatError::TooMany {
                    what: "questions wait for their answers",
                    limit: crate::limits::QUESTIONS_WAITING,
                },
            })?;
        let mut query =
            Message::new(MessageType::Query, session, question.content, self.inner.clock.now_ms());
        query.id.clone_from(&request_id);
        query.user_id = question.user_id;
        if let Some(trace_id) = question.trace_id {
            query.trace_id = trace_id;
        }
        let stored = self.store(&query).await;
        if stored.is_err() && begun {
            self.inner.board.take_back(session, &request_id);
        }
        Ok(Asked { request_id, placement: stored? })
    }

    /// Waits until the topics are there; not for long.
    async fn topics_made(&self) -> Result<(), ChatError> {
        match timeout(MADE_WITHIN, self.inner.made.clone().wait_for(|made| *made)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => {
                Err(LogError::Unavailable("the chat's topics can't be made for now".to_owned()).into())
            }
        }
    }

    /// Opens the session for this user unless it is there, or refuses.
    async fn enter(&self, session: &str, user: Option<&str>) -> Result<(), ChatError> {
        check_id("session_id", session)?;
        self.topics_made().await?;
        if let Some(user) = user {
            check_id("user_id", user)?;
        }
        let refused = |error| refused(session, error);
        if !self.inner.sessions.is_known(session).await.map_err(refused)? && !self.inner.flood.admit() {
            return Err(ChatError::Flood);
        }
        self.inner.sessions.claim(session, user).await.map_err(refused)
    }

    async fn store(&self, query: &Message) -> Result<Placement, ChatError> {
        match self.append(query.append_once(fingerprint(&query.content))).await {
            Err(ChatError::Engine(EngineError::IdempotencyConflict { .. })) => {
                Err(ChatError::RequestIdUsed(query.id.clone()))
            }
            stored => stored,
        }
    }

    /// Appends, durably; makes the topics first when they aren't there yet.
    async fn append(&self, append: Append) -> Result<Placement, ChatError> {
        let append = Append { acks: Some(Acks::Durable), ..append };
        let engine = &self.inner.engine;
        let stored = match engine.append(append.clone()).await {
            Err(EngineError::TopicNotFound { .. }) => {
                topics::make(&self.inner.log, self.inner.retention, self.inner.limits.expiry).await?;
                engine.append(append).await?
            }
            stored => stored?,
        };
        // an append of one record has one place
        stored.placements.last().copied().ok_or(ChatError::Engine(EngineError::OutcomeUnknown))
    }

    /// Takes a seat in a session: what it was, and everything that happens from then on.
    pub async fn join(&self, session: &str, user: Option<&str>) -> Result<Seat, ChatError> {
        self.may_see(session, user).await?;
        let watching = self.inner.board.watch(session).ok_or(ChatError::TooMany {
            what: "sockets of one session",
            limit: crate::limits::SOCKETS_PER_SESSION,
        })?;
        let turns = self.inner.sessions.turns(session).await.map_err(|error| refused(session, error))?;
        let view = self.merged(turns, watching.finished, watching.running);
        Ok(Seat { view, events: watching.events })
    }

    /// The session as it is now.
    pub async fn session(&self, session: &str, user: Option<&str>) -> Result<SessionView, ChatError> {
        self.may_see(session, user).await?;
        let (running, finished) = self.inner.board.look(session);
        let turns = self.inner.sessions.turns(session).await.map_err(|error| refused(session, error))?;
        Ok(self.merged(turns, finished, running))
    }

    /// Whether there is such a session.
    pub async fn is_known(&self, session: &str) -> Result<bool, ChatError> {
        self.inner.sessions.is_known(session).await.map_err(|error| refused(session, error))
    }

    /// What became of a question; `None` if nothing is known of it.
    pub async fn outcome(
        &self,
        session: &str,
        user: Option<&str>,
        request_id: &str,
    ) -> Result<Option<Outcome>, ChatError> {
        self.may_see(session, user).await?;
        if let Some(outcome) = self.inner.board.outcome(session, request_id) {
            return Ok(Some(outcome));
        }
        let turns = self.inner.sessions.turns(session).await.map_err(|error| refused(session, error))?;
        let turn = turns.into_iter().find(|turn| turn.request_id == request_id);
        Ok(turn.map(Outcome::Answered))
    }

    /// Asks that an answer end where it is; durable on `Ok`.
    pub async fn stop(&self, session: &str, user: Option<&str>, request_id: &str) -> Result<(), ChatError> {
        check_id("request_id", request_id)?;
        self.may_see(session, user).await?;
        self.topics_made().await?;
        let stop = Stop { session_id: session.to_owned(), request_id: request_id.to_owned() };
        Ok(stop.tell(&self.inner.log).await?)
    }

    /// Forgets a session. Its messages stay in their topics as long as those keep them.
    pub async fn delete_session(&self, session: &str, user: Option<&str>) -> Result<(), ChatError> {
        self.may_see(session, user).await?;
        if !self.is_known(session).await? {
            return Err(ChatError::NoSession(session.to_owned()));
        }
        self.inner.sessions.forget(session).await.map_err(|error| refused(session, error))?;
        self.inner.board.forget(session);
        Ok(())
    }

    /// The turns that are remembered and those that were finished a moment ago, each once; questions without an answer behind them.
    fn merged(&self, turns: Vec<Turn>, finished: Vec<Turn>, running: Vec<RunningView>) -> SessionView {
        let now_ms = self.inner.clock.now_ms();
        let young = |turn: &Turn| milliseconds(&turn.at).is_some_and(|at| now_ms - at <= BRIDGED_MS);
        let mut all: HashMap<String, Turn> = HashMap::new();
        for turn in finished.into_iter().filter(young).chain(turns) {
            all.insert(turn.request_id.clone(), turn);
        }
        let running = running.into_iter().filter(|running| !all.contains_key(&running.request_id)).collect();
        let mut turns: Vec<Turn> = all.into_values().collect();
        turns.sort_by_key(|turn| milliseconds(&turn.at));
        turns.drain(..turns.len().saturating_sub(self.inner.limits.turns));
        SessionView { turns, running }
    }

    async fn may_see(&self, session: &str, user: Option<&str>) -> Result<(), ChatError> {
        check_id("session_id", session)?;
        self.inner.sessions.check(session, user).await.map_err(|error| refused(session, error))
    }
}

impl Seat {
    /// What happens next. Cancel-safe.
    pub async fn next(&mut self) -> Told {
        match self.events.recv().await {
            Ok(event) => Told::Event(event),
            Err(RecvError::Lagged(_)) => Told::Missed,
            // the board forgets a session's channel only when nobody sits in it
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

fn refused(session: &str, error: SessionError) -> ChatError {
    match error {
        SessionError::Foreign => ChatError::NoSession(session.to_owned()),
        SessionError::Unavailable(why) => ChatError::SessionsAway(why),
    }
}

/// FNV-1a: tells one question from another under the same id.
fn fingerprint(content: &str) -> u64 {
    content
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
