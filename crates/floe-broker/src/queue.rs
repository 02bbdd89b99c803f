//! The queue in front of the writer: bounded in bytes, taken in groups.

use std::{collections::VecDeque, time::Duration};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::{
    BrokerError,
    command::Command,
    limits::{MAX_GROUP_COMMANDS, MAX_GROUP_ENTRIES, MAX_QUEUED_BYTES, WRITE_AHEAD_BYTES},
};

/// What waits to be written.
#[derive(Debug, Default)]
pub(crate) struct CommandQueue {
    waiting: Mutex<Waiting>,
    ring: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    commands: VecDeque<(usize, Command)>,
    bytes: usize,
    closed: bool,
    /// Nobody takes any more.
    broken: bool,
    /// The writer sleeps until a first command comes; it needn't be woken otherwise.
    idle: bool,
    /// Groups that were handed over and are not on disk yet.
    syncing: usize,
}

/// What the writer gets.
#[derive(Debug)]
pub(crate) enum Taken {
    Group(Vec<Command>),
    /// Nothing came for the time given.
    Nothing,
    /// Nothing will come any more.
    Closed,
}

impl CommandQueue {
    /// Adds a command; full is refused with `Overloaded`, unless the command makes room or keeps readers going.
    pub(crate) fn put(&self, command: Command) -> Result<(), BrokerError> {
        let weight = command.weight();
        let mut waiting = self.waiting.lock();
        if waiting.broken {
            return Err(BrokerError::StorageFailed);
        }
        if waiting.closed {
            return Err(BrokerError::Stopping);
        }
        if waiting.bytes + weight > MAX_QUEUED_BYTES
            && !waiting.commands.is_empty()
            && !command.is_essential()
        {
            return Err(BrokerError::Overloaded { queued_bytes: waiting.bytes });
        }
        waiting.bytes += weight;
        waiting.commands.push_back((weight, command));
        let crossed = waiting.bytes >= WRITE_AHEAD_BYTES && waiting.bytes - weight < WRITE_AHEAD_BYTES;
        let wake = std::mem::take(&mut waiting.idle) || (waiting.syncing > 0 && crossed);
        drop(waiting);
        if wake {
            self.ring.notify_one();
        }
        Ok(())
    }

    /// The next group with its weight: at most `limit_bytes` unless one command alone has more. Waits up to `patience` for
    /// a first command.
    pub(crate) fn take(&self, patience: Duration, limit_bytes: usize) -> (Taken, usize) {
        let mut waiting = self.gathered(patience);
        if waiting.commands.is_empty() {
            return (if waiting.closed { Taken::Closed } else { Taken::Nothing }, 0);
        }
        let mut group = Vec::with_capacity(waiting.commands.len().min(MAX_GROUP_COMMANDS));
        let (mut bytes, mut entries) = (0, 0);
        while let Some((weight, command)) = waiting.commands.front() {
            let full = bytes + weight > limit_bytes
                || group.len() == MAX_GROUP_COMMANDS
                || entries + command.entries() > MAX_GROUP_ENTRIES;
            if !group.is_empty() && full {
                break;
            }
            entries += command.entries();
            if let Some((weight, command)) = waiting.commands.pop_front() {
                bytes += weight;
                group.push(command);
            }
        }
        waiting.bytes -= bytes;
        (Taken::Group(group), bytes)
    }

    /// Waits for a first command; then, while a group is on its way to the disk, for more. Little would be won by
    /// writing a small group before the disk can take it, and all that comes meanwhile shares its sync. Much is written
    /// ahead, so that the disk never waits for it.
    fn gathered(&self, patience: Duration) -> MutexGuard<'_, Waiting> {
        let mut waiting = self.waiting.lock();
        while waiting.commands.is_empty() && !waiting.closed {
            waiting.idle = true;
            if self.ring.wait_for(&mut waiting, patience).timed_out() {
                waiting.idle = false;
                return waiting;
            }
        }
        while waiting.syncing > 0 && waiting.bytes < WRITE_AHEAD_BYTES && !waiting.broken {
            self.ring.wait(&mut waiting);
        }
        waiting
    }

    /// Says that a group is handed over to be synced. Said by who hands it over, so that none is ever overtaken.
    pub(crate) fn sync_begins(&self) {
        self.waiting.lock().syncing += 1;
    }

    /// Says that a group is on disk and published, or refused.
    pub(crate) fn sync_ends(&self) {
        self.waiting.lock().syncing -= 1;
        self.ring.notify_one();
    }

    /// Whether no group is on its way to the disk, and too little waits to be written ahead.
    pub(crate) fn is_calm(&self) -> bool {
        let waiting = self.waiting.lock();
        waiting.syncing == 0 && waiting.bytes < WRITE_AHEAD_BYTES
    }

    /// Refuses all that comes from now on; what waits is still taken.
    pub(crate) fn close(&self) {
        self.waiting.lock().closed = true;
        self.ring.notify_one();
    }

    /// Refuses all that waits and all that comes: nobody will take it.
    pub(crate) fn break_down(&self) {
        let commands = {
            let mut waiting = self.waiting.lock();
            waiting.broken = true;
            waiting.bytes = 0;
            std::mem::take(&mut waiting.commands)
        };
        self.ring.notify_one();
        commands.into_iter().for_each(|(_, command)| command.refuse(BrokerError::StorageFailed));
    }

    pub(crate) fn queued_bytes(&self) -> usize {
        self.waiting.lock().bytes
    }
}
