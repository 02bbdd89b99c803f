//! How clients of the cluster are made, and what they tell of it.

use std::{collections::BTreeMap, time::Duration};

use floe_broker::Clock;
use rdkafka::{
    ClientConfig, TopicPartitionList,
    client::ClientContext,
    config::RDKafkaLogLevel,
    consumer::{Consumer, ConsumerContext, StreamConsumer},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
};

use super::error::unavailable;
use crate::EngineError;

/// Where and how the Kafka engine finds its log.
#[derive(Clone, Debug)]
pub struct KafkaConfig {
    /// Brokers to start from: `host:port`, separated by commas.
    pub bootstrap: String,
    /// Properties of the clients, under librdkafka's names; only those of [`KafkaConfig::PROPERTIES`].
    pub properties: BTreeMap<String, String>,
    /// Replicas of the topics made here; `None` is the cluster's own default.
    pub replication_factor: Option<i32>,
    /// What this process calls itself to the cluster.
    pub client_id: String,
    /// How long a repeat under an idempotency key waits for what comes of the first request; [`KafkaConfig::REPEATS_WAIT`],
    /// unless the process may be stopped as soon as it has answered. What this and the 21 s after it add up to has to be over
    /// by then: a record that goes out when the process goes on would be one too many.
    pub repeats_wait: Duration,
    /// Time.
    pub clock: Clock,
}

/// Why a configuration is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KafkaConfigError {
    /// No broker is named.
    #[error("no broker is named: give host:port, several separated by commas")]
    NoBootstrap,
    /// The property isn't one that may be set.
    #[error("the property '{}' can't be set; those that can: {}", .property.escape_debug(), KafkaConfig::PROPERTIES.join(", "))]
    Property {
        /// Its name.
        property: String,
    },
    /// librdkafka refuses the value of a property.
    #[error("the Kafka client can't be made: {why}")]
    Refused {
        /// What it said.
        why: String,
    },
}

impl KafkaConfig {
    /// Long enough for the first attempt to be taken over, if nobody says what came of it.
    pub const REPEATS_WAIT: Duration = Duration::from_secs(30);

    /// The properties that may be set: how to reach and trust the brokers, and how to compress. What the engine's promises
    /// rest on (acknowledgements, idempotence, isolation, commits) can't be changed.
    pub const PROPERTIES: &'static [&'static str] = &[
        "security.protocol",
        "sasl.mechanism",
        "sasl.mechanisms",
        "sasl.username",
        "sasl.password",
        "ssl.ca.location",
        "ssl.ca.pem",
        "ssl.certificate.location",
        "ssl.certificate.pem",
        "ssl.key.location",
        "ssl.key.pem",
        "ssl.key.password",
        "ssl.endpoint.identification.algorithm",
        "enable.ssl.certificate.verification",
        "client.rack",
        "client.dns.lookup",
        "broker.address.family",
        "socket.keepalive.enable",
        "socket.connection.setup.timeout.ms",
        "compression.type",
        "compression.level",
    ];

    /// Brokers as people write them, as [`KafkaConfig::bootstrap`]: `host:port`, separated by commas. A scheme, which the
    /// variables of other deployments may have, says nothing more. `None` if it is something else.
    #[must_use]
    pub fn parse_bootstrap(text: &str) -> Option<String> {
        let mut brokers = Vec::new();
        for broker in text.split(',') {
            let place = broker.trim();
            let place = place.split_once("://").map_or(place, |(_, place)| place).trim_end_matches('/');
            let (host, port) = place.rsplit_once(':')?;
            let is_place = !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0);
            if !is_place || place.contains('@') {
                return None;
            }
            brokers.push(place);
        }
        Some(brokers.join(","))
    }

    /// Whether everything in it may be said.
    pub fn check(&self) -> Result<(), KafkaConfigError> {
        if self.bootstrap.split(',').all(|broker| broker.trim().is_empty()) {
            return Err(KafkaConfigError::NoBootstrap);
        }
        match self.properties.keys().find(|name| !Self::PROPERTIES.contains(&name.as_str())) {
            Some(property) => Err(KafkaConfigError::Property { property: property.clone() }),
            None => Ok(()),
        }
    }

    /// What all clients have in common.
    pub(super) fn base(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap)
            .set("client.id", &self.client_id)
            // a cluster that comes back is found again soon, and not asked for in a hurry
            .set("reconnect.backoff.ms", "100")
            .set("reconnect.backoff.max.ms", "2000")
            .set("socket.nagle.disable", "true")
            .set("topic.metadata.refresh.interval.ms", "30000")
            .set("allow.auto.create.topics", "false");
        config.set_log_level(RDKafkaLogLevel::Warning);
        for (name, value) in self.properties.iter().filter(|(name, _)| !name.starts_with("compression.")) {
            config.set(name, value);
        }
        config
    }

    /// A client that reads records from where it is told to, and commits nothing.
    pub(super) fn reader(&self) -> ClientConfig {
        let mut config = self.base();
        config
            // never joined, and no positions are kept under it; librdkafka wants one to assign partitions
            .set("group.id", "floe-readers")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .set("fetch.wait.max.ms", "100")
            .set("fetch.error.backoff.ms", "50")
            .set("queued.max.messages.kbytes", super::limits::FETCH_AHEAD_KIB.to_string())
            .set("check.crcs", "true");
        config
    }
}

/// A client that reads from these places on. `what` it is for is said when it can't be made.
pub(super) async fn open_at(
    config: ClientConfig,
    places: KafkaResult<TopicPartitionList>,
    what: &str,
) -> Result<StreamConsumer<Told>, EngineError> {
    // librdkafka starts threads for it
    let opened = tokio::task::spawn_blocking(move || {
        let consumer: StreamConsumer<Told> = config.create_with_context(Told)?;
        consumer.assign(&places?)?;
        Ok::<_, KafkaError>(consumer)
    });
    opened.await.map_err(|_| EngineError::Stopping)?.map_err(|error| unavailable(what, &error))
}

/// Gives clients up on a thread of their own: they wait for theirs to end.
pub(super) fn drop_apart<T: Send + 'static>(clients: T) {
    std::thread::spawn(move || drop(clients));
}

/// Passes on what librdkafka tells: to the log, where it is not for the one who called.
#[derive(Clone, Debug, Default)]
pub(super) struct Told;

impl ClientContext for Told {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => tracing::debug!(target: "floe::kafka", facility, "{message}"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::trace!(target: "floe::kafka", facility, "{message}");
            }
        }
    }

    // a broker that is away is said once for all clients, by the engine's probe
    fn error(&self, error: KafkaError, reason: &str) {
        if matches!(error, KafkaError::Global(RDKafkaErrorCode::PartitionEOF)) {
            return;
        }
        tracing::debug!(target: "floe::kafka", %error, reason, "a client of the cluster has trouble");
    }
}

impl ConsumerContext for Told {}
