//! A PostgreSQL server of its own, in a folder of its own.

use std::{
    env, fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tempfile::TempDir;

use super::program::{Program, command, find_program, free_port};

const PACKAGE: &str = "postgresql";
/// Who may log in, and what with: a password, because addresses with a password must not show up in logs.
const USER: &str = "floe";
const PASSWORD: &str = "a-test's-password";
/// The same as it stands in an address.
const PASSWORD_IN_URL: &str = "a-test%27s-password";
/// How long a start may take: recovery after a kill, on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(120);
const READY: &str = "database system is ready to accept connections";
/// How many ports are tried when somebody else is quicker.
const START_TRIES: usize = 5;

/// A killed process loses nothing that it has handed to the kernel, so nothing has to be synced for it; and many tests
/// share a server.
const TEST_SETTINGS: [&str; 2] = ["fsync=off", "max_connections=200"];

/// A server and its files; both gone when dropped. Everything here panics with what PostgreSQL said.
#[derive(Debug)]
pub struct Postgres {
    // in this order they are dropped: the files last
    server: Mutex<Option<Program>>,
    port: u16,
    databases: AtomicU32,
    binaries: PathBuf,
    user: Option<(u32, u32)>,
    settings: &'static [&'static str],
    folder: TempDir,
}

/// The one that tests share, as long as one of them holds it.
static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());

impl Postgres {
    /// Makes and starts a server for one test alone, which may kill it.
    #[must_use]
    pub fn start() -> Self {
        Self::start_in(&env::temp_dir(), &TEST_SETTINGS)
    }

    /// One that syncs as PostgreSQL does unless it is told otherwise, with its files in this folder: for measuring.
    #[must_use]
    pub fn durable_in(folder: &Path) -> Self {
        Self::start_in(folder, &[])
    }

    fn start_in(folder: &Path, settings: &'static [&'static str]) -> Self {
        let binaries = binaries();
        let user = unprivileged_user();
        let folder = tempfile::Builder::new().prefix("floe-postgres-").tempdir_in(folder);
        let folder = folder.unwrap_or_else(|error| panic!("no folder for PostgreSQL: {error}"));
        let password = folder.path().join("password");
        let written = fs::write(&password, PASSWORD).and_then(|()| match user {
            Some((uid, gid)) => chown(folder.path(), Some(uid), Some(gid))
                .and_then(|()| chown(&password, Some(uid), Some(gid))),
            None => Ok(()),
        });
        written.unwrap_or_else(|error| panic!("PostgreSQL's folder could not be made: {error}"));
        let mut postgres = Self {
            server: Mutex::new(None),
            port: 0,
            databases: AtomicU32::new(0),
            binaries,
            user,
            settings,
            folder,
        };
        postgres.make_files(&password);
        let mut last = String::new();
        for _ in 0..START_TRIES {
            postgres.port = free_port();
            match postgres.run() {
                Ok(server) => {
                    postgres.server = Mutex::new(Some(server));
                    return postgres;
                }
                Err(error) => last = error,
            }
        }
        panic!("PostgreSQL did not start: {last}")
    }

    /// The server that tests of one program share: never kill it, and use a database of your own.
    #[must_use]
    pub fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock();
        shared.upgrade().unwrap_or_else(|| {
            let postgres = Arc::new(Self::start());
            *shared = Arc::downgrade(&postgres);
            postgres
        })
    }

    /// The address of the database that is there from the start.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// Makes a new empty database and answers its address.
    #[must_use]
    pub fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.query(&self.url(), &format!("CREATE DATABASE {name}"));
        self.url_of(&name)
    }

    /// Where it listens on 127.0.0.1; the same after a restart.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// SIGKILL to the server and all its processes. Does nothing if it isn't running.
    pub fn kill(&self) {
        // dropping it kills
        drop(self.server.lock().take());
    }

    /// Starts it again on the same port and files; returns when it takes connections, its recovery done.
    pub fn restart(&self) {
        self.kill();
        let server = self.run().unwrap_or_else(|error| panic!("PostgreSQL did not start again: {error}"));
        *self.server.lock() = Some(server);
    }

    /// What a statement answers, as psql prints it without decoration: columns separated by `|`.
    pub fn query(&self, url: &str, sql: &str) -> String {
        self.try_query(url, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The same; `Err` is what psql said.
    pub fn try_query(&self, url: &str, sql: &str) -> Result<String, String> {
        let mut psql = Command::new(self.binaries.join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql]).current_dir("/");
        text_of(psql.output())
    }

    fn url_of(&self, database: &str) -> String {
        format!("postgres://{USER}:{PASSWORD_IN_URL}@127.0.0.1:{}/{database}", self.port)
    }

    fn files(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn make_files(&self, password: &Path) {
        let mut command = command(&self.binaries.join("initdb"), self.user);
        command.args(["--no-sync", "--no-instructions", "--encoding=UTF8", "--locale=C", "-U", USER]);
        command.arg("--auth=scram-sha-256").arg(format!("--pwfile={}", password.display()));
        command.arg("-D").arg(self.files()).current_dir("/");
        text_of(command.output()).unwrap_or_else(|error| panic!("initdb failed: {error}"));
    }

    fn run(&self) -> Result<Program, String> {
        let mut command = command(&self.binaries.join("postgres"), self.user);
        command.arg("-D").arg(self.files()).current_dir("/");
        let settings = [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={}", self.port),
            "unix_socket_directories=".to_owned(),
            "log_destination=stderr".to_owned(),
            "logging_collector=off".to_owned(),
        ];
        let settings = settings.into_iter().chain(self.settings.iter().map(|&setting| setting.to_owned()));
        command.args(settings.flat_map(|setting| ["-c".to_owned(), setting]));
        let server = Program::start("postgres", command);
        server.wait_for_line(READY, READY_WITHIN)?;
        Ok(server)
    }
}

fn text_of(output: std::io::Result<Output>) -> Result<String, String> {
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

/// The folder with the newest version's programs; Debian keeps them out of `PATH`.
fn binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, folder): &(u32, PathBuf)| folder.join("initdb").is_file())
        .collect();
    folders.sort();
    let newest: Vec<PathBuf> = folders.pop().into_iter().map(|(_, folder)| folder).collect();
    let postgres = find_program("postgres", &newest, PACKAGE);
    postgres.parent().map(Path::to_path_buf).unwrap_or_default()
}

/// PostgreSQL refuses to run as root: the user and group that it runs as then. `None` without root.
fn unprivileged_user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let ids_of = |name: &str| {
        let fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let user = fields.into_iter().find(|fields| fields.len() > 3 && fields[0] == name)?;
        Some((user[2].parse().ok()?, user[3].parse().ok()?))
    };
    let ids = ids_of("postgres").or_else(|| ids_of("nobody"));
    Some(
        ids.unwrap_or_else(|| {
            panic!("PostgreSQL can't run as root, and there is neither postgres nor nobody")
        }),
    )
}
