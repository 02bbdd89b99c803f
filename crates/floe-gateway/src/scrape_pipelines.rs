//! What the pipelines, the store and Redis are asked when somebody scrapes the metrics.

use std::fmt;

use floe_pipeline::{DeadLetterCounts, PipelineView, WorkerStatus};
use floe_store::ConnectionState;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::MetricType,
};

use crate::{
    gateway::Gateway,
    limits::SCRAPED_MAX,
    scrape::{as_i64, gauge, left_out},
};

/// A picture of the pipelines at one moment.
#[derive(Debug)]
pub(crate) struct PipelineScrape {
    /// `None` when the log doesn't tell them now.
    pipelines: Option<Vec<PipelineView>>,
    dead_letters: Vec<DeadLetterCounts>,
    store: Option<ConnectionState>,
    redis: Option<ConnectionState>,
    /// Events that Redis was not told of; others find them in the table.
    unpublished: u64,
}

impl PipelineScrape {
    pub(crate) async fn of(gateway: &Gateway) -> Self {
        // Numbers that can't be had now are left out; all others are given.
        let (pipelines, dead_letters) = match gateway.is_log_away() {
            true => (None, Vec::new()),
            false => (pipelines(gateway).await, dead_letters(gateway).await),
        };
        let store = gateway.events().map(|events| &events.store);
        Self {
            pipelines,
            dead_letters,
            store: store.map(|store| store.database().state()),
            redis: store.and_then(|store| store.redis_state()),
            unpublished: store.map_or(0, |store| store.unpublished()),
        }
    }
}

async fn pipelines(gateway: &Gateway) -> Option<Vec<PipelineView>> {
    match gateway.directory().list().await {
        Ok(mut pipelines) => {
            pipelines.truncate(SCRAPED_MAX);
            Some(pipelines)
        }
        Err(error) => {
            left_out("pipelines", &error);
            None
        }
    }
}

async fn dead_letters(gateway: &Gateway) -> Vec<DeadLetterCounts> {
    let mut counts = gateway.dead_letters().counts().await.unwrap_or_default();
    counts.truncate(SCRAPED_MAX);
    counts
}

impl Collector for PipelineScrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let out = &mut encoder;
        if let Some(pipelines) = &self.pipelines {
            encode_states(pipelines, out)?;
            encode_counters(pipelines, out)?;
        }
        let help = "Dead letters that are neither redriven nor discarded";
        let mut family = out.encode_descriptor("floe_dead_letters_open", help, None, MetricType::Gauge)?;
        for counts in &self.dead_letters {
            let labels = [("pipeline", counts.pipeline.as_str())];
            family.encode_family(&labels)?.encode_gauge(&as_i64(counts.open))?;
        }
        for (name, help, state) in [
            ("floe_store_connected", "1 if the event store's database answers, else 0", &self.store),
            ("floe_redis_connected", "1 if Redis answers, else 0", &self.redis),
        ] {
            if let Some(state) = state {
                gauge(out, name, help, None, &i64::from(*state == ConnectionState::Connected))?;
            }
        }
        if self.redis.is_some() {
            let help = "Stored events that Redis was not told of";
            out.encode_descriptor("floe_redis_unpublished", help, None, MetricType::Counter)?
                .encode_counter::<NoLabelSet, _, u64>(&self.unpublished, None)?;
        }
        Ok(())
    }
}

fn encode_states(pipelines: &[PipelineView], out: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "1 for the state that the pipeline is in";
    let mut family = out.encode_descriptor("floe_pipeline_state", help, None, MetricType::Gauge)?;
    for view in pipelines {
        let labels = [("pipeline", view.name.as_str()), ("state", view.state)];
        family.encode_family(&labels)?.encode_gauge(&1i64)?;
    }
    let help = "Records not yet committed";
    let mut family = out.encode_descriptor("floe_pipeline_lag", help, None, MetricType::Gauge)?;
    for view in pipelines {
        let labels = [("pipeline", view.name.as_str())];
        family.encode_family(&labels)?.encode_gauge(&as_i64(view.lag))?;
    }
    let help = "Workers now";
    let mut family = out.encode_descriptor("floe_pipeline_workers", help, None, MetricType::Gauge)?;
    for view in pipelines {
        let labels = [("pipeline", view.name.as_str())];
        family.encode_family(&labels)?.encode_gauge(&as_i64(view.workers.len()))?;
    }
    Ok(())
}

fn encode_counters(pipelines: &[PipelineView], out: &mut DescriptorEncoder<'_>) -> fmt::Result {
    /// A counter's name, what it counts, and where a worker has it.
    type Count = (&'static str, &'static str, fn(&WorkerStatus) -> u64);
    const COUNTS: [Count; 5] = [
        ("floe_pipeline_read", "Records read by the workers there are", |status| status.read),
        ("floe_pipeline_delivered", "Records delivered to all sinks", |status| status.delivered),
        ("floe_pipeline_dropped", "Records left out by a filter", |status| status.dropped),
        ("floe_pipeline_dead_lettered", "Records dead-lettered", |status| status.dead_lettered),
        ("floe_pipeline_retried", "Attempts that failed and were made again", |status| status.retried),
    ];
    for (name, help, count) in COUNTS {
        let mut family = out.encode_descriptor(name, help, None, MetricType::Counter)?;
        for view in pipelines {
            let sum: u64 = view.workers.iter().map(|worker| count(&worker.status)).sum();
            let labels = [("pipeline", view.name.as_str())];
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&sum, None)?;
        }
    }
    Ok(())
}
