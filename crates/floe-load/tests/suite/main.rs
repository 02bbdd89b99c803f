//! The generator against a server that is honest, and against one that isn't: it must find out.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod fake;

use std::{io::Write, time::Duration};

use fake::{Fake, Fault};
use floe_load::{Door, Extent, LoadOptions, Report, Retry, Source, Verify};

/// A verified run of `count` keyed records over two connections, changed as the test wants it.
async fn run_with(fake: &Fake, count: u64, change: impl FnOnce(&mut LoadOptions)) -> Report {
    let mut options = LoadOptions::new(fake.target.clone(), "t");
    options.connections = 2;
    options.extent = Extent { count: Some(count), duration: None };
    options.source = Source::Generated { bytes: 40, keys: Some(5) };
    options.verify = Verify::ReadBack;
    change(&mut options);
    floe_load::start(options).await.unwrap().report().await.unwrap()
}

async fn run(faults: &[Fault], count: u64, change: impl FnOnce(&mut LoadOptions)) -> Report {
    run_with(&Fake::start(faults).await, count, change).await
}

#[tokio::test]
async fn an_honest_server_is_found_flawless_through_every_door() {
    for door in [Door::Records, Door::RegisterEvent, Door::WebSocket { window: 8 }] {
        for batch in [1, 7] {
            if batch > 1 && door == (Door::WebSocket { window: 8 }) {
                continue;
            }
            let report = run(&[], 500, |options| {
                options.door = door;
                options.batch = batch;
            })
            .await;
            assert!(report.is_flawless(), "{door:?} {batch}:\n{}", report.to_table());
            assert_eq!((report.sent, report.acknowledged), (500, 500));
            assert_eq!(report.verification.unwrap().read, 500);
            assert!(report.latency.max_ms > 0.0);
        }
    }
}

#[tokio::test]
async fn a_rate_is_kept() {
    let report = run(&[], 200, |options| options.rate = "1000/s".parse().unwrap()).await;
    assert!(report.is_flawless());
    assert!((0.199..5.0).contains(&report.elapsed_seconds), "{}", report.elapsed_seconds);
}

#[tokio::test]
async fn a_run_ends_at_its_time_and_says_what_was_not_sent() {
    let report = run(&[Fault::Stall(3, Duration::from_millis(400))], 1, |options| {
        options.connections = 1;
        options.extent = Extent { count: None, duration: Some(Duration::from_millis(200)) };
        options.rate = "100/s".parse().unwrap();
    })
    .await;
    assert_eq!(report.sent, report.acknowledged);
    assert_eq!(report.sent + report.behind, 20, "{}", report.to_table());
    assert!(report.behind > 0);
}

#[tokio::test]
async fn a_stall_shows_in_every_record_that_fell_due_meanwhile() {
    let report = run(&[Fault::Stall(0, Duration::from_millis(300))], 300, |options| {
        options.connections = 1;
        options.rate = "1000/s".parse().unwrap();
    })
    .await;
    // One exchange of three hundred was slow; a client that waits would have a median of a fraction of this.
    assert!(report.latency.p50_ms > 75.0, "{}", report.to_table());
    assert!(report.latency.max_ms >= 299.0, "{}", report.to_table());
}

#[tokio::test]
async fn a_broken_connection_leaves_the_outcome_unknown() {
    let faults = [Fault::HangUpAfterStoring(10), Fault::HangUpBeforeStoring(20)];
    for door in [Door::Records, Door::WebSocket { window: 1 }] {
        let report = run(&faults, 50, |options| options.door = door).await;
        assert_eq!(
            (report.sent, report.acknowledged, report.failed, report.unknown),
            (50, 48, 0, 2),
            "{}",
            report.to_table()
        );
        let verification = report.verification.unwrap();
        assert!(verification.is_flawless(), "{verification}");
        assert_eq!(verification.unknown_stored, 1);
    }
}

#[tokio::test]
async fn what_is_sent_again_is_stored_once() {
    let faults = [
        Fault::HangUpAfterStoring(10),
        Fault::HangUpBeforeStoring(20),
        Fault::Overloaded(30),
        Fault::HangUpAfterStoring(31),
    ];
    let report = run(&faults, 50, |options| options.retry = Retry::For(Duration::from_secs(20))).await;
    assert!(report.is_flawless(), "{}", report.to_table());
    assert_eq!((report.acknowledged, report.resent, report.replayed), (50, 4, 2), "{}", report.to_table());
}

#[tokio::test]
async fn a_refusal_is_a_failure_with_its_reason() {
    let report = run(&[Fault::Overloaded(5)], 20, |_| ()).await;
    assert_eq!((report.acknowledged, report.failed, report.unknown), (19, 1, 0));
    assert_eq!(report.reasons["503 OVERLOADED"], 1);
    assert!(!report.is_flawless());
    assert!(report.verification.unwrap().is_flawless());
}

#[tokio::test]
async fn every_lie_is_found() {
    for (fault, expected) in [
        (Fault::Lose(17), "1 LOST"),
        (Fault::Repeat(17), "1 REPEATED"),
        (Fault::Flip(17), "1 CORRUPTED"),
        (Fault::RefuseAndStore(17), "1 STORED THOUGH FAILED"),
    ] {
        let report = run(&[fault], 40, |_| ()).await;
        let found = report.verification.as_ref().unwrap().to_string();
        assert!(found.contains(expected) && !report.is_flawless(), "{fault:?}: {found}");
    }
    let report = run(&[Fault::Swap(17)], 40, |options| {
        options.connections = 1;
        options.source = Source::Generated { bytes: 40, keys: Some(1) };
    })
    .await;
    assert_eq!(report.verification.unwrap().reordered, 1);
}

#[tokio::test]
async fn a_file_is_sent_once_with_its_keys() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    for n in 0..100 {
        writeln!(file, "{{\"key\":\"k{}\",\"value\":{{\"n\":{n}}}}}", n % 9).unwrap();
    }
    let fake = Fake::start(&[]).await;
    let report = run_with(&fake, 1, |options| {
        options.extent = Extent::default();
        options.source = Source::File { path: file.path().to_owned(), key_field: None };
        options.rate = "5000/s".parse().unwrap();
        options.connections = 4;
    })
    .await;
    assert!(report.is_flawless(), "{}", report.to_table());
    assert_eq!((report.sent, fake.stored()), (100, 100));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said_to_be_not_there() {
    let target = Fake::start(&[]).await.target;
    let gone = floe_load::http::Target::parse("http://127.0.0.1:1").unwrap();
    let error = floe_load::start(LoadOptions::new(gone, "t")).await.unwrap_err();
    assert!(format!("{error:#}").contains("cannot connect to 127.0.0.1:1"), "{error:#}");
    let mut options = LoadOptions::new(target, "t");
    options.door = Door::WebSocket { window: 1 };
    options.retry = Retry::For(Duration::from_secs(1));
    assert!(floe_load::start(options).await.is_err());
}
