//! Topics, records and groups through the client commands.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use crate::server::{Server, floe};

fn server() -> (tempfile::TempDir, Server) {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"));
    (dir, server)
}

#[test]
fn topics_are_made_listed_described_altered_and_deleted() {
    let (_dir, server) = server();
    assert_eq!(
        server.run(&["topic", "create", "a", "b", "-p", "3", "-c", "retention.ms=3600000"], ""),
        "created a\ncreated b\n"
    );
    let list = server.run(&["topics", "list"], "");
    let lines: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(list.contains("NAME") && lines.iter().any(|line| line.starts_with(&["a", "3"])), "{list}");
    let described = server.run(&["topic", "describe", "a"], "");
    assert!(
        described.contains("retention.ms")
            && described.contains("3600000")
            && described.contains("PARTITION"),
        "{described}"
    );
    server.run(&["topic", "alter", "a", "-p", "5", "--delete-config", "retention.ms"], "");
    let described = server.run(&["topic", "describe", "a", "--output", "json"], "");
    let described: serde_json::Value = serde_json::from_str(&described).unwrap();
    assert_eq!(described["partitions"].as_array().unwrap().len(), 5);
    assert_eq!(described["config"]["retention.ms"], "604800000");
    assert_eq!(server.run(&["topic", "delete", "a", "b"], ""), "deleted a\ndeleted b\n");
    assert!(!server.run(&["topic", "list"], "").contains("a "));
}

#[test]
fn what_is_produced_is_consumed_byte_for_byte() {
    let (_dir, server) = server();
    server.run(&["topic", "create", "t"], "");
    let placed = server.run(
        &["produce", "t", "-f", "%k:%v", "-H", "h=1"],
        "k1:hello\nk2:{\"a\": 1e400}\nk1:nil\nk3:\u{e9} x\n",
    );
    assert_eq!(
        placed,
        "partition 0 offset 0\npartition 0 offset 1\npartition 0 offset 2\npartition 0 offset 3\n"
    );
    assert_eq!(server.run(&["consume", "t"], ""), "hello\n{\"a\": 1e400}\nnil\n\u{e9} x\n");
    assert_eq!(
        server.run(&["consume", "t", "-f", "%k=%s[%S]@%o ", "-n", "2"], ""),
        "k1=hello[5]@0 k2={\"a\": 1e400}[12]@1 "
    );
    for (place, expected) in [
        ("end", ""),
        ("-1", "3\n"),
        ("+2", "2\n3\n"),
        ("3", "3\n"),
        ("@2020-01-01T00:00:00Z", "0\n1\n2\n3\n"),
        ("@4102444800000", ""),
    ] {
        assert_eq!(server.run(&["consume", "t", "-o", place, "-f", "%o\\n"], ""), expected, "{place}");
    }
    let json = server.run(&["consume", "t", "-o", "1", "-n", "1", "--output", "json"], "");
    assert!(json.starts_with("{\"partition\":0,\"offset\":1,") && json.ends_with("}\n"), "{json}");
}

#[test]
fn a_follower_sees_what_comes_later() {
    let (_dir, server) = server();
    server.run(&["topic", "create", "t", "-p", "3"], "");
    server.run(&["produce", "t", "-q", "-k", "a"], "1\n");
    let mut command = floe();
    command.args(["consume", "t", "--follow", "-n", "4"]).env("FLOE_URL", &server.url).stdout(Stdio::piped());
    let mut follower = command.spawn().unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "1");
    server.run(&["produce", "t", "-q", "-k", "b"], "2\n3\n4\n5\n");
    let seen: Vec<_> = lines.map(Result::unwrap).collect();
    assert_eq!(seen, ["2", "3", "4"]);
    assert!(follower.wait().unwrap().success());
}

#[test]
fn a_group_remembers_how_far_it_got_and_can_be_moved() {
    let (_dir, server) = server();
    server.run(&["topic", "create", "t"], "");
    server.run(&["produce", "t", "-q"], "1\n2\n3\n4\n5\n");
    assert_eq!(server.run(&["consume", "t", "-g", "g", "-n", "2"], ""), "1\n2\n");
    assert_eq!(server.run(&["consume", "t", "-g", "g"], ""), "3\n4\n5\n");
    assert!(server.run(&["group", "list"], "").contains('g'));
    let reset = |flags: &[&str]| server.run(&[&["group", "reset", "g", "--topic", "t"], flags].concat(), "");
    assert!(reset(&["--to-offset", "1", "--dry-run"]).contains("5     1"));
    assert_eq!(server.run(&["consume", "t", "-g", "g"], ""), "");
    reset(&["--shift-by", "-2"]);
    assert_eq!(server.run(&["consume", "t", "-g", "g"], ""), "4\n5\n");
    reset(&["--to-datetime", "2020-01-01T00:00:00Z"]);
    let described = server.run(&["groups", "describe", "g"], "");
    assert!(described.contains("lag      5"), "{described}");
    assert_eq!(server.run(&["group", "delete", "g"], ""), "deleted g\n");
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let (_dir, server) = server();
    server.run(&["topic", "create", "t"], "");
    server.run(&["load", "--topic", "t", "-n", "20000", "--batch", "1000"], "");
    let mut command = floe();
    command.args(["consume", "t"]).env("FLOE_URL", &server.url).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut consume = command.spawn().unwrap();
    drop(consume.stdout.take());
    let output = consume.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn load_is_reported_and_verified_through_every_door() {
    let (_dir, server) = server();
    for door in [
        &["--keys", "9"][..],
        &["--batch", "50"],
        &["--route", "register_event"],
        &["--ws"],
        &["--acks", "1", "--rate", "6000/min"],
    ] {
        let args =
            [&["load", "--topic", "l", "--partitions", "4", "-n", "400", "--verify", "--json"][..], door]
                .concat();
        let report: serde_json::Value = serde_json::from_str(&server.run(&args, "")).unwrap();
        assert_eq!(
            (report["acknowledged"].as_u64(), report["verification"]["read"].as_u64()),
            (Some(400), Some(400)),
            "{report}"
        );
        assert_eq!(report["verification"]["lost"].as_u64(), Some(0));
        assert!(report["latency"]["p99_ms"].as_f64().unwrap() > 0.0);
    }
    let failing = server.try_run(&["load", "--topic", "not a topic", "-n", "1"], "");
    assert_eq!(failing.status.code(), Some(1));
    let table = server.run(&["load", "--topic", "l", "-n", "10"], "");
    assert!(table.contains("acknowledged             10"), "{table}");
}
