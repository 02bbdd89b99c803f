//! A program as a child of the test: killed with all its children, and never left behind.

use std::{
    collections::VecDeque,
    env, fs,
    io::{self, BufRead, BufReader, PipeReader},
    net::TcpListener,
    os::{fd::OwnedFd, unix::process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, LazyLock, mpsc},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal},
};

/// Lines of a program's output that are kept, for those who ask why it failed.
const LINES_KEPT: usize = 200;
/// How long a process that was told to end may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(30);
/// Ports are taken from below those that the kernel gives to outgoing connections, so that a service that was killed
/// finds its own port free again.
const PORTS: std::ops::Range<u16> = 15_000..32_000;
/// How many ports are tried.
const PORT_TRIES: usize = 100;

/// A running program. Killed when dropped; and by the kernel, should the test end without that.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    output: Arc<Output>,
}

#[derive(Debug, Default)]
struct Output {
    said: Mutex<Said>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct Said {
    lines: VecDeque<String>,
    ended: bool,
}

/// Who is to start something, and where the answer goes.
type Order = (Command, mpsc::SyncSender<io::Result<Child>>);

/// The thread that starts all programs. The kernel kills a child when the thread that started it ends; a test's own
/// thread ends with the test, and what tests share has to outlive it.
static STARTER: LazyLock<mpsc::SyncSender<Order>> = LazyLock::new(|| {
    let (orders, taken) = mpsc::sync_channel::<Order>(1);
    std::thread::spawn(move || {
        for (mut command, answer) in taken {
            // whoever asked is waiting for it
            let _ = answer.send(command.spawn());
        }
    });
    orders
});

/// Where a program of this name is: in `PATH`, in one of the folders where the system keeps servers, or in `also`.
/// Panics with the name of the package that has it.
#[must_use]
pub fn find_program(name: &str, also: &[PathBuf], package: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/bin", "/usr/sbin"].map(PathBuf::from));
    let found =
        also.iter().cloned().chain(folders).map(|folder| folder.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| {
        panic!(
            "{name} is missing: it is in Debian's package {package}, and scripts/setup-test.sh installs it"
        )
    })
}

/// A port on loopback that nobody listens on.
#[must_use]
pub fn free_port() -> u16 {
    (0..PORT_TRIES)
        .map(|_| rand::random_range(PORTS))
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .unwrap_or_else(|| panic!("no free port found in {PORTS:?}"))
}

impl Program {
    /// Starts a command that [`command`] made and the caller has completed. Its output is read, and kept for
    /// [`Self::said`].
    #[must_use]
    pub fn start(name: &str, command: Command) -> Self {
        let (child, output) =
            spawn(command).unwrap_or_else(|error| panic!("{name} could not be started: {error}"));
        let kept = Arc::new(Output::default());
        let keeper = kept.clone();
        std::thread::spawn(move || keep_lines(output, &keeper));
        Self { name: name.to_owned(), child, output: kept }
    }

    /// Waits until a line has this text, and answers the line. `Err` is what it said instead: it ended, or the time was
    /// over.
    pub fn wait_for_line(&self, text: &str, limit: Duration) -> Result<String, String> {
        let deadline = Instant::now() + limit;
        let mut said = self.output.said.lock();
        loop {
            if let Some(line) = said.lines.iter().find(|line| line.contains(text)) {
                return Ok(line.clone());
            }
            if said.ended || self.output.news.wait_until(&mut said, deadline).timed_out() {
                let why = if said.ended { "ended" } else { "took too long" };
                let lines: Vec<&str> = said.lines.iter().map(String::as_str).collect();
                return Err(format!("{} {why} before it said '{text}':\n{}", self.name, lines.join("\n")));
            }
        }
    }

    /// The newest lines of its output.
    #[must_use]
    pub fn said(&self) -> Vec<String> {
        self.output.said.lock().lines.iter().cloned().collect()
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGSTOP: it does nothing until [`Self::resume`], and keeps all that it has.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// SIGTERM, which asks it to end in good order. Returns how it did.
    pub fn end(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        if let Ok(process) = pidfd_open(pid(self.child.id()), PidfdFlags::empty()) {
            assert!(is_gone(&process), "{} is still there after SIGTERM", self.name);
        }
        self.child.wait().unwrap_or_else(|error| panic!("{} can't be waited for: {error}", self.name))
    }

    /// SIGKILL, to it and its children, as when the machine's memory has run out. Returns when all are gone.
    pub fn kill(&mut self) {
        let id = pid(self.child.id());
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        // stopped, so that it starts no more children while they are counted
        let _ = kill_process(id, Signal::STOP);
        let children: Vec<OwnedFd> = children_of(self.child.id())
            .into_iter()
            .filter_map(|child| pidfd_open(pid(child), PidfdFlags::empty()).ok())
            .collect();
        let _ = kill_process(id, Signal::KILL);
        for child in &children {
            // it may be gone by itself
            let _ = pidfd_send_signal(child, Signal::KILL);
        }
        let _ = self.child.wait();
        for child in &children {
            assert!(is_gone(child), "a child of {} is still there after SIGKILL", self.name);
        }
    }

    fn signal(&self, signal: Signal) {
        let sent = kill_process(pid(self.child.id()), signal);
        sent.unwrap_or_else(|error| panic!("{} took no signal: {error}", self.name));
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A command for a program that the kernel kills when the test's process ends, run as the user with these ids if any
/// are given.
#[must_use]
pub fn command(program: &Path, user: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(find_program("setpriv", &[], "util-linux"));
    command.args(["--pdeathsig", "KILL"]);
    if let Some((uid, gid)) = user {
        command.args(["--reuid", &uid.to_string(), "--regid", &gid.to_string(), "--clear-groups"]);
    }
    command.arg("--").arg(program);
    command
}

fn spawn(mut command: Command) -> io::Result<(Child, PipeReader)> {
    let (reader, writer) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    // a Ctrl-C in the terminal ends the test, which ends this
    command.process_group(0);
    let (answer, child) = mpsc::sync_channel(1);
    let lost = |_| io::Error::other("the thread that starts programs has ended");
    STARTER.send((command, answer)).map_err(|_| lost(mpsc::RecvError))?;
    Ok((child.recv().map_err(lost)??, reader))
}

fn keep_lines(output: PipeReader, kept: &Output) {
    // output that isn't UTF-8 ends what is kept, not the program
    for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
        let mut said = kept.said.lock();
        if said.lines.len() == LINES_KEPT {
            said.lines.pop_front();
        }
        said.lines.push_back(String::from_utf8_lossy(&line).into_owned());
        kept.news.notify_all();
    }
    kept.said.lock().ended = true;
    kept.news.notify_all();
}

fn pid(id: u32) -> Pid {
    i32::try_from(id).ok().and_then(Pid::from_raw).unwrap_or_else(|| panic!("{id} is no process id"))
}

/// The processes whose parent is this one.
fn children_of(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| {
            let id: u32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let of: u32 = stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()?;
            (of == parent).then_some(id)
        })
        .collect()
}

/// Waits for it.
fn is_gone(process: &OwnedFd) -> bool {
    let limit = Timespec { tv_sec: i64::try_from(GONE_WITHIN.as_secs()).unwrap_or(i64::MAX), tv_nsec: 0 };
    poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&limit)).is_ok_and(|count| count > 0)
}
