//! A worker's membership in a group that reads a topic of one partition: one worker of all has it at a time.

use std::{pin::Pin, time::Duration};

use bytes::Bytes;
use floe_engine::{Membership, OffsetSpec, Page};
use floe_pipeline::{Log, LogError};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use crate::{
    follow::read_on,
    limits::{HEARTBEAT, HEARTBEAT_WAITING, LOOK_AGAIN, QUESTIONS_READ, SESSION},
};

/// Which group reads which topic.
#[derive(Clone, Copy, Debug)]
pub(super) struct Post {
    pub(super) group: &'static str,
    pub(super) topic: &'static str,
}

/// What is done while a worker has the topic.
pub(super) type Work = dyn Fn(Stint) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

/// The time in which a worker has the topic.
#[derive(Clone, Debug)]
pub(super) struct Stint {
    pub(super) log: Log,
    pub(super) post: Post,
    membership: watch::Receiver<Membership>,
    drain: watch::Receiver<bool>,
    /// Where the group goes on.
    pub(super) from: OffsetSpec,
}

impl Stint {
    /// Whether the worker is to finish what it holds and begin nothing else.
    pub(super) fn is_draining(&self) -> bool {
        *self.drain.borrow()
    }

    /// Resolves when the worker is to end. Cancel-safe.
    pub(super) async fn draining(&mut self) {
        // without a sender there is nobody who could drain it
        if self.drain.wait_for(|drain| *drain).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Reads on from `at`; see [`read_on`].
    pub(super) async fn read(&self, at: OffsetSpec) -> Page {
        read_on(&self.log, self.post.topic, at, QUESTIONS_READ).await
    }

    /// Commits that everything before `offset` is done. An error is nobody's loss: it is done again, under the same ids.
    pub(super) async fn commit(&self, offset: i64) {
        let (member, generation) = {
            let membership = self.membership.borrow();
            (membership.member.clone(), membership.generation)
        };
        let at = vec![(self.post.topic.to_owned(), 0, offset)];
        if let Err(error) = self.log.commit(self.post.group, &member, generation, at).await {
            tracing::debug!(group = self.post.group, %error, "a position could not be committed");
        }
    }
}

/// Works whenever this worker has the topic, until it is drained. `work` ends by itself only when it is drained; when the topic
/// goes to somebody else, it is dropped where it stands.
pub(super) async fn hold(log: Log, post: Post, drain: watch::Receiver<bool>, work: Box<Work>) {
    let mut failed = false;
    while !*drain.borrow() {
        match join_and_work(&log, post, &drain, &*work).await {
            Ok(()) => return,
            Err(LogError::MemberGone) => {}
            Err(error) => {
                if !failed {
                    let group = post.group;
                    tracing::warn!(group, %error, "a worker of the chat can't reach its topic; it tries again");
                }
                failed = true;
                sleep(LOOK_AGAIN).await;
            }
        }
    }
}

/// One membership, from joining to leaving.
async fn join_and_work(
    log: &Log,
    post: Post,
    drain: &watch::Receiver<bool>,
    work: &Work,
) -> Result<(), LogError> {
    let client_id = format!("floe-chat-{}", std::process::id());
    let joined = log.join(post.group, &client_id, vec![post.topic.to_owned()], SESSION).await?;
    let member = joined.member.clone();
    let ended = stay(log, post, drain, joined, work).await;
    // who doesn't get through is gone when the session is over
    let _ = timeout(SESSION, log.leave(post.group, &member)).await;
    ended
}

async fn stay(
    log: &Log,
    post: Post,
    drain: &watch::Receiver<bool>,
    mut joined: Membership,
    work: &Work,
) -> Result<(), LogError> {
    loop {
        if *drain.borrow() {
            return Ok(());
        }
        if !has(&joined, post) {
            sleep(HEARTBEAT_WAITING).await;
            joined = log.heartbeat(post.group, &joined.member, Bytes::new()).await?;
            continue;
        }
        let from = match log.committed(post.group, post.topic, 0).await? {
            Some(offset) => OffsetSpec::Offset(offset),
            None => OffsetSpec::Earliest,
        };
        let (told, membership) = watch::channel(joined.clone());
        let stint = Stint { log: log.clone(), post, membership, drain: drain.clone(), from };
        tokio::select! {
            () = work(stint) => return Ok(()),
            lost = keep(log, post, told) => joined = lost?,
        }
    }
}

/// Heartbeats until the topic is somebody else's.
async fn keep(log: &Log, post: Post, told: watch::Sender<Membership>) -> Result<Membership, LogError> {
    // a log that doesn't answer for as long as a session has given the topic to somebody else by then
    let mut silent = Duration::ZERO;
    loop {
        sleep(HEARTBEAT).await;
        let member = told.borrow().member.clone();
        match log.heartbeat(post.group, &member, Bytes::new()).await {
            Ok(joined) if has(&joined, post) => drop(told.send_replace(joined)),
            Ok(joined) => return Ok(joined),
            Err(LogError::Unavailable(_)) if silent < SESSION => {
                silent += HEARTBEAT;
                continue;
            }
            Err(error) => return Err(error),
        }
        silent = Duration::ZERO;
    }
}

fn has(membership: &Membership, post: Post) -> bool {
    membership.assignment.iter().any(|(topic, partition)| topic == post.topic && *partition == 0)
}
