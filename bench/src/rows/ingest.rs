//! A1 to A4: how fast events go in.

use std::{rc::Rc, time::Duration};

use anyhow::{Context, ensure};

use super::Plan;
use crate::{
    client::{self, load, request},
    copy_loop,
    report::{Line, median},
    server::Server,
};

const CONNECTIONS: usize = 64;
const EVENT_BYTES: usize = 200;

/// A JSON event of 200 bytes.
pub(super) fn event() -> String {
    let head = r#"{"value":{"event_type":"click","user_id":"u-123456","page":"/products/42","note":""#;
    format!("{head}{}\"}}}}", "x".repeat(EVENT_BYTES - head.len() - 3))
}

/// A1 and A2: one event a request.
pub(super) async fn single(plan: &Plan) -> anyhow::Result<Vec<Line>> {
    let duration = Duration::from_secs(plan.seconds);
    let data = plan.data()?;
    let (floe, _) = Server::floe(&plan.floe, data.path()).await?;
    floe.make_topic("bench").await?;
    let bare = Server::own(&["bare"])?;
    let body = event();
    assert_eq!(body.len(), EVENT_BYTES);
    let to_floe =
        Rc::new(vec![request("POST", "/topics/bench/records", "application/json", body.as_bytes())]);
    let to_bare = Rc::new(vec![request("POST", "/", "application/json", body.as_bytes())]);
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..plan.turns {
        let a = load(floe.address, to_floe.clone(), CONNECTIONS, duration).await?;
        let b = load(bare.address, to_bare.clone(), CONNECTIONS, duration).await?;
        ratios.push(a.requests_per_second / b.requests_per_second);
        ours.push(a.requests_per_second);
        theirs.push(b.requests_per_second);
    }
    let (ours, ratio) = (median(ours), median(ratios));
    let mut lines = vec![Line {
        row: "A1",
        what: "one 200 B JSON event a request, 64 connections, answered when durable".into(),
        floe: format!("{ours:.0}/s"),
        other: format!("bare handler {:.0}/s", median(theirs)),
        figure: format!("{ratio:.2}"),
        bar: "0.65",
        goal: "0.90",
        met: Some(ratio >= 0.65),
    }];
    let rate = ours / 4.0;
    let (mut p99s, mut syncs, mut extra, mut p50s) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..plan.turns {
        let (p50_ms, p99_ms) = open_loop(plan, &floe, rate).await?;
        let sync = copy_loop::run(&plan.work, 4096, duration, Some(Duration::from_millis(1)))?;
        extra.push(p99_ms - sync.sync_p99_ms);
        p99s.push(p99_ms);
        p50s.push(p50_ms);
        syncs.push(sync.sync_p99_ms);
    }
    let extra = median(extra);
    lines.push(Line {
        row: "A2",
        what: format!("the same, open loop at {rate:.0}/s: p99 (p50 {:.2} ms)", median(p50s)),
        floe: format!("{:.2} ms", median(p99s)),
        other: format!("copy loop's sync p99 {:.2} ms", median(syncs)),
        figure: format!("{extra:+.2} ms"),
        bar: "+2 ms",
        goal: "+0.5 ms",
        met: Some(extra <= 2.0),
    });
    Ok(lines)
}

/// Drives Floe at a rate with its own load generator, which counts from the moment at which a request was due. Answers
/// p50 and p99, milliseconds.
async fn open_loop(plan: &Plan, server: &Server, rate: f64) -> anyhow::Result<(f64, f64)> {
    let output = tokio::process::Command::new(&plan.floe)
        .args(["load", "--json", "--topic", "bench", "--payload-bytes", "188"])
        .args(["--url", &format!("http://{}", server.address)])
        .args(["--rate", &format!("{rate:.0}/s"), "--duration", &format!("{}s", plan.seconds)])
        .args(["--connections", &CONNECTIONS.to_string()])
        .output()
        .await?;
    ensure!(output.status.success(), "floe load: {}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let figure = |name: &str| {
        let value = report.pointer(&format!("/latency/{name}_ms")).and_then(serde_json::Value::as_f64);
        value.with_context(|| format!("floe load reported no {name}: {report}"))
    };
    Ok((figure("p50")?, figure("p99")?))
}

/// A3: batches.
pub(super) async fn batches(plan: &Plan) -> anyhow::Result<Vec<Line>> {
    let duration = Duration::from_secs(plan.seconds);
    let data = plan.data()?;
    let (floe, _) = Server::floe(&plan.floe, data.path()).await?;
    floe.make_topic("bench").await?;
    let line = event();
    let body: String = (0..1000).flat_map(|_| [line.as_str(), "\n"]).collect();
    let requests =
        Rc::new(vec![request("POST", "/topics/bench/records", "application/x-ndjson", body.as_bytes())]);
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..plan.turns {
        let a = load(floe.address, requests.clone(), 8, duration).await?;
        let ours_bytes = a.requests_per_second * body.len() as f64;
        let b = copy_loop::run(&plan.work, 4 * body.len(), duration, None)?;
        ratios.push(ours_bytes / b.bytes_per_second);
        ours.push(ours_bytes / 1e6);
        theirs.push(b.bytes_per_second / 1e6);
    }
    let ratio = median(ratios);
    Ok(vec![Line {
        row: "A3",
        what: "NDJSON batches of 1,000 × 200 B, 8 connections, durable".into(),
        floe: format!("{:.0} MB/s", median(ours)),
        other: format!("copy loop {:.0} MB/s", median(theirs)),
        figure: format!("{ratio:.2}"),
        bar: "0.35",
        goal: "0.7",
        met: Some(ratio >= 0.35),
    }])
}

/// A4: many topics.
pub(super) async fn many_topics(plan: &Plan) -> anyhow::Result<Vec<Line>> {
    const TOPICS: usize = 10_000;
    let duration = Duration::from_secs(plan.seconds);
    let data = plan.data()?;
    let (floe, _) = Server::floe(&plan.floe, data.path()).await?;
    let mut maker = client::Connection::open(floe.address).await?;
    for index in 0..TOPICS {
        let body = format!(r#"{{"name":"bench-{index}"}}"#);
        let answer = maker.ask(&request("POST", "/topics", "application/json", body.as_bytes())).await?;
        ensure!(answer.status == 201, "making topic {index} answered {}", answer.status);
    }
    let body = event();
    let to = |topic: usize| {
        request("POST", &format!("/topics/bench-{topic}/records"), "application/json", body.as_bytes())
    };
    let one = Rc::new(vec![to(0)]);
    // a stride that shares no factor with the number of topics spreads each connection over all of them
    let all = Rc::new((0..TOPICS).map(|index| to(index * 7_919 % TOPICS)).collect::<Vec<_>>());
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..plan.turns {
        let a = load(floe.address, all.clone(), CONNECTIONS, duration).await?;
        let b = load(floe.address, one.clone(), CONNECTIONS, duration).await?;
        ratios.push(a.requests_per_second / b.requests_per_second);
        ours.push(a.requests_per_second);
        theirs.push(b.requests_per_second);
    }
    let ratio = median(ratios);
    Ok(vec![Line {
        row: "A4",
        what: "A1 spread over 10,000 topics".into(),
        floe: format!("{:.0}/s", median(ours)),
        other: format!("on one topic {:.0}/s", median(theirs)),
        figure: format!("{ratio:.2}"),
        bar: "0.75",
        goal: "0.95",
        met: Some(ratio >= 0.75),
    }])
}
