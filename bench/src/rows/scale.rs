//! D3: more workers on one pipeline over Apache Kafka.

use std::{
    fs,
    io::Write as _,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{bail, ensure};
use axum::{Router, body::Bytes, routing::post};
use floe_testkit::services::Kafka;

use super::{Plan, cluster::gateway};
use crate::{
    client,
    report::{Line, median},
    server::Server,
};

const PARTITIONS: u32 = 12;
const RECORDS: usize = 120_000;
/// A batch of the pipeline, and how long the sink takes for it.
const BATCH: usize = 10;
const SLOWED: Duration = Duration::from_millis(5);

/// Takes one batch at a time, each in five milliseconds, as a database with one connection would.
struct SlowSink {
    address: SocketAddr,
    records: Arc<AtomicU64>,
}

impl SlowSink {
    async fn start() -> anyhow::Result<Self> {
        let records = Arc::new(AtomicU64::new(0));
        let (counted, turn) = (Arc::clone(&records), Arc::new(tokio::sync::Mutex::new(())));
        let take = move |body: Bytes| {
            let (counted, turn) = (Arc::clone(&counted), Arc::clone(&turn));
            async move {
                let _turn = turn.lock().await;
                tokio::time::sleep(SLOWED).await;
                let values = body.windows(3).filter(|part| *part == br#""n""#).count();
                counted.fetch_add(values as u64, Ordering::Relaxed);
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/", post(take))).await });
        Ok(Self { address, records })
    }
}

/// A worker with a sink of its own.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Worker {
    fn start(
        plan: &Plan,
        kafka: &Kafka,
        folder: &Path,
        sink: &SlowSink,
        turn: usize,
    ) -> anyhow::Result<Self> {
        let name = folder.join(format!("worker-{}.toml", sink.address.port()));
        let mut file = fs::File::create(&name)?;
        write!(
            file,
            "[[pipeline]]\nname = \"d3-{turn}\"\nfrom = \"d3\"\nbatch = {{ max_records = {BATCH} }}\n\
             to = {{ type = \"webhook\", url = \"http://{}/\", batch = true, allow_private = true }}\n",
            sink.address
        )?;
        let child = Command::new(&plan.floe)
            .args(["serve", "--engine", "kafka", "--services", "pipelines"])
            .args(["--kafka-bootstrap", &kafka.bootstrap(), "--config"])
            .arg(&name)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self(child))
    }
}

/// D3: records per second that three workers deliver, beside one.
pub(super) async fn workers(plan: &Plan) -> anyhow::Result<Vec<Line>> {
    let kafka = Kafka::start_kraft_for_figures();
    let data = plan.data()?;
    let gateway = gateway(plan, &kafka, "d3", PARTITIONS).await?;
    fill(&gateway).await?;
    let (mut one, mut three, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..plan.turns {
        let alone = rate(plan, &kafka, data.path(), 1, 2 * turn).await?;
        let together = rate(plan, &kafka, data.path(), 3, 2 * turn + 1).await?;
        ratios.push(together / alone);
        one.push(alone);
        three.push(together);
    }
    let ratio = median(ratios);
    Ok(vec![Line {
        row: "D3",
        what: format!(
            "workers 1 → 3 on {PARTITIONS} partitions, each one's sink takes 5 ms a batch of {BATCH}"
        ),
        floe: format!("3 workers {:.0}/s", median(three)),
        other: format!("1 worker {:.0}/s", median(one)),
        figure: format!("{ratio:.2}×"),
        bar: "2.7×",
        goal: "2.95×",
        met: Some(ratio >= 2.7),
    }])
}

/// Enough records that no worker runs dry.
async fn fill(gateway: &Server) -> anyhow::Result<()> {
    for part in 0..RECORDS / 1_000 {
        let lines: String = (0..1_000)
            .map(|number| format!("{{\"partition\":{},\"value\":{{\"n\":{part}}}}}\n", number % PARTITIONS))
            .collect();
        let request = client::request("POST", "/topics/d3/records", "application/x-ndjson", lines.as_bytes());
        let answer = client::Connection::open(gateway.address).await?.ask(&request).await?;
        ensure!(answer.status == 201, "filling the topic answered {}", answer.status);
    }
    Ok(())
}

/// What so many workers deliver in a second, once all of them work.
async fn rate(plan: &Plan, kafka: &Kafka, folder: &Path, count: usize, turn: usize) -> anyhow::Result<f64> {
    let mut sinks = Vec::new();
    let mut workers = Vec::new();
    for _ in 0..count {
        let sink = SlowSink::start().await?;
        workers.push(Worker::start(plan, kafka, folder, &sink, turn)?);
        sinks.push(sink);
    }
    let all = || -> Vec<u64> { sinks.iter().map(|sink| sink.records.load(Ordering::Relaxed)).collect() };
    let deadline = Instant::now() + Duration::from_secs(60);
    while all().iter().any(|records| *records < 200) {
        if Instant::now() > deadline {
            bail!("not all of {count} workers work: {:?}", all());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // partitions settle for a moment after the last worker has its first
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (before, started) = (all().iter().sum::<u64>(), Instant::now());
    tokio::time::sleep(Duration::from_secs(plan.seconds)).await;
    let delivered = all().iter().sum::<u64>() - before;
    drop(workers);
    Ok(delivered as f64 / started.elapsed().as_secs_f64())
}
