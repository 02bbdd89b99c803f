//! E1: from a question to its answer, without a language model.

use std::{
    fmt::Write,
    hint::black_box,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{anyhow, ensure};
use floe_chat::{
    documents::{Document, Index, extract, quote},
    limits::PASSAGES_PER_ANSWER,
};
use tokio::task::{JoinHandle, JoinSet, LocalSet, yield_now};

use super::{Plan, ingest};
use crate::{
    client::{Connection, request},
    quantiles::Quantiles,
    questions::{SETS, documents, index, questions},
    report::{Line, median},
    server::Server,
    session::{Answered, Session},
};

const AT_ONCE: usize = 50;
const BAR: f64 = 3.0;

/// What is asked of what.
#[derive(Debug)]
struct Material {
    documents: Vec<Document>,
    index: Arc<Index>,
    asked: Arc<[String]>,
}

impl Material {
    fn read() -> anyhow::Result<Self> {
        let root = Path::new("");
        let documents = documents(root)?;
        let mut asked = Vec::new();
        for set in SETS {
            asked.extend(questions(root, set)?.into_iter().map(|question| question.question));
        }
        Ok(Self { index: Arc::new(index(&documents)), documents, asked: asked.into() })
    }
}

/// The turns with so many questions at once.
#[derive(Debug, Default)]
struct Turns {
    delta: Vec<Quantiles>,
    answer: Vec<Quantiles>,
    alone: Vec<Quantiles>,
    questions_per_second: Vec<f64>,
}

impl Turns {
    /// One more: the whole path, then the index alone.
    async fn measure(
        &mut self,
        floe: &Server,
        material: &Material,
        at_once: usize,
        duration: Duration,
    ) -> anyhow::Result<()> {
        let answered = ask(floe.address, &material.asked, at_once, duration).await?;
        self.questions_per_second.push(answered.len() as f64 / duration.as_secs_f64());
        self.delta.push(Quantiles::of(answered.iter().map(|answered| answered.first_delta)));
        self.answer.push(Quantiles::of(answered.iter().map(|answered| answered.answer)));
        self.alone.push(Quantiles::of(alone(material, at_once, duration)?));
        Ok(())
    }
}

/// E1: the whole path beside the index alone. As remarks, the same beside one durable append, of which the path has several, and
/// one question at a time.
pub(super) async fn answers(plan: &Plan) -> anyhow::Result<Vec<Line>> {
    let material = Material::read()?;
    let duration = Duration::from_secs(plan.seconds);
    let (mut many, mut one, mut appends) = (Turns::default(), Turns::default(), Vec::new());
    for _ in 0..plan.turns {
        let data = plan.data()?;
        let floe = start(plan, data.path(), &material.documents).await?;
        many.measure(&floe, &material, AT_ONCE, duration).await?;
        appends.push(Quantiles::of(append(floe.address, duration).await?));
        one.measure(&floe, &material, 1, duration).await?;
    }
    let mut lines = compared(&many);
    lines.extend([beside_an_append(&many, &appends), one_at_a_time(&one)]);
    Ok(lines)
}

fn compared(turns: &Turns) -> Vec<Line> {
    let rate = median(turns.questions_per_second.clone());
    let line = |(what, path): (&str, &Vec<Quantiles>)| {
        let ratio = Quantiles::ratio(path, &turns.alone);
        Line {
            row: "E1",
            what: format!("question → {what}, extractive, {AT_ONCE} at once ({rate:.0} questions/s)"),
            floe: Quantiles::median(path).shown(),
            other: format!("retrieval alone, {AT_ONCE} at once {}", Quantiles::median(&turns.alone).shown()),
            figure: ratio.shown_ratio(),
            bar: "3×",
            goal: "1.5×",
            met: Some(ratio.within(BAR)),
        }
    };
    [("first delta", &turns.delta), ("answer", &turns.answer)].map(line).into()
}

/// What stands beside the row and has no bar.
fn remark(what: &str, turns: &Turns, name: &str, other: &[Quantiles]) -> Line {
    let paths = [&turns.delta, &turns.answer];
    let [delta, answer] = paths.map(|path| Quantiles::median(path).shown());
    let [delta_ratio, answer_ratio] = paths.map(|path| Quantiles::ratio(path, other).shown_ratio());
    Line {
        row: "E1",
        what: format!("{what} (a remark)"),
        floe: format!("first delta {delta}; answer {answer}"),
        other: format!("{name} {}", Quantiles::median(other).shown()),
        figure: format!("first delta {delta_ratio}; answer {answer_ratio}"),
        bar: "–",
        goal: "–",
        met: None,
    }
}

fn beside_an_append(turns: &Turns, appends: &[Quantiles]) -> Line {
    let name = format!("one durable append, {AT_ONCE} at once");
    remark("the same beside `POST /topics/…/records?acks=all`", turns, &name, appends)
}

fn one_at_a_time(turns: &Turns) -> Line {
    remark("the same, one question at a time", turns, "retrieval alone, one at a time", &turns.alone)
}

/// A server without a language model, with these documents and a topic.
async fn start(plan: &Plan, data: &Path, documents: &[Document]) -> anyhow::Result<Server> {
    let (floe, _) = Server::floe_with(&plan.floe, data, |floe| {
        floe.env_remove("FLOE_LLM_URL").env_remove("FLOE_LLM_MODEL");
    })
    .await?;
    let mut connection = Connection::open(floe.address).await?;
    for document in documents {
        let (id, title) = (encoded(&document.id), encoded(&document.title));
        let path = format!("/chat/documents?id={id}&title={title}");
        let answer =
            connection.ask(&request("POST", &path, "text/markdown", document.content.as_bytes())).await?;
        ensure!(answer.status == 201, "{}: {}", document.id, String::from_utf8_lossy(&answer.body));
    }
    floe.make_topic("bench").await?;
    Ok(floe)
}

/// Text as it may stand in a query.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            // writing to a string doesn't fail
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

/// Asks question after question in each of so many sessions, none waiting for another. The first of each opens the session and
/// isn't measured.
async fn ask(
    address: SocketAddr,
    asked: &Arc<[String]>,
    at_once: usize,
    duration: Duration,
) -> anyhow::Result<Vec<Answered>> {
    let local = LocalSet::new();
    let mut lanes = Vec::new();
    for lane in 0..at_once {
        let asked = Arc::clone(asked);
        lanes.push(local.spawn_local(async move {
            let mut session = Session::open(address).await?;
            let mut questions = asked.iter().cycle().skip(lane);
            session.ask(&asked[lane]).await?;
            let (start, mut answered) = (Instant::now(), Vec::new());
            while start.elapsed() < duration
                && let Some(question) = questions.next()
            {
                answered.push(session.ask(question).await?);
            }
            anyhow::Ok(answered)
        }));
    }
    let all = gathered(&local, lanes).await?;
    let with_sources = all.iter().filter(|answered| answered.has_sources).count();
    ensure!(with_sources * 2 > all.len(), "{with_sources} of {} answers quote something", all.len());
    Ok(all)
}

/// Appends one event after the other over each of as many connections.
async fn append(address: SocketAddr, duration: Duration) -> anyhow::Result<Vec<Duration>> {
    let body = ingest::event();
    let event = request("POST", "/topics/bench/records?acks=all", "application/json", body.as_bytes());
    let event: Arc<[u8]> = event.into();
    let local = LocalSet::new();
    let mut lanes = Vec::new();
    for _ in 0..AT_ONCE {
        let event = Arc::clone(&event);
        lanes.push(local.spawn_local(async move {
            let mut connection = Connection::open(address).await?;
            let (start, mut times) = (Instant::now(), Vec::new());
            while start.elapsed() < duration {
                let sent = Instant::now();
                let answer = connection.ask(&event).await?;
                times.push(sent.elapsed());
                ensure!(answer.status == 201, "an append answered {}", answer.status);
            }
            anyhow::Ok(times)
        }));
    }
    gathered(&local, lanes).await
}

/// What all lanes measured.
async fn gathered<T>(
    local: &LocalSet,
    lanes: Vec<JoinHandle<anyhow::Result<Vec<T>>>>,
) -> anyhow::Result<Vec<T>> {
    let mut all = Vec::new();
    local
        .run_until(async {
            for lane in lanes {
                all.extend(lane.await??);
            }
            anyhow::Ok(())
        })
        .await?;
    Ok(all)
}

/// The same questions, as many at once, asked of the index alone: tasks on a runtime as the server's.
fn alone(material: &Material, at_once: usize, duration: Duration) -> anyhow::Result<Vec<Duration>> {
    let (index, asked) = (Arc::clone(&material.index), Arc::clone(&material.asked));
    let measured = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().build()?;
        runtime.block_on(async {
            let mut lanes = JoinSet::new();
            for lane in 0..at_once {
                lanes.spawn(retrieve(Arc::clone(&index), Arc::clone(&asked), lane, duration));
            }
            anyhow::Ok(lanes.join_all().await.concat())
        })
    });
    measured.join().map_err(|_| anyhow!("retrieval alone panicked"))?
}

/// One task of them. A question waits for its turn behind those of the others, as it would anywhere.
async fn retrieve(index: Arc<Index>, asked: Arc<[String]>, lane: usize, duration: Duration) -> Vec<Duration> {
    let (start, mut times) = (Instant::now(), Vec::new());
    for question in asked.iter().cycle().skip(lane) {
        if start.elapsed() >= duration {
            break;
        }
        let sent = Instant::now();
        yield_now().await;
        let hits = index.search(question, PASSAGES_PER_ANSWER);
        let quotes: Vec<String> = hits.iter().map(|hit| quote(question, &hit.passage.text)).collect();
        black_box(extract(&hits, &quotes));
        times.push(sent.elapsed());
    }
    times
}
