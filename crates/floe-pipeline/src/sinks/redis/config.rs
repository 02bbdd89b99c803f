//! What can be configured.

use serde::Deserialize;

use crate::sinks::fields::Secret;

/// Redis Pub/Sub or a Redis Stream.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisSpec {
    /// `redis://user:password@host:port/database`, or `rediss://` for TLS; the server's own Redis unless set.
    #[serde(default)]
    pub url: Option<Secret>,
    /// What is done with a record.
    pub mode: RedisMode,
    /// For `pubsub`: the channel on which values are published.
    #[serde(default)]
    pub channel: Option<String>,
    /// For `stream`: the key of the stream.
    #[serde(default)]
    pub key: Option<String>,
    /// For `stream`: about how many of the newest entries are kept (`MAXLEN ~`); all, unless set.
    #[serde(default)]
    pub maxlen: Option<u64>,
}

/// What is done with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RedisMode {
    /// `PUBLISH channel value`: for whoever listens at that moment.
    Pubsub,
    /// `XADD key * value … key … topic … partition … offset … id …`.
    Stream,
}

impl RedisSpec {
    /// The channel or the stream's key.
    pub(super) fn check(&self) -> Result<&str, String> {
        let (target, other, needed) = match self.mode {
            RedisMode::Pubsub => (&self.channel, self.key.is_some() || self.maxlen.is_some(), "channel"),
            RedisMode::Stream => (&self.key, self.channel.is_some(), "key"),
        };
        match target.as_deref() {
            None | Some("") => Err(format!("redis: '{needed}' is missing; this mode needs it")),
            Some(_) if other => {
                Err("redis: 'channel' goes with mode 'pubsub', 'key' and 'maxlen' with mode 'stream'"
                    .to_owned())
            }
            Some(_) if self.maxlen == Some(0) => Err("redis: 'maxlen' must be above 0".to_owned()),
            Some(target) => Ok(target),
        }
    }
}
