//! What is SQLite's own.

use std::fs;

use floe_store::{ConnectionState, Database, DatabaseUrl, EventStore, StoreError};

use crate::stage::{Stage, claimed, events, key};

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    fs::write(&path, "dear diary, ".repeat(1_000)).unwrap();
    let store = EventStore::new(Database::new(DatabaseUrl::Sqlite(path.clone())).unwrap(), None).unwrap();
    let refused = store.claim(&key(0), "worker").await;
    let Err(StoreError::Refused(why)) = refused else { panic!("{refused:?}") };
    assert!(why.contains("not a database"), "{why}");
    assert!(!why.contains("notes.txt"), "no paths: {why}");
    assert!(matches!(store.database().state(), ConnectionState::Failing { .. }));
    assert!(fs::read_to_string(&path).unwrap().starts_with("dear diary"), "left as it was");
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let url = DatabaseUrl::Sqlite(folder.path().join("no/such/file"));
    let store = EventStore::new(Database::new(url).unwrap(), None).unwrap();
    assert!(matches!(store.claim(&key(0), "worker").await, Err(StoreError::Refused(_))));
}

#[tokio::test]
async fn commits_are_durable_and_readers_do_not_wait_for_writers() {
    let stage = Stage::sqlite();
    let store = stage.store();
    let claim = claimed(&store, 0).await;
    store.write(&key(0), &claim, events(0, 0..10), 10).await.unwrap();
    assert_eq!(stage.ask("SELECT journal_mode FROM pragma_journal_mode").await, "wal");
    store.database().close().await;
    assert_eq!(stage.ask("SELECT count(*) FROM events").await, "10");
}

#[tokio::test]
async fn erased_text_is_not_left_in_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let store = EventStore::new(Database::new(DatabaseUrl::Sqlite(path)).unwrap(), None).unwrap();
    let claim = claimed(&store, 0).await;
    let mut batch = events(0, 0..50);
    batch[20].data = bytes::Bytes::from_static(br#""very private canary""#);
    store.write(&key(0), &claim, batch, 50).await.unwrap();
    let holds = || {
        let files = fs::read_dir(folder.path()).unwrap();
        let texts =
            files.map(|file| String::from_utf8_lossy(&fs::read(file.unwrap().path()).unwrap()).into_owned());
        texts.filter(|text| text.contains("private canary")).count()
    };
    assert!(holds() > 0);
    assert!(store.delete("0-20").await.unwrap());
    assert_eq!(holds(), 0);
}
