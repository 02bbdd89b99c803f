//! Pipelines in processes of their own.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use crate::{
    pipelines::eventually,
    server::{Server, floe},
};

const COPY: &str = "[[pipeline]]\nname = 'copy'\nfrom = 'in'\nmap = '.n'\nbatch = { max_records = 50 }\n\
                    [[pipeline.to]]\ntype = 'topic'\ntopic = 'out'\npartitions = 6\n";

/// A server that runs no pipelines, with the topic `in`.
fn server(folder: &Path) -> Server {
    fs::write(folder.join("floe.toml"), COPY).unwrap();
    let server = Server::start_with(
        &folder.join("data"),
        &["--http", "127.0.0.1:0", "--services", "http", "--log-level", "warn"],
    );
    server.run(&["topic", "create", "in", "-p", "6"], "");
    server
}

fn worker(folder: &Path, server: &Server) -> Server {
    let mut command = floe();
    // Where a data directory would be seen.
    let home = folder.join("worker");
    fs::create_dir_all(&home).unwrap();
    command.current_dir(&home);
    let config = folder.join("floe.toml");
    let args = ["--services", "pipelines", "--server", &server.url, "--log-level", "warn", "--config"];
    Server::start_from(command, &[&args[..], &[config.to_str().unwrap()]].concat())
}

fn lines(from: usize, to: usize) -> String {
    (from..to).map(|n| format!("{{\"n\":{n}}}\n")).collect()
}

/// How many records the pipeline is done with, over all partitions.
fn committed(server: &Server) -> Option<u64> {
    let output = server.try_run(&["pipeline", "describe", "copy", "--output", "json"], "");
    let described: Value = serde_json::from_slice(&output.stdout).ok()?;
    described["partitions"].as_array()?.iter().map(|partition| partition["committed"].as_u64()).sum()
}

fn workers(server: &Server) -> usize {
    let output = server.try_run(&["pipeline", "describe", "copy", "--output", "json"], "");
    let described: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    described["workers"].as_array().map_or(0, |workers| {
        workers.iter().filter(|worker| !worker["partitions"].as_array().is_none_or(Vec::is_empty)).count()
    })
}

fn arrived(server: &Server) -> Vec<usize> {
    let text = server.run(&["consume", "out"], "");
    text.lines().map(|line| line.parse().unwrap()).collect()
}

#[test]
fn a_worker_without_a_data_directory_moves_another_nodes_records() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    server.run(&["produce", "in", "-q"], &lines(0, 500));
    let worker = worker(folder.path(), &server);
    eventually("all is committed", || (committed(&server) == Some(500)).then_some(()));
    let arrived = arrived(&server);
    assert_eq!(arrived.len(), 500);
    assert_eq!(arrived.into_iter().collect::<BTreeSet<_>>(), (0..500).collect());
    assert_eq!(fs::read_dir(folder.path().join("worker")).unwrap().count(), 0);
    let state = |wanted: &str| {
        eventually(wanted, || {
            let described = server.run(&["pipeline", "describe", "copy", "--output", "json"], "");
            let described: Value = serde_json::from_str(&described).unwrap();
            (described["workers"][0]["state"] == wanted).then_some(())
        });
    };
    server.run(&["pipeline", "pause", "copy"], "");
    state("paused");
    server.run(&["pipeline", "resume", "copy"], "");
    server.run(&["produce", "in", "-q"], &lines(500, 510));
    state("running");
    eventually("what came after the pause is committed", || (committed(&server) == Some(510)).then_some(()));
    worker.stop();
    server.stop();
}

#[test]
fn of_three_workers_one_is_killed_and_nothing_is_lost() {
    const RECORDS: usize = 6_000;
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    let mut running: Vec<_> = (0..3).map(|_| worker(folder.path(), &server)).collect();
    eventually("each worker has partitions", || (workers(&server) == 3).then_some(()));
    server.run(&["produce", "in", "-q"], &lines(0, RECORDS / 2));
    running.remove(0).kill();
    server.run(&["produce", "in", "-q"], &lines(RECORDS / 2, RECORDS));
    eventually("the others have taken over", || (committed(&server) == Some(RECORDS as u64)).then_some(()));
    let arrived: BTreeSet<_> = arrived(&server).into_iter().collect();
    assert_eq!(arrived, (0..RECORDS).collect());
    for worker in running {
        worker.stop();
    }
    server.stop();
}

#[test]
fn a_worker_waits_for_a_server_that_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let first = server(folder.path());
    let address = first.address().to_owned();
    let worker = worker(folder.path(), &first);
    first.run(&["produce", "in", "-q"], &lines(0, 100));
    first.kill();
    let data = folder.path().join("data");
    let args = ["--http", &address, "--services", "http", "--log-level", "warn"];
    let second = Server::start_with(&data, &args);
    second.run(&["produce", "in", "-q"], &lines(100, 200));
    eventually("all is committed", || (committed(&second) == Some(200)).then_some(()));
    let arrived: BTreeSet<_> = arrived(&second).into_iter().collect();
    assert_eq!(arrived, (0..200).collect());
    worker.stop();
    second.stop();
}
