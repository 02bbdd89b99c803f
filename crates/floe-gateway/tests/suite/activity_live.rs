//! `/v1/ws/events`: events after they are stored.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    socket::{Client, handshake},
    storing::{Plan, Storing, note},
};

async fn ids(client: &mut Client, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    while ids.len() < count {
        ids.push(client.next().await["id"].as_str().unwrap().to_owned());
    }
    ids
}

#[tokio::test]
async fn an_event_is_told_once_its_row_can_be_read() {
    let floe = Storing::start().await;
    floe.stored(note("before", "u")).await;
    let mut client = Client::at(&floe, "/v1/ws/events").await;
    let answer = floe.post("/v1/event", note("e-1", "u")).await.ok(202);
    let told = client.next().await;
    assert_eq!(told["id"], answer["id"]);
    let found = floe.get("/v1/events/e-1").await.ok(200);
    assert_eq!(told, found);
    client.close().await;
    floe.stop().await;
}

#[tokio::test]
async fn what_was_missed_is_replayed_and_then_it_goes_on_live() {
    let floe = Storing::start().await;
    let mut client = Client::at(&floe, "/v1/ws/events?after=0").await;
    floe.stored(note("a", "u")).await;
    let first = client.next().await;
    client.close().await;
    for id in ["b", "c"] {
        floe.stored(note(id, "u")).await;
    }
    let mut client = Client::at(&floe, &format!("/v1/ws/events?after={}", first["cursor"])).await;
    assert_eq!(ids(&mut client, 2).await, ["b", "c"]);
    floe.stored(note("d", "u")).await;
    assert_eq!(ids(&mut client, 1).await, ["d"]);
    let mut all = Client::at(&floe, "/v1/ws/events?after=0").await;
    assert_eq!(ids(&mut all, 4).await, ["a", "b", "c", "d"]);
    drop((client, all));
    floe.stop().await;
}

#[tokio::test]
async fn a_follower_gets_only_what_it_asked_for() {
    let floe = Storing::start().await;
    let mut of_type = Client::at(&floe, "/v1/ws/events?event_type=x").await;
    let mut of_user = Client::at(&floe, "/v1/ws/events?user_id=u2&after=0").await;
    for (id, kind, user) in [("a", "x", "u1"), ("b", "y", "u2"), ("c", "x", "u2"), ("d", "y", "u1")] {
        floe.stored(json!({ "id": id, "event_type": kind, "user_id": user })).await;
    }
    assert_eq!(ids(&mut of_type, 2).await, ["a", "c"]);
    assert_eq!(ids(&mut of_user, 2).await, ["b", "c"]);
    drop((of_type, of_user));
    floe.stop().await;
}

#[tokio::test]
async fn a_reader_that_pauses_loses_nothing() {
    let floe = Storing::start().await;
    let mut client = Client::at(&floe, "/v1/ws/events?after=0").await;
    let big = "x".repeat(20_000);
    let events = 600;
    for chunk in 0..events / 100 {
        let batch: Vec<Value> = (0..100)
            .map(|n| json!({ "id": format!("{:04}", chunk * 100 + n), "event_type": "big", "user_id": "u", "data": { "x": big } }))
            .collect();
        floe.post("/v1/events", json!(batch)).await.ok(202);
    }
    floe.rest().await;
    let mut found = ids(&mut client, events).await;
    found.sort_unstable();
    let expected: Vec<String> = (0..events).map(|n| format!("{n:04}")).collect();
    assert_eq!(found, expected);
    drop(client);
    floe.stop().await;
}

#[tokio::test]
async fn without_the_redis_that_is_configured_events_are_told_all_the_same() {
    // Port 1 of this machine: nothing listens there.
    let plan = Plan { redis: Some("redis://user:canary@127.0.0.1:1".into()), ..Plan::default() };
    let floe = Storing::with(plan).await;
    let mut client = Client::at(&floe, "/v1/ws/events").await;
    floe.stored(note("a", "u")).await;
    assert_eq!(ids(&mut client, 1).await, ["a"]);
    let ready = floe.until("/health/ready", |ready| ready["status"] == "degraded").await;
    assert_eq!(ready["reasons"][0]["part"], "redis");
    let metrics = floe.get("/metrics").await.text();
    assert!(metrics.contains("floe_redis_connected 0"), "{metrics}");
    assert!(metrics.contains("floe_redis_unpublished_total "), "{metrics}");
    assert!(!ready.to_string().contains("canary"), "{ready}");
    drop(client);
    floe.stop().await;
}

#[tokio::test]
async fn bad_requests_are_refused_before_the_socket_opens() {
    let floe = Storing::start().await;
    floe.get("/v1/ws/events").await.problem(426, "BAD_REQUEST");
    for query in ["after=x", "after=-1", "from=earliest", "user_id=a&user_id=b"] {
        floe.get(&format!("/v1/ws/events?{query}")).await.problem(400, "BAD_REQUEST");
    }
    let foreign = handshake(&floe, "Origin: https://evil.example\r\n").replace("/ws ", "/v1/ws/events ");
    assert_eq!(
        floe.raw_status(foreign.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes()).await,
        Some(403)
    );
    floe.stop().await;
}

#[tokio::test]
async fn the_socket_follows_the_rules_of_the_protocol() {
    let floe = Storing::start().await;
    let mut client = Client::at(&floe, "/v1/ws/events").await;
    client.send_text("whatever").await;
    client.send_message(Message::Ping("hello".into())).await;
    assert_eq!(client.frame().await, Message::Pong("hello".into()));
    client.send_message(Message::Binary("x".into())).await;
    assert_eq!(client.closed().await.0, 1003);

    let mut client = Client::at(&floe, "/v1/ws/events").await;
    client.send_message(Message::Close(None)).await;
    assert_eq!(client.frame().await, Message::Close(None));

    let mut client = Client::at(&floe, "/v1/ws/events").await;
    let leaving = async {
        assert_eq!(client.closed().await.0, 1001);
        drop(client);
    };
    tokio::join!(leaving, floe.stop());
}
