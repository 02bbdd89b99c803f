//! Redis Pub/Sub or a Redis Stream, at least once: delivered when Redis has answered. A record whose answer was lost is
//! sent again; its stream entry says by `id` that it is the same.

mod config;
mod refusal;

use std::{sync::Arc, time::Duration};

use ::redis::{AsyncConnectionConfig, Client, Pipeline, Value, aio::MultiplexedConnection};
use floe_store::PositionKey;
use tokio::sync::Mutex;

pub use config::{RedisMode, RedisSpec};

use super::{Batch, DeliveryError, Outgoing, fields::Secret};
use crate::Services;

/// Records of one round trip.
const PIPELINE_RECORDS_MAX: usize = 1_000;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub(crate) struct RedisSink {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    mode: RedisMode,
    target: String,
    maxlen: Option<u64>,
    label: String,
    /// Shared by all partitions; taken out when it fails.
    connection: Mutex<Option<MultiplexedConnection>>,
}

#[derive(Debug)]
pub(crate) struct RedisHold {
    key: PositionKey,
    shared: Arc<Shared>,
}

impl RedisSink {
    pub(crate) fn open(spec: &RedisSpec, services: &Services) -> Result<Self, String> {
        let target = spec.check()?.to_owned();
        let url = spec.url.as_ref().map(Secret::expose).or(services.redis.as_deref());
        let url =
            url.ok_or("redis: 'url' is missing, and no Redis is configured for the server (REDIS_URL)")?;
        let wrong = "redis: 'url' is not of the form redis://user:password@host:port/database (or rediss://)";
        let client = Client::open(url).map_err(|_| wrong)?;
        let kind = match spec.mode {
            RedisMode::Pubsub => "channel",
            RedisMode::Stream => "stream",
        };
        let label = format!("redis {kind} {target} at {}", client.get_connection_info().addr());
        let shared = Shared {
            client,
            mode: spec.mode,
            target,
            maxlen: spec.maxlen,
            label,
            connection: Mutex::new(None),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    pub(crate) fn label(&self) -> String {
        self.shared.label.clone()
    }

    pub(crate) fn claim(&self, key: &PositionKey) -> RedisHold {
        RedisHold { key: key.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl RedisHold {
    pub(crate) async fn deliver(&mut self, batch: &Batch) -> Result<(), DeliveryError> {
        let mut delivered = 0;
        for records in batch.records.chunks(PIPELINE_RECORDS_MAX) {
            let mut pipeline = ::redis::pipe();
            for record in records {
                self.add(&mut pipeline, record);
            }
            let answers = self.shared.send(&pipeline, records.len()).await?;
            for (at, answer) in answers.iter().enumerate() {
                if let Value::ServerError(error) = answer {
                    return Err(refusal::of_command(error, delivered + at));
                }
            }
            delivered += records.len();
        }
        Ok(())
    }

    fn add(&self, pipeline: &mut Pipeline, record: &Outgoing) {
        let value = record.value.as_deref().unwrap_or_default();
        let target = &self.shared.target;
        match self.shared.mode {
            RedisMode::Pubsub => pipeline.cmd("PUBLISH").arg(target).arg(value),
            RedisMode::Stream => {
                pipeline.cmd("XADD").arg(target);
                if let Some(maxlen) = self.shared.maxlen {
                    pipeline.arg("MAXLEN").arg("~").arg(maxlen);
                }
                let PositionKey { topic, partition, .. } = &self.key;
                let id = super::record_id(topic, *partition, record);
                pipeline.arg("*").arg("value").arg(value);
                if let Some(key) = record.key.as_deref() {
                    pipeline.arg("key").arg(key);
                }
                pipeline.arg("topic").arg(&**topic).arg("partition").arg(*partition);
                pipeline.arg("offset").arg(record.offset).arg("id").arg(id)
            }
        };
    }
}

impl Shared {
    /// One answer per command. An outage is told as such, and the next attempt connects anew.
    async fn send(&self, pipeline: &Pipeline, commands: usize) -> Result<Vec<Value>, DeliveryError> {
        let mut connection = self.connect().await?;
        match connection.send_packed_commands(pipeline, 0, commands).await {
            Ok(answers) if answers.len() == commands => Ok(answers),
            Ok(_) => {
                self.connection.lock().await.take();
                Err(DeliveryError::Unavailable("Redis answered with too few answers".to_owned()))
            }
            Err(error) => {
                self.connection.lock().await.take();
                Err(refusal::of_connection(&error))
            }
        }
    }

    async fn connect(&self) -> Result<MultiplexedConnection, DeliveryError> {
        let mut connection = self.connection.lock().await;
        if let Some(connection) = &*connection {
            return Ok(connection.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let fresh = self.client.get_multiplexed_async_connection_with_config(&config).await;
        Ok(connection.insert(fresh.map_err(|error| refusal::of_connection(&error))?).clone())
    }
}
