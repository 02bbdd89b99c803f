//! Servers as child processes: started on a free port, killed when dropped.

use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};

use crate::client;

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Server {
    /// Floe with nothing but its defaults on a directory; returns when it is ready, with the time that took.
    pub(crate) async fn floe(binary: &Path, data: &Path) -> anyhow::Result<(Self, Duration)> {
        Self::floe_with(binary, data, |_| ()).await
    }

    /// The same, with what `configure` adds.
    pub(crate) async fn floe_with(
        binary: &Path,
        data: &Path,
        configure: impl FnOnce(&mut Command),
    ) -> anyhow::Result<(Self, Duration)> {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let start = Instant::now();
        let mut command = Command::new(binary);
        command.args(["serve", "--http", &address.to_string(), "--data-dir"]).arg(data);
        configure(&mut command);
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {}", binary.display()))?;
        let server = Self { child, address };
        let deadline = start + Duration::from_secs(120);
        while Instant::now() < deadline {
            if let Ok(answer) = client::get(address, "/health/ready").await
                && answer.status == 200
            {
                return Ok((server, start.elapsed()));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        bail!("Floe was not ready within two minutes")
    }

    /// Makes a topic, on Floe.
    pub(crate) async fn make_topic(&self, name: &str) -> anyhow::Result<()> {
        let answer = client::post(self.address, "/topics", &format!(r#"{{"name":"{name}"}}"#)).await?;
        ensure!(answer.status == 201, "making a topic answered {}", answer.status);
        Ok(())
    }

    /// A server of this program's own, which prints its address.
    pub(crate) fn own(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("its output")?).read_line(&mut line)?;
        let address = line.trim().parse().context("its address")?;
        Ok(Self { child, address })
    }

    /// Any other server, which listens on a port it was told.
    pub(crate) fn spawned(mut command: Command, address: SocketAddr) -> anyhow::Result<Self> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        Ok(Self { child, address })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}
