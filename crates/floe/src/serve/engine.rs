//! Opening and closing the engine. A journal's block on the disk, so neither runs on the runtime's own threads. A cluster is not
//! waited for: the doors open, and say that it isn't there.

use anyhow::Context;
use floe_engine::{Clock, EmbeddedConfig, Engine, KafkaConfig};
use floe_journal::{JournalConfig, RecoveryReport};

use super::data_dir::DataDirectory;
use crate::{
    config::settings::{EngineKind, Settings},
    exit,
};

/// Opens the engine that is configured; with a directory, the one that keeps its journal there.
pub(super) async fn open(settings: &Settings, directory: Option<&DataDirectory>) -> anyhow::Result<Engine> {
    match (settings.engine, directory) {
        (EngineKind::Embedded, Some(directory)) => embedded(settings, directory).await,
        (EngineKind::Embedded, None) => anyhow::bail!("the embedded engine has no data directory"),
        (EngineKind::Kafka, _) => kafka(settings),
    }
}

/// Begins to use the cluster.
pub(super) fn kafka(settings: &Settings) -> anyhow::Result<Engine> {
    let kafka = &settings.kafka;
    let config = KafkaConfig {
        bootstrap: kafka.bootstrap.clone().unwrap_or_default(),
        properties: kafka.client.clone(),
        replication_factor: kafka.replication_factor,
        client_id: "floe".to_owned(),
        repeats_wait: KafkaConfig::REPEATS_WAIT,
        clock: Clock::system(),
    };
    Engine::open_kafka(&config).map_err(|why| exit::usage(format!("kafka: {why}")))
}

/// Opens the journal; returns when it can read and write.
async fn embedded(settings: &Settings, directory: &DataDirectory) -> anyhow::Result<Engine> {
    let config = EmbeddedConfig {
        data_dir: directory.path().to_owned(),
        ephemeral: directory.is_ephemeral(),
        journal: JournalConfig {
            segment_bytes: settings.journal.segment_bytes,
            tail_cache_bytes: usize::try_from(settings.journal.tail_cache_bytes).unwrap_or(usize::MAX),
        },
        clock: Clock::system(),
    };
    let opened = tokio::task::spawn_blocking(move || Engine::open_embedded(config));
    let engine = opened.await.context("opening the engine broke down")??;
    if let Some(report) = engine.recovery() {
        tell(report);
    }
    Ok(engine)
}

/// Makes durable what came, and lets go of the log.
pub(super) async fn close(engine: Engine) {
    if let Err(error) = tokio::task::spawn_blocking(move || engine.close()).await {
        tracing::error!(%error, "closing the engine broke down");
    }
}

/// Says what was found at the end of the log, if it is worth a line.
fn tell(report: &RecoveryReport) {
    if report.cut_bytes > 0 {
        tracing::warn!(
            cut_bytes = report.cut_bytes,
            cut_frames = report.cut_frames,
            kept_in = report.cut_file.as_deref(),
            "the log ended in an unfinished write, which nobody was promised: it was cut off and kept aside"
        );
    }
    tracing::debug!(
        end = report.end,
        durable_through = report.durable_through,
        sealed_segments = report.sealed_segments,
        scanned = report.scanned,
        "the log is open"
    );
}
