//! Sessions in Redis: who opened one in a string, its turns in a list, both expiring together.

use std::collections::VecDeque;

use floe_engine::Clock;
use redis::{Client, Cmd, FromRedisValue, aio::MultiplexedConnection};
use tokio::{sync::Mutex, time::timeout};

use super::{SessionError, add, bound, is_open_to};
use crate::{limits::REDIS_WAIT, message::Turn, settings::SessionLimits};

/// Opens a session unless it is there, and answers who opened it.
const CLAIM: &str = "
redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])
return redis.call('GET', KEYS[1])";
/// Adds a turn unless it is there or the session isn't (any more), and keeps the newest. An entry is an id and how it ended, a line's end, and the turn.
const REMEMBER: &str = "
for _, entry in ipairs(redis.call('LRANGE', KEYS[2], 0, -1)) do
  if string.sub(entry, 1, #ARGV[1]) == ARGV[1] then return 0 end
end
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('RPUSH', KEYS[2], ARGV[1] .. ARGV[2])
redis.call('LTRIM', KEYS[2], -tonumber(ARGV[3]), -1)
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return 1";

/// The sessions of a Redis.
#[derive(Debug)]
pub(crate) struct RedisSessions {
    client: Client,
    limits: SessionLimits,
    clock: Clock,
    /// Shared by all; taken out when it fails.
    connection: Mutex<Option<MultiplexedConnection>>,
}

impl RedisSessions {
    pub(super) fn new(url: &str, limits: SessionLimits, clock: Clock) -> Result<Self, String> {
        let wrong = "not of the form redis://user:password@host:port/database (or rediss://)";
        let client = Client::open(url).map_err(|_| wrong)?;
        Ok(Self { client, limits, clock, connection: Mutex::default() })
    }

    pub(super) async fn is_known(&self, id: &str) -> Result<bool, SessionError> {
        let owner: Option<String> = self.ask(redis::cmd("GET").arg(owner_key(id))).await?;
        Ok(owner.is_some())
    }

    pub(super) async fn check(&self, id: &str, user: Option<&str>) -> Result<(), SessionError> {
        let owner: Option<String> = self.ask(redis::cmd("GET").arg(owner_key(id))).await?;
        let owner = owner.filter(|owner| !owner.is_empty());
        if is_open_to(owner.as_deref(), user) { Ok(()) } else { Err(SessionError::Foreign) }
    }

    pub(super) async fn claim(&self, id: &str, user: Option<&str>) -> Result<(), SessionError> {
        let mut claim = redis::cmd("EVAL");
        claim.arg(CLAIM).arg(1).arg(owner_key(id)).arg(user.unwrap_or_default()).arg(self.expiry_ms());
        let owner: String = self.ask(&claim).await?;
        let owner = Some(owner).filter(|owner| !owner.is_empty());
        if is_open_to(owner.as_deref(), user) { Ok(()) } else { Err(SessionError::Foreign) }
    }

    pub(super) async fn turns(&self, id: &str) -> Result<Vec<Turn>, SessionError> {
        let entries: Vec<String> = self.ask(redis::cmd("LRANGE").arg(turns_key(id)).arg(0).arg(-1)).await?;
        let mut turns = VecDeque::new();
        for entry in &entries {
            let turn = entry.split_once('\n').map(|(_, turn)| serde_json::from_str::<Turn>(turn));
            if let Some(Ok(turn)) = turn {
                add(&mut turns, turn);
            }
        }
        bound(&mut turns, &self.limits, self.clock.now_ms());
        Ok(turns.into())
    }

    pub(super) async fn remember(&self, id: &str, turn: &Turn) -> Result<(), SessionError> {
        let text =
            serde_json::to_string(turn).map_err(|error| SessionError::Unavailable(error.to_string()))?;
        let mut remember = redis::cmd("EVAL");
        remember.arg(REMEMBER).arg(2).arg(owner_key(id)).arg(turns_key(id));
        remember.arg(format!("{}:{:?}\n", turn.request_id, turn.status)).arg(text);
        remember.arg(self.limits.turns).arg(self.expiry_ms());
        self.ask::<i64>(&remember).await.map(drop)
    }

    pub(super) async fn forget(&self, id: &str) -> Result<(), SessionError> {
        self.ask::<i64>(redis::cmd("DEL").arg(owner_key(id)).arg(turns_key(id))).await.map(drop)
    }

    fn expiry_ms(&self) -> u64 {
        u64::try_from(self.limits.expiry.as_millis()).unwrap_or(u64::MAX)
    }

    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, SessionError> {
        let asking = async {
            let mut connection = self.connection().await?;
            command.query_async(&mut connection).await
        };
        let answer = match timeout(REDIS_WAIT, asking).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => format!("Redis: {error}"),
            Err(_) => "Redis does not answer".to_owned(),
        };
        *self.connection.lock().await = None;
        Err(SessionError::Unavailable(answer))
    }

    async fn connection(&self) -> redis::RedisResult<MultiplexedConnection> {
        let mut held = self.connection.lock().await;
        if let Some(connection) = held.as_ref() {
            return Ok(connection.clone());
        }
        let connection = self.client.get_multiplexed_async_connection().await?;
        *held = Some(connection.clone());
        Ok(connection)
    }
}

// the braces put both keys of a session on the same node of a Redis cluster
fn owner_key(id: &str) -> String {
    format!("floe:chat:{{{id}}}:owner")
}

fn turns_key(id: &str) -> String {
    format!("floe:chat:{{{id}}}:turns")
}
