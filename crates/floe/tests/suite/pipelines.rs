//! Pipelines and dead letters, through configuration and client commands.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::server::{Server, floe, run};

/// How long something that is waited for may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn examples() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/pipelines")
}

fn floe_with(args: &[&str]) -> Output {
    let mut command = floe();
    command.args(args);
    run(command, "")
}

/// What was written to standard output and standard error.
fn words(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

/// Asks again until the answer is there.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < PATIENCE, "{what}: not within {} s", PATIENCE.as_secs());
    }
}

fn written(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_examples_are_valid_and_their_tests_pass() {
    let path = |name: &str| examples().join(name).to_str().unwrap().to_owned();
    let output = floe_with(&["check", &path("floe.toml")]);
    assert!(output.status.success(), "{:?}", words(&output));
    let output = floe_with(&["pipeline", "test", &path("tests.toml"), &path("orders.tests.toml")]);
    let (said, errors) = words(&output);
    assert!(output.status.success() && said.ends_with("6 passed, 0 failed\n"), "{said}{errors}");
}

#[test]
fn every_configuration_in_the_documents_is_valid() {
    let documents = examples().join("../../docs");
    let text = fs::read_to_string(documents.join("pipelines.md")).unwrap();
    let blocks: Vec<_> =
        text.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!blocks.is_empty());
    let folder = tempfile::tempdir().unwrap();
    for block in blocks {
        // Their files are named as they are found from the documents' own folder.
        let block = block.replace("../examples/pipelines", examples().to_str().unwrap());
        let output = floe_with(&["check", &written(folder.path(), "floe.toml", &block)]);
        assert!(output.status.success(), "{block}\n{}", words(&output).1);
    }
}

#[test]
fn a_case_that_fails_shows_what_is_different() {
    let folder = tempfile::tempdir().unwrap();
    let cases = "filter = '.n > 1'\nmap = '{n: (.n + 1)}'\n\
                 [[case]]\nname = 'right'\ninput.value = { n = 2 }\nexpect = [{ n = 3.0 }]\n\
                 [[case]]\nname = 'wrong'\ninput.value = { n = 2 }\nexpect = [{ n = 4 }]\n\
                 [[case]]\nname = 'null'\ninput.text = 'null'\nexpect_json = ['null']\n";
    let output = floe_with(&["pipelines", "test", &written(folder.path(), "cases.toml", cases)]);
    let (said, _) = words(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for told in
        ["ok    right", "FAIL  wrong", "expected  [{\"n\":4}]", "got       [{\"n\":3}]", "1 passed, 2 failed"]
    {
        assert!(said.contains(told), "{told}: {said}");
    }
    for (cases, told) in [
        ("filter = '.'\n", "missing field 'case'"),
        ("[[case]]\nname = 'a'\ninput.value = 1\nexpect = [1]\n", "nothing is to be tested"),
        ("filter = '.a ='\n[[case]]\nname = 'a'\ninput.value = 1\nexpect = [1]\n", "filter: "),
        ("filter = '.'\n[[case]]\nname = 'a'\ninput.value = 1\nexpect = 'gone'\n", "or \"dropped\""),
        ("filter = '.'\n[[case]]\nnme = 'a'\n", "line 3: unknown field 'nme'"),
        (
            "pipeline = 'x'\n[[case]]\nname = 'a'\ninput.value = 1\nexpect = [1]\n",
            "floe.toml: cannot be opened",
        ),
    ] {
        let output = floe_with(&["pipeline", "test", &written(folder.path(), "cases.toml", cases)]);
        let (_, errors) = words(&output);
        assert!(output.status.code() == Some(2) && errors.contains(told), "{cases}: {errors}");
    }
}

#[test]
fn a_wrong_pipeline_is_refused_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for (sink, told) in [
        ("type = 'webhok'", "did you mean 'webhook'?"),
        ("type = 'sql'\ntable = 'a b; drop'\ncolumns = { a = '.a' }", "sink 1: "),
        ("type = 'webhook'\nurl = 'ftp://user:hunter2@h/'", "sink 1: "),
        ("type = 'redis'\nmode = 'pubsub'\nchannel = 'c'\nurl = 'http://:hunter2@h'", "sink 1: "),
    ] {
        let config = format!("[[pipeline]]\nname = 'a'\nfrom = 't'\n[[pipeline.to]]\n{sink}\n");
        let config = written(folder.path(), "floe.toml", &config);
        let output = floe_with(&["check", &config]);
        let (_, errors) = words(&output);
        assert!(output.status.code() == Some(2) && errors.contains(told), "{sink}: {errors}");
        assert!(errors.contains("floe.toml, line ") && !errors.contains("hunter2"), "{errors}");
        let data_dir = data.to_str().unwrap();
        let args = ["serve", "--config", &config, "--data-dir", data_dir, "--http", "127.0.0.1:0"];
        let output = floe_with(&args);
        let (_, errors) = words(&output);
        assert_eq!(output.status.code(), Some(2), "{sink}: {errors}");
        assert!(!errors.contains("hunter2") && errors.contains("pipeline 'a'"), "{errors}");
    }
    let output = floe_with(&["serve", "--services", "pipelines", "--server", "http://127.0.0.1:1"]);
    assert!(output.status.code() == Some(2) && words(&output).1.contains("nothing to work on"));
}

#[test]
fn what_is_printed_names_the_pipelines_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let secret = "whsec_Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5";
    let config = format!(
        "[store]\nurl = 'postgres://u:hunter2@h/d'\n[redis]\nurl = 'redis://:hunter2@h'\n[[pipeline]]\nname = 'a'\n\
         from = 't'\n[[pipeline.to]]\ntype = 'webhook'\nurl = 'https://example.com/'\nsecret = '{secret}'\n"
    );
    let output =
        floe_with(&["serve", "--print-config", "--config", &written(folder.path(), "f.toml", &config)]);
    let (said, errors) = words(&output);
    assert!(output.status.success() && errors.is_empty(), "{errors}");
    assert!(
        said.contains("# pipeline a: t to webhook") && said.contains("# store.url: postgres://h/d"),
        "{said}"
    );
    assert!(!said.contains("hunter2") && !said.contains("Y2FuYXJ5"), "{said}");
}

fn purchase(amount: &str) -> String {
    let id = amount.replace('"', "");
    format!(
        "{{\"id\":\"p-{id}\",\"event_type\":\"purchase\",\"user_id\":\"u\",\"data\":{{\"amount\":{amount}}}}}\n"
    )
}

fn dead_letters(server: &Server, state: &[&str]) -> Vec<Value> {
    let output = server.run(&[&["dlq", "list", "events-store", "--output", "json"], state].concat(), "");
    let answer: Value = serde_json::from_str(&output).unwrap();
    answer["dead_letters"].as_array().unwrap().clone()
}

#[test]
fn dead_letters_are_listed_shown_redriven_and_discarded() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    server.run(&["topic", "create", "events"], "");
    let input: String = ["1", "\"x\"", "2", "null", "[]"].map(purchase).concat();
    server.run(&["produce", "events", "-q"], &input);
    let letters = eventually("three dead letters", || {
        let letters = dead_letters(&server, &[]);
        (letters.len() == 3).then_some(letters)
    });
    let of_text = letters.iter().find(|letter| letter["value"]["data"]["amount"] == "x").unwrap();
    let id = of_text["id"].as_str().unwrap();
    let listed = server.run(&["dlq", "list", "events-store"], "");
    assert!(listed.contains("events/0 offset 1") && listed.contains("amount"), "{listed}");
    let shown = server.run(&["dlq", "show", "events-store", id], "");
    assert!(shown.contains("attempts") && shown.contains("\"amount\":\"x\""), "{shown}");
    let counted = server.run(&["dlq", "list"], "");
    assert!(counted.contains("events-store  3     0"), "{counted}");

    let dry = server.run(&["dlq", "redrive", "events-store", "--all", "--dry-run"], "");
    assert!(dry.starts_with("redriven 3\n"), "{dry}");
    assert_eq!(dead_letters(&server, &[]).len(), 3);
    assert_eq!(server.run(&["dlq", "redrive", "events-store", id], ""), "redriven 1\n");
    // It is as wrong as before, so it comes back; a second redrive of the first one does nothing.
    eventually("the redriven one comes back", || {
        (dead_letters(&server, &["--all"]).len() == 4).then_some(())
    });
    assert!(server.run(&["dlq", "redrive", "events-store", id], "").starts_with("redriven 0\nleft alone "));
    assert_eq!(server.run(&["dlq", "discard", "events-store", "--all"], ""), "discarded 3\n");
    assert!(dead_letters(&server, &[]).is_empty());
    let output = server.try_run(&["dlq", "discard", "events-store"], "");
    assert!(output.status.code() == Some(2) && words(&output).1.contains("--error-contains"));
    assert_eq!(server.try_run(&["dlq", "list", "nope"], "").status.code(), Some(1));
    server.stop();
}

#[test]
fn pipelines_are_described_paused_and_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let config = written(
        folder.path(),
        "floe.toml",
        "[[pipeline]]\nname = 'copy'\nfrom = 'in'\nmap = '.n'\n[[pipeline.to]]\ntype = 'topic'\ntopic = 'out'\npartitions = 1\n",
    );
    let data = folder.path().join("data");
    let server = Server::start_with(&data, &["--http", "127.0.0.1:0", "--config", &config]);
    server.run(&["topic", "create", "in"], "");
    server.run(&["produce", "in", "-q"], "{\"n\":1}\n{\"n\":2}\n");
    let consumed = |count: &'static str| {
        eventually("the topic 'out'", || {
            server.try_run(&["topic", "describe", "out"], "").status.success().then_some(())
        });
        server.run(&["consume", "out", "--follow", "-n", count], "")
    };
    assert_eq!(consumed("2"), "1\n2\n");
    assert_eq!(server.run(&["pipeline", "pause", "copy", "--reason", "a holiday"], ""), "paused copy\n");
    let state = |wanted: &str| {
        eventually(wanted, || {
            let described = server.run(&["pipeline", "describe", "copy", "--output", "json"], "");
            let described: Value = serde_json::from_str(&described).unwrap();
            (described["state"] == wanted).then_some(described)
        })
    };
    assert_eq!(state("paused")["reason"], "a holiday");
    server.run(&["produce", "in", "-q"], "{\"n\":3}\n");
    let listed = server.run(&["pipelines", "list"], "");
    assert!(
        listed.contains("copy") && listed.contains("events-store") && listed.contains("topic out"),
        "{listed}"
    );
    assert_eq!(server.run(&["pipeline", "resume", "copy"], ""), "resumed copy\n");
    assert_eq!(consumed("3"), "1\n2\n3\n");
    state("running");
    let described = server.run(&["pipeline", "describe", "copy"], "");
    assert!(described.contains("pipeline:copy") && described.contains("WORKER"), "{described}");
    assert_eq!(server.try_run(&["pipeline", "pause", "nope"], "").status.code(), Some(1));
    server.stop();
}

#[test]
fn a_database_that_is_nowhere_is_waited_for_and_said_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = floe();
    command
        .env("POSTGRES_URL", "postgres://floe:hunter2@127.0.0.1:1/floe")
        .env("REDIS_URL", "redis://:hunter2@127.0.0.1:1");
    let data = folder.path().join("data");
    let args = ["--data-dir", data.to_str().unwrap(), "--http", "127.0.0.1:0"];
    let mut server = Server::start_from(command, &args);
    let line = server.wait_for_line("can't be reached");
    assert!(line.contains("127.0.0.1:1") && !line.contains("hunter2"), "{line}");
    server.run(&["topic", "create", "events"], "");
    server.run(&["produce", "events", "-q"], &purchase("1"));
    assert!(server.run(&["consume", "events"], "").contains("p-1"));
    let ready = eventually("ready says degraded", || {
        let answer = get(&server, "/health/ready");
        answer.contains("degraded").then_some(answer)
    });
    assert!(ready.starts_with("HTTP/1.1 200") && !ready.contains("hunter2"), "{ready}");
    server.stop();
}

/// A request and the whole answer, as bytes on a socket.
fn get(server: &Server, path: &str) -> String {
    use std::io::{Read, Write};
    let mut socket = std::net::TcpStream::connect(server.address()).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}
