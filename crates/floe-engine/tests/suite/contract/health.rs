//! How the engine says it is.

use floe_engine::{Clock, EmbeddedConfig, Engine, EngineError, StorageState};
use floe_journal::JournalConfig;

use crate::stage::{Stage, append_of, make, put_counted, read_all, record, until};

pub(crate) async fn a_healthy_engine_is_writable(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 1).await;
    put_counted(&engine, "t", 3).await;
    until("nothing waits", async || engine.health().queued_bytes == 0).await;
    let health = engine.health();
    let name = if stage.is_embedded() { "embedded" } else { "kafka" };
    assert_eq!((health.engine, health.storage), (name, StorageState::Writable));
    assert!(health.damage.is_empty());
    assert_eq!(health.stored_bytes > 0, stage.knows_bytes());
    assert_eq!(engine.recovery().is_some(), stage.is_embedded());
}

pub(crate) async fn a_stopped_engine_refuses(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 1).await;
    put_counted(&engine, "t", 3).await;
    engine.close();
    assert_eq!(engine.health().storage, StorageState::Stopping);
    let refused = engine.append(append_of("t", vec![record("", "v")])).await.unwrap_err();
    assert_eq!(refused, EngineError::Stopping);
    assert_eq!(engine.delete_topic("t").await.unwrap_err(), EngineError::Stopping);
    engine.close();
    assert_eq!(read_all(&stage.reopen(), "t").await.len(), 3);
}

pub(crate) async fn an_ephemeral_engine_leaves_nothing(_: &Stage) {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let journal = JournalConfig { segment_bytes: 1 << 20, ..JournalConfig::default() };
    let config = |ephemeral| EmbeddedConfig {
        data_dir: data_dir.clone(),
        ephemeral,
        journal: journal.clone(),
        clock: Clock::system(),
    };
    let engine = Engine::open_embedded(config(true)).unwrap();
    assert!(Engine::open_embedded(config(true)).is_err(), "the directory is locked");
    make(&engine, "t", 1).await;
    put_counted(&engine, "t", 3).await;
    engine.close();
    assert!(!data_dir.exists());
    drop(engine);
    let engine = Engine::open_embedded(config(false)).unwrap();
    make(&engine, "t", 1).await;
    put_counted(&engine, "t", 3).await;
    engine.close();
    drop(engine);
    let engine = Engine::open_embedded(config(false)).unwrap();
    assert_eq!(read_all(&engine, "t").await.len(), 3);
    engine.close();
}

pub(crate) async fn a_log_keeps_its_id(stage: &Stage) {
    let id = stage.engine().log_id().await.unwrap();
    assert_eq!(stage.reopen().log_id().await.unwrap(), id);
    assert_ne!(Stage::new().engine().log_id().await.unwrap(), id);
}
