//! Whether a pipeline's partitions may work: what was commanded, and what made them stop by themselves.

use tokio::sync::watch;

use crate::{Command, commands::Given};

/// The switch of one pipeline in this process. Partitions look at it before each attempt.
#[derive(Debug)]
pub(super) struct Switch(watch::Sender<Position>);

/// Where the switch stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// Whether the commands of before the start are known.
    pub(super) ready: bool,
    /// The newest command.
    pub(super) given: Option<Given>,
    /// What made it stop by itself; a newer command ends it.
    pub(super) halt: Option<Halt>,
    /// The worker ends.
    pub(super) draining: bool,
}

/// A stop that a person has to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Halt {
    pub(super) cause: Cause,
    pub(super) reason: String,
    /// The version of the command that was in force.
    version: i64,
}

/// What made a pipeline stop by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// A sink refuses, or the steps can't be run.
    Failed,
    /// Too much was dead-lettered.
    Fuse,
}

/// No command was ever given.
const NEVER: i64 = -1;

impl Position {
    /// Whether partitions may work.
    pub(super) fn runs(&self) -> bool {
        let paused = self.given.as_ref().is_some_and(|given| given.command != Command::Run);
        self.ready && !paused && self.halt.is_none() && !self.draining
    }

    fn version(&self) -> i64 {
        self.given.as_ref().map_or(NEVER, |given| given.version)
    }
}

impl Switch {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(Position::default()))
    }

    pub(super) fn watch(&self) -> watch::Receiver<Position> {
        self.0.subscribe()
    }

    pub(super) fn position(&self) -> Position {
        self.0.borrow().clone()
    }

    /// Follows a command. Whether it lets the pipeline run that stood before.
    pub(super) fn follow(&self, ready: bool, given: Option<&Given>) -> bool {
        let mut released = false;
        self.0.send_if_modified(|position| {
            if position.ready == ready && position.given.as_ref() == given {
                return false;
            }
            let ran = position.runs();
            position.ready = ready;
            position.given = given.cloned();
            if position.halt.as_ref().is_some_and(|halt| halt.version < position.version()) {
                position.halt = None;
            }
            released = !ran && position.runs();
            true
        });
        released
    }

    /// Stops until a newer command. The first reason stays.
    pub(super) fn halt(&self, cause: Cause, reason: &str) -> bool {
        self.0.send_if_modified(|position| {
            let first = position.halt.is_none();
            if first {
                let version = position.version();
                position.halt = Some(Halt { cause, reason: reason.to_owned(), version });
            }
            first
        })
    }

    /// Ends for good.
    pub(super) fn drain(&self) {
        self.0.send_if_modified(|position| !std::mem::replace(&mut position.draining, true));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(version: i64, command: Command) -> Given {
        Given { command, version }
    }

    #[test]
    fn a_stop_ends_with_a_newer_command_only() {
        let switch = Switch::new();
        assert!(!switch.position().runs(), "commands are not known yet");
        switch.follow(true, Some(&given(3, Command::Run)));
        assert!(switch.position().runs());
        switch.halt(Cause::Failed, "gone");
        switch.halt(Cause::Fuse, "later");
        assert_eq!(switch.position().halt.unwrap().reason, "gone");
        assert!(!switch.follow(true, Some(&given(3, Command::Run))));
        assert!(!switch.position().runs());
        let pause = Command::Pause { reason: String::new(), by_fuse: true };
        assert!(!switch.follow(true, Some(&given(4, pause))));
        assert!(!switch.position().runs() && switch.position().halt.is_none());
        assert!(switch.follow(true, Some(&given(5, Command::Run))));
        switch.drain();
        assert!(!switch.position().runs());
    }
}
