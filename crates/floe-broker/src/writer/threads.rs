//! The two threads: the writer, and the one that syncs what is written ahead, so that the disk never waits for a frame.

use std::{
    sync::mpsc::{Receiver, SyncSender},
    thread,
    time::Duration,
};

use floe_journal::{AppendError, Appender, FrameBuilder, Syncer};
use parking_lot::Mutex;

use super::{
    apply::{Applied, apply},
    publish::Group,
};
use crate::{
    BrokerError,
    broker::Shared,
    command::Command,
    limits::{IDLE_FRAME_MS, MAX_GROUP_BYTES},
    queue::Taken,
    state::State,
};

/// Stops all writing when its thread panics: nobody is left to wait for an answer that never comes.
struct Alarm<'a>(&'a Shared);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            tracing::error!("a thread of the broker panicked; nothing more is written");
            self.0.break_down();
        }
    }
}

/// Writes group after group until the queue is closed and empty, and syncs it, unless there is enough to write the next
/// one meanwhile. `groups` is a rendezvous: a group that is written ahead waits there until the one before is on disk.
pub(crate) fn write_loop(
    shared: &Shared,
    mut state: State,
    mut appender: Appender,
    syncer: &Mutex<Syncer>,
    groups: &SyncSender<Group>,
) {
    let _alarm = Alarm(shared);
    let idle = Duration::from_millis(IDLE_FRAME_MS);
    let limit = MAX_GROUP_BYTES.min(usize::try_from(appender.max_frame_bytes()).unwrap_or(usize::MAX));
    let mut vouched = true;
    loop {
        let written = match shared.queue.take(idle, limit) {
            (Taken::Group(commands), bytes) => {
                vouched = false;
                write_group(shared, &mut state, &mut appender, commands, bytes)
            }
            // traffic pauses: say in the journal itself how far it is on disk
            (Taken::Nothing, _) if vouched || shared.is_failed() => continue,
            (Taken::Nothing, _) => {
                vouched = true;
                write_empty(shared, &mut appender)
            }
            (Taken::Closed, _) => break,
        };
        let Some(group) = written else { continue };
        if shared.queue.is_calm() {
            // nothing to write ahead meanwhile: handing the group over would only cost two switches of threads
            finish(shared, &mut syncer.lock(), group);
            continue;
        }
        shared.queue.sync_begins();
        if let Err(unsent) = groups.send(group) {
            unsent.0.refuse();
            shared.queue.sync_ends();
        }
    }
    if !shared.is_failed() {
        if let Some(group) = write_empty(shared, &mut appender) {
            shared.queue.sync_begins();
            drop(groups.send(group));
        }
        shared.journal.store_snapshot(appender.position(), state.encode());
    }
}

fn write_empty(shared: &Shared, appender: &mut Appender) -> Option<Group> {
    let written = appender.append(FrameBuilder::default(), shared.clock.now_ms(), true).ok()?;
    Some(Group { written, effects: Vec::new(), replies: Vec::new() })
}

fn write_group(
    shared: &Shared,
    state: &mut State,
    appender: &mut Appender,
    commands: Vec<Command>,
    bytes: usize,
) -> Option<Group> {
    let commands = make_room(shared, state, appender, commands, bytes)?;
    let now_ms = shared.clock.now_ms();
    let Applied { frame, effects, replies, early_replies } = apply(state, commands, bytes, now_ms);
    if frame.entries() == 0 && effects.is_empty() && early_replies.is_empty() && replies.is_empty() {
        return None;
    }
    // room was made for all of it, so a refusal here is a failure of the disk: the state is ahead of the journal from
    // now on, and nothing more is written
    match appender.append(frame, now_ms, true) {
        Ok(written) => {
            early_replies.into_iter().for_each(super::Reply::send);
            Some(Group { written, effects, replies })
        }
        Err(error) => {
            tracing::error!(%error, "a group was not written; nothing more is");
            shared.break_down();
            for reply in replies.into_iter().chain(early_replies) {
                reply.refuse(BrokerError::StorageFailed);
            }
            None
        }
    }
}

/// Sees to it that the group fits, refusing what doesn't. A roll to a new segment is the moment for a snapshot.
fn make_room(
    shared: &Shared,
    state: &State,
    appender: &mut Appender,
    mut commands: Vec<Command>,
    bytes: usize,
) -> Option<Vec<Command>> {
    if shared.is_failed() {
        commands.into_iter().for_each(|command| command.refuse(BrokerError::StorageFailed));
        return None;
    }
    let limit = appender.max_frame_bytes();
    if bytes as u64 > limit {
        // only a single command is ever larger than the limit of a group
        for command in commands.drain(..) {
            let (size, limit) = (command.weight(), usize::try_from(limit).unwrap_or(usize::MAX));
            let topic = command.topic();
            command.refuse(BrokerError::RecordTooLarge { topic, size, limit });
        }
        return None;
    }
    match appender.reserve(bytes as u64, false) {
        Ok(rolled) => {
            if rolled {
                shared.journal.store_snapshot(appender.position(), state.encode());
            }
            return Some(commands);
        }
        Err(AppendError::Full) => {}
        Err(AppendError::Failed | AppendError::TooLarge { .. }) => {
            commands.into_iter().for_each(|command| command.refuse(BrokerError::StorageFailed));
            return None;
        }
    }
    let (essential, others): (Vec<_>, Vec<_>) = commands.into_iter().partition(Command::is_essential);
    others.into_iter().for_each(|command| command.refuse(BrokerError::StorageFull));
    let bytes: usize = essential.iter().map(Command::weight).sum();
    if essential.is_empty() {
        return None;
    }
    match appender.reserve(bytes as u64, true) {
        Ok(_) => Some(essential),
        Err(_) => {
            essential.into_iter().for_each(|command| command.refuse(BrokerError::StorageFull));
            None
        }
    }
}

/// Syncs the groups that were written ahead, and publishes each when it is on disk.
pub(crate) fn sync_loop(shared: &Shared, syncer: &Mutex<Syncer>, groups: &Receiver<Group>) {
    let _alarm = Alarm(shared);
    for group in groups {
        finish(shared, &mut syncer.lock(), group);
        shared.queue.sync_ends();
    }
}

fn finish(shared: &Shared, syncer: &mut Syncer, group: Group) {
    match syncer.sync() {
        Ok(durable) => {
            debug_assert!(group.written.end <= durable);
            group.publish(shared);
        }
        Err(_) => group.refuse(),
    }
}
