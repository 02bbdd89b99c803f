//! The log as a pipeline sees it: in this process, or another node's over HTTP.

mod engine;
mod remote;
pub mod wire;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use floe_engine::{Acks, Append, Appended, Engine, Membership, Page, PartitionRead};

use crate::Command;

pub(crate) use engine::{append_own, command as command_engine};
pub use remote::RemoteLog;

/// Where a pipeline reads from, commits to and writes its dead letters. Cloning shares it.
#[derive(Clone, Debug)]
pub enum Log {
    /// The engine in this process.
    Engine(Engine),
    /// A node that is reached over its HTTP interface.
    Remote(RemoteLog),
}

/// Why the log could not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// It can't be reached, is overloaded, full or stopping, or didn't answer in time (then it may have been done): the same
    /// may work later.
    #[error("{0}")]
    Unavailable(String),
    /// The topic (or partition) doesn't exist, or not any more.
    #[error("topic '{topic}' does not exist")]
    NoTopic {
        /// The topic.
        topic: String,
    },
    /// The member must join again.
    #[error("the member must join again")]
    MemberGone,
    /// The offset is outside what is stored; reading goes on at `start`.
    #[error("offset {offset} is outside of what is stored, {start} to {end}")]
    OutOfRange {
        /// Asked for.
        offset: i64,
        /// First offset kept.
        start: i64,
        /// Behind the newest.
        end: i64,
    },
    /// It will never work.
    #[error("{0}")]
    Refused(String),
}

/// A topic's shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicShape {
    /// A topic deleted and made again has another one.
    pub id: u64,
    /// How many.
    pub partitions: u32,
}

impl Log {
    /// The log's id (see [`Engine::log_id`]).
    pub async fn id(&self) -> Result<Arc<str>, LogError> {
        match self {
            Self::Engine(engine) => Ok(engine.log_id().await?.into()),
            Self::Remote(node) => node.id().await,
        }
    }

    /// A topic's id and partitions.
    pub async fn topic(&self, topic: &str) -> Result<TopicShape, LogError> {
        match self {
            Self::Engine(own) => engine::topic(own, topic).await,
            Self::Remote(node) => node.topic(topic).await,
        }
    }

    /// Makes a topic unless it is there, with these settings.
    pub async fn ensure_topic(
        &self,
        topic: &str,
        partitions: u32,
        config: &[(&str, &str)],
    ) -> Result<(), LogError> {
        match self {
            Self::Engine(own) => engine::ensure_topic(own, topic, partitions, config).await,
            Self::Remote(node) => node.ensure_topic(topic, partitions, config).await,
        }
    }

    /// Reads one partition.
    pub async fn read(&self, read: PartitionRead) -> Result<Page, LogError> {
        match self {
            Self::Engine(own) => Ok(own.read(read).await?),
            Self::Remote(node) => node.read(read).await,
        }
    }

    /// Stores records; durable on `Ok`, whatever promise the topic makes else.
    pub async fn append(&self, append: Append) -> Result<Appended, LogError> {
        match self {
            Self::Engine(own) => Ok(own.append(Append { acks: Some(Acks::Durable), ..append }).await?),
            Self::Remote(node) => node.append(append).await,
        }
    }

    /// A group's committed position; `None` if it has none.
    pub async fn committed(&self, group: &str, topic: &str, partition: u32) -> Result<Option<i64>, LogError> {
        match self {
            Self::Engine(own) => engine::committed(own, group, topic, partition).await,
            Self::Remote(node) => node.committed(group, topic, partition).await,
        }
    }

    /// Commits positions as a member.
    pub async fn commit(
        &self,
        group: &str,
        member: &str,
        generation: u64,
        offsets: Vec<(String, u32, i64)>,
    ) -> Result<(), LogError> {
        match self {
            Self::Engine(own) => Ok(own.commit(group, Some((member, generation)), offsets).await?),
            Self::Remote(node) => node.commit(group, member, generation, offsets).await,
        }
    }

    /// Joins a group.
    pub async fn join(
        &self,
        group: &str,
        client_id: &str,
        topics: Vec<String>,
        session: Duration,
    ) -> Result<Membership, LogError> {
        match self {
            Self::Engine(own) => Ok(own.join_group(group, client_id, topics, session).await?),
            Self::Remote(node) => node.join(group, client_id, topics, session).await,
        }
    }

    /// Keeps a member alive and tells its assignment; `status` is for those who describe the group.
    pub async fn heartbeat(&self, group: &str, member: &str, status: Bytes) -> Result<Membership, LogError> {
        match self {
            Self::Engine(own) => Ok(own.heartbeat(group, member, Some(status)).await?),
            Self::Remote(node) => node.heartbeat(group, member, status).await,
        }
    }

    /// Leaves a group; a member that is gone already has left.
    pub async fn leave(&self, group: &str, member: &str) -> Result<(), LogError> {
        match self {
            Self::Engine(own) => match own.leave_group(group, member).await.map_err(LogError::from) {
                Err(LogError::MemberGone) => Ok(()),
                left => left,
            },
            Self::Remote(node) => node.leave(group, member).await,
        }
    }

    /// Writes what a pipeline is to do from now on (see [`crate::Directory`]); durable on `Ok`.
    pub async fn command(&self, pipeline: &str, command: &Command) -> Result<(), LogError> {
        match self {
            Self::Engine(own) => engine::command(own, pipeline, command).await.map(drop),
            Self::Remote(node) => node.command(pipeline, command).await,
        }
    }
}
