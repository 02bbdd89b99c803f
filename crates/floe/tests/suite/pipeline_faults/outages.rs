//! A database or a Redis that isn't there, at the start and later: said, survived, not hammered.

use std::time::Duration;

use floe_testkit::services::{Postgres, Proxy, Redis, Traffic};
use serde_json::json;

use crate::node::{Node, until};

const OUTAGES: usize = 3;
/// How long attempts are counted for.
const COUNTED_FOR: Duration = Duration::from_secs(4);
const ATTEMPTS_PER_SECOND: usize = 5;

async fn accepts(server: &Node, id: &str) {
    let event = json!({"id": id, "event_type": "view", "user_id": "u-1"}).to_string();
    let (status, said) = server.ask("POST", "/v1/event", &event).await;
    assert_eq!((status, &said["status"]), (202, &"accepted".into()), "{said}");
}

async fn stores(server: &Node, id: &str) {
    let path = format!("/v1/events/{id}");
    until(&format!("{id} is stored"), async || server.ask("GET", &path, "").await.0 == 200).await;
}

/// Fails when a service that refuses is tried more often than it should be.
async fn is_not_hammered(proxies: &[&Proxy]) {
    let before: Vec<usize> = proxies.iter().map(|proxy| proxy.seen()).collect();
    let most = ATTEMPTS_PER_SECOND * usize::try_from(COUNTED_FOR.as_secs()).unwrap();
    let hammered = async {
        let too_often = |at: usize| proxies[at].seen() - before[at] >= most;
        until("hammered", async || (0..proxies.len()).any(too_often)).await;
    };
    // that the time passes is what should happen
    let passed = tokio::time::timeout(COUNTED_FOR, hammered).await.is_err();
    let seen: Vec<usize> = proxies.iter().zip(&before).map(|(proxy, before)| proxy.seen() - before).collect();
    assert!(passed, "within {COUNTED_FOR:?} they were tried so often: {seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_and_a_redis_that_are_away_cost_no_event() {
    let (postgres, redis) = (Postgres::start(), Redis::start());
    let roads = [Proxy::to(postgres.port()), Proxy::to(redis.port())];
    roads.iter().for_each(|road| road.set(Traffic::Refused));
    let environment =
        [("POSTGRES_URL", roads[0].url(&postgres.database())), ("REDIS_URL", roads[1].url(&redis.url()))];
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let server = Node::server(&folder.path().join("data"), &environment);
    for outage in 0..OUTAGES {
        roads.iter().for_each(|road| road.set(Traffic::Refused));
        let id = format!("during-{outage}");
        accepts(&server, &id).await;
        for part in ["postgres", "redis"] {
            until(part, async || server.is_ready_with("degraded", part).await).await;
        }
        let (status, said) = server.ask("GET", &format!("/v1/events/{id}"), "").await;
        assert_eq!((status, &said["code"]), (503, &"UNAVAILABLE".into()), "{said}");
        is_not_hammered(&[&roads[0], &roads[1]]).await;
        roads.iter().for_each(|road| road.set(Traffic::Flows));
        stores(&server, &id).await;
        until("ready is ok again", async || server.is_ready_with("ok", "").await).await;
        let after = format!("after-{outage}");
        accepts(&server, &after).await;
        stores(&server, &after).await;
    }
    let (_, status) = server.ask("GET", "/get_status", "").await;
    assert_eq!((&status["accepted"], &status["dead_lettered"]), (&(2 * OUTAGES).into(), &0.into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_during_an_outage_catches_up_afterwards() {
    let postgres = Postgres::start();
    let url = postgres.database();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let server = Node::server(&folder.path().join("data"), &[("POSTGRES_URL", url.clone())]);
    accepts(&server, "before").await;
    stores(&server, "before").await;
    postgres.kill();
    accepts(&server, "during").await;
    server.restart();
    accepts(&server, "after").await;
    postgres.restart();
    for id in ["during", "after"] {
        stores(&server, id).await;
    }
    assert_eq!(postgres.query(&url, "SELECT count(*), count(DISTINCT id) FROM events"), "3|3");
}
