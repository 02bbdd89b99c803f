//! An engine on a disk, clocks that can be put forward, and receivers that answer as they are told.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post};
use floe_engine::{
    Append, Clock, EmbeddedConfig, Engine, Header, NewRecord, OffsetSpec, PartitionRead, StoredRecord,
    TopicSpec,
};
use floe_journal::JournalConfig;
use floe_pipeline::{
    BatchSpec, Log, PipelineSpec, Pipelines, RetrySpec, Services, Start, TOPIC_PREFIX, sinks::SinkSpec,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long something may take before the test has failed.
const PATIENCE: Duration = Duration::from_secs(40);

/// An engine on a directory of its own.
pub(crate) struct Stage {
    dir: TempDir,
    engine: Mutex<Engine>,
    ahead: Arc<AtomicU64>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let ahead = Arc::new(AtomicU64::new(0));
        let engine = Mutex::new(open(&dir, &ahead));
        Self { dir, engine, ahead }
    }

    pub(crate) fn engine(&self) -> Engine {
        self.engine.lock().clone()
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// Closes the engine and opens it again. Whoever holds the old one has to have let it go.
    pub(crate) fn restart(&self) -> Engine {
        let mut engine = self.engine.lock();
        engine.close();
        // the lock on the directory goes with the last handle
        let ahead = Arc::clone(&self.ahead);
        let empty = TempDir::new().unwrap();
        *engine = open(&empty, &ahead);
        engine.close();
        let deadline = Instant::now() + PATIENCE;
        *engine = loop {
            match try_open(&self.dir, &ahead) {
                Ok(engine) => break engine,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            std::thread::yield_now();
        };
        engine.clone()
    }

    /// Time passes, for the engine: sessions end.
    pub(crate) fn pass(&self, by: Duration) {
        self.ahead.fetch_add(u64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// Starts pipelines as one process would.
    pub(crate) fn start(&self, specs: Vec<PipelineSpec>) -> Pipelines {
        let services = Services { log: Log::Engine(self.engine()), store: None, redis: None };
        Pipelines::start(services, specs).unwrap()
    }

    pub(crate) async fn make(&self, topic: &str, partitions: u32) {
        let config = BTreeMap::new();
        self.engine().create_topic(TopicSpec { name: topic.into(), partitions, config }).await.unwrap();
    }

    /// Appends values to a partition; answers the offset of the first.
    pub(crate) async fn put(&self, topic: &str, partition: u32, values: &[String]) -> i64 {
        let record = |value: &String| NewRecord {
            partition: Some(partition),
            value: Some(value.clone().into()),
            ..NewRecord::default()
        };
        self.put_records(topic, values.iter().map(record).collect()).await
    }

    pub(crate) async fn put_records(&self, topic: &str, records: Vec<NewRecord>) -> i64 {
        let append = Append { topic: topic.into(), records, acks: None, idempotency: None };
        self.engine().append(append).await.unwrap().placements[0].offset
    }

    /// All records of a partition.
    pub(crate) async fn read(&self, topic: &str, partition: u32) -> Vec<StoredRecord> {
        let read = PartitionRead {
            topic: topic.into(),
            partition,
            from: OffsetSpec::Earliest,
            max_records: 1_000_000,
            max_bytes: 1 << 30,
            wait: Duration::ZERO,
        };
        match self.engine().read(read).await {
            Ok(page) => page.records,
            Err(floe_engine::EngineError::TopicNotFound { .. }) => Vec::new(),
            Err(error) => panic!("{error}"),
        }
    }

    /// The position that a pipeline has committed.
    pub(crate) async fn committed(&self, pipeline: &str, topic: &str, partition: u32) -> Option<i64> {
        let group = self.engine().describe_group(&format!("pipeline:{pipeline}")).await.ok()?;
        let at = group.partitions.into_iter().find(|at| at.topic == topic && at.partition == partition)?;
        Some(at.committed)
    }

    pub(crate) async fn until_committed(&self, pipeline: &str, topic: &str, partition: u32, offset: i64) {
        let what = format!("{pipeline} commits {offset} of {topic}-{partition}");
        until(&what, async || self.committed(pipeline, topic, partition).await == Some(offset)).await;
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.engine.lock().close();
    }
}

fn open(dir: &TempDir, ahead: &Arc<AtomicU64>) -> Engine {
    try_open(dir, ahead).unwrap()
}

fn try_open(dir: &TempDir, ahead: &Arc<AtomicU64>) -> Result<Engine, floe_engine::OpenEngineError> {
    let (wall_ahead, steady_ahead, start) = (Arc::clone(ahead), Arc::clone(ahead), Instant::now());
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap();
    let clock = Clock::new(
        move || {
            let now = millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap());
            (now + wall_ahead.load(Ordering::SeqCst)).cast_signed()
        },
        move || millis(start.elapsed()) + steady_ahead.load(Ordering::SeqCst),
    );
    Engine::open_embedded(EmbeddedConfig {
        data_dir: dir.path().join("data"),
        ephemeral: false,
        journal: JournalConfig { segment_bytes: 8 << 20, tail_cache_bytes: 4 << 20 },
        clock,
    })
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    let waiting = async {
        while !holds().await {
            looks.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("waited for: {what}"));
}

/// A pipeline that tries quickly and not often.
pub(crate) fn pipeline(name: &str, from: &str, sinks: Vec<SinkSpec>) -> PipelineSpec {
    PipelineSpec {
        name: name.into(),
        from: vec![from.into()],
        group: format!("pipeline:{name}"),
        start: Start::Earliest,
        steps: Vec::new(),
        step_limit: Duration::from_secs(1),
        sinks,
        batch: BatchSpec { max_records: 50, ..BatchSpec::default() },
        retry: RetrySpec {
            initial: Duration::from_millis(5),
            max: Duration::from_millis(50),
            attempts: 3,
            elapsed: Duration::from_secs(20),
        },
        fuse: None,
        dead_letter_topic: format!("{TOPIC_PREFIX}{name}"),
    }
}

pub(crate) fn sink(sink: Value) -> SinkSpec {
    serde_json::from_value(sink).unwrap()
}

pub(crate) fn texts(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|number| number.to_string()).collect()
}

pub(crate) fn text(bytes: Option<&Bytes>) -> String {
    String::from_utf8(bytes.map(|bytes| bytes.to_vec()).unwrap_or_default()).unwrap()
}

pub(crate) fn header(name: &'static str, value: impl Into<Bytes>) -> Header {
    Header { name: name.into(), value: Some(value.into()) }
}

pub(crate) fn named(headers: &[Header], name: &str) -> Option<String> {
    headers.iter().rfind(|header| header.name == name).map(|header| text(header.value.as_ref()))
}

/// One delivery that came to a receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arrived {
    pub(crate) topic: String,
    pub(crate) partition: u32,
    pub(crate) offset: i64,
    pub(crate) body: String,
}

type Script = Box<dyn FnMut(&Arrived) -> u16 + Send>;

/// A webhook receiver on this machine.
pub(crate) struct Receiver {
    pub(crate) address: std::net::SocketAddr,
    desk: Arc<Desk>,
    server: tokio::task::AbortHandle,
}

struct Desk {
    script: Mutex<Script>,
    /// With the status that each got.
    arrived: Mutex<Vec<(Arrived, u16)>>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Receiver {
    /// Answers each delivery with the status that the script says.
    pub(crate) async fn start(script: impl FnMut(&Arrived) -> u16 + Send + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let desk = Arc::new(Desk { script: Mutex::new(Box::new(script)), arrived: Mutex::default() });
        let router = Router::new().route("/", post(receive)).with_state(Arc::clone(&desk));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, desk, server: server.abort_handle() }
    }

    pub(crate) fn answer(&self, script: impl FnMut(&Arrived) -> u16 + Send + 'static) {
        *self.desk.script.lock() = Box::new(script);
    }

    pub(crate) fn sink(&self) -> SinkSpec {
        sink(json!({ "type": "webhook", "url": format!("http://{}/", self.address), "allow_private": true }))
    }

    /// All that came, in order, with the answers.
    pub(crate) fn arrived(&self) -> Vec<(Arrived, u16)> {
        self.desk.arrived.lock().clone()
    }

    /// Bodies of what was taken, in order.
    pub(crate) fn taken(&self) -> Vec<String> {
        let arrived = self.desk.arrived.lock();
        arrived.iter().filter(|(_, status)| *status < 300).map(|(arrived, _)| arrived.body.clone()).collect()
    }
}

async fn receive(State(desk): State<Arc<Desk>>, headers: axum::http::HeaderMap, body: String) -> StatusCode {
    let of = |name: &str| headers[name].to_str().unwrap().to_owned();
    let arrived = Arrived {
        topic: of("floe-topic"),
        partition: of("floe-partition").parse().unwrap(),
        offset: of("floe-offset").parse().unwrap(),
        body,
    };
    let status = (desk.script.lock())(&arrived);
    desk.arrived.lock().push((arrived, status));
    StatusCode::from_u16(status).unwrap()
}

/// Lines of a file sink with `format = "value"`.
pub(crate) fn lines(path: &std::path::Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}
