//! Publishes frames, and keeps the connection so that its state is known.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use redis::{Client, Pipeline, aio::MultiplexedConnection};
use tokio::{sync::mpsc, time::timeout};

use super::{CHANNEL, failure};
use crate::{
    FollowedEvent,
    error::Failure,
    limits::{PUBLISHED_AT_ONCE, REDIS_LIMIT, REDIS_TRIED},
    link::Link,
};

type Frames = mpsc::Receiver<Vec<Arc<FollowedEvent>>>;

/// Ends when nobody can hand over frames any more.
pub(super) async fn run(client: Client, link: Arc<Link>, mut frames: Frames, dropped: Arc<AtomicU64>) {
    loop {
        let connected = tokio::select! {
            connected = connect(&client, &link) => connected,
            () = discard(&mut frames, &dropped) => return,
        };
        let Ok(mut connection) = connected else { continue };
        if publish_all(&mut connection, &link, &mut frames, &dropped).await.is_ok() {
            return;
        }
    }
}

async fn connect(client: &Client, link: &Link) -> Result<MultiplexedConnection, Failure> {
    let _turn = link.turn().await?;
    let connecting = async {
        let mut connection = client.get_multiplexed_async_connection().await?;
        redis::cmd("PING").query_async::<()>(&mut connection).await?;
        Ok(connection)
    };
    let connected = match timeout(REDIS_LIMIT, connecting).await {
        Ok(connected) => connected.map_err(|error| failure(&error)),
        Err(_) => Err(Failure::too_slow("connecting")),
    };
    match &connected {
        Ok(_) => link.worked(),
        Err(failure) => link.failed(failure),
    }
    connected
}

/// While there is no connection nothing is kept: those who follow look into the table.
async fn discard(frames: &mut Frames, dropped: &AtomicU64) {
    while let Some(group) = frames.recv().await {
        dropped.fetch_add(u64::try_from(group.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// `Ok` when there will be no more; `Err` when the connection is lost.
async fn publish_all(
    connection: &mut MultiplexedConnection,
    link: &Link,
    frames: &mut Frames,
    dropped: &AtomicU64,
) -> Result<(), Failure> {
    loop {
        let group = match timeout(REDIS_TRIED, frames.recv()).await {
            Ok(Some(group)) => group,
            Ok(None) => return Ok(()),
            Err(_) => Vec::new(),
        };
        for (chunk, published) in chunks(&group) {
            let sending = chunk.query_async::<()>(connection);
            let sent = match timeout(REDIS_LIMIT, sending).await {
                Ok(sent) => sent.map_err(|error| failure(&error)),
                Err(_) => Err(Failure::too_slow("publishing")),
            };
            if let Err(failure) = sent {
                dropped.fetch_add(published, Ordering::Relaxed);
                link.lost(&failure);
                return Err(failure);
            }
            link.worked();
        }
    }
}

/// A pipeline of commands for so many events; a PING if there are none, to see whether the connection still stands.
fn chunks(group: &[Arc<FollowedEvent>]) -> Vec<(Pipeline, u64)> {
    if group.is_empty() {
        let mut ping = redis::pipe();
        ping.cmd("PING").ignore();
        return vec![(ping, 0)];
    }
    let chunk = |events: &[Arc<FollowedEvent>]| {
        let mut publish = redis::pipe();
        for event in events {
            publish.cmd("PUBLISH").arg(CHANNEL).arg(&event.frame[..]).ignore();
        }
        (publish, u64::try_from(events.len()).unwrap_or(u64::MAX))
    };
    group.chunks(PUBLISHED_AT_ONCE).map(chunk).collect()
}
