//! The configuration: environment variables, under the names that `floe serve` has for them.

use std::collections::BTreeMap;

use floe_engine::{Clock, KafkaConfig};

use crate::limits::REPEATS_WAIT;

/// Brokers, as the deployments name them that Floe replaces.
const BROKERS: &str = "KAFKA_BROKER_URL";
/// The same in Floe's own words, which count more.
const OWN_BROKERS: &str = "FLOE_KAFKA__BOOTSTRAP";
const REPLICATION_FACTOR: &str = "FLOE_KAFKA__REPLICATION_FACTOR";
/// What stands in front of a client's property, whose dots are underscores.
const CLIENT: &str = "FLOE_KAFKA__CLIENT__";

/// What is wrong with the environment. Values may be secret, and aren't part of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnvironmentError {
    #[error(
        "{OWN_BROKERS} or {BROKERS} has to name brokers of Kafka as host:port, several separated by commas"
    )]
    NoBrokers,
    #[error("{variable} is not valid: expected brokers as host:port, several separated by commas")]
    Brokers { variable: &'static str },
    #[error("{REPLICATION_FACTOR} is not valid: expected a whole number from 1 to 100")]
    ReplicationFactor,
    #[error(
        "there is no setting {} for this function; there are {OWN_BROKERS}, {REPLICATION_FACTOR} and {CLIENT}<PROPERTY>",
        .variable.escape_debug()
    )]
    Unknown { variable: String },
}

/// Reads the variables that say how to reach Kafka.
pub(crate) fn read(
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<KafkaConfig, EnvironmentError> {
    let (mut brokers, mut own_brokers) = (None, None);
    let mut replication_factor = None;
    let mut properties = BTreeMap::new();
    for (variable, value) in variables {
        match variable.as_str() {
            // deployments set what they don't use to nothing
            BROKERS if value.is_empty() => {}
            BROKERS => brokers = Some(parse_brokers(BROKERS, &value)?),
            OWN_BROKERS => own_brokers = Some(parse_brokers(OWN_BROKERS, &value)?),
            REPLICATION_FACTOR => {
                let parsed = value.parse().ok().filter(|factor| (1..=100).contains(factor));
                replication_factor = Some(parsed.ok_or(EnvironmentError::ReplicationFactor)?);
            }
            _ => match variable.strip_prefix(CLIENT) {
                // the engine refuses those that can't be set
                Some(property) => {
                    properties.insert(property.to_ascii_lowercase().replace('_', "."), value);
                }
                None if variable.starts_with("FLOE_") => return Err(EnvironmentError::Unknown { variable }),
                None => {}
            },
        }
    }
    Ok(KafkaConfig {
        bootstrap: own_brokers.or(brokers).ok_or(EnvironmentError::NoBrokers)?,
        properties,
        replication_factor,
        client_id: "floe-lambda".to_owned(),
        repeats_wait: REPEATS_WAIT,
        clock: Clock::system(),
    })
}

fn parse_brokers(variable: &'static str, value: &str) -> Result<String, EnvironmentError> {
    KafkaConfig::parse_bootstrap(value).ok_or(EnvironmentError::Brokers { variable })
}
