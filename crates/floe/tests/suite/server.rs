//! The built program as a server of a test: started on a free port, ended with the test.

use std::{
    io::{BufRead, BufReader, Read},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    stderr: BufReader<ChildStderr>,
    /// What it said until it said where it listens.
    said: String,
    pub(crate) url: String,
}

/// The program, with nothing of this environment that could have a say.
pub(crate) fn floe() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_floe"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if ["FLOE_", "POSTGRES_", "REDIS_", "KAFKA_"].iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    // A directory without a floe.toml.
    command.current_dir(env!("CARGO_TARGET_TMPDIR")).stdin(Stdio::null());
    command
}

impl Server {
    /// Starts on a data directory and a free port.
    pub(crate) fn start(data_dir: &Path) -> Self {
        Self::start_with(data_dir, &["--http", "127.0.0.1:0"])
    }

    /// Starts with these arguments besides the data directory.
    pub(crate) fn start_with(data_dir: &Path, args: &[&str]) -> Self {
        let data_dir = data_dir.to_str().unwrap();
        Self::start_from(floe(), &[&["--data-dir", data_dir], args].concat())
    }

    /// Starts a prepared command with these arguments of `serve`.
    pub(crate) fn start_from(mut command: Command, args: &[&str]) -> Self {
        command.arg("serve").args(args).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let (said, line) = line_with(&mut stderr, "http://");
        let at = line.find("http://").unwrap();
        let url = line[at..].split(|c: char| c.is_whitespace() || c == '"').next().unwrap().to_owned();
        Self { child, stderr, said, url }
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The address without its scheme.
    pub(crate) fn address(&self) -> &str {
        &self.url["http://".len()..]
    }

    /// A client command that succeeds; returns what it printed.
    pub(crate) fn run(&self, args: &[&str], input: &str) -> String {
        let output = self.try_run(args, input);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A client command, whatever comes of it.
    pub(crate) fn try_run(&self, args: &[&str], input: &str) -> Output {
        let mut command = floe();
        command.args(args).env("FLOE_URL", &self.url);
        run(command, input)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// The first line that has this in it, of all that the server says.
    pub(crate) fn wait_for_line(&mut self, text: &str) -> String {
        match self.said.lines().find(|line| line.contains(text)) {
            Some(line) => line.to_owned(),
            None => line_with(&mut self.stderr, text).1,
        }
    }

    /// Waits for the end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// SIGTERM, and the end in order.
    pub(crate) fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = self.ended();
        assert_eq!(status.code(), Some(0), "{:?}", status.signal());
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A test that failed leaves nothing running; one that ended the server itself finds it gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command with this input to its end.
pub(crate) fn run(mut command: Command, input: &str) -> Output {
    use std::io::Write;
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A command that has seen enough closes its input.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().unwrap()
}

/// Reads until a line has this in it; returns what was said before, and the line.
fn line_with(stderr: &mut BufReader<ChildStderr>, text: &str) -> (String, String) {
    let mut said = String::new();
    loop {
        let mut line = String::new();
        if stderr.read_line(&mut line).unwrap() == 0 {
            stderr.read_to_string(&mut said).unwrap();
            panic!("the server ended before it said {text:?}: {said}");
        }
        if line.contains(text) {
            return (said, line);
        }
        said += &line;
    }
}
