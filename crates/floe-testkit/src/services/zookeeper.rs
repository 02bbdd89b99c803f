//! The ZooKeeper of a Kafka broker.

use std::{
    fs,
    io::{self, Read, Write},
    net::TcpStream,
    path::Path,
    time::Duration,
};

use super::{
    java::Jars,
    program::{Program, free_port},
};

const MAIN: &str = "org.apache.zookeeper.server.quorum.QuorumPeerMain";
/// Who says that it is ready, and who says that a session is over.
const LOGGERS: [&str; 2] =
    ["org.apache.zookeeper.server.PrepRequestProcessor", "org.apache.zookeeper.server.ZooKeeperServer"];
const READY: &str = "PrepRequestProcessor (sid:0) started";
const READY_WITHIN: Duration = Duration::from_secs(120);
/// How long a session may outlive its client: more than any that a broker asks for.
const EXPIRED_WITHIN: Duration = Duration::from_secs(60);

/// A server on loopback; gone when dropped.
#[derive(Debug)]
pub(super) struct ZooKeeper {
    server: Program,
    port: u16,
}

impl ZooKeeper {
    /// Starts one with its files below this folder. `Err` is what it said.
    pub(super) fn start(jars: &Jars, folder: &Path) -> Result<Self, String> {
        let port = free_port();
        let file = folder.join("zookeeper.properties");
        let settings = [
            format!("dataDir={}", folder.join("zookeeper").display()),
            format!("clientPort={port}"),
            "clientPortAddress=127.0.0.1".to_owned(),
            // sessions may last from two to twenty of these
            "tickTime=500".to_owned(),
            // as in the tests' PostgreSQL: a killed process loses nothing that the kernel has
            "forceSync=no".to_owned(),
            "admin.enableServer=false".to_owned(),
            "4lw.commands.whitelist=dump".to_owned(),
        ];
        fs::write(&file, settings.join("\n")).map_err(|error| error.to_string())?;
        let mut command = jars.command(MAIN, &LOGGERS, folder);
        command.arg(file);
        let server = Program::start("ZooKeeper", command);
        server.wait_for_line(READY, READY_WITHIN)?;
        Ok(Self { server, port })
    }

    /// Where it listens on 127.0.0.1.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Waits until it has noticed that clients which were killed are gone: until then a broker that starts again is
    /// refused, because its old self is still registered. `Err` is what ZooKeeper said.
    pub(super) fn wait_for_expiry(&self) -> Result<(), String> {
        let sessions = self.sessions().map_err(|error| format!("ZooKeeper did not answer: {error}"))?;
        for session in sessions {
            self.server.wait_for_line(&format!("Expiring session {session},"), EXPIRED_WITHIN)?;
        }
        Ok(())
    }

    /// The sessions that hold something which goes with them.
    fn sessions(&self) -> io::Result<Vec<String>> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.write_all(b"dump")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let holders = answer.lines().skip_while(|line| !line.starts_with("ephemeral nodes"));
        let ids = holders.filter_map(|line| line.strip_suffix(':').filter(|id| id.starts_with("0x")));
        Ok(ids.map(str::to_owned).collect())
    }
}
