//! The examples and the demo, run as a reader runs them.

use std::{fmt::Write, fs, path::PathBuf, process::Command};

use crate::server::{Server, floe, run};

fn examples() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

#[test]
fn the_tour_finds_everything_as_it_should_be() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"));
    take_the_tour(&server.url);
    // It can be taken again.
    take_the_tour(&server.url);
}

/// The tour of a server, which finds nothing off.
pub(crate) fn take_the_tour(url: &str) {
    let mut tour = Command::new("bash");
    tour.arg(examples().join("curl-tour.sh")).arg(url);
    let output = run(tour, "");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
}

/// Runs a client of a server's socket; its own event has to come back to it.
pub(crate) fn sees_its_own_event(mut client: Command, url: &str) {
    client.arg(format!("{}/ws", url.replacen("http", "ws", 1)));
    let output = run(client, "");
    let (seen, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && seen.contains("the event came back"), "{seen}\n{said}");
    let mut consume = floe();
    consume.args(["consume", "orders"]).env("FLOE_URL", url);
    assert!(String::from_utf8_lossy(&run(consume, "").stdout).contains("ORD-123"));
}

pub(crate) fn python_client() -> Command {
    let python = std::env::var_os("FLOE_TEST_PYTHON")
        .map_or_else(|| examples().join("python/.venv/bin/python"), PathBuf::from);
    assert!(python.exists(), "{} is missing: scripts/setup-test.sh makes it", python.display());
    let mut client = Command::new(python);
    client.arg(examples().join("python/pubsub_client.py"));
    client
}

pub(crate) fn javascript_client() -> Command {
    let modules = examples().join("javascript/node_modules/ws");
    assert!(modules.exists(), "{} is missing: scripts/setup-test.sh makes it", modules.display());
    let mut client = Command::new("node");
    client.arg(examples().join("javascript/pubsub_client.mjs"));
    client
}

#[test]
fn the_python_client_sees_its_own_event() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"));
    sees_its_own_event(python_client(), &server.url);
}

#[test]
fn the_javascript_client_sees_its_own_event() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"));
    sees_its_own_event(javascript_client(), &server.url);
}

#[test]
fn the_real_input_goes_in_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"));
    for (file, flags, lines) in
        [("flights", &[][..], 20_000), ("earthquakes", &["--key-field", "properties.net"], 1_707)]
    {
        let path = examples().join("data").join(format!("{file}.ndjson"));
        let args = [
            "load",
            "--topic",
            file,
            "--payload-file",
            path.to_str().unwrap(),
            "--batch",
            "500",
            "--verify",
            "--json",
        ];
        let report: serde_json::Value =
            serde_json::from_str(&server.run(&[&args[..], flags].concat(), "")).unwrap();
        assert_eq!(report["acknowledged"].as_u64(), Some(lines));
    }
}

#[test]
fn the_demo_holds_on_a_smaller_input() {
    let dir = tempfile::tempdir().unwrap();
    for (topic, lines) in [("flights", 3_000), ("earthquakes", 300)] {
        let mut text = String::new();
        for n in 0..lines {
            writeln!(
                text,
                "{{\"key\":\"k{}\",\"value\":{{\"n\":{n},\"properties\":{{\"net\":\"x{}\"}}}}}}",
                n % 37,
                n % 5
            )
            .unwrap();
        }
        fs::write(dir.path().join(format!("{topic}.ndjson")), text).unwrap();
    }
    let mut demo = floe();
    demo.args(["demo", "--rate", "60000/min", "--subscribers", "2", "--input"]).arg(dir.path());
    let output = run(demo, "");
    let (table, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{table}");
    assert!(
        table.contains("held  every acknowledged record is stored, none is lost")
            && table.contains("held  every earthquake is one row of the table")
            && table.contains("held  corrected and redriven once, it is in the table")
            && !table.contains("BROKEN"),
        "{table}"
    );
}
