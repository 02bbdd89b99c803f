//! D1 and D2: events into Apache Kafka through a gateway, beside another API server and beside Kafka's own client.

use std::{
    net::SocketAddr,
    path::Path,
    process::Command,
    rc::Rc,
    sync::mpsc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use floe_testkit::services::Kafka;
use rdkafka::{
    ClientConfig, ClientContext,
    message::DeliveryResult,
    producer::{BaseRecord, ProducerContext, ThreadedProducer},
};

use super::Plan;
use crate::{
    client::{self, load, request},
    report::{Line, median},
    server::{Server, free_port},
};

const CONNECTIONS: usize = 64;
const EVENT_BYTES: usize = 200;
const TOPIC: &str = "bench";
/// Kafka's virtual machine compiles for about this long what the load makes it use, and takes the processors for it.
const WARM_UP: Duration = Duration::from_secs(40);

/// A gateway on a cluster, without data of its own, which has made this topic.
pub(super) async fn gateway(
    plan: &Plan,
    kafka: &Kafka,
    topic: &str,
    partitions: u32,
) -> anyhow::Result<Server> {
    let data = plan.data()?;
    let (server, _) = Server::floe_with(&plan.floe, data.path(), |command| {
        command.args(["--engine", "kafka", "--services", "http", "--kafka-bootstrap", &kafka.bootstrap()]);
    })
    .await?;
    let topic = format!(r#"{{"name":"{topic}","partitions":{partitions}}}"#);
    let made = client::post(server.address, "/topics", &topic).await?;
    ensure!(made.status == 201, "making a topic answered {}", made.status);
    Ok(server)
}

/// The same with FastAPI and aiokafka.
async fn fastapi(python: &Path, kafka: &Kafka) -> anyhow::Result<Server> {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let mut command = Command::new(python);
    command
        .args([
            "-m",
            "uvicorn",
            "--app-dir",
            "bench/fastapi",
            "app:app",
            "--no-access-log",
            "--log-level",
            "warning",
        ])
        .args(["--loop", "uvloop", "--http", "httptools", "--port", &address.port().to_string()])
        .env("KAFKA_BROKER_URL", kafka.bootstrap());
    let server = Server::spawned(command, address)?;
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        if client::get(address, "/health/ready").await.is_ok_and(|answer| answer.status == 200) {
            return Ok(server);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bail!("FastAPI was not ready within a minute")
}

/// D1 and D2: one event a request, answered when Kafka has it.
pub(super) async fn single(plan: &Plan) -> anyhow::Result<Vec<Line>> {
    let duration = Duration::from_secs(plan.seconds);
    let kafka = Kafka::start_kraft_for_figures();
    let floe = gateway(plan, &kafka, TOPIC, 12).await?;
    let other = match &plan.python {
        Some(python) => Some(fastapi(python, &kafka).await?),
        None => None,
    };
    let head = r#"{"value":{"event_type":"click","user_id":"u-123456","page":"/products/42","note":""#;
    let body = format!("{head}{}\"}}}}", "x".repeat(EVENT_BYTES - head.len() - 3));
    let path = format!("/topics/{TOPIC}/records");
    let event = Rc::new(vec![request("POST", &path, "application/json", body.as_bytes())]);
    let (mut ours, mut theirs, mut bare, mut open) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    load(floe.address, event.clone(), CONNECTIONS, WARM_UP).await?;
    for _ in 0..plan.turns {
        let a = load(floe.address, event.clone(), CONNECTIONS, duration).await?.requests_per_second;
        let b = match &other {
            Some(other) => {
                load(other.address, event.clone(), CONNECTIONS, duration).await?.requests_per_second
            }
            None => f64::NAN,
        };
        let c = produce(&kafka.bootstrap(), CONNECTIONS, duration)?;
        let d = produce(&kafka.bootstrap(), 100_000, duration)?;
        ours.push(a);
        theirs.push(b);
        bare.push(c);
        open.push(d);
    }
    let ratio = |to: &[f64]| median(ours.iter().zip(to).map(|(ours, other)| ours / other).collect());
    let (to_fastapi, to_bare) = (ratio(&theirs), ratio(&bare));
    let floe = format!("{:.0}/s", median(ours.clone()));
    Ok(vec![
        Line {
            row: "D1",
            what: "A1 through Floe over Apache Kafka, 12 partitions, acks=all".into(),
            floe: floe.clone(),
            other: format!("FastAPI + aiokafka {:.0}/s", median(theirs)),
            figure: format!("{to_fastapi:.1}×"),
            bar: "8×",
            goal: "15×",
            met: other.is_some().then_some(to_fastapi >= 8.0),
        },
        Line {
            row: "D2",
            what: format!(
                "the same (librdkafka with 100,000 in flight instead of {CONNECTIONS}: {:.0}/s)",
                median(open)
            ),
            floe,
            other: format!("librdkafka, {CONNECTIONS} in flight {:.0}/s", median(bare)),
            figure: format!("{to_bare:.2}"),
            bar: "0.4",
            goal: "0.7",
            met: Some(to_bare >= 0.4),
        },
    ])
}

/// Gives a place in flight back with each acknowledgement.
struct Acknowledged(mpsc::SyncSender<bool>);

impl ClientContext for Acknowledged {}

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        // the loop has ended
        let _ = self.0.try_send(result.is_ok());
    }
}

/// Kafka's own client in a loop: the same records with the same promise, so many in flight. Answers records per second.
fn produce(bootstrap: &str, in_flight: usize, duration: Duration) -> anyhow::Result<f64> {
    let (acknowledged, free) = mpsc::sync_channel(in_flight * 2);
    let producer: ThreadedProducer<Acknowledged> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", "1")
        .set("queue.buffering.max.messages", "500000")
        .create_with_context(Acknowledged(acknowledged))?;
    let value = "x".repeat(EVENT_BYTES);
    let (started, mut sent, mut done) = (Instant::now(), 0u64, 0u64);
    while started.elapsed() < duration {
        while sent - done < in_flight as u64 {
            let record: BaseRecord<'_, [u8], str> = BaseRecord::to(TOPIC).payload(value.as_str());
            producer.send(record).map_err(|(error, _)| error)?;
            sent += 1;
        }
        let stored = free.recv_timeout(Duration::from_secs(30)).context("an acknowledgement")?;
        ensure!(stored, "a record was not stored");
        done += 1;
    }
    Ok(done as f64 / started.elapsed().as_secs_f64())
}
