//! Events on their way into the store while everything around them is killed: real processes, real databases. Every
//! event that was acknowledged is in the table once, every watcher sees it once, and what can't be stored is a dead letter.

mod outages;
pub(crate) mod senders;
pub(crate) mod watcher;

use std::{collections::BTreeSet, path::PathBuf, process::Command, time::Duration};

use floe_testkit::services::{Postgres, Redis, find_program};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{sync::watch, task::JoinHandle};

use crate::node::{Node, until};
use senders::{Plan, send};
use watcher::{Awaited, Seen, watch as watch_events};

/// The whole of one scenario.
const ALL_WITHIN: Duration = Duration::from_secs(420);
const WATCHERS: usize = 3;

/// What is killed, with SIGKILL, and started again.
#[derive(Clone, Copy, Debug)]
enum Blow {
    Worker,
    Postgres,
    Redis,
    Server,
}

/// A server, a worker beside it, and what they store in.
struct Stage {
    worker: Node,
    server: Node,
    database: Database,
    redis: Option<Redis>,
    _folder: TempDir,
}

enum Database {
    Postgres(Box<Postgres>, String),
    Sqlite(PathBuf),
}

impl Database {
    /// A statement's answer, asked past Floe.
    fn query(&self, sql: &str) -> String {
        match self {
            Self::Postgres(postgres, url) => postgres.query(url, sql),
            Self::Sqlite(file) => {
                let mut sqlite3 = Command::new(find_program("sqlite3", &[], "sqlite3"));
                let output = sqlite3.arg("-batch").arg(file).arg(sql).output().unwrap();
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                String::from_utf8(output.stdout).unwrap().trim().to_owned()
            }
        }
    }
}

impl Stage {
    fn on_postgres_and_redis() -> Self {
        let (postgres, redis) = (Postgres::start(), Redis::start());
        let url = postgres.database();
        let environment = [("POSTGRES_URL", url.clone()), ("REDIS_URL", redis.url())];
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        Self::new(folder, &environment, Database::Postgres(Box::new(postgres), url), Some(redis))
    }

    /// The worker and the server share the file.
    fn on_sqlite() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let file = folder.path().join("shared.sqlite");
        let environment = [("FLOE_STORE__URL", format!("sqlite:{}", file.display()))];
        Self::new(folder, &environment, Database::Sqlite(file), None)
    }

    fn new(
        folder: TempDir,
        environment: &[(&str, String)],
        database: Database,
        redis: Option<Redis>,
    ) -> Self {
        let server = Node::server(&folder.path().join("data"), environment);
        let worker = Node::worker("worker", &server, environment);
        Self { worker, server, database, redis, _folder: folder }
    }

    async fn strike(&self, blow: Blow) {
        match (blow, &self.database) {
            (Blow::Worker, _) => self.worker.restart(),
            (Blow::Server, _) => self.server.restart(),
            (Blow::Redis, _) => {
                let redis = self.redis.as_ref().unwrap();
                redis.kill();
                until("ready names redis", async || self.server.is_ready_with("degraded", "redis").await)
                    .await;
                redis.restart();
            }
            (Blow::Postgres, Database::Postgres(postgres, _)) => {
                postgres.kill();
                until("ready is degraded", async || self.server.is_ready_with("degraded", "").await).await;
                postgres.restart();
            }
            (Blow::Postgres, Database::Sqlite(_)) => panic!("there is no PostgreSQL here"),
        }
    }

    /// Kills things while events flow, each when so many percent of them were seen; then holds Floe to its promises.
    async fn survives(self, blows: &[(usize, Blow)]) {
        let plan = Plan { events: 100_000, prefix: "event-" };
        let awaited = Awaited { prefixes: vec![plan.prefix], counts: vec![plan.events] };
        let (finish, finished) = watch::channel(false);
        let mut watchers = Vec::new();
        for _ in 0..WATCHERS {
            watchers.push(Watching::start(&self.server, &awaited, &finished));
        }
        let mut seen = watchers[0].progress.clone();
        let striking = async {
            for (percent, blow) in blows {
                seen.wait_for(|seen| *seen >= plan.events / 100 * percent).await.unwrap();
                self.strike(*blow).await;
            }
        };
        tokio::join!(send(&self.server.url, plan, watchers[0].progress.clone()), striking);
        for watching in &mut watchers {
            watching.progress.wait_for(|seen| *seen >= plan.events).await.unwrap();
        }
        rest(&self.server).await;
        finish.send(true).unwrap();
        for watching in watchers {
            watching.task.await.unwrap().assert_flawless();
        }
        let rows =
            self.database.query("SELECT count(*), count(DISTINCT id) FROM events WHERE id LIKE 'event-%'");
        assert_eq!(rows, format!("{0}|{0}", plan.events));
        assert_eq!(self.database.query("SELECT count(*) FROM events"), plan.events.to_string());
        self.dead_letters_are(plan.poison()).await;
    }

    async fn dead_letters_are(&self, poison: usize) {
        let ids = dead_letters(&self.server).await;
        let different: BTreeSet<&String> = ids.iter().collect();
        let sent: BTreeSet<String> = (0..poison).map(|number| format!("poison-{number}")).collect();
        assert_eq!(different, sent.iter().collect());
        assert_eq!(ids.len(), poison, "some were dead-lettered twice");
    }
}

/// Waits until all that was accepted is dealt with, and all is well.
pub(crate) async fn rest(server: &Node) {
    until("accepted == processed + dead_lettered", async || {
        let Ok((200, status)) = server.try_ask("GET", "/get_status", "").await else { return false };
        let of = |name: &str| status[name].as_u64().unwrap();
        of("lag") == 0 && of("in_flight") == 0 && of("accepted") == of("processed") + of("dead_lettered")
    })
    .await;
    until("ready is ok again", async || server.is_ready_with("ok", "").await).await;
}

/// The ids of the events that could not be stored.
pub(crate) async fn dead_letters(server: &Node) -> Vec<String> {
    let path = "/topics/dlq.events-store/records?offset=earliest&limit=10000";
    let page = server.says(200, "GET", path, &Value::Null).await;
    page["records"].as_array().unwrap().iter().map(id_of).collect()
}

fn id_of(record: &Value) -> String {
    record["value"]["id"].as_str().unwrap().to_owned()
}

/// A watcher on its way.
pub(crate) struct Watching {
    pub(crate) progress: watch::Receiver<usize>,
    pub(crate) task: JoinHandle<Seen>,
}

impl Watching {
    pub(crate) fn start(server: &Node, awaited: &Awaited, finished: &watch::Receiver<bool>) -> Self {
        let (tell, progress) = watch::channel(0);
        let task = tokio::spawn(watch_events(server.url.clone(), awaited.clone(), tell, finished.clone()));
        Self { progress, task }
    }
}

async fn within_reason(scenario: impl Future<Output = ()>) {
    assert!(tokio::time::timeout(ALL_WITHIN, scenario).await.is_ok(), "not done after {ALL_WITHIN:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_is_stored_once_whatever_is_killed() {
    let blows = [
        (8, Blow::Worker),
        (18, Blow::Postgres),
        (32, Blow::Redis),
        (44, Blow::Worker),
        (56, Blow::Server),
        (70, Blow::Postgres),
        (84, Blow::Worker),
    ];
    within_reason(Stage::on_postgres_and_redis().survives(&blows)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_is_stored_once_in_sqlite_too() {
    let blows = [(15, Blow::Worker), (35, Blow::Server), (55, Blow::Worker), (75, Blow::Worker)];
    within_reason(Stage::on_sqlite().survives(&blows)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_of_two_gateways_see_the_events_of_both() {
    let (postgres, redis) = (Postgres::start(), Redis::start());
    let url = postgres.database();
    let environment = [("POSTGRES_URL", url.clone()), ("REDIS_URL", redis.url())];
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let gateways = ["one", "two"].map(|name| Node::server(&folder.path().join(name), &environment));
    let plans = ["one-", "two-"].map(|prefix| Plan { events: 10_000, prefix });
    let awaited = Awaited { prefixes: vec!["one-", "two-"], counts: vec![plans[0].events; 2] };
    let (finish, finished) = watch::channel(false);
    let mut watchers = gateways.each_ref().map(|gateway| Watching::start(gateway, &awaited, &finished));
    let [mut first, mut second] = watchers.each_ref().map(|watching| watching.progress.clone());
    let story = async {
        let striking = async {
            // without Redis they look into the table themselves
            first.wait_for(|seen| *seen >= plans[0].events / 2).await.unwrap();
            redis.kill();
            second.wait_for(|seen| *seen >= plans[0].events).await.unwrap();
            redis.restart();
        };
        let [one, two] = [0, 1].map(|at| send(&gateways[at].url, plans[at], watchers[at].progress.clone()));
        tokio::join!(one, two, striking);
        for watching in &mut watchers {
            watching.progress.wait_for(|seen| *seen >= 2 * plans[0].events).await.unwrap();
        }
    };
    within_reason(story).await;
    finish.send(true).unwrap();
    for watching in watchers {
        watching.task.await.unwrap().assert_flawless();
    }
    assert_eq!(postgres.query(&url, "SELECT count(*) FROM events"), "20000");
}
