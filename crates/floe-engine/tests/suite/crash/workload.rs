//! Clients that write down what they do and see, and what is there when all is over.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use floe_engine::{
    Append, DeliveryMode, Engine, EngineError, OffsetSpec, PartitionRead, Poll, StoredRecord, TopicSpec,
    TopicStart,
};
use floe_journal::Storage;
use floe_testkit::{
    faulty::FaultyStorage,
    history::{End, Event, FinalLog, FinalPlace, History, OpId, Place, Report, Sent, Value, check},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::stage::{
    Clocks, START_MS, append_of, journal, keyed, make_with, partition_read, read_on, record_in,
};

type Settings = &'static [(&'static str, &'static str)];

/// Topics of every run, with their partitions and settings: one that keeps all, one whose records go by size.
const TOPICS: [(&str, u32, Settings); 2] =
    [("kept", 3, &[]), ("trimmed", 2, &[("retention.bytes", "20000")])];
const GROUP: u32 = 1;

/// What all clients of a run write into, over all crashes.
#[derive(Clone, Default)]
pub(crate) struct Log {
    history: Arc<Mutex<History>>,
    /// Keys of sends that may have to be repeated, with what was sent and answered.
    keys: Arc<Mutex<BTreeMap<String, Keyed>>>,
    /// Topics that surely are there (or surely not).
    topics: Arc<Mutex<BTreeMap<String, bool>>>,
    next_process: Arc<AtomicU32>,
    /// How many crashes there were.
    crashes: Arc<AtomicU32>,
    /// The crash after which a client's word counts no more: what it sees from then on never was.
    until: Option<u32>,
}

#[derive(Clone)]
struct Keyed {
    append: Append,
    answer: Option<Vec<(u32, i64)>>,
}

pub(crate) fn open(storage: &FaultyStorage) -> Engine {
    let storage: Arc<dyn Storage> = Arc::new(storage.clone());
    let period = Duration::from_millis(3);
    Engine::embedded_with(storage, journal(64 << 10), Clocks::new(START_MS).clock(), period)
        .expect("what a crash leaves opens without help")
}

pub(crate) async fn make_topics(engine: &Engine) {
    for (topic, partitions, config) in TOPICS {
        make_with(engine, topic, partitions, config).await;
    }
}

/// How an answer that isn't good ends a send: what is told before anything is done has not happened.
fn end_of(error: &EngineError) -> End {
    match error {
        EngineError::StorageFailed | EngineError::Stopping => End::Info,
        _ => End::Fail,
    }
}

async fn place_of(engine: &Engine, topic: &str, partition: u32) -> Option<Place> {
    Some((engine.topic_summary(topic).await.ok()?.id, partition))
}

fn values(records: &[StoredRecord]) -> Vec<(i64, Option<Value>)> {
    let value = |record: &StoredRecord| Value::decode(record.value.as_deref()?);
    records.iter().map(|record| (record.offset, value(record))).collect()
}

impl Log {
    /// Holds the history still: what it says now was told to clients before whatever happens next.
    pub(crate) fn crash<T>(&self, act: impl FnOnce() -> T) -> T {
        let _still = self.history.lock().unwrap();
        self.crashes.fetch_add(1, Ordering::SeqCst);
        act()
    }

    /// Writes into the history, unless the client writing is one of the time before the crash.
    fn note<T>(&self, note: impl FnOnce(&mut History) -> T) -> Option<T> {
        let mut history = self.history.lock().unwrap();
        let counts = self.until.is_none_or(|until| until == self.crashes.load(Ordering::SeqCst));
        counts.then(|| note(&mut history))
    }

    fn process(&self) -> u32 {
        self.next_process.fetch_add(1, Ordering::SeqCst)
    }

    fn begin(&self, process: u32, event: Event) -> OpId {
        self.note(|history| history.begin(process, event)).unwrap_or(OpId::MAX)
    }

    fn end(&self, op: OpId, end: End) {
        self.note(|history| history.end(op, end));
    }

    fn end_with(&self, op: OpId, event: Event) {
        self.note(|history| history.end_with(op, End::Ok, event));
    }

    fn saw(&self, process: u32, event: Event) {
        self.note(|history| history.saw(process, event));
    }

    pub(crate) fn operations(&self) -> usize {
        self.history.lock().unwrap().len()
    }

    /// Clients of every kind; they end when the engine does, or when they are aborted.
    pub(crate) fn start(&self, engine: &Engine, seed: u64) -> Vec<tokio::task::JoinHandle<()>> {
        let mut clients = Vec::new();
        let log = Self { until: Some(self.crashes.load(Ordering::SeqCst)), ..self.clone() };
        for writer in 0..3 {
            clients.push(tokio::spawn(log.clone().write(engine.clone(), seed * 100 + writer)));
        }
        for (topic, partitions, _) in TOPICS {
            clients.push(tokio::spawn(log.clone().read(engine.clone(), topic, partitions)));
            clients.push(tokio::spawn(log.clone().follow(engine.clone(), topic)));
        }
        clients.push(tokio::spawn(log.clone().consume(engine.clone())));
        clients.push(tokio::spawn(log.clone().churn(engine.clone(), seed)));
        clients
    }

    async fn write(self, engine: Engine, seed: u64) {
        let mut random = StdRng::seed_from_u64(seed);
        let process = self.process();
        for counter in (0..).step_by(10) {
            let (topic, partitions, _) = TOPICS[random.random_range(0..TOPICS.len())];
            let Ok(id) = engine.topic_summary(topic).await.map(|topic| topic.id) else { return };
            let count = if random.random_bool(0.5) { 1 } else { random.random_range(2..6) };
            let mut sent = Vec::new();
            let mut records = Vec::new();
            for number in 0..count {
                let partition = random.random_range(0..partitions);
                let value = Value { process, counter: counter + number };
                records.push(record_in(partition, value.encode(random.random_range(0..900))));
                sent.push(Sent { place: (id, partition), value, offset: None });
            }
            let key = random.random_bool(0.3).then(|| format!("{process}-{counter}"));
            let append = match &key {
                Some(key) => keyed(append_of(topic, records), key, 1),
                None => append_of(topic, records),
            };
            let op = self.note(|history| {
                if let Some(key) = &key {
                    let keyed = Keyed { append: append.clone(), answer: None };
                    self.keys.lock().unwrap().insert(key.clone(), keyed);
                }
                history.begin(process, Event::Send(sent.clone()))
            });
            let Some(op) = op else { return };
            match engine.append(append.clone()).await {
                Ok(appended) => {
                    for (sent, place) in sent.iter_mut().zip(&appended.placements) {
                        assert_eq!(sent.place.1, place.partition);
                        sent.offset = Some(place.offset);
                    }
                    let answer = appended.placements.iter().map(|place| (place.partition, place.offset));
                    self.note(|history| {
                        history.end_with(op, End::Ok, Event::Send(sent));
                        if let Some(key) = key {
                            let keyed = Keyed { append, answer: Some(answer.collect()) };
                            self.keys.lock().unwrap().insert(key, keyed);
                        }
                    });
                }
                Err(error) => {
                    let end = end_of(&error);
                    self.note(|history| {
                        history.end(op, end);
                        if let Some(key) = key.filter(|_| end == End::Fail) {
                            self.keys.lock().unwrap().remove(&key);
                        }
                    });
                    if end == End::Info {
                        return;
                    }
                }
            }
        }
    }

    async fn read(self, engine: Engine, topic: &'static str, partitions: u32) {
        let process = self.process();
        let mut next: BTreeMap<u32, i64> = BTreeMap::new();
        loop {
            for partition in 0..partitions {
                let Some(place) = place_of(&engine, topic, partition).await else { return };
                let from =
                    next.get(&partition).map_or(OffsetSpec::Earliest, |next| OffsetSpec::Offset(*next));
                let wait = Duration::from_millis(1);
                let read = PartitionRead { wait, max_records: 50, ..partition_read(topic, partition, from) };
                match engine.read(read).await {
                    Ok(page) => {
                        next.insert(partition, page.next_offset);
                        self.saw(process, Event::Poll { place, records: values(&page.records) });
                    }
                    Err(EngineError::OffsetOutOfRange { .. }) => {
                        next.remove(&partition);
                        self.saw(process, Event::Seek { place });
                    }
                    Err(_) => return,
                }
            }
        }
    }

    async fn follow(self, engine: Engine, topic: &'static str) {
        let process = self.process();
        let Ok(mut tail) = engine.tail(topic).await else { return };
        while let Ok(records) = tail.next().await {
            for record in &records {
                let Some(place) = place_of(&engine, topic, record.partition).await else { return };
                self.saw(process, Event::Live { place, records: values(std::slice::from_ref(record)) });
            }
        }
    }

    /// Reads and commits at once: no record is ever given to two, not even over a crash.
    async fn consume(self, engine: Engine) {
        let process = self.process();
        let poll = || Poll {
            group: "g".into(),
            topics: vec!["kept".into()],
            partition: None,
            max_records: 20,
            max_bytes: 1 << 20,
            wait: Duration::from_millis(2),
            mode: DeliveryMode::Commit,
            require_subscription: false,
        };
        loop {
            let places = self.begin_looking(&engine, process).await;
            self.saw_positions(&engine, &places).await;
            let Ok(delivery) = engine.poll(poll()).await else { return };
            for (topic, partition, offset) in delivery.next_offsets {
                let Some(place) = place_of(&engine, &topic, partition).await else { return };
                let here = delivery.records.iter().filter(|(_, record)| record.partition == partition);
                let records: Vec<_> = here.map(|(_, record)| record.clone()).collect();
                let records = values(&records);
                self.saw(process, Event::Commit { group: GROUP, place, offset });
                self.saw(process, Event::Deliver { group: GROUP, place, records });
            }
        }
    }

    /// Begins to look at the group's positions.
    async fn begin_looking(&self, engine: &Engine, process: u32) -> Vec<OpId> {
        let mut begun = Vec::new();
        for partition in 0..3 {
            if let Some(place) = place_of(engine, "kept", partition).await {
                begun.push(self.begin(process, Event::Committed { group: GROUP, place, offset: 0 }));
            }
        }
        begun
    }

    async fn saw_positions(&self, engine: &Engine, begun: &[OpId]) {
        let described = engine.describe_group("g").await;
        for (partition, op) in (0..).zip(begun) {
            let committed = described.as_ref().ok().and_then(|described| {
                let partitions = &described.partitions;
                Some(partitions.iter().find(|known| known.partition == partition)?.committed)
            });
            match (committed, place_of(engine, "kept", partition).await) {
                (Some(offset), Some(place)) => {
                    self.end_with(*op, Event::Committed { group: GROUP, place, offset });
                }
                _ => self.end(*op, End::Fail),
            }
        }
    }

    /// Topics that come and go, so that deletions, emptied segments and other state are under way when the crash comes.
    async fn churn(self, engine: Engine, seed: u64) {
        for turn in 0.. {
            let topic = format!("churn-{}", (seed + turn) % 5);
            let spec = TopicSpec { name: topic.clone(), partitions: 1, config: BTreeMap::new() };
            self.note(|_| self.topics.lock().unwrap().remove(&topic));
            match engine.create_topic(spec).await {
                // one that a crash brought back is used on
                Ok(_) | Err(EngineError::TopicExists { .. }) => {}
                Err(_) => return,
            }
            self.note(|_| self.topics.lock().unwrap().insert(topic.clone(), true));
            for _ in 0..5 {
                if engine.append(append_of(&topic, vec![record_in(0, vec![0; 500])])).await.is_err() {
                    return;
                }
            }
            if turn % 3 == 2 {
                continue;
            }
            self.note(|_| self.topics.lock().unwrap().remove(&topic));
            if engine.delete_topic(&topic).await.is_err() {
                return;
            }
            self.note(|_| self.topics.lock().unwrap().insert(topic.clone(), false));
        }
    }

    /// After a crash: topics whose making was answered are there, those whose deletion was answered are not.
    pub(crate) async fn check_topics(&self, engine: &Engine) {
        let topics = self.topics.lock().unwrap().clone();
        for (topic, there) in &topics {
            assert_eq!(engine.describe_topic(topic).await.is_ok(), *there, "{topic}");
        }
    }

    /// After a crash: every key that was used gets the answer that it got, or that of its first success.
    pub(crate) async fn repeat_keys(&self, engine: &Engine, most: usize) -> usize {
        let keys: Vec<_> = self.keys.lock().unwrap().clone().into_iter().rev().take(most).collect();
        for (key, Keyed { append, answer }) in &keys {
            let again = engine.append(append.clone()).await.unwrap();
            let places: Vec<_> =
                again.placements.iter().map(|place| (place.partition, place.offset)).collect();
            if let Some(answer) = answer {
                assert!(again.replayed, "key {key} was forgotten");
                assert_eq!(places, *answer, "key {key}");
            }
            let kept = Keyed { append: append.clone(), answer: Some(places) };
            self.keys.lock().unwrap().insert(key.clone(), kept);
        }
        keys.len()
    }

    /// Reads everything and looks for what no correct log does.
    pub(crate) async fn judge(&self, engine: &Engine) -> Report {
        let mut last = FinalLog::default();
        for (topic, partitions, _) in TOPICS {
            for partition in 0..partitions {
                let Some(place) = place_of(engine, topic, partition).await else { continue };
                // retention may go on between the look and the reading
                let (start, end, records) = loop {
                    let bounds = engine.describe_topic(topic).await.unwrap().partitions[partition as usize];
                    let Some(records) = read_kept(engine, topic, partition).await else { continue };
                    let first = records.first().map_or(bounds.end, |record| record.offset);
                    if first == bounds.start {
                        break (bounds.start, bounds.end, records);
                    }
                };
                let records = values(&records);
                last.places.insert(place, FinalPlace { start, end, records });
            }
            let _ = read_on(engine, topic, TopicStart::Earliest, 100).await;
        }
        let process = self.process();
        let begun = self.begin_looking(engine, process).await;
        self.saw_positions(engine, &begun).await;
        check(&self.history.lock().unwrap(), &last)
    }
}

/// All of a partition, unless retention takes its start away meanwhile.
async fn read_kept(engine: &Engine, topic: &str, partition: u32) -> Option<Vec<StoredRecord>> {
    let (mut from, mut records) = (OffsetSpec::Earliest, Vec::new());
    loop {
        match engine.read(partition_read(topic, partition, from)).await {
            Ok(page) => {
                assert!(page.gaps.is_empty(), "{topic} {partition}: {:?}", page.gaps);
                from = OffsetSpec::Offset(page.next_offset);
                if page.records.is_empty() {
                    return Some(records);
                }
                records.extend(page.records);
            }
            Err(EngineError::OffsetOutOfRange { .. }) if from != OffsetSpec::Earliest => return None,
            Err(error) => panic!("{topic} {partition}: {error}"),
        }
    }
}
