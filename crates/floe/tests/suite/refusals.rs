//! What the program refuses, with which code, and in which words.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt, path::Path};

use crate::server::{Server, floe, run};

/// The exit code and what was said on standard error.
fn refused(args: &[&str], change: impl FnOnce(&mut std::process::Command)) -> (Option<i32>, String) {
    let mut command = floe();
    command.args(args);
    change(&mut command);
    let output = run(command, "");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn serve(data_dir: &Path, args: &[&str]) -> (Option<i32>, String) {
    let data_dir = data_dir.to_str().unwrap();
    refused(&[&["serve", "--data-dir", data_dir], args].concat(), |_| ())
}

#[test]
fn a_wrong_configuration_is_refused_with_all_that_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("floe.toml");
    fs::write(&file, "data_dir = 'd'\n[http]\nadr = ['x:1']\n[journal]\nsegment_bytes = 1e9\n").unwrap();
    let (code, said) = refused(&["serve", "--config", file.to_str().unwrap()], |command| {
        command.env("FLOE_LOG__LEVLE", "info");
    });
    assert_eq!(code, Some(2));
    assert_eq!(said.lines().count(), 3, "{said}");
    assert!(said.contains("line 3: there is no setting 'http.adr'; did you mean 'http.addr'?"), "{said}");
    assert!(
        said.contains("line 5: journal.segment_bytes = 1e9 is not valid: expected a size such as 10MiB"),
        "{said}"
    );
    assert!(
        said.contains("FLOE_LOG__LEVLE: there is no setting 'log.levle'; did you mean 'log.level'?"),
        "{said}"
    );
    let (code, said) = refused(&["check", file.to_str().unwrap()], |_| ());
    assert_eq!((code, said.lines().count()), (Some(2), 2));
    assert_eq!(refused(&["serve", "--retenton"], |_| ()).0, Some(2));
    assert_eq!(refused(&["serve", "--http", "8080"], |_| ()).0, Some(2));
}

#[test]
fn the_settings_in_force_can_be_printed_and_hold_no_secret() {
    let mut command = floe();
    command.args(["serve", "--print-config", "--http", "127.0.0.1:1"]);
    command
        .env("FLOE_DATA_DIR", "/elsewhere")
        .env("POSTGRES_URL", "postgres://u:hunter2@h/d")
        .env("ZOOKEEPER_HOST", "z:1");
    let output = run(command, "");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(
        printed.contains("data_dir = \"/elsewhere\"  # the environment variable FLOE_DATA_DIR"),
        "{printed}"
    );
    assert!(printed.contains("addr = [\"127.0.0.1:1\"]  # --http"), "{printed}");
    assert!(printed.contains("Kafka's own affair") && !printed.contains("hunter2"), "{printed}");
}

#[test]
fn an_unsafe_data_directory_is_refused_in_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let open = dir.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    let (code, said) = serve(&open, &["--http", "127.0.0.1:0"]);
    assert_eq!((code, said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("writable by everybody (mode 0777)"), "{said}");

    let data = dir.path().join("data");
    let server = Server::start(&data);
    let (code, said) = serve(&data, &["--http", "127.0.0.1:0"]);
    assert_eq!((code, said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains(&format!("in use by process {}", server.id())), "{said}");
}

#[test]
fn a_port_that_can_not_be_had_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, said) = serve(&dir.path().join("data"), &["--http", "127.0.0.1:0", "--http", &address]);
    assert_eq!(code, Some(1));
    assert!(said.contains(&format!("http {address}: cannot listen")), "{said}");
    let (code, said) = serve(&dir.path().join("data"), &["--http", "0.0.0.0:0"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("--insecure-listen"), "{said}");
    drop(Server::start_with(&dir.path().join("data"), &["--http", "[::1]:0", "--log-format", "json"]));
}

#[test]
fn a_refusal_of_the_server_is_its_own_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"));
    let output = server.try_run(&["topic", "describe", "nope"], "");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "floe: topic 'nope' does not exist\n");
    let output = server.try_run(&["consume", "a\u{1b}[31m"], "");
    assert!(!output.stderr.contains(&0x1b));
    let (code, said) = refused(&["topic", "list", "--url", "http://127.0.0.1:1"], |_| ());
    assert_eq!(code, Some(1));
    assert!(said.contains("cannot connect to 127.0.0.1:1"), "{said}");
    assert_eq!(refused(&["topic", "list", "--url", "localhost"], |_| ()).0, Some(2));
}
