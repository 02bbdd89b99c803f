//! The file: what is in it when, and what after a crash, a rotation, a refusal.

use std::{
    fs,
    path::{Path, PathBuf},
};

use floe_pipeline::sinks::{Batch, DeliveryError, Hold};
use serde_json::{Value, json};

use super::{Stage, batch, fatal, header, key, record, unavailable, unreadable};

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is whole");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Files that were written full, oldest first.
fn full(directory: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("out.2"))
        .collect();
    found.sort();
    found
}

#[tokio::test]
async fn a_record_is_a_line_in_the_shape_of_the_http_interface() {
    let (stage, directory) = (Stage::new(), tempfile::tempdir().unwrap());
    let path = directory.path().join("out.ndjson");
    let mut hold = stage.hold(json!({"type": "file", "path": path})).await;
    let mut first = record(5, "{\"mag\": 5.10}");
    first.headers = vec![header("trace", "abc")];
    let mut second = record(6, "not json");
    (second.key, second.index) = (None, 2);
    let mut third = record(7, "");
    third.value = None;
    hold.deliver(&batch(vec![first, second, third])).await.unwrap();
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        concat!(
            r#"{"topic":"in","partition":0,"offset":5,"timestamp":"2026-01-31T10:00:00.000Z","key":"k5","value":{"mag": 5.10},"headers":{"trace":"abc"}}"#,
            "\n",
            r#"{"topic":"in","partition":0,"offset":6,"index":2,"timestamp":"2026-01-31T10:00:00.000Z","key":null,"value":{"$base64":"bm90IGpzb24="},"headers":{}}"#,
            "\n",
            r#"{"topic":"in","partition":0,"offset":7,"timestamp":"2026-01-31T10:00:00.000Z","key":"k7","value":null,"headers":{}}"#,
            "\n",
        )
    );
}

#[tokio::test]
async fn the_value_alone_can_be_a_line() {
    let (stage, directory) = (Stage::new(), tempfile::tempdir().unwrap());
    let path = directory.path().join("out.ndjson");
    let mut hold = stage.hold(json!({"type": "file", "path": path, "format": "value"})).await;
    hold.deliver(&batch(vec![record(0, "{\n \"a\": [1,\r\n 2] }"), record(1, "7")])).await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"a\":[1,2]}\n7\n");
}

#[tokio::test]
async fn partitions_write_one_file_at_once() {
    let (stage, directory) = (Stage::new(), tempfile::tempdir().unwrap());
    let path = directory.path().join("out.ndjson");
    let sink = stage.open(json!({"type": "file", "path": path})).unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for partition in 0..8 {
        let mut hold = sink.claim(&key(partition), "w1").await.unwrap();
        writers.spawn(async move {
            for offset in 0..50 {
                hold.deliver(&batch(vec![record(offset, "1")])).await.unwrap();
            }
        });
    }
    writers.join_all().await;
    let mut next = [0; 8];
    for line in lines(&path) {
        let partition = usize::try_from(line["partition"].as_u64().unwrap()).unwrap();
        assert_eq!(line["offset"], next[partition], "in order within a partition");
        next[partition] += 1;
    }
    assert_eq!(next, [50; 8]);
}

/// Delivers once the sink before has let go of the file, which it does in its own time.
async fn deliver(hold: &mut Hold, batch: &Batch) {
    loop {
        match hold.deliver(batch).await {
            Err(DeliveryError::Unavailable(_)) => tokio::task::yield_now().await,
            delivered => return delivered.unwrap(),
        }
    }
}

#[tokio::test]
async fn a_torn_last_line_is_cut_and_what_was_whole_stays() {
    let (stage, directory) = (Stage::new(), tempfile::tempdir().unwrap());
    let path = directory.path().join("out.ndjson");
    for torn in [String::new(), "{\"offset\":1".to_owned(), "x".repeat(200_000)] {
        fs::write(&path, format!("{{\"offset\":0}}\n{torn}")).unwrap();
        let mut hold = stage.hold(json!({"type": "file", "path": path, "format": "value"})).await;
        deliver(&mut hold, &batch(vec![record(1, "{\"offset\":1}")])).await;
        assert_eq!(lines(&path), [json!({"offset": 0}), json!({"offset": 1})]);
    }
    fs::write(&path, "torn from the first byte on").unwrap();
    let mut hold = stage.hold(json!({"type": "file", "path": path, "format": "value"})).await;
    deliver(&mut hold, &batch(vec![record(1, "1")])).await;
    assert_eq!(lines(&path), [json!(1)]);
}

#[tokio::test]
async fn a_full_file_is_renamed_and_the_newest_are_kept() {
    let (stage, directory) = (Stage::new(), tempfile::tempdir().unwrap());
    let path = directory.path().join("out.ndjson");
    fs::write(directory.path().join("out.2.ndjson"), "somebody else's").unwrap();
    let config = json!({"type": "file", "path": path, "format": "value", "rotate_bytes": 20, "keep": 3});
    let mut hold = stage.hold(config).await;
    for offset in 0..12 {
        hold.deliver(&batch(vec![record(offset, "\"ten bytes\"")])).await.unwrap();
    }
    let mut files = full(directory.path());
    files.retain(|path| !path.ends_with("out.2.ndjson"));
    assert_eq!(files.len(), 3, "{files:?}");
    assert!(files.iter().all(|file| fs::metadata(file).unwrap().len() <= 20));
    assert_eq!(lines(&path).len(), 1);
    assert!(directory.path().join("out.2.ndjson").exists(), "what rotation didn't name is not its to delete");
}

#[tokio::test]
async fn nothing_is_lost_or_repeated_over_rotations() {
    let (stage, directory) = (Stage::new(), tempfile::tempdir().unwrap());
    let path = directory.path().join("out.ndjson");
    let sink =
        stage.open(json!({"type": "file", "path": path, "format": "value", "rotate_bytes": "1KiB"})).unwrap();
    let mut hold = sink.claim(&key(0), "w1").await.unwrap();
    for offset in 0..100 {
        hold.deliver(&batch(vec![record(2 * offset, "1"), record(2 * offset + 1, "\"0123456789012345\"")]))
            .await
            .unwrap();
    }
    let files = full(directory.path());
    assert!(files.len() >= 2, "{files:?}");
    let all: usize = files.iter().chain([&path]).map(|file| lines(file).len()).sum();
    assert_eq!(all, 200);
}

#[tokio::test]
async fn a_file_that_was_moved_away_is_begun_again() {
    let (stage, directory) = (Stage::new(), tempfile::tempdir().unwrap());
    let path = directory.path().join("out.ndjson");
    let mut hold = stage.hold(json!({"type": "file", "path": path, "format": "value"})).await;
    hold.deliver(&batch(vec![record(0, "0")])).await.unwrap();
    fs::rename(&path, directory.path().join("moved")).unwrap();
    hold.deliver(&batch(vec![record(1, "1")])).await.unwrap();
    fs::remove_file(&path).unwrap();
    hold.deliver(&batch(vec![record(2, "2")])).await.unwrap();
    assert_eq!(lines(&path), [json!(2)]);
    assert_eq!(lines(&directory.path().join("moved")), [json!(0)]);
}

#[tokio::test]
async fn one_file_has_one_writer() {
    let (stage, directory) = (Stage::new(), tempfile::tempdir().unwrap());
    let path = directory.path().join("out.ndjson");
    let config = json!({"type": "file", "path": path});
    let first = stage.hold(config.clone()).await;
    let second = stage.open(config).unwrap();
    let error = second.claim(&key(0), "w2").await.unwrap_err();
    assert!(unavailable(&error).contains("being written by another"), "{error:?}");
    drop(first);
    // The first one's thread lets go as soon as it sees that nobody holds it.
    while let Err(error) = second.claim(&key(0), "w2").await {
        unavailable(&error);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_a_person_has_to_put_right_is_fatal() {
    let (stage, directory) = (Stage::new(), tempfile::tempdir().unwrap());
    for (path, told) in [
        (directory.path().join("no/such/out.ndjson"), "directory doesn't exist"),
        (directory.path().to_owned(), "not that of a file"),
        ("/dev/null".into(), "not that of a file"),
    ] {
        let sink = stage.open(json!({"type": "file", "path": path})).unwrap();
        let error = sink.claim(&key(0), "w1").await.unwrap_err();
        assert!(fatal(&error).contains(told), "{error:?}");
        // Put right, it goes on.
        if told.starts_with("directory") {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            sink.claim(&key(0), "w1").await.unwrap();
        }
    }
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused_with_words() {
    let stage = Stage::new();
    for (config, told) in [
        (json!({"type": "file", "path": "/"}), "'path' names no file"),
        (json!({"type": "file", "path": "x", "rotate_bytes": 0}), "'rotate_bytes' must be above 0"),
        (json!({"type": "file", "path": "x", "rotate_every": "1ms"}), "'rotate_every' must be at least 1s"),
    ] {
        let why = stage.open(config).unwrap_err();
        assert!(why.contains(told), "{why}");
    }
    assert!(unreadable(json!({"type": "file"})).contains("missing field `path`"));
    assert!(
        unreadable(json!({"type": "file", "path": "x", "rotate_bytes": "lots"}))
            .contains("'lots' is not a size")
    );
    assert!(
        unreadable(json!({"type": "file", "path": "x", "rotate_every": "30"}))
            .contains("is not a span of time")
    );
}
