//! Ends of all kinds, and what is there afterwards.

use std::{io::Write, net::TcpStream, time::Duration};

use floe_load::{Extent, LoadOptions, Retry, Source, Verify, http::Target};
use rustix::process::Signal;

use crate::server::{Server, floe, run};

#[test]
fn records_outlive_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::start(&data);
    server.run(&["topic", "create", "t"], "");
    server.run(&["produce", "t", "-q"], "1\n2\n");
    server.stop();
    let server = Server::start(&data);
    server.run(&["produce", "t", "-q"], "3\n");
    server.kill();
    let server = Server::start(&data);
    assert_eq!(server.run(&["consume", "t"], ""), "1\n2\n3\n");
    server.stop();
    let mut check = floe();
    check.arg("check").arg(&data);
    let output = run(check, "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("record batches"));
    let mut dump = floe();
    dump.arg("check").arg("--dump").arg(&data);
    assert!(String::from_utf8_lossy(&run(dump, "").stdout).contains("offsets 0 to"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_neither_loses_nor_repeats() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::start(&data);
    let address = server.address().to_owned();
    let options = LoadOptions {
        create_partitions: Some(6),
        connections: 8,
        extent: Extent { count: Some(4_000), duration: None },
        source: Source::Generated { bytes: 100, keys: Some(50) },
        rate: "2000/s".parse().unwrap(),
        retry: Retry::For(Duration::from_secs(60)),
        verify: Verify::ReadBack,
        ..LoadOptions::new(Target::parse(&server.url).unwrap(), "t")
    };
    let run = floe_load::start(options).await.unwrap();
    let mut progress = run.progress();
    progress.wait_for(|look| look.acknowledged > 500).await.unwrap();
    server.kill();
    let server = Server::start_with(&data, &["--http", &address]);
    let report = run.report().await.unwrap();
    assert!(report.is_flawless(), "{}", report.to_table());
    assert_eq!(report.acknowledged, 4_000);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_kills_under_load_neither_lose_nor_repeat() {
    const KILLS: u64 = 50;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut server = Server::start(&data);
    let address = server.address().to_owned();
    let options = LoadOptions {
        create_partitions: Some(12),
        connections: 16,
        extent: Extent { count: Some(15_000), duration: None },
        source: Source::Generated { bytes: 200, keys: Some(100) },
        rate: "3000/s".parse().unwrap(),
        retry: Retry::For(Duration::from_secs(60)),
        verify: Verify::ReadBack,
        ..LoadOptions::new(Target::parse(&server.url).unwrap(), "t")
    };
    let run = floe_load::start(options).await.unwrap();
    let mut progress = run.progress();
    for kill in 1..=KILLS {
        // each life takes some records, a few more than the one before
        let enough = kill * 150 + kill * kill;
        progress.wait_for(|look| look.acknowledged > enough).await.unwrap();
        server.kill();
        server = Server::start_with(&data, &["--http", &address]);
    }
    let report = run.report().await.unwrap();
    assert!(report.is_flawless(), "{}", report.to_table());
    assert_eq!(report.acknowledged, 15_000);
    server.stop();
}

#[test]
fn a_second_signal_ends_at_once() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let dir = tempfile::tempdir().unwrap();
        let mut server = Server::start(&dir.path().join("data"));
        // A request that is never finished keeps the stop in order waiting.
        let mut request = TcpStream::connect(server.address()).unwrap();
        request.write_all(b"POST /topics HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n").unwrap();
        std::io::Read::read_exact(&mut request, &mut [0; 12]).unwrap();
        server.signal(signal);
        server.wait_for_line("stopping");
        server.signal(signal);
        assert_eq!(server.ended().code(), Some(code));
    }
}

#[test]
fn what_is_ephemeral_is_gone_afterwards() {
    let temporary = tempfile::tempdir().unwrap();
    let mut command = floe();
    command.env("TMPDIR", temporary.path());
    let server = Server::start_from(command, &["--ephemeral", "--http", "127.0.0.1:0"]);
    server.run(&["topic", "create", "t"], "");
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 1);
    server.stop();
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}
