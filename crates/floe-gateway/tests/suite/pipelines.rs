//! `/pipelines` and `/dead-letters`, and what `/get_status`, `/health` and the metrics say of them.

use std::collections::BTreeMap;

use floe_pipeline::{PipelineSpec, events_store};
use serde_json::{Value, json};

use crate::{
    floe::Floe,
    storing::{Plan, Storing, note, poison},
};

/// Sends so many events that can't be stored and as many that can, and waits until all are dealt with.
async fn mixed(floe: &Storing, count: usize) {
    for n in 0..count {
        floe.post("/register_event", note(&format!("good-{n}"), "u")).await.ok(202);
        floe.post("/register_event", poison(&format!("bad-{n}"))).await.ok(202);
    }
    floe.rest().await;
}

async fn pipeline(floe: &Floe, name: &str) -> Value {
    floe.get(&format!("/pipelines/{name}")).await.ok(200)
}

#[tokio::test]
async fn a_pipeline_says_what_it_is_doing() {
    let floe = Storing::start().await;
    mixed(&floe, 3).await;
    let view =
        floe.until("/pipelines/events-store", |view| view["state"] == "running" && view["lag"] == 0).await;
    assert_eq!((&view["name"], &view["group"]), (&json!("events-store"), &json!("pipeline:events-store")));
    assert_eq!((&view["topics"], &view["dead_lettered"]), (&json!(["events"]), &json!(3)));
    assert_eq!(view["partitions"].as_array().unwrap().len(), 12);
    assert_eq!(view["workers"].as_array().unwrap().len(), 1);
    let worker = floe.until("/pipelines/events-store", |view| view["workers"][0]["dead_lettered"] == 3).await;
    assert_eq!(worker["workers"][0]["partitions"].as_array().unwrap().len(), 12);
    assert_eq!(floe.get("/pipelines").await.ok(200)["pipelines"][0]["name"], "events-store");
    floe.get("/pipelines/none").await.problem(404, "NOT_FOUND");
    floe.get("/pipelines?x=1").await.problem(400, "BAD_REQUEST");
    floe.stop().await;
}

#[tokio::test]
async fn a_paused_pipeline_reads_nothing_until_it_is_resumed() {
    let floe = Storing::start().await;
    floe.stored(note("a", "u")).await;
    let paused =
        floe.post("/pipelines/events-store/pause", json!({ "reason": "moving house" })).await.ok(200);
    assert_eq!(paused, json!({ "status": "paused", "pipeline": "events-store" }));
    let view = pipeline(&floe, "events-store").await;
    assert_eq!((&view["state"], &view["reason"]), (&json!("paused"), &json!("moving house")));
    floe.until("/pipelines/events-store", |view| view["workers"][0]["state"] == "paused").await;
    floe.post("/v1/event", note("b", "u")).await.ok(202);
    floe.get("/v1/events/b").await.problem(404, "NOT_FOUND");
    assert_eq!(floe.get("/get_status").await.ok(200)["in_flight"], 1);
    assert_eq!(floe.get("/health/ready").await.ok(200), json!({ "status": "ok" }), "somebody wanted it so");
    let resumed = floe.post("/pipelines/events-store/resume", json!({})).await.ok(200);
    assert_eq!(resumed, json!({ "status": "resumed", "pipeline": "events-store" }));
    floe.until("/v1/events/b", |event| event["id"] == "b").await;
    floe.call("POST", "/pipelines/none/resume").send().await.problem(404, "NOT_FOUND");
    floe.post("/pipelines/none/pause", json!({})).await.problem(404, "NOT_FOUND");
    floe.call("POST", "/pipelines/events-store/pause").send().await.ok(200);
    let form = floe.call("POST", "/pipelines/events-store/pause").body("text/plain", "{}");
    form.send().await.problem(415, "UNSUPPORTED_MEDIA_TYPE");
    let long = json!({ "reason": "x".repeat(1_025) });
    floe.post("/pipelines/events-store/pause", long).await.problem(400, "BAD_REQUEST");
    floe.stop().await;
}

#[tokio::test]
async fn a_blown_fuse_is_told_and_the_server_stays_ready() {
    let floe = Storing::with(Plan { works: false, ..Plan::default() }).await;
    let body = json!({ "reason": "60 of the newest 100 were dead-lettered", "by_fuse": true });
    floe.post("/pipelines/events-store/pause", body).await.ok(200);
    assert_eq!(pipeline(&floe, "events-store").await["state"], "fuse_blown");
    let ready = floe.get("/health/ready").await.ok(200);
    assert_eq!(
        ready,
        json!({ "status": "degraded", "reasons": [{
            "part": "pipeline events-store",
            "reason": "fuse_blown: 60 of the newest 100 were dead-lettered"
        }] })
    );
    assert_eq!(floe.get("/health").await.ok(200)["status"], "degraded");
    let metrics = floe.get("/metrics").await.text();
    let line = "floe_pipeline_state{pipeline=\"events-store\",state=\"fuse_blown\"} 1";
    assert!(metrics.contains(line), "{metrics}");
    floe.stop().await;
}

#[tokio::test]
async fn the_status_adds_up_at_rest() {
    let floe = Storing::start().await;
    mixed(&floe, 4).await;
    let status = floe.rest().await;
    let count = |name: &str| status[name].as_u64().unwrap();
    assert_eq!((count("accepted"), count("processed"), count("dead_lettered")), (8, 4, 4));
    assert_eq!((&status["pipeline"], count("lag")), (&json!("events-store"), 0));
    assert_eq!(status["pipelines"][0]["pipeline"], "events-store");
    assert_eq!(status["consumers"].as_array().unwrap().len(), 1);
    assert!(status["consumers"][0]["last_seen"].is_string());
    let metrics = floe.get("/metrics").await.text();
    for line in [
        "floe_dead_letters_open{pipeline=\"events-store\"} 4",
        "floe_store_connected 1",
        "floe_pipeline_lag{pipeline=\"events-store\"} 0",
        "# TYPE floe_pipeline_delivered counter",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    floe.stop().await;
}

#[tokio::test]
async fn an_event_is_followed_through_every_pipeline() {
    let floe = Storing::start().await;
    mixed(&floe, 1).await;
    let good = floe.get("/get_status?event_id=good-0").await.ok(200);
    assert_eq!(good["status"], "stored");
    assert!(good["accepted_at"].is_string() && good["stored_at"].is_string(), "{good}");
    let step = &good["pipelines"][0];
    assert_eq!((&step["pipeline"], &step["status"]), (&json!("events-store"), &json!("processed")));
    assert_eq!(step["at"], good["stored_at"]);
    let hoped = |status: &Value| status["status"] == "dead_lettered";
    let bad = floe.until("/get_status?event_id=bad-0", hoped).await;
    assert_eq!(bad["pipelines"][0]["status"], "dead_lettered");
    assert!(bad["error"].as_str().unwrap().contains("amount"), "{bad}");
    assert!(bad["dead_lettered_at"].is_string() && bad["stored_at"].is_null(), "{bad}");
    floe.get("/get_status?event_id=none").await.problem(404, "NOT_FOUND");
    floe.stop().await;
}

/// A pipeline that copies `events` into a topic.
fn copies() -> PipelineSpec {
    let sink = json!({ "type": "topic", "topic": "copies" });
    PipelineSpec {
        name: "copies".into(),
        group: "pipeline:copies".into(),
        steps: Vec::new(),
        sinks: vec![serde_json::from_value(sink).unwrap()],
        dead_letter_topic: "dlq.copies".into(),
        ..events_store(BTreeMap::new(), false)
    }
}

#[tokio::test]
async fn a_topic_that_several_pipelines_read_tells_of_each() {
    let floe = Storing::with(Plan { more: vec![copies()], ..Plan::default() }).await;
    floe.topic("copies", 1).await;
    floe.topic("unread", 1).await;
    mixed(&floe, 2).await;
    let hoped = |status: &Value| status["pipelines"][1]["processed"] == 4;
    let status = floe.until("/get_status", hoped).await;
    assert_eq!(
        status["pipelines"],
        json!([
            { "pipeline": "events-store", "state": "running", "processed": 2, "dead_lettered": 2 },
            { "pipeline": "copies", "state": "running", "processed": 4, "dead_lettered": 0 }
        ])
    );
    let event = floe.get("/get_status?event_id=bad-1").await.ok(200);
    assert_eq!(event["status"], "dead_lettered");
    assert_eq!(event["pipelines"][0]["status"], "dead_lettered");
    assert_eq!(event["pipelines"][1], json!({ "pipeline": "copies", "status": "processed" }));
    floe.post("/topics/unread/records", json!({ "value": 1 })).await.ok(201);
    let unread = floe.get("/get_status?topic=unread").await.ok(200);
    assert_eq!(
        (&unread["pipeline"], &unread["accepted"], &unread["in_flight"], &unread["pipelines"]),
        (&Value::Null, &json!(1), &json!(1), &json!([]))
    );
    floe.stop().await;
}

#[tokio::test]
async fn events_are_known_after_a_restart_however_far_they_came() {
    let directory = tempfile::tempdir().unwrap();
    let floe = Storing::on(directory.path(), Plan::default()).await;
    mixed(&floe, 2).await;
    floe.stop().await;
    let floe = Storing::on(directory.path(), Plan { works: false, ..Plan::default() }).await;
    floe.post("/register_event", note("waits", "u")).await.ok(202);
    floe.stop().await;
    let floe = Storing::on(directory.path(), Plan { works: false, ..Plan::default() }).await;
    for (id, expected) in [("waits", "accepted"), ("good-1", "stored"), ("bad-1", "dead_lettered")] {
        let path = format!("/get_status?event_id={id}");
        let status = floe.until(&path, |status| status["status"] == expected).await;
        assert!(status["accepted_at"].is_string(), "{status}");
    }
    floe.stop().await;
}

#[tokio::test]
async fn dead_letters_are_counted_listed_and_shown() {
    let floe = Storing::start().await;
    mixed(&floe, 3).await;
    let counts = floe.get("/dead-letters").await.ok(200);
    assert_eq!(
        counts["dead_letters"][0],
        json!({ "pipeline": "events-store", "topic": "dlq.events-store", "total": 3, "redriven": 0, "discarded": 0, "open": 3 })
    );
    let page = floe.get("/dead-letters/events-store?limit=2").await.ok(200);
    let letters = page["dead_letters"].as_array().unwrap();
    assert_eq!(letters.len(), 2);
    let letter = &letters[0];
    assert_eq!(
        (&letter["id"], &letter["state"], &letter["redrives"]),
        (&json!("0-0"), &json!("open"), &json!(0))
    );
    assert_eq!(letter["origin"]["topic"], "events");
    assert_eq!(letter["value"]["data"]["amount"], "a lot");
    assert!(letter["error"].as_str().unwrap().contains("amount"), "{letter}");
    assert!(letter["attempts"].is_u64() && letter["last_failure"].is_string(), "{letter}");
    assert_eq!(letter["headers"]["content-type"], "application/json");
    let rest = format!("/dead-letters/events-store?after={}", page["next"].as_str().unwrap());
    let rest = floe.get(&rest).await.ok(200);
    assert_eq!((rest["dead_letters"].as_array().unwrap().len(), &rest["next"]), (1, &Value::Null));
    assert_eq!(&floe.get("/dead-letters/events-store/0-0").await.ok(200), letter);
    floe.get("/dead-letters/events-store/0-99").await.problem(404, "NOT_FOUND");
    floe.get("/dead-letters/none").await.problem(404, "NOT_FOUND");
    for bad in ["limit=0", "limit=1001", "state=closed", "x=1", "after=x"] {
        floe.get(&format!("/dead-letters/events-store?{bad}")).await.problem(400, "BAD_REQUEST");
    }
    let records = floe.get("/topics/dlq.events-store/records").await.ok(200);
    assert_eq!(records["records"].as_array().unwrap().len(), 3, "an ordinary topic for reads");
    floe.stop().await;
}

#[tokio::test]
async fn a_redrive_writes_each_once_and_can_be_tried_dry() {
    let floe = Storing::start().await;
    mixed(&floe, 2).await;
    let redrive = |body: Value| floe.post("/dead-letters/events-store/redrive", body);
    let dry = redrive(json!({ "all": true, "dry_run": true })).await.ok(202);
    assert_eq!(dry, json!({ "redriven": 2, "skipped": [], "dry_run": true }));
    assert_eq!(floe.get("/get_status").await.ok(200)["accepted"], 4);
    let one = redrive(json!({ "ids": ["0-0"], "rate": 100 })).await.ok(202);
    assert_eq!((&one["redriven"], &one["dry_run"]), (&json!(1), &json!(false)));
    let again = redrive(json!({ "ids": ["0-0"] })).await.ok(202);
    assert_eq!((&again["redriven"], &again["skipped"][0]["id"]), (&json!(0), &json!("0-0")));
    let status =
        floe.until("/get_status", |status| status["accepted"] == 5 && status["in_flight"] == 0).await;
    assert_eq!((&status["processed"], &status["dead_lettered"]), (&json!(2), &json!(3)));
    let back = floe.get("/dead-letters/events-store?state=all").await.ok(200)["dead_letters"].clone();
    assert_eq!((&back[0]["state"], &back[2]["redrives"]), (&json!("redriven"), &json!(1)));
    for (body, expected) in [
        (json!({}), "which dead letters"),
        (json!({ "ids": [] }), "which dead letters"),
        (json!({ "ids": ["0-0"], "all": true }), "contradict"),
        (json!({ "all": true, "rate": 0 }), "rate: 0"),
        (json!({ "all": true, "limit": 0 }), "limit: 0"),
    ] {
        let detail = redrive(body.clone()).await.problem(400, "BAD_REQUEST");
        assert!(detail.contains(expected), "{body}: {detail}");
    }
    let none = redrive(json!({ "error_contains": "nothing like it" })).await.ok(202);
    assert_eq!(none["redriven"], 0);
    floe.post("/dead-letters/none/redrive", json!({ "all": true })).await.problem(404, "NOT_FOUND");
    floe.stop().await;
}

#[tokio::test]
async fn what_is_discarded_is_no_longer_open() {
    let floe = Storing::start().await;
    mixed(&floe, 3).await;
    let discard = |body: Value| floe.call("DELETE", "/dead-letters/events-store").json(&body).send();
    discard(json!({})).await.problem(400, "BAD_REQUEST");
    let done = discard(json!({ "ids": ["0-1"] })).await.ok(200);
    assert_eq!(done, json!({ "discarded": 1 }));
    assert_eq!(discard(json!({ "ids": ["0-1"] })).await.ok(200)["discarded"], 0);
    let open = floe.get("/dead-letters/events-store").await.ok(200)["dead_letters"].clone();
    let ids: Vec<_> = open.as_array().unwrap().iter().map(|letter| letter["id"].clone()).collect();
    assert_eq!(ids, ["0-0", "0-2"]);
    assert_eq!(discard(json!({ "all": true })).await.ok(200)["discarded"], 2);
    let counts = floe.get("/dead-letters").await.ok(200)["dead_letters"][0].clone();
    assert_eq!((&counts["open"], &counts["discarded"], &counts["total"]), (&json!(0), &json!(3), &json!(3)));
    floe.stop().await;
}

#[tokio::test]
async fn a_pipeline_without_dead_letters_has_an_empty_list() {
    let floe = Storing::start().await;
    let list = floe.get("/dead-letters/events-store").await.ok(200);
    assert_eq!(list, json!({ "pipeline": "events-store", "dead_letters": [], "next": null }));
    let redriven = floe.post("/dead-letters/events-store/redrive", json!({ "all": true })).await.ok(202);
    assert_eq!(redriven["redriven"], 0);
    assert_eq!(floe.get("/dead-letters").await.ok(200)["dead_letters"], json!([]));
    floe.stop().await;
}
