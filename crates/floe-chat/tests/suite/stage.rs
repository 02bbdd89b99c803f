//! A chat on an engine whose disk outlives it, with workers that can be killed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use floe_chat::{
    Asked, Chat, ChatEvent, ChatSettings, ChatWorkers, DocumentSummary, Knowledge, Question, Seat, Told,
    documents::Document,
    model::{ModelConfig, Waits},
};
use floe_engine::{Clock, Engine};
use floe_journal::{JournalConfig, Storage};
use floe_pipeline::Log;
use floe_testkit::{faulty::FaultyStorage, services::LanguageModel};

/// How long anything that is waited for may take: generous, for busy machines.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Longer than a worker may be silent.
const SILENCE: Duration = Duration::from_secs(7);
const JANITOR: Duration = Duration::from_millis(10);

/// Clocks of a test's own.
#[derive(Clone, Debug)]
pub(crate) struct Clocks {
    wall: Arc<AtomicI64>,
    monotonic: Arc<AtomicU64>,
}

impl Clocks {
    fn new() -> Self {
        Self { wall: Arc::new(AtomicI64::new(Clock::system().now_ms())), monotonic: Arc::default() }
    }

    pub(crate) fn clock(&self) -> Clock {
        let (wall, monotonic) = (self.wall.clone(), self.monotonic.clone());
        Clock::new(move || wall.load(Ordering::SeqCst), move || monotonic.load(Ordering::SeqCst))
    }

    /// Time passes.
    pub(crate) fn pass(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).unwrap();
        self.wall.fetch_add(ms.cast_signed(), Ordering::SeqCst);
        self.monotonic.fetch_add(ms, Ordering::SeqCst);
    }
}

/// An engine, a chat on it, and perhaps workers.
pub(crate) struct Stage {
    storage: FaultyStorage,
    pub(crate) clocks: Clocks,
    pub(crate) settings: ChatSettings,
    pub(crate) engine: Engine,
    pub(crate) chat: Chat,
    workers: Option<ChatWorkers>,
}

impl Stage {
    /// With workers.
    pub(crate) fn new(settings: ChatSettings) -> Self {
        let mut stage = Self::idle(settings);
        stage.hire();
        stage
    }

    /// Without workers.
    pub(crate) fn idle(settings: ChatSettings) -> Self {
        let (storage, clocks) = (FaultyStorage::new(1), Clocks::new());
        let engine = open(&storage, &clocks);
        let chat = open_chat(&engine, &settings, &clocks);
        Self { storage, clocks, settings, engine, chat, workers: None }
    }

    /// Starts workers.
    pub(crate) fn hire(&mut self) {
        // as a process of their own would, they read documents and sessions themselves
        let log = Log::Engine(self.engine.clone());
        let knowledge = Knowledge::open_with(&log, &self.settings, self.clocks.clock()).unwrap();
        self.workers = Some(ChatWorkers::start(log, &self.settings, knowledge).unwrap());
    }

    /// Ends the workers as a crash would; they are given up for dead.
    pub(crate) fn kill_workers(&mut self) {
        self.workers = None;
        self.clocks.pass(SILENCE);
    }

    /// Closes the engine and opens it again, with a chat and without workers.
    pub(crate) fn restart(&mut self) {
        self.workers = None;
        self.engine.close();
        self.engine = open(&self.storage, &self.clocks);
        self.chat = open_chat(&self.engine, &self.settings, &self.clocks);
    }

    /// Another gateway on the same engine.
    pub(crate) fn other_gateway(&self) -> Chat {
        open_chat(&self.engine, &self.settings, &self.clocks)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.workers = None;
        self.engine.close();
    }
}

fn open(storage: &FaultyStorage, clocks: &Clocks) -> Engine {
    let storage: Arc<dyn Storage> = Arc::new(storage.clone());
    let journal = JournalConfig { segment_bytes: 4 << 20, tail_cache_bytes: 1 << 20 };
    Engine::embedded_with(storage, journal, clocks.clock(), JANITOR).unwrap()
}

fn open_chat(engine: &Engine, settings: &ChatSettings, clocks: &Clocks) -> Chat {
    let knowledge = Knowledge::open_with(&Log::Engine(engine.clone()), settings, clocks.clock()).unwrap();
    Chat::open(engine.clone(), settings, knowledge).unwrap()
}

/// Settings with a language model, and more patience than a test takes.
pub(crate) fn with_model(server: &LanguageModel) -> ChatSettings {
    let model = ModelConfig {
        waits: Waits { connect: PATIENCE, first_token: PATIENCE, idle: PATIENCE, total: PATIENCE * 2 },
        retry_pause: Duration::from_millis(10),
        ..ModelConfig::new(server.url(), "floe-test")
    };
    ChatSettings { model: Some(model), ..ChatSettings::default() }
}

pub(crate) fn question(session: &str, content: &str) -> Question {
    Question { session_id: session.to_owned(), content: content.to_owned(), ..Question::default() }
}

pub(crate) async fn add(chat: &Chat, id: &str, content: &str) -> DocumentSummary {
    let document = Document { id: id.to_owned(), title: id.to_owned(), content: content.to_owned() };
    chat.put_document(&document).await.unwrap().unwrap()
}

/// Asks in a session, and everything that its seat is told up to the end of that question.
pub(crate) async fn ask(chat: &Chat, session: &str, content: &str) -> (Asked, Vec<ChatEvent>) {
    let mut seat = chat.join(session, None).await.unwrap();
    let asked = chat.ask(question(session, content)).await.unwrap();
    let told = up_to_end(&mut seat, &asked.request_id).await;
    (asked, told)
}

/// Everything that a seat is told up to the end of a question.
pub(crate) async fn up_to_end(seat: &mut Seat, request_id: &str) -> Vec<ChatEvent> {
    let mut told = Vec::new();
    loop {
        let event = next(seat).await;
        let ends = matches!(&event, ChatEvent::Answer { request_id: of, .. } | ChatEvent::Error { request_id: of, .. } if of == request_id);
        told.push(event);
        if ends {
            return told;
        }
    }
}

pub(crate) async fn next(seat: &mut Seat) -> ChatEvent {
    match tokio::time::timeout(PATIENCE, seat.next()).await.expect("the seat is told something") {
        Told::Event(event) => (*event).clone(),
        Told::Missed => panic!("events were missed"),
    }
}

/// The text of an answer, and the documents that it comes from.
#[track_caller]
pub(crate) fn answer_of(told: &[ChatEvent]) -> (String, Vec<String>) {
    match told.last() {
        Some(ChatEvent::Answer { content, sources, .. }) => {
            (content.clone(), sources.iter().map(|source| source.document.clone()).collect())
        }
        other => panic!("no answer but {other:?}"),
    }
}

pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(2));
    let waiting = async {
        while !holds().await {
            looks.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("waited for: {what}"));
}
