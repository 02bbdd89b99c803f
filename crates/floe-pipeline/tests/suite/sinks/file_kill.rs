//! The file under a process that is killed while it writes.

use std::{collections::BTreeSet, env, fs, path::Path, time::Duration};

use floe_testkit::services::{Program, command};
use serde_json::{Value, json};

use super::{Stage, batch, key, record};

/// Where the child writes, and from which offset on.
const PATH: &str = "FLOE_TEST_FILE_SINK_PATH";
const FROM: &str = "FLOE_TEST_FILE_SINK_FROM";

const ROUNDS: usize = 12;
const STARTS_WITHIN: Duration = Duration::from_secs(60);

#[tokio::test]
#[ignore = "the child of the test below, which runs it in a process of its own"]
async fn writer_that_is_killed() {
    let (Ok(path), Ok(from)) = (env::var(PATH), env::var(FROM)) else { return };
    let stage = Stage::new();
    let config = json!({"type": "file", "path": path, "format": "value", "rotate_bytes": "4KiB"});
    let sink = stage.open(config).unwrap();
    let mut hold = sink.claim(&key(0), "w1").await.unwrap();
    let from: i64 = from.parse().unwrap();
    for first in (from..).step_by(3) {
        let records =
            (first..first + 3).map(|offset| record(offset, &format!("[{offset},\"{}\"]", "x".repeat(90))));
        hold.deliver(&batch(records.collect())).await.unwrap();
        println!("synced {}.", first + 2);
    }
}

/// Each line's number, in all files of the sink.
fn numbers(directory: &Path) -> Vec<i64> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "whole lines only");
        found.extend(
            text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()[0].as_i64().unwrap()),
        );
    }
    found
}

#[tokio::test]
async fn what_was_delivered_is_there_however_often_the_process_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out.ndjson");
    let mut next = 0;
    for round in 0..ROUNDS {
        let mut child = command(&env::current_exe().unwrap(), None);
        child.args(["sinks::file_kill::writer_that_is_killed", "--exact", "--ignored", "--nocapture"]);
        child.env(PATH, &path).env(FROM, next.to_string());
        let mut child = Program::start("writer", child);
        // A different place in the life of a file each time.
        let enough = next + 2 + 3 * i64::try_from(round * 7 % 30).unwrap();
        child.wait_for_line(&format!("synced {enough}."), STARTS_WITHIN).unwrap();
        child.kill();
        let synced = |line: &String| line.split_once("synced ")?.1.strip_suffix('.')?.parse::<i64>().ok();
        next = child.said().iter().filter_map(synced).max().unwrap() + 1;

        // Whoever opens the file next cuts off what was half written.
        let stage = Stage::new();
        drop(stage.hold(json!({"type": "file", "path": path, "format": "value"})).await);
        let found = numbers(directory.path());
        let distinct: BTreeSet<_> = found.iter().copied().collect();
        assert!((0..next).all(|number| distinct.contains(&number)), "round {round}: up to {next}");
        // At most the batch that was under way when it was killed is there twice.
        assert!(found.len() - distinct.len() <= 3 * (round + 1), "round {round}");
    }
}
