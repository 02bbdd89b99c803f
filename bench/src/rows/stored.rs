//! C2: from the request to the frame of a row that is readable.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::ensure;
use floe_testkit::services::Postgres;
use tokio::task::LocalSet;

use super::Plan;
use crate::{
    client::{Connection, request},
    copy_loop,
    fanout::{Counters, count, upgrade},
    report::{Line, median},
    server::Server,
};

const RATE: f64 = 500.0;
const CONNECTIONS: usize = 16;

/// C2, into SQLite and into PostgreSQL.
pub(super) async fn to_frame(plan: &Plan) -> anyhow::Result<Vec<Line>> {
    let postgres = Postgres::durable_in(&plan.work);
    let mut lines = Vec::new();
    for (store, database) in [("SQLite", None), ("PostgreSQL", Some(&postgres))] {
        let mut figures = [const { Vec::new() }; 6];
        for _ in 0..plan.turns {
            let (p50, p99) = turn(plan, database).await?;
            let every = Duration::from_secs_f64(1.0 / RATE);
            let sync = copy_loop::run(&plan.work, 4096, Duration::from_secs(plan.seconds), Some(every))?;
            // one sync of the journal, one of the store
            let (sum50, sum99) = (2.0 * sync.sync_p50_ms, 2.0 * sync.sync_p99_ms);
            for (figures, figure) in
                figures.iter_mut().zip([p50, p99, sum50, sum99, p50 / sum50, p99 / sum99])
            {
                figures.push(figure);
            }
        }
        let [p50, p99, sum50, sum99, ratio50, ratio99] = figures.map(median);
        lines.push(Line {
            row: "C2",
            what: format!("POST → row in {store} readable → WebSocket frame, open loop at {RATE}/s"),
            floe: format!("p50 {p50:.2} ms, p99 {p99:.2} ms"),
            other: format!("two syncs alone p50 {sum50:.2} ms, p99 {sum99:.2} ms"),
            figure: format!("{ratio50:.2}×, {ratio99:.2}×"),
            bar: "3×",
            goal: "1.5×",
            met: Some(ratio50 <= 3.0 && ratio99 <= 3.0),
        });
    }
    Ok(lines)
}

/// p50 and p99, milliseconds, from the moment at which a request was due.
async fn turn(plan: &Plan, database: Option<&Postgres>) -> anyhow::Result<(f64, f64)> {
    let data = plan.data()?;
    let url = database.map(Postgres::database);
    let (floe, _) = Server::floe_with(&plan.floe, data.path(), |floe| {
        floe.envs(url.iter().map(|url| ("POSTGRES_URL", url)));
    })
    .await?;
    // the first event makes the topic and the table, and is not measured
    let mut warm = Connection::open(floe.address).await?;
    let body = r#"{"event_type":"view","user_id":"u-1","data":{}}"#;
    let answer =
        warm.ask(&request("POST", "/v1/event?wait=stored", "application/json", body.as_bytes())).await?;
    ensure!(answer.status == 201, "the first event: {}", String::from_utf8_lossy(&answer.body));

    let events = RATE * plan.seconds as f64;
    let counters = Counters::new(true)?;
    let local = LocalSet::new();
    local.spawn_local(count(upgrade(floe.address, "/v1/ws/events").await?, counters.clone()));
    let sent = Rc::new(Cell::new(0.0));
    let start = Instant::now();
    let mut lanes = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut connection = Connection::open(floe.address).await?;
        let (sent, counters) = (sent.clone(), counters.clone());
        lanes.push(local.spawn_local(async move {
            while sent.get() < events {
                let due = start + Duration::from_secs_f64(sent.get() / RATE);
                sent.set(sent.get() + 1.0);
                tokio::time::sleep_until(due.into()).await;
                let nanos = due.saturating_duration_since(counters.start()).as_nanos();
                let answer = connection.ask(&event(nanos)).await?;
                ensure!(answer.status == 202, "an event: {}", String::from_utf8_lossy(&answer.body));
            }
            anyhow::Ok(())
        }));
    }
    let arrived = async {
        for lane in lanes {
            lane.await??;
        }
        counters.wait_for(events as u64).await
    };
    local.run_until(arrived).await?;
    Ok((counters.quantile_ms(0.5), counters.quantile_ms(0.99)))
}

/// An event of about 200 bytes, with the mark that tells when it was due.
fn event(nanos: u128) -> Vec<u8> {
    let fill = "x".repeat(90);
    let body = format!(
        r#"{{"event_type":"view","user_id":"u-123456","data":{{"sent":"~{nanos:019}","note":"{fill}"}}}}"#
    );
    request("POST", "/v1/event", "application/json", body.as_bytes())
}
