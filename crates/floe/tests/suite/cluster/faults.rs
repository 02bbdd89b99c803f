//! A steady load over both gateways while processes around it are killed: nothing that was acknowledged is lost, nothing is
//! there twice.
//!
//! `make cluster-demo` is this test, longer and with its output shown.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{sync::watch, time::timeout};

use super::{
    Cluster, WORKERS,
    senders::{PER_MINUTE, PREFIX, Plan, Sending},
    verdict::{Verdict, Watched},
};
use crate::{
    node::{Node, until},
    pipeline_faults::{Watching, dead_letters, rest, watcher::Awaited},
};

/// How long the load lasts, unless [`SECONDS_VARIABLE`] says otherwise.
const SECONDS: usize = 45;
const SECONDS_VARIABLE: &str = "FLOE_CLUSTER_SECONDS";
/// Records read at once.
const PAGE: usize = 5_000;
/// What start, faults and the end may take beside the load.
const BESIDE: Duration = Duration::from_secs(300);

/// Tells what is going on, and when.
struct Teller {
    began: Instant,
}

impl Teller {
    fn say(&self, text: &str) {
        eprintln!("cluster: {:3} s  {text}", self.began.elapsed().as_secs());
    }
}

fn seconds() -> usize {
    std::env::var(SECONDS_VARIABLE).map_or(SECONDS, |text| {
        text.parse().unwrap_or_else(|_| panic!("{SECONDS_VARIABLE} is a number of seconds, not {text:?}"))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_loses_nothing_whatever_is_killed() {
    let seconds = seconds();
    let limit = BESIDE + 2 * Duration::from_secs(seconds as u64);
    let verdict = timeout(limit, run(Plan::lasting(seconds))).await.expect("the run did not end in time");
    println!("\n{verdict}");
    assert!(verdict.holds(), "a promise was broken");
}

async fn run(plan: Plan) -> Verdict {
    let teller = Teller { began: Instant::now() };
    let cluster = Cluster::start();
    cluster.is_ready().await;
    let [one, two] = cluster.gateways.each_ref().map(|gateway| gateway.url.as_str());
    teller.say(&format!("Kafka at {}, PostgreSQL and Redis run", cluster.kafka.bootstrap()));
    teller.say(&format!("gateways at {one} and {two}, {WORKERS} workers"));
    let awaited = Awaited { prefixes: vec![PREFIX], counts: vec![plan.good()] };
    let (finish, finished) = watch::channel(false);
    let mut watchers =
        cluster.gateways.each_ref().map(|gateway| Watching::start(gateway, &awaited, &finished));
    teller.say(&format!(
        "{} requests begin, {PER_MINUTE} a minute over both gateways; {} have an event that none can store",
        plan.requests,
        plan.poison()
    ));
    let mut sending = Sending::start([one, two], plan);
    let replacement = strike(&teller, &cluster, plan, &mut sending).await;
    let (sent, took) = sending.end().await;
    teller.say("everything is acknowledged; waiting for the workers and the watchers");
    for watching in &mut watchers {
        // one that never gets there is found out below
        let _ = timeout(BESIDE / 2, watching.progress.wait_for(|seen| *seen >= plan.good())).await;
    }
    for gateway in &cluster.gateways {
        rest(gateway).await;
    }
    finish.send(true).unwrap();
    let mut watched = Vec::new();
    for (watching, name) in watchers.into_iter().zip(["gateway 1", "gateway 2"]) {
        watched.push(Watched { at: name, seen: watching.task.await.unwrap() });
    }
    let rows = |sql: &str| cluster.postgres.query(&cluster.database, sql);
    Verdict {
        plan,
        sent,
        took,
        rows: rows(&format!("SELECT count(*), count(DISTINCT id) FROM events WHERE id LIKE '{PREFIX}%'")),
        all_rows: rows("SELECT count(*) FROM events"),
        keyed: records_of(&cluster.gateways[0], plan.keyed().collect()).await,
        dead_letters: dead_letters(&cluster.gateways[0]).await,
        status: cluster.gateways[1].ask("GET", "/get_status", "").await.1,
        watched,
        stopped: stop(&cluster, &replacement),
    }
}

/// How many records there are of each of these events.
async fn records_of(gateway: &Node, ids: BTreeSet<String>) -> BTreeMap<String, usize> {
    let mut counts: BTreeMap<String, usize> = ids.into_iter().map(|id| (id, 0)).collect();
    let mut path = format!("/topics/events/records?limit={PAGE}");
    loop {
        let page = gateway.says(200, "GET", &path, &Value::Null).await;
        let records = page["records"].as_array().unwrap();
        for id in records.iter().filter_map(|record| record["value"]["id"].as_str()) {
            if let Some(count) = counts.get_mut(id) {
                *count += 1;
            }
        }
        if records.is_empty() {
            return counts;
        }
        path = format!(
            "/topics/events/records?limit={PAGE}&cursor={}",
            page["next"]["cursor"].as_str().unwrap()
        );
    }
}

/// Kills a worker, a gateway and Kafka, each when so much was acknowledged. Answers the worker that took the first one's
/// place.
async fn strike(teller: &Teller, cluster: &Cluster, plan: Plan, sending: &mut Sending) -> Node {
    cluster.works_with(WORKERS).await;
    let acknowledged = sending.acknowledged(plan, 15).await;
    cluster.workers[0].kill();
    teller.say(&format!("{acknowledged} are acknowledged: SIGKILL to a worker, and a new one is started"));
    let replacement = Node::cluster_worker("worker 4", &cluster.environment);
    let acknowledged = sending.acknowledged(plan, 35).await;
    let gateway = &cluster.gateways[0];
    gateway.kill();
    teller.say(&format!(
        "{acknowledged} are acknowledged: SIGKILL to gateway 1; the other one takes everything"
    ));
    let acknowledged = sending.acknowledged(plan, 45).await;
    gateway.start();
    teller.say(&format!("{acknowledged} are acknowledged: gateway 1 is started again"));
    let acknowledged = sending.acknowledged(plan, 60).await;
    cluster.kafka.kill();
    let back = tokio::time::Instant::now() + plan.outage();
    teller.say(&format!("{acknowledged} are acknowledged: SIGKILL to Kafka"));
    for gateway in &cluster.gateways {
        let is_red = async || matches!(gateway.try_ask("GET", "/health/ready", "").await, Ok((503, _)));
        until("a gateway without Kafka isn't ready", is_red).await;
    }
    teller.say("the gateways say that they aren't ready");
    tokio::time::sleep_until(back).await;
    cluster.kafka.restart();
    teller.say("Kafka is started again");
    cluster.is_ready().await;
    let acknowledged = sending.progress.borrow().acknowledged;
    teller.say(&format!("{acknowledged} are acknowledged: the gateways are ready again"));
    replacement
}

/// Asks all to stop; answers whether all did in good order.
fn stop(cluster: &Cluster, replacement: &Node) -> bool {
    let running = cluster.workers[1..].iter().chain([replacement]).chain(&cluster.gateways);
    let ends: Vec<_> = running.map(Node::stop).collect();
    ends.iter().all(|end| end.is_some_and(|status| status.success()))
}
