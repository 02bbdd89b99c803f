//! The server as a process of its own: started, killed without warning, started again.

use std::{path::Path, process::Stdio, time::Duration};

use anyhow::{Context, bail};
use floe_load::http::Target;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStderr, Command},
    time::{Instant, timeout},
};

/// How long a start or a stop may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server.
#[derive(Debug)]
pub(super) struct ServerProcess {
    child: Child,
    /// Where it listens.
    pub(super) target: Target,
    /// From the start of the process until it said where it listens.
    pub(super) ready_after: Duration,
}

impl ServerProcess {
    /// Starts this very program as a server, and waits until it says where it listens.
    pub(super) async fn start(data_dir: &Path, address: &str) -> anyhow::Result<Self> {
        let started = Instant::now();
        let program = std::env::current_exe().context("cannot find this program's file")?;
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if ["FLOE_", "POSTGRES_URL", "REDIS_"].iter().any(|prefix| name.starts_with(prefix)) {
                command.env_remove(name);
            }
        }
        // Another directory, so that no other floe.toml than the demo's own has a say in it.
        let directory = data_dir.parent().context("the data directory has no parent")?;
        let mut child = command
            .args(["serve", "--http", address, "--log-level", "error,floe::serve=info", "--data-dir"])
            .arg(data_dir)
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the server")?;
        let stderr = child.stderr.take().context("the server has no standard error")?;
        let mut lines = BufReader::new(stderr).lines();
        let url =
            timeout(PATIENCE, announced(&mut lines)).await.context("the server did not start in time")??;
        let ready_after = started.elapsed();
        tokio::spawn(pass_on(lines));
        let target = Target::parse(&url).with_context(|| format!("the server says it listens at {url}"))?;
        Ok(Self { child, target, ready_after })
    }

    /// Resolves when it ends by itself, which it is never meant to; says with which status.
    pub(super) async fn ended(&mut self) -> anyhow::Error {
        match self.child.wait().await {
            Ok(status) => anyhow::anyhow!("the server ended by itself: {status}"),
            Err(error) => anyhow::Error::new(error).context("cannot wait for the server"),
        }
    }

    /// Ends it as a power cut would: SIGKILL, no goodbye.
    pub(super) async fn kill(mut self) -> anyhow::Result<()> {
        self.child.start_kill().context("cannot kill the server")?;
        self.child.wait().await.context("cannot wait for the server")?;
        Ok(())
    }

    /// Asks it to stop, as an operator would, and returns its exit code.
    pub(super) async fn stop(mut self) -> anyhow::Result<Option<i32>> {
        let id =
            self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        let id = id.context("the server ended by itself")?;
        rustix::process::kill_process(id, rustix::process::Signal::TERM).context("cannot stop the server")?;
        let status =
            timeout(PATIENCE, self.child.wait()).await.context("the server did not stop in time")??;
        Ok(status.code())
    }
}

/// Reads until the server says where it listens.
async fn announced(lines: &mut Lines<BufReader<ChildStderr>>) -> anyhow::Result<String> {
    let mut said = Vec::new();
    while let Some(line) = lines.next_line().await? {
        if let Some(url) = line.strip_prefix("  http  ").and_then(|rest| rest.split_whitespace().next()) {
            return Ok(url.to_owned());
        }
        said.push(line);
    }
    bail!("the server did not start: {}", said.join(" / "))
}

async fn pass_on(mut lines: Lines<BufReader<ChildStderr>>) {
    while let Ok(Some(line)) = lines.next_line().await {
        crate::output::tell(&format!("  server: {line}"));
    }
}
