//! Listens to what other processes have stored.

use std::sync::Arc;

use futures_util::StreamExt as _;
use redis::{Client, aio::PubSub};
use serde::Deserialize;
use tokio::time::timeout;

use super::{CHANNEL, failure};
use crate::{error::Failure, limits::REDIS_LIMIT, link::Link};

/// What is taken from a frame: that there is something up to here.
#[derive(Deserialize)]
struct Hint {
    cursor: i64,
}

/// Subscribes again whenever the connection is lost. Runs until it is aborted.
pub(super) async fn run(client: Client, link: Arc<Link>, hint: impl Fn(Option<i64>) + Send + Sync) {
    loop {
        let Ok(mut subscription) = subscribe(&client, &link).await else { continue };
        hint(None);
        let mut messages = subscription.on_message();
        while let Some(message) = messages.next().await {
            if let Ok(Hint { cursor }) = serde_json::from_slice(message.get_payload_bytes()) {
                hint(Some(cursor));
            }
        }
        link.lost(&Failure::Unavailable("the connection was closed".into()));
    }
}

async fn subscribe(client: &Client, link: &Link) -> Result<PubSub, Failure> {
    let _turn = link.turn().await?;
    let subscribing = async {
        let mut subscription = client.get_async_pubsub().await?;
        subscription.subscribe(CHANNEL).await?;
        Ok(subscription)
    };
    let subscribed = match timeout(REDIS_LIMIT, subscribing).await {
        Ok(subscribed) => subscribed.map_err(|error| failure(&error)),
        Err(_) => Err(Failure::too_slow("subscribing")),
    };
    match &subscribed {
        Ok(_) => link.worked(),
        Err(failure) => link.failed(failure),
    }
    subscribed
}
