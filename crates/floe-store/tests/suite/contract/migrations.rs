//! The tables that Floe makes for itself.

use floe_store::{ConnectionState, EventFilter, ListOrder, StoreError, WriteError};
use tokio::task::JoinSet;

use crate::stage::{Stage, claimed, events, key};

pub(crate) async fn a_second_start_changes_nothing(stage: &Stage) {
    let store = stage.store();
    let claim = claimed(&store, 0).await;
    store.write(&key(0), &claim, events(0, 0..2), 2).await.unwrap();
    store.database().close().await;
    assert!(store.get("0-0").await.is_err(), "it has been closed");
    let again = stage.store();
    assert_eq!(again.get("0-1").await.unwrap().unwrap().seq, 2);
    assert_eq!(again.database().state(), ConnectionState::Connected);
    assert_eq!(stage.ask("SELECT count(*) FROM floe_migrations").await, "2");
}

pub(crate) async fn many_start_at_once(stage: &Stage) {
    let mut starts = JoinSet::new();
    for partition in 0..8 {
        let store = stage.store();
        starts.spawn(async move {
            let claim = claimed(&store, partition).await;
            store.write(&key(partition), &claim, events(partition, 0..1), 1).await
        });
    }
    assert!(starts.join_all().await.into_iter().all(|written| written == Ok(1)));
}

pub(crate) async fn a_newer_database_is_refused(stage: &Stage) {
    claimed(&stage.store(), 0).await;
    stage.run("INSERT INTO floe_migrations VALUES (1000, 'future', 'x', 'then')").await;
    let refused = stage.store().page(&EventFilter::default(), ListOrder::OldestFirst, None, 1).await;
    let Err(StoreError::Refused(why)) = refused else { panic!("{refused:?}") };
    assert!(why.contains("version 1000") && why.contains("newer Floe"), "{why}");
    stage.run("DELETE FROM floe_migrations WHERE version = 1000").await;
    stage.run("UPDATE floe_migrations SET checksum = 'x' WHERE version = 1").await;
    let refused = stage.store().claim(&key(0), "worker").await;
    let Err(StoreError::Refused(why)) = refused else { panic!("{refused:?}") };
    assert!(why.contains("checksum"), "{why}");
}

pub(crate) async fn foreign_tables_are_refused(stage: &Stage) {
    stage.run("CREATE TABLE events (something text)").await;
    let refused = stage.store().claim(&key(0), "worker").await;
    let Err(StoreError::Refused(why)) = refused else { panic!("{refused:?}") };
    assert!(why.contains("version 2 (events)") && why.contains("already exists"), "{why}");
    let made = if stage.is_postgres() { "pg_tables WHERE tablename" } else { "sqlite_schema WHERE name" };
    let left = stage.ask(&format!("SELECT count(*) FROM {made} = 'floe_positions'")).await;
    assert_eq!(left, "0", "all or nothing");
}

pub(crate) async fn a_database_that_was_emptied_is_made_again(stage: &Stage) {
    let store = stage.store();
    let claim = claimed(&store, 0).await;
    store.write(&key(0), &claim, events(0, 0..2), 2).await.unwrap();
    for table in ["events", "floe_positions", "floe_counters", "floe_migrations"] {
        stage.run(&format!("DROP TABLE {table}")).await;
    }
    let refused = store.write(&key(0), &claim, events(0, 2..4), 4).await;
    assert!(matches!(refused, Err(WriteError::Refused(_))), "{refused:?}");
    // As when somebody resumes the pipeline.
    let claim = claimed(&store, 0).await;
    assert_eq!((claim.epoch, claim.next_offset), (1, None));
    assert_eq!(store.write(&key(0), &claim, events(0, 0..4), 4).await, Ok(4));
    assert!(store.get("0-3").await.unwrap().is_some());
}
