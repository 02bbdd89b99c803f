//! What is going on in sessions right now, as one gateway sees it: questions that wait, answers as they are written, who watches.
//!
//! Every gateway follows `query`, `chat.stream` and `answer` whole, so that a session may be on any of them, and on several. The
//! three topics have no order among each other; each record is taken for what it says: an answer ends its question, whatever
//! comes of it later.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use floe_engine::StoredRecord;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::{sync::broadcast, time::Instant};

use crate::{
    failure::Unanswered,
    limits::{
        ANSWERS_AT_HAND, EVENTS_PER_SOCKET, QUESTIONS_PER_SESSION, QUESTIONS_WAITING, SOCKETS_PER_SESSION,
    },
    message::{AnswerStatus, Message, Source, Turn},
    stream::{News, StreamEvent},
};

/// What sockets of a session are told.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ChatEvent {
    /// A question was asked.
    Query {
        /// Its id.
        request_id: String,
        /// What was asked.
        content: String,
        /// Who asked, if that is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        user_id: Option<String>,
    },
    /// The next part of an answer.
    Delta {
        /// Of this question.
        request_id: String,
        /// To be added to what came before.
        content: String,
    },
    /// The answer begins anew: what came before doesn't count.
    Restart {
        /// Of this question.
        request_id: String,
    },
    /// An answer, whole.
    Answer {
        /// Of this question.
        request_id: String,
        /// All of it.
        content: String,
        /// Where it comes from.
        sources: Vec<Source>,
        /// How it ended.
        status: AnswerStatus,
    },
    /// A question that will not be answered.
    Error {
        /// It.
        request_id: String,
        /// For programs.
        code: String,
        /// For people.
        detail: String,
    },
}

/// A question whose answer isn't there yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunningView {
    /// Its id.
    pub request_id: String,
    /// What was asked.
    pub question: String,
    /// What has been answered so far.
    pub content: String,
}

/// What became of a question.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It waits, or is being answered.
    Running,
    /// It was answered, or stopped.
    Answered(Turn),
    /// It will not be answered.
    Failed {
        /// For programs.
        code: String,
        /// For people.
        detail: String,
    },
}

/// Why a question isn't taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// Too many of its session wait.
    Session,
    /// Too many of all sessions wait.
    Gateway,
}

/// The state behind a gateway's sessions.
#[derive(Debug)]
pub(super) struct Board {
    inner: Mutex<Inner>,
    /// A question of which nothing was heard for so long is given up.
    patience: Duration,
}

#[derive(Debug, Default)]
struct Inner {
    sessions: HashMap<String, Session>,
    running: usize,
    /// Finished questions of all sessions, oldest first.
    finished: VecDeque<(Instant, String, String)>,
}

#[derive(Debug, Default)]
struct Session {
    running: Vec<Running>,
    finished: HashMap<String, Outcome>,
    watchers: Option<broadcast::Sender<Arc<ChatEvent>>>,
}

#[derive(Debug)]
struct Running {
    request_id: String,
    question: String,
    attempt: i64,
    content: String,
    /// Whether its sockets know of it.
    told: bool,
    heard: Instant,
    /// Its record in `query`, once that was seen.
    record: Option<StoredRecord>,
}

/// A question that was given up.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) request_id: String,
    /// Its record in `query`, if that was seen.
    pub(super) record: Option<StoredRecord>,
}

/// A place in a session: what it was, and what happens from then on.
#[derive(Debug)]
pub(super) struct Watching {
    pub(super) running: Vec<RunningView>,
    pub(super) finished: Vec<Turn>,
    pub(super) events: broadcast::Receiver<Arc<ChatEvent>>,
}

impl Board {
    pub(super) fn new(patience: Duration) -> Self {
        Self { inner: Mutex::default(), patience }
    }

    /// Watches a session, if not too many do.
    pub(super) fn watch(&self, id: &str) -> Option<Watching> {
        let mut inner = self.inner.lock();
        let session = inner.sessions.entry(id.to_owned()).or_default();
        let watchers = session.watchers.get_or_insert_with(|| broadcast::Sender::new(EVENTS_PER_SOCKET));
        if watchers.receiver_count() >= SOCKETS_PER_SESSION {
            return None;
        }
        let events = watchers.subscribe();
        Some(Watching { running: session.running(), finished: session.answered(), events })
    }

    /// The session as it is now.
    pub(super) fn look(&self, id: &str) -> (Vec<RunningView>, Vec<Turn>) {
        let inner = self.inner.lock();
        inner
            .sessions
            .get(id)
            .map_or_else(Default::default, |session| (session.running(), session.answered()))
    }

    /// Notes a question before it is stored. `Ok(false)` when it is known already.
    pub(super) fn begin(&self, id: &str, request_id: &str, question: &str) -> Result<bool, Full> {
        let mut inner = self.inner.lock();
        let is_full = inner.running >= QUESTIONS_WAITING;
        let session = inner.sessions.entry(id.to_owned()).or_default();
        if session.finished.contains_key(request_id) || session.find(request_id).is_some() {
            return Ok(false);
        }
        if is_full {
            return Err(Full::Gateway);
        }
        if session.running.len() >= QUESTIONS_PER_SESSION {
            return Err(Full::Session);
        }
        session.running.push(Running::new(request_id, question));
        inner.running += 1;
        Ok(true)
    }

    /// Takes back a question that could not be stored.
    pub(super) fn take_back(&self, id: &str, request_id: &str) {
        self.inner.lock().end(id, request_id);
    }

    /// What became of a question, as far as it is known here.
    pub(super) fn outcome(&self, id: &str, request_id: &str) -> Option<Outcome> {
        let mut inner = self.inner.lock();
        let session = inner.sessions.get_mut(id)?;
        if session.find(request_id).is_some() {
            return Some(Outcome::Running);
        }
        session.finished.get(request_id).cloned()
    }

    /// Forgets a session; its sockets stay.
    pub(super) fn forget(&self, id: &str) {
        let mut inner = self.inner.lock();
        let Some(session) = inner.sessions.get_mut(id) else { return };
        session.finished.clear();
        let ended = std::mem::take(&mut session.running).len();
        inner.running -= ended;
    }

    pub(super) fn saw_query(&self, query: &Message, record: &StoredRecord) {
        let mut inner = self.inner.lock();
        let session = inner.sessions.entry(query.session_id.clone()).or_default();
        if session.finished.contains_key(&query.id) {
            return;
        }
        let begun = session.find(&query.id).is_none();
        if begun {
            session.running.push(Running::new(&query.id, &query.content));
        }
        if let Some(running) = session.find(&query.id) {
            running.question.clone_from(&query.content);
            running.record = Some(record.clone());
            if !std::mem::replace(&mut running.told, true) {
                let (request_id, so_far) = (query.id.clone(), running.content.clone());
                session.tell(ChatEvent::Query {
                    request_id: request_id.clone(),
                    content: query.content.clone(),
                    user_id: query.user_id.clone(),
                });
                if !so_far.is_empty() {
                    session.tell(ChatEvent::Delta { request_id, content: so_far });
                }
            }
        }
        inner.running += usize::from(begun);
    }

    pub(super) fn saw_news(&self, event: StreamEvent) {
        match event.news {
            News::Delta { content } => {
                self.saw_delta(&event.session_id, &event.request_id, event.attempt, content);
            }
            News::Error { code, detail } => {
                let error = ChatEvent::Error { request_id: event.request_id, code, detail };
                self.finish(&event.session_id, error);
            }
        }
    }

    fn saw_delta(&self, id: &str, request_id: &str, attempt: i64, content: String) {
        let mut inner = self.inner.lock();
        let session = inner.sessions.entry(id.to_owned()).or_default();
        if session.finished.contains_key(request_id) {
            return;
        }
        let begun = session.find(request_id).is_none();
        if begun {
            // its question is on its way from the other topic
            session.running.push(Running::new(request_id, ""));
        }
        let Some(running) = session.find(request_id) else { return };
        running.heard = Instant::now();
        if attempt >= running.attempt {
            let anew = attempt > running.attempt && !running.content.is_empty();
            if anew {
                running.content.clear();
            }
            running.attempt = attempt;
            running.content.push_str(&content);
            // what comes before its question is told with it
            if running.told {
                let request_id = request_id.to_owned();
                if anew {
                    session.tell(ChatEvent::Restart { request_id: request_id.clone() });
                }
                session.tell(ChatEvent::Delta { request_id, content });
            }
        }
        inner.running += usize::from(begun);
    }

    pub(super) fn saw_answer(&self, answer: Message) {
        let event = ChatEvent::Answer {
            request_id: answer.id,
            content: answer.content,
            sources: answer.sources,
            status: answer.status.unwrap_or(AnswerStatus::Answered),
        };
        self.finish_at(&answer.session_id, event, answer.question, answer.created_at);
    }

    fn finish(&self, id: &str, event: ChatEvent) {
        self.finish_at(id, event, None, String::new());
    }

    fn finish_at(&self, id: &str, event: ChatEvent, question: Option<String>, at: String) {
        let mut inner = self.inner.lock();
        let (request_id, outcome) = match &event {
            ChatEvent::Answer { request_id, content, sources, status } => {
                let turn = Turn {
                    request_id: request_id.clone(),
                    question: question.clone().unwrap_or_default(),
                    answer: content.clone(),
                    sources: sources.clone(),
                    status: *status,
                    error: None,
                    at,
                };
                (request_id.clone(), Outcome::Answered(turn))
            }
            ChatEvent::Error { request_id, code, detail } => {
                (request_id.clone(), Outcome::Failed { code: code.clone(), detail: detail.clone() })
            }
            _ => return,
        };
        let untold = inner
            .sessions
            .get_mut(id)
            .and_then(|session| session.find(&request_id))
            .is_none_or(|it| !it.told);
        inner.end(id, &request_id);
        let session = inner.sessions.entry(id.to_owned()).or_default();
        let known = session.finished.insert(request_id.clone(), outcome);
        if let Some(content) = question.filter(|_| untold && known.is_none()) {
            // its own record is still on its way from the other topic
            session.tell(ChatEvent::Query { request_id: request_id.clone(), content, user_id: None });
        }
        session.tell(event);
        if known.is_none() {
            inner.finished.push_back((Instant::now(), id.to_owned(), request_id));
        }
    }

    /// Gives up questions of which nothing was heard for too long, and forgets what nobody needs any more. Answers what was given
    /// up.
    pub(super) fn sweep(&self) -> Vec<Lost> {
        let now = Instant::now();
        let mut lost = Vec::new();
        {
            let mut inner = self.inner.lock();
            while inner.finished.front().is_some_and(|(at, ..)| now.duration_since(*at) >= self.patience)
                || inner.finished.len() > ANSWERS_AT_HAND
            {
                let Some((_, id, request_id)) = inner.finished.pop_front() else { break };
                if let Some(session) = inner.sessions.get_mut(&id) {
                    session.finished.remove(&request_id);
                }
            }
            for (id, session) in &inner.sessions {
                let silent = |running: &&Running| now.duration_since(running.heard) >= self.patience;
                let silent = session.running.iter().filter(silent);
                lost.extend(silent.map(|running| {
                    let (request_id, record) = (running.request_id.clone(), running.record.clone());
                    (id.clone(), Lost { request_id, record })
                }));
            }
            inner.sessions.retain(|_, session| !session.is_idle());
        }
        for (id, lost) in &lost {
            let Unanswered { code, detail, .. } = Unanswered::in_time();
            let request_id = lost.request_id.clone();
            self.finish(id, ChatEvent::Error { request_id, code: code.to_owned(), detail });
        }
        lost.into_iter().map(|(_, lost)| lost).collect()
    }
}

impl Inner {
    /// A question doesn't wait any more.
    fn end(&mut self, id: &str, request_id: &str) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let before = session.running.len();
        session.running.retain(|running| running.request_id != request_id);
        self.running -= before - session.running.len();
    }
}

impl Session {
    fn find(&mut self, request_id: &str) -> Option<&mut Running> {
        self.running.iter_mut().find(|running| running.request_id == request_id)
    }

    fn tell(&self, event: ChatEvent) {
        if let Some(watchers) = &self.watchers {
            // an error is that nobody watches
            let _ = watchers.send(Arc::new(event));
        }
    }

    fn running(&self) -> Vec<RunningView> {
        let view = |running: &Running| RunningView {
            request_id: running.request_id.clone(),
            question: running.question.clone(),
            content: running.content.clone(),
        };
        self.running.iter().map(view).collect()
    }

    fn answered(&self) -> Vec<Turn> {
        let turn = |outcome: &Outcome| match outcome {
            Outcome::Answered(turn) => Some(turn.clone()),
            Outcome::Running | Outcome::Failed { .. } => None,
        };
        self.finished.values().filter_map(turn).collect()
    }

    fn is_idle(&self) -> bool {
        let watched = self.watchers.as_ref().is_some_and(|watchers| watchers.receiver_count() > 0);
        self.running.is_empty() && self.finished.is_empty() && !watched
    }
}

impl Running {
    fn new(request_id: &str, question: &str) -> Self {
        Self {
            request_id: request_id.to_owned(),
            question: question.to_owned(),
            attempt: 0,
            content: String::new(),
            told: false,
            heard: Instant::now(),
            record: None,
        }
    }
}
