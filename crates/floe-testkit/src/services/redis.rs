//! A Redis server of its own, which keeps nothing on disk.

use std::{path::PathBuf, time::Duration};

use parking_lot::Mutex;

use super::program::{Program, command, find_program, free_port};

const READY_WITHIN: Duration = Duration::from_secs(60);
const READY: &str = "Ready to accept connections";
/// How many ports are tried when somebody else is quicker.
const START_TRIES: usize = 5;

/// A server; gone when dropped. What it holds is gone when it is killed. Panics with what Redis said.
#[derive(Debug)]
pub struct Redis {
    server: Mutex<Option<Program>>,
    binary: PathBuf,
    port: u16,
}

impl Redis {
    /// Starts it.
    #[must_use]
    pub fn start() -> Self {
        let binary = find_program("redis-server", &[], "redis-server");
        let mut redis = Self { server: Mutex::new(None), binary, port: 0 };
        let mut last = String::new();
        for _ in 0..START_TRIES {
            redis.port = free_port();
            match redis.run() {
                Ok(server) => {
                    redis.server = Mutex::new(Some(server));
                    return redis;
                }
                Err(error) => last = error,
            }
        }
        panic!("Redis did not start: {last}")
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Where it listens on 127.0.0.1; the same after a restart.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// SIGKILL. Does nothing if it isn't running.
    pub fn kill(&self) {
        // dropping it kills
        drop(self.server.lock().take());
    }

    /// Starts it again on the same port, empty; returns when it takes connections.
    pub fn restart(&self) {
        self.kill();
        let server = self.run().unwrap_or_else(|error| panic!("Redis did not start again: {error}"));
        *self.server.lock() = Some(server);
    }

    fn run(&self) -> Result<Program, String> {
        let port = self.port.to_string();
        let mut command = command(&self.binary, None);
        command.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command.current_dir("/");
        let server = Program::start("redis-server", command);
        server.wait_for_line(READY, READY_WITHIN)?;
        Ok(server)
    }
}
