//! A5 and A9: what is stored, and read again.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::ensure;

use super::Plan;
use crate::{
    client::{self, drain, load, request},
    report::{Line, median},
    server::Server,
};

const GIB: f64 = (1u64 << 30) as f64;

/// Fills a topic with about this many bytes of 1,000-byte JSON values, in batches.
async fn fill(server: &Server, topic: &str, bytes: f64) -> anyhow::Result<()> {
    server.make_topic(topic).await?;
    let line = format!(r#"{{"value":{{"text":"{}"}}}}"#, "x".repeat(978));
    let body: String = (0..1000).flat_map(|_| [line.as_str(), "\n"]).collect();
    let path = format!("/topics/{topic}/records");
    let requests = Rc::new(vec![request("POST", &path, "application/x-ndjson", body.as_bytes())]);
    let mut left = bytes;
    while left > 0.0 {
        let seconds = 2;
        let reached = load(server.address, requests.clone(), 4, Duration::from_secs(seconds)).await?;
        left -= reached.requests_per_second * seconds as f64 * body.len() as f64;
    }
    Ok(())
}

/// A5: ready after SIGKILL, with little and with much stored.
pub(super) async fn restart(plan: &Plan) -> anyhow::Result<Vec<Line>> {
    let mut medians = Vec::new();
    for gib in [0.1, plan.stored_gib] {
        let data = plan.data()?;
        let (mut server, _) = Server::floe(&plan.floe, data.path()).await?;
        fill(&server, "bench", gib * GIB).await?;
        server.kill()?;
        let mut seconds = Vec::new();
        for _ in 0..plan.turns.max(5) {
            let (mut again, took) = Server::floe(&plan.floe, data.path()).await?;
            seconds.push(took.as_secs_f64());
            // one more record, so that each start has a tail of its own
            let answer = client::post(again.address, "/topics/bench/records", r#"{"value":1}"#).await?;
            ensure!(answer.status == 201, "writing after a restart answered {}", answer.status);
            again.kill()?;
        }
        medians.push(median(seconds));
    }
    let (little, much) = (medians[0], medians[1]);
    let ratio = much / little;
    Ok(vec![Line {
        row: "A5",
        what: format!("ready after SIGKILL with {} GiB stored / with 0.1 GiB", plan.stored_gib),
        floe: format!("{much:.3} s"),
        other: format!("{little:.3} s"),
        figure: format!("{ratio:.2}×, {much:.2} s"),
        bar: "1.5×, < 1 s",
        goal: "1.1×, < 0.2 s",
        met: Some(ratio <= 1.5 && much < 1.0),
    }])
}

/// A9: catching up on 1 GiB.
pub(super) async fn catch_up(plan: &Plan) -> anyhow::Result<Vec<Line>> {
    let data = plan.data()?;
    let (floe, _) = Server::floe(&plan.floe, data.path()).await?;
    fill(&floe, "bench", GIB).await?;
    let path = "/topics/bench/records?partition=0&offset=earliest&limit=100000000";
    let bytes = drain(floe.address, path, "application/x-ndjson").await?;
    ensure!(bytes as f64 > GIB, "only {bytes} bytes came");
    // the same number of bytes, from the page cache
    let file = plan.work.join("pipe");
    std::fs::write(&file, vec![b'x'; usize::try_from(bytes)?])?;
    let pipe = Server::own(&["pipe", &file.to_string_lossy()])?;
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..plan.turns {
        let start = Instant::now();
        let a =
            drain(floe.address, path, "application/x-ndjson").await? as f64 / start.elapsed().as_secs_f64();
        let start = Instant::now();
        let b = drain(pipe.address, "/", "*/*").await? as f64 / start.elapsed().as_secs_f64();
        ratios.push(a / b);
        ours.push(a / 1e6);
        theirs.push(b / 1e6);
    }
    std::fs::remove_file(&file)?;
    let ratio = median(ratios);
    Ok(vec![Line {
        row: "A9",
        what: format!("catch-up read as NDJSON of {:.2} GiB", bytes as f64 / GIB),
        floe: format!("{:.0} MB/s", median(ours)),
        other: format!("from page cache over loopback {:.0} MB/s", median(theirs)),
        figure: format!("{ratio:.2}"),
        bar: "0.2",
        goal: "0.5",
        met: Some(ratio >= 0.2),
    }])
}
