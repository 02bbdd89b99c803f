//! The built program as processes that a test kills and starts again: servers on ports of their own, and workers.

use std::{path::Path, process::ExitStatus, sync::Mutex, time::Duration};

use floe_load::http::{Client, Target};
use floe_testkit::services::{Program, command, free_port};
use serde_json::Value;

/// How long anything that is waited for may take: generous, for busy machines.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// A server or a worker; killed when dropped. What it said last is shown when the test fails.
#[derive(Debug)]
pub(crate) struct Node {
    name: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    program: Mutex<Option<Program>>,
    /// Of a server: where it is, before and after a restart. Of a worker: its server, if it has one.
    pub(crate) url: String,
}

impl Node {
    /// Starts a server on a data directory and a port that stays its own.
    pub(crate) fn server(data: &Path, environment: &[(&str, String)]) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let arguments = ["serve", "--http", &address, "--data-dir", data.to_str().unwrap()];
        Self::start_new("server", &arguments, environment, format!("http://{address}"))
    }

    /// Starts a worker of a server's pipelines.
    pub(crate) fn worker(name: &str, server: &Self, environment: &[(&str, String)]) -> Self {
        let arguments = ["serve", "--services", "pipelines", "--server", &server.url];
        Self::start_new(name, &arguments, environment, server.url.clone())
    }

    /// Starts a gateway to the cluster that the environment names, on a port that stays its own.
    pub(crate) fn gateway(name: &str, environment: &[(&str, String)]) -> Self {
        Self::serving(name, "http", environment)
    }

    /// Starts a server without some of its services.
    pub(crate) fn server_of(data: &Path, services: &str, environment: &[(&str, String)]) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let data = data.to_str().unwrap();
        let arguments = ["serve", "--http", &address, "--data-dir", data, "--services", services];
        Self::start_new("server", &arguments, environment, format!("http://{address}"))
    }

    /// Starts a worker of the pipelines of the cluster that the environment names.
    pub(crate) fn cluster_worker(name: &str, environment: &[(&str, String)]) -> Self {
        Self::start_new(name, &["serve", "--services", "pipelines"], environment, String::new())
    }

    /// Starts some services of a server on the cluster that the environment names, on a port that stays its own.
    pub(crate) fn serving(name: &str, services: &str, environment: &[(&str, String)]) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let arguments = ["serve", "--http", &address, "--services", services];
        Self::start_new(name, &arguments, environment, format!("http://{address}"))
    }

    /// Starts a worker of a server's chat.
    pub(crate) fn chat_worker(name: &str, server: &Self, environment: &[(&str, String)]) -> Self {
        let arguments = ["serve", "--services", "chat", "--server", &server.url];
        Self::start_new(name, &arguments, environment, server.url.clone())
    }

    fn start_new(name: &str, arguments: &[&str], environment: &[(&str, String)], url: String) -> Self {
        let node = Self {
            name: name.to_owned(),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            environment: environment
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
            program: Mutex::new(None),
            url,
        };
        node.start();
        node
    }

    /// SIGKILL.
    pub(crate) fn kill(&self) {
        // dropping it kills
        drop(self.program.lock().unwrap().take());
    }

    /// SIGTERM; returns how it ended. None if it wasn't running.
    pub(crate) fn stop(&self) -> Option<ExitStatus> {
        let mut program = self.program.lock().unwrap().take()?;
        Some(program.end())
    }

    /// Starts it as before; returns when it is ready.
    pub(crate) fn start(&self) {
        let mut command = command(Path::new(env!("CARGO_BIN_EXE_floe")), None);
        let foreign = ["FLOE_", "KAFKA_", "POSTGRES_", "REDIS_"];
        for (name, _) in std::env::vars_os() {
            if foreign.iter().any(|foreign| name.to_string_lossy().starts_with(foreign)) {
                command.env_remove(name);
            }
        }
        command.args(&self.arguments).envs(self.environment.iter().cloned());
        // a directory without a floe.toml
        command.current_dir(env!("CARGO_TARGET_TMPDIR"));
        let program = Program::start(&self.name, command);
        program.wait_for_line("ready in", PATIENCE).unwrap();
        *self.program.lock().unwrap() = Some(program);
    }

    /// What it said last.
    pub(crate) fn said(&self) -> Vec<String> {
        self.program.lock().unwrap().as_ref().map(|program| program.said().to_vec()).unwrap_or_default()
    }

    /// Kills and starts it.
    pub(crate) fn restart(&self) {
        self.kill();
        self.start();
    }

    /// A request that is answered; status and JSON (null without).
    pub(crate) async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        self.try_ask(method, path, body).await.unwrap()
    }

    /// A request that is answered with this status; its JSON (null without). Without a body if that is null.
    #[track_caller]
    pub(crate) fn says(
        &self,
        status: u16,
        method: &str,
        path: &str,
        body: &Value,
    ) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        let text = if body.is_null() { String::new() } else { body.to_string() };
        async move {
            let (found, said) = self.ask(method, path, &text).await;
            assert_eq!(found, status, "at {caller}: {method} {path}: {said}");
            said
        }
    }

    /// A request, whatever comes of it.
    pub(crate) async fn try_ask(&self, method: &str, path: &str, body: &str) -> Result<(u16, Value), String> {
        let target = Target::parse(&self.url).unwrap();
        let headers: &[_] = if body.is_empty() { &[] } else { &[("Content-Type", "application/json")] };
        let answer = Client::new(target, ANSWER_WITHIN).send(method, path, headers, body.as_bytes()).await;
        let answer = answer.map_err(|error| error.to_string())?;
        Ok((answer.status, serde_json::from_slice(&answer.body).unwrap_or_default()))
    }

    /// Whether `/health/ready` says this, and for `degraded` names this part.
    pub(crate) async fn is_ready_with(&self, status: &str, part: &str) -> bool {
        let Ok((200, said)) = self.try_ask("GET", "/health/ready", "").await else { return false };
        said["status"] == status
            && (part.is_empty() || said["reasons"].to_string().to_lowercase().contains(part))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Ok(Some(program)) = self.program.get_mut()
            && std::thread::panicking()
        {
            let said = program.said();
            let newest: Vec<_> = said.iter().skip(said.len().saturating_sub(60)).cloned().collect();
            eprintln!("--- {} said last:\n{}", self.name, newest.join("\n"));
        }
    }
}

/// Looks until it holds; fails with these words when it takes too long.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let mut beat = tokio::time::interval(LOOK_EVERY);
    let looked = async {
        while !holds().await {
            beat.tick().await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, looked).await.is_ok(), "after {PATIENCE:?} still not: {what}");
}
