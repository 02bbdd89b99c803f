//! A6 to A8: live subscribers, busy and idle.

use std::{rc::Rc, time::Duration};

use anyhow::ensure;

use super::Plan;
use crate::{
    client::{self, load, request},
    fanout::{self, Peer},
    memory, nats,
    report::{Line, median},
    server::Server,
};

const MANY: usize = 10_000;

/// A6: one publisher, many subscribers.
pub(super) async fn fan_out(plan: &Plan) -> anyhow::Result<Vec<Line>> {
    let mut lines = Vec::new();
    for subscribers in [1_000, MANY] {
        let duration = Duration::from_secs(plan.seconds);
        let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        let (mut our_p99, mut their_p99) = (Vec::new(), Vec::new());
        for _ in 0..plan.turns {
            let data = plan.data()?;
            let (floe, _) = Server::floe(&plan.floe, data.path()).await?;
            floe.make_topic("fanout").await?;
            let a = fanout::run(floe.address, Peer::Floe, subscribers, duration, None).await?;
            let slow = fanout::run(floe.address, Peer::Floe, subscribers, duration, Some(50.0)).await?;
            our_p99.push(slow.p99_ms);
            ours.push(a.deliveries_per_second);
            drop(floe);
            let Some(binary) = &plan.nats else { continue };
            let nats = nats::start(binary, &plan.work).await?;
            let b = fanout::run(nats.address, Peer::Nats, subscribers, duration, None).await?;
            let slow = fanout::run(nats.address, Peer::Nats, subscribers, duration, Some(50.0)).await?;
            their_p99.push(slow.p99_ms);
            ratios.push(a.deliveries_per_second / b.deliveries_per_second);
            theirs.push(b.deliveries_per_second);
        }
        let compared = !ratios.is_empty();
        let ratio = median(ratios);
        lines.push(Line {
            row: "A6",
            what: format!("fan-out 1 → {subscribers} WebSocket subscribers, 200 B; p99 at 50 msg/s"),
            floe: format!("{:.0} deliveries/s; p99 {:.1} ms", median(ours), median(our_p99)),
            other: format!("NATS {:.0}/s; p99 {:.1} ms", median(theirs), median(their_p99)),
            figure: format!("{ratio:.2}×"),
            bar: "1.0×",
            goal: "2×",
            met: compared.then_some(ratio >= 1.0),
        });
    }
    Ok(lines)
}

/// A7: memory of idle connections, and of an idle server.
pub(super) async fn idle_memory(plan: &Plan) -> anyhow::Result<Vec<Line>> {
    let data = plan.data()?;
    let (floe, _) = Server::floe(&plan.floe, data.path()).await?;
    floe.make_topic("idle").await?;
    let before = memory::resident(floe.pid())?;
    let streams = fanout::idle_subscribers(floe.address, Peer::Floe, "idle", MANY).await?;
    let after = memory::resident(floe.pid())?;
    drop(streams);
    let each = after.saturating_sub(before) as f64 / MANY as f64 / 1024.0;
    let idle = before as f64 / f64::from(1 << 20);
    Ok(vec![
        Line {
            row: "A7",
            what: format!("resident memory per idle WebSocket connection ({MANY}, subscribed)"),
            floe: format!("{each:.1} KiB"),
            other: "Nchan's 10 KiB".into(),
            figure: format!("{each:.1} KiB"),
            bar: "16 KiB",
            goal: "6 KiB",
            met: Some(each <= 16.0),
        },
        Line {
            row: "A7",
            what: "resident memory of the idle server".into(),
            floe: format!("{idle:.1} MiB"),
            other: "–".into(),
            figure: format!("{idle:.1} MiB"),
            bar: "30 MiB",
            goal: "12 MiB",
            met: Some(idle <= 30.0),
        },
    ])
}

/// A8: what idle subscribers and idle topics cost.
pub(super) async fn idle_cost(plan: &Plan) -> anyhow::Result<Vec<Line>> {
    let duration = Duration::from_secs(plan.seconds);
    let data = plan.data()?;
    let (floe, _) = Server::floe(&plan.floe, data.path()).await?;
    floe.make_topic("busy").await?;
    floe.make_topic("idle").await?;
    let body = r#"{"value":{"text":"one event of some bytes"}}"#;
    let requests =
        Rc::new(vec![request("POST", "/topics/busy/records", "application/json", body.as_bytes())]);
    // what a publish costs is the server's processor time for it
    let cost = async || -> anyhow::Result<f64> {
        let before = memory::processor(floe.pid())?;
        let reached = load(floe.address, requests.clone(), 16, duration).await?;
        let spent = memory::processor(floe.pid())? - before;
        Ok(spent / (reached.requests_per_second * duration.as_secs_f64()) * 1e6)
    };
    let (mut without, mut with, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..plan.turns {
        let one = fanout::idle_subscribers(floe.address, Peer::Floe, "idle", 1).await?;
        let a = cost().await?;
        let many = fanout::idle_subscribers(floe.address, Peer::Floe, "idle", MANY).await?;
        let b = cost().await?;
        drop((one, many));
        ratios.push(b / a);
        without.push(a);
        with.push(b);
    }
    let ratio = median(ratios);
    let mut lines = vec![Line {
        row: "A8",
        what: "server's processor time per publish, with 10,000 subscribers of another topic / with 1".into(),
        floe: format!("{:.1} µs", median(with)),
        other: format!("{:.1} µs", median(without)),
        figure: format!("{ratio:.2}×"),
        bar: "1.2×",
        goal: "1.0×",
        met: Some(ratio <= 1.2),
    }];
    lines.push(many_topics(plan).await?);
    Ok(lines)
}

async fn many_topics(plan: &Plan) -> anyhow::Result<Line> {
    const TOPICS: usize = 100_000;
    let data = plan.data()?;
    let (floe, _) = Server::floe(&plan.floe, data.path()).await?;
    let requests: Vec<_> = (0..TOPICS)
        .map(|index| {
            request("POST", "/topics", "application/json", format!(r#"{{"name":"t-{index}"}}"#).as_bytes())
        })
        .collect();
    let mut makers = Vec::new();
    let local = tokio::task::LocalSet::new();
    let requests = Rc::new(requests);
    for lane in 0..64 {
        let requests = requests.clone();
        let address = floe.address;
        makers.push(local.spawn_local(async move {
            let mut connection = client::Connection::open(address).await?;
            for request in requests.iter().skip(lane).step_by(64) {
                let answer = connection.ask(request).await?;
                ensure!(answer.status == 201, "making a topic answered {}", answer.status);
            }
            anyhow::Ok(())
        }));
    }
    local
        .run_until(async {
            for maker in makers {
                maker.await??;
            }
            anyhow::Ok(())
        })
        .await?;
    let mib = memory::resident(floe.pid())? as f64 / f64::from(1 << 20);
    Ok(Line {
        row: "A8",
        what: format!("resident memory with {TOPICS} topics"),
        floe: format!("{mib:.0} MiB"),
        other: "–".into(),
        figure: format!("{mib:.0} MiB"),
        bar: "300 MiB",
        goal: "100 MiB",
        met: Some(mib <= 300.0),
    })
}
