//! A Kafka broker of its own: one that keeps its metadata itself (KRaft), or the last kind that kept them in ZooKeeper.

use std::{
    fs,
    io::{self, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, OnceLock, Weak},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tempfile::TempDir;

use super::{
    java::{Jars, Machine},
    program::{Program, free_port},
    proxy::Proxy,
    secured::{Certificate, SECURED, Secured},
    zookeeper::ZooKeeper,
};

const MAIN: &str = "kafka.Kafka";
/// Who says that the broker is ready; the one with KRaft, the one with ZooKeeper.
const LOGGERS: [&str; 2] = ["kafka.server.KafkaRaftServer", "kafka.server.KafkaServer"];
/// What they say then.
const KRAFT_READY: &str = "Kafka Server started";
const ZOOKEEPER_READY: &str = "[KafkaServer id=1] started";
/// How long a start may take: the virtual machine's and the broker's recovery, on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(180);
/// How long a broker that has started may take to answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
/// How many times other ports are tried when somebody else is quicker.
const START_TRIES: usize = 5;

/// What clients ask first: a `Metadata` request of version 1, for no topic, by nobody.
const METADATA: [u8; 18] = [0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0, 0, 0];
/// An answer is much smaller.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// In place of a cluster's id until a server gets its own: any sixteen bytes, in base64.
const CLUSTER: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// One broker, many of them beside each other, and tests that wait for it: few partitions of its own, few threads and
/// small buffers, no delays that serve a large cluster.
const SETTINGS: [(&str, &str); 20] = [
    ("inter.broker.listener.name", "DIRECT"),
    ("auto.create.topics.enable", "false"),
    ("offsets.topic.num.partitions", "4"),
    ("offsets.topic.replication.factor", "1"),
    ("transaction.state.log.num.partitions", "4"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("group.min.session.timeout.ms", "500"),
    ("log.initial.task.delay.ms", "500"),
    ("log.retention.check.interval.ms", "500"),
    ("log.segment.delete.delay.ms", "500"),
    ("log.cleaner.backoff.ms", "500"),
    ("log.cleaner.threads", "1"),
    ("log.cleaner.dedupe.buffer.size", "4194304"),
    ("log.cleaner.io.buffer.size", "65536"),
    ("num.network.threads", "2"),
    ("num.io.threads", "4"),
    ("background.threads", "2"),
    ("num.recovery.threads.per.data.dir", "1"),
];
/// Only a broker with KRaft knows these. Its session is short because a broker that was killed and is back is refused
/// until that of its old self is over.
const KRAFT_SETTINGS: [(&str, &str); 9] = [
    ("node.id", "1"),
    ("process.roles", "broker,controller"),
    ("controller.listener.names", "CONTROLLER"),
    ("broker.heartbeat.interval.ms", "500"),
    ("broker.session.timeout.ms", "2500"),
    ("share.coordinator.state.topic.num.partitions", "4"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("share.coordinator.state.topic.min.isr", "1"),
    ("group.streams.initial.rebalance.delay.ms", "0"),
];
/// Only a broker with ZooKeeper knows these. Its session is short for the same reason.
const ZOOKEEPER_SETTINGS: [(&str, &str); 3] = [
    ("broker.id", "1"),
    ("zookeeper.session.timeout.ms", "4000"),
    ("zookeeper.connection.timeout.ms", "60000"),
];

/// A broker and its files; both gone when dropped. Everything here panics with what Kafka said.
#[derive(Debug)]
pub struct Kafka {
    // in this order they are dropped: the files last
    server: Mutex<Option<Program>>,
    zookeeper: Option<ZooKeeper>,
    jars: Jars,
    port: u16,
    folder: TempDir,
}

/// Where a broker keeps what it knows about topics.
#[derive(Clone, Copy, Debug)]
enum Metadata {
    Kraft,
    ZooKeeper,
}

/// What the format tool puts into an empty folder of data.
type Format = Vec<(PathBuf, Vec<u8>)>;

/// Made once per process: it takes a virtual machine of its own, and differs between servers by the cluster's id alone.
static FORMAT: OnceLock<Format> = OnceLock::new();

/// The one that tests share, as long as one of them holds it.
static SHARED: Mutex<Weak<Kafka>> = Mutex::new(Weak::new());

impl Kafka {
    /// Makes and starts a server for one test alone, which may kill it.
    #[must_use]
    pub fn start_kraft() -> Self {
        Self::start_kraft_with(&[])
    }

    /// The same, with settings of `server.properties` that come after the tests' own and win over them.
    #[must_use]
    pub fn start_kraft_with(settings: &[(&str, &str)]) -> Self {
        Self::start(Metadata::Kraft, settings, || (None, ())).0
    }

    /// A server tuned as Kafka ships it, for figures. It starts slowly.
    #[must_use]
    pub fn start_kraft_for_figures() -> Self {
        let mut kafka = Self::start_kraft();
        kafka.jars.machine = Machine::AsShipped;
        kafka.restart();
        kafka
    }

    /// The same behind a proxy: who begins with the proxy's port is told of no other one. [`Self::bootstrap`] goes past
    /// it, for the test itself.
    #[must_use]
    pub fn start_kraft_behind_proxy(settings: &[(&str, &str)]) -> (Self, Proxy) {
        Self::start(Metadata::Kraft, settings, || {
            let port = free_port();
            let proxy = Proxy::to(port);
            (Some(Listener { name: "PROXIED", protocol: "PLAINTEXT", port, advertised: proxy.port() }), proxy)
        })
    }

    /// A server with one more way in, over TLS and for those with a password. [`Self::bootstrap`] goes past it.
    #[must_use]
    pub fn start_kraft_secured() -> (Self, Secured) {
        let certificate = Certificate::new();
        let settings = certificate.settings();
        let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let (kafka, port) = Self::start(Metadata::Kraft, &settings, || {
            let port = free_port();
            (Some(Listener { name: SECURED, protocol: "SASL_SSL", port, advertised: port }), port)
        });
        (kafka, Secured::new(port, certificate))
    }

    /// A server of the last version with ZooKeeper, and its ZooKeeper, for one test alone.
    #[must_use]
    pub fn start_zookeeper() -> Self {
        Self::start_zookeeper_with(&[])
    }

    /// The same, with settings of `server.properties` that come after the tests' own and win over them.
    #[must_use]
    pub fn start_zookeeper_with(settings: &[(&str, &str)]) -> Self {
        Self::start(Metadata::ZooKeeper, settings, || (None, ())).0
    }

    /// The server with KRaft that tests of one program share: never kill or pause it, and use topics and groups of your
    /// own.
    #[must_use]
    pub fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock();
        shared.upgrade().unwrap_or_else(|| {
            let kafka = Arc::new(Self::start_kraft());
            *shared = Arc::downgrade(&kafka);
            kafka
        })
    }

    /// Where clients begin.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where it listens on 127.0.0.1; the same after a restart.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// SIGKILL to the broker; a ZooKeeper goes on. Does nothing if it isn't running.
    pub fn kill(&self) {
        // dropping it kills
        drop(self.server.lock().take());
    }

    /// Starts it again on the same port and files; returns when it answers, its recovery done.
    pub fn restart(&self) {
        self.kill();
        let server = self.run().unwrap_or_else(|error| panic!("Kafka did not start again: {error}"));
        *self.server.lock() = Some(server);
    }

    /// SIGSTOP to the broker: connections stay open, new ones are made, and nobody answers.
    pub fn pause(&self) {
        self.running(Program::pause);
    }

    /// Ends a pause. One of more than two seconds has cost the broker its session: its partitions have a leader again a
    /// moment later.
    pub fn resume(&self) {
        self.running(Program::resume);
    }

    /// The newest lines of what the broker logged: warnings and errors. None if it isn't running.
    #[must_use]
    pub fn said(&self) -> Vec<String> {
        self.server.lock().as_ref().map(Program::said).unwrap_or_default()
    }

    /// What one of Kafka's own tools prints, given the class behind its script: `org.apache.kafka.tools.TopicCommand`
    /// is `kafka-topics.sh`. It isn't told of the broker unless the arguments name it.
    pub fn tool(&self, class: &str, args: &[&str]) -> String {
        let printed = self.jars.run(class, args, self.folder.path());
        printed.unwrap_or_else(|error| panic!("{class} {args:?}: {error}"))
    }

    fn running(&self, act: impl FnOnce(&Program)) {
        let server = self.server.lock();
        act(server.as_ref().unwrap_or_else(|| panic!("Kafka isn't running")));
    }

    /// `beside` finds a free port for one more listener, if there is to be one.
    fn start<T>(
        metadata: Metadata,
        settings: &[(&str, &str)],
        beside: impl Fn() -> (Option<Listener>, T),
    ) -> (Self, T) {
        let mut last = String::new();
        for _ in 0..START_TRIES {
            let (listener, with) = beside();
            match Self::make(metadata, settings, listener) {
                Ok(kafka) => return (kafka, with),
                Err(error) => last = error,
            }
        }
        panic!("Kafka did not start: {last}")
    }

    fn make(metadata: Metadata, settings: &[(&str, &str)], beside: Option<Listener>) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("floe-kafka-").tempdir();
        let folder = folder.unwrap_or_else(|error| panic!("no folder for Kafka: {error}"));
        let jars = Jars::of(match metadata {
            Metadata::Kraft => "kraft",
            Metadata::ZooKeeper => "zookeeper",
        });
        let port = free_port();
        let mut listeners = Listeners::default();
        listeners.add(&Listener { name: "DIRECT", protocol: "PLAINTEXT", port, advertised: port });
        if let Some(listener) = beside {
            listeners.add(&listener);
        }
        let mut lines = lines_of(&SETTINGS);
        let zookeeper = match metadata {
            Metadata::Kraft => {
                let controller = free_port();
                listeners.add_controller(controller);
                lines.extend(lines_of(&KRAFT_SETTINGS));
                lines.push(format!("controller.quorum.voters=1@127.0.0.1:{controller}"));
                None
            }
            Metadata::ZooKeeper => {
                let zookeeper = ZooKeeper::start(&jars, folder.path())?;
                lines.extend(lines_of(&ZOOKEEPER_SETTINGS));
                lines.push(format!("zookeeper.connect=127.0.0.1:{}", zookeeper.port()));
                Some(zookeeper)
            }
        };
        lines.extend(listeners.lines());
        let kafka = Self { server: Mutex::new(None), zookeeper, jars, port, folder };
        lines.push(format!("log.dirs={}", kafka.files().display()));
        if matches!(metadata, Metadata::Kraft) {
            let format = FORMAT.get_or_init(|| made_format(&kafka.jars, &lines));
            put_format(format, &kafka.files())
                .unwrap_or_else(|error| panic!("Kafka's files could not be made: {error}"));
        }
        lines.extend(lines_of(settings));
        fs::write(kafka.properties(), lines.join("\n"))
            .unwrap_or_else(|error| panic!("Kafka's settings could not be written: {error}"));
        *kafka.server.lock() = Some(kafka.run()?);
        Ok(kafka)
    }

    fn properties(&self) -> PathBuf {
        self.folder.path().join("server.properties")
    }

    fn files(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn run(&self) -> Result<Program, String> {
        if !self.jars.are_archived() {
            let recorded = self.jars.recorded_command(MAIN, &LOGGERS, self.folder.path());
            self.run_command(recorded)?.end();
            // without, all starts are as slow as this one, and that is all
            let _ = self.jars.keep_archive(self.folder.path());
        }
        self.run_command(self.jars.command(MAIN, &LOGGERS, self.folder.path()))
    }

    fn run_command(&self, mut command: Command) -> Result<Program, String> {
        let mut ready = KRAFT_READY;
        if let Some(zookeeper) = &self.zookeeper {
            zookeeper.wait_for_expiry()?;
            ready = ZOOKEEPER_READY;
        }
        command.arg(self.properties());
        let server = Program::start("Kafka", command);
        server.wait_for_line(ready, READY_WITHIN)?;
        // one with ZooKeeper says so before its controller has told it that it is there itself
        wait_until_it_knows_a_broker(self.port).map_err(|error| {
            format!("Kafka started, but does not answer: {error}\n{}", server.said().join("\n"))
        })?;
        Ok(server)
    }
}

/// A way in.
struct Listener {
    name: &'static str,
    protocol: &'static str,
    port: u16,
    /// The port that clients who come here are told to come to.
    advertised: u16,
}

/// The lines about who can reach the broker where.
#[derive(Default)]
struct Listeners {
    bound: Vec<String>,
    advertised: Vec<String>,
    protocols: Vec<String>,
}

impl Listeners {
    fn add(&mut self, listener: &Listener) {
        let Listener { name, protocol, port, advertised } = listener;
        self.bound.push(format!("{name}://127.0.0.1:{port}"));
        self.advertised.push(format!("{name}://127.0.0.1:{advertised}"));
        self.protocols.push(format!("{name}:{protocol}"));
    }

    /// Clients aren't told of it.
    fn add_controller(&mut self, port: u16) {
        self.bound.push(format!("CONTROLLER://127.0.0.1:{port}"));
        self.protocols.push("CONTROLLER:PLAINTEXT".to_owned());
    }

    fn lines(&self) -> [String; 3] {
        [
            format!("listeners={}", self.bound.join(",")),
            format!("advertised.listeners={}", self.advertised.join(",")),
            format!("listener.security.protocol.map={}", self.protocols.join(",")),
        ]
    }
}

fn lines_of(settings: &[(&str, &str)]) -> Vec<String> {
    settings.iter().map(|(name, value)| format!("{name}={value}")).collect()
}

/// Lets the format tool fill a folder, and reads what it has put there. Files written by hand would lack the versions
/// of the features, and a broker without them has them switched off.
fn made_format(jars: &Jars, lines: &[String]) -> Format {
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no folder for Kafka: {error}"));
    let (data, properties) = (folder.path().join("data"), folder.path().join("format.properties"));
    let mut lines = lines.to_vec();
    lines.push(format!("log.dirs={}", data.display()));
    let properties_name = properties.to_string_lossy();
    let args = ["format", "--cluster-id", CLUSTER, "--config", &properties_name];
    let format = fs::write(&properties, lines.join("\n"))
        .map_err(|error| error.to_string())
        .and_then(|()| jars.run("kafka.tools.StorageTool", &args, folder.path()))
        .and_then(|_| files_below(&data, Path::new("")).map_err(|error| error.to_string()));
    format.unwrap_or_else(|error| panic!("Kafka's data could not be formatted: {error}"))
}

fn files_below(root: &Path, folder: &Path) -> io::Result<Format> {
    let mut files = Format::new();
    for entry in fs::read_dir(root.join(folder))? {
        let name = folder.join(entry?.file_name());
        if root.join(&name).is_dir() {
            files.extend(files_below(root, &name)?);
        } else {
            files.push((name.clone(), fs::read(root.join(&name))?));
        }
    }
    Ok(files)
}

fn put_format(format: &Format, data: &Path) -> io::Result<()> {
    // digits are base64 too
    let cluster = format!("{:021}A", rand::random::<u64>());
    for (name, bytes) in format {
        let file = data.join(name);
        fs::create_dir_all(file.parent().unwrap_or(data))?;
        match str::from_utf8(bytes) {
            Ok(text) => fs::write(file, text.replace(CLUSTER, &cluster))?,
            Err(_) => fs::write(file, bytes)?,
        }
    }
    Ok(())
}

fn wait_until_it_knows_a_broker(port: u16) -> io::Result<()> {
    let deadline = Instant::now() + ANSWERS_WITHIN;
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(ANSWERS_WITHIN))?;
    while brokers_known_to(&mut stream)? == 0 {
        if Instant::now() > deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "it knows no broker"));
        }
    }
    Ok(())
}

/// How many brokers the one at the other end lists.
fn brokers_known_to(stream: &mut TcpStream) -> io::Result<u32> {
    stream.write_all(&METADATA)?;
    let mut size = [0; 4];
    stream.read_exact(&mut size)?;
    let size = usize::try_from(u32::from_be_bytes(size)).unwrap_or(usize::MAX);
    if !(8..=ANSWER_BYTES_MAX).contains(&size) {
        return Err(io::Error::other(format!("an answer of {size} bytes")));
    }
    let mut answer = vec![0; size];
    stream.read_exact(&mut answer)?;
    // the number of the request, then the count
    Ok(u32::from_be_bytes([answer[4], answer[5], answer[6], answer[7]]))
}
