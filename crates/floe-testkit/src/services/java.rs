//! What runs on Java, from the jars that scripts/setup-test.sh has fetched.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::NamedTempFile;

use super::program::{command, find_program};

/// Tests want a quick start and many servers beside each other, not the speed of one that has run for long.
const QUICK: [&str; 8] = [
    "-Xms64m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Xshare:auto",
    // what the virtual machine has to say itself, it would say in the middle of what a tool prints
    "-Xlog:disable",
    "-Djava.awt.headless=true",
];
/// Figures want what users have: the options of Kafka's own start script.
const AS_SHIPPED: [&str; 9] = [
    "-Xms1g",
    "-Xmx1g",
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-Xlog:disable",
    "-Djava.awt.headless=true",
];
/// Warnings and errors are logged, and what [`Jars::command`] is asked for beside them.
const LOG_LEVEL: &str = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn";
/// The classes of a program as they are in memory, beside its jars: to load them from those is half of a start. A virtual
/// machine that can't use it goes without.
const ARCHIVE: &str = "classes.jsa";

/// A folder of jars.
#[derive(Debug)]
pub(super) struct Jars {
    folder: PathBuf,
    java: PathBuf,
    pub(super) machine: Machine,
}

/// What a virtual machine is tuned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Machine {
    /// A quick start in little memory.
    Quick,
    /// Long running, as Kafka ships it.
    AsShipped,
}

impl Jars {
    /// The jars that the `pom.xml` in this folder of `kafka/` asks for. Panics if they aren't there.
    pub(super) fn of(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("kafka").join(name).join("lib");
        assert!(
            folder.join("installed.xml").is_file(),
            "the jars of kafka/{name}/pom.xml are missing: scripts/setup-test.sh fetches them"
        );
        let java = find_program("java", &[], "default-jre-headless");
        Self { folder, java, machine: Machine::Quick }
    }

    /// A command for a class with a `main`. The loggers with these names tell what they do, too; temporary files go
    /// into `scratch`, because nobody else removes them after a kill.
    pub(super) fn command(&self, class: &str, loggers: &[&str], scratch: &Path) -> Command {
        let archive = format!("-XX:SharedArchiveFile={}", self.folder.join(ARCHIVE).display());
        self.command_with(&archive, class, loggers, scratch)
    }

    /// The same; it leaves its classes in `scratch` when it ends in good order, for [`Self::keep_archive`].
    pub(super) fn recorded_command(&self, class: &str, loggers: &[&str], scratch: &Path) -> Command {
        let archive = format!("-XX:ArchiveClassesAtExit={}", scratch.join(ARCHIVE).display());
        self.command_with(&archive, class, loggers, scratch)
    }

    /// Whether a recorded program's classes are there.
    pub(super) fn are_archived(&self) -> bool {
        self.folder.join(ARCHIVE).is_file()
    }

    /// Makes later starts quick, those of other processes too.
    pub(super) fn keep_archive(&self, scratch: &Path) -> io::Result<()> {
        // others may be about the same: none of them sees half of one
        let whole = NamedTempFile::new_in(&self.folder)?;
        fs::copy(scratch.join(ARCHIVE), whole.path())?;
        whole.persist(self.folder.join(ARCHIVE))?;
        Ok(())
    }

    /// Runs a class to its end and answers what it printed; `Err` is all that it said.
    pub(super) fn run(&self, class: &str, args: &[&str], scratch: &Path) -> Result<String, String> {
        let output = self.command(class, &[], scratch).args(args).output();
        let Output { status, stdout, stderr } = output.map_err(|error| error.to_string())?;
        let stdout = String::from_utf8_lossy(&stdout).trim().to_owned();
        if status.success() {
            Ok(stdout)
        } else {
            Err(format!("{status}: {stdout}\n{}", String::from_utf8_lossy(&stderr).trim()))
        }
    }

    fn command_with(&self, option: &str, class: &str, loggers: &[&str], scratch: &Path) -> Command {
        let mut command = command(&self.java, None);
        match self.machine {
            Machine::Quick => command.args(QUICK).arg(option),
            Machine::AsShipped => command.args(AS_SHIPPED),
        };
        command.arg(LOG_LEVEL);
        command.args(loggers.iter().map(|name| format!("-Dorg.slf4j.simpleLogger.log.{name}=info")));
        command.arg(format!("-Djava.io.tmpdir={}", scratch.display()));
        command.arg("-cp").arg(self.folder.join("*")).arg(class);
        command.current_dir(scratch);
        command
    }
}
