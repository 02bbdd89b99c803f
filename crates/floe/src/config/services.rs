//! Addresses of what Floe works with: a database, a Redis, another node. They may hold passwords, so a value is never
//! part of what is said about it.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use floe_engine::KafkaConfig;
use floe_pipeline::RemoteLog;
use floe_store::{Database, DatabaseUrl};

use super::{
    given::{Given, Origin, Value},
    settings::{KAFKA_CLIENT_PREFIX, KafkaSettings, RedisUrl},
};

const BROKERS: &str = "brokers as host:port, several separated by commas, such as kafka:9092";
const REDIS: &str = "redis://user:password@host:port/0, or rediss://… for TLS";

/// The address of a database; the relative name of a SQLite file is relative to the configuration file.
pub(super) fn database(given: &Given) -> Result<DatabaseUrl, String> {
    let text = given.text().unwrap_or_default();
    let url = DatabaseUrl::parse(&plain_scheme(&text)).map_err(|why| refused(given, why))?;
    let url = match url {
        DatabaseUrl::Sqlite(path) => DatabaseUrl::Sqlite(folder_of(&given.origin).join(path)),
        postgres @ DatabaseUrl::Postgres(_) => postgres,
    };
    match Database::new(url.clone()) {
        Ok(_) => Ok(url),
        Err(why) => Err(format!("{}: {}: {why}", given.origin, given.path)),
    }
}

/// Python's SQLAlchemy names its driver behind the scheme (`postgresql+asyncpg`): it means nothing here.
fn plain_scheme(text: &str) -> String {
    match text.split_once("://") {
        Some((scheme, rest)) => format!("{}://{rest}", scheme.split('+').next().unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The address of a Redis.
pub(super) fn redis(given: &Given) -> Result<RedisUrl, String> {
    let text = given.text().map_err(|_| refused(given, REDIS))?;
    let (scheme, rest) = text.split_once("://").ok_or_else(|| refused(given, REDIS))?;
    let host = rest.split('/').next().unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let port_is_one = match host.rsplit_once(':') {
        Some((_, port)) if !port.ends_with(']') => port.parse::<u16>().is_ok(),
        _ => true,
    };
    if !matches!(scheme, "redis" | "rediss") || host.is_empty() || !port_is_one {
        return Err(refused(given, REDIS));
    }
    Ok(RedisUrl(text))
}

/// Brokers of a cluster.
pub(super) fn brokers(given: &Given) -> Result<String, String> {
    let text = given.text().map_err(|_| refused(given, BROKERS))?;
    KafkaConfig::parse_bootstrap(&text).ok_or_else(|| refused(given, BROKERS))
}

/// A property of the cluster's client, with its value. In the name of a variable, dots are underscores.
pub(super) fn kafka_property(given: &Given) -> Result<(String, String), String> {
    let name = given.path[KAFKA_CLIENT_PREFIX.len()..].replace('_', ".");
    if !KafkaConfig::PROPERTIES.contains(&name.as_str()) {
        let known = KafkaConfig::PROPERTIES.join(", ");
        return Err(refused(given, format_args!("one of: {known}")));
    }
    let value = match &given.value {
        Value::Number(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        _ => given.text().map_err(|_| refused(given, "text"))?,
    };
    Ok((name, value))
}

/// The address of a node.
pub(super) fn server(given: &Given) -> Result<String, String> {
    let url = given.text()?;
    RemoteLog::new(&url).map_err(|why| refused(given, format_args!("http://node:8080; {why}")))?;
    Ok(url)
}

/// A file; a relative name in a configuration file is relative to that.
pub(super) fn file(given: &Given) -> Result<PathBuf, String> {
    Ok(folder_of(&given.origin).join(given.text()?))
}

/// The folder that relative names start from.
pub(super) fn folder_of(origin: &Origin) -> PathBuf {
    match origin {
        Origin::File { name, .. } => Path::new(name).parent().map(Path::to_owned).unwrap_or_default(),
        Origin::Environment(_) | Origin::Flag(_) => PathBuf::new(),
    }
}

fn refused(given: &Given, expected: impl fmt::Display) -> String {
    format!("{}: {} is not valid: expected {expected}", given.origin, given.path)
}

impl RedisUrl {
    /// The address itself, for the one who connects.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_once("://") {
            Some((scheme, rest)) => match rest.rsplit_once('@') {
                Some((_, place)) => write!(f, "{scheme}://***@{place}"),
                None => f.write_str(&self.0),
            },
            None => f.write_str("***"),
        }
    }
}

impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSettings")
            .field("bootstrap", &self.bootstrap)
            .field("replication_factor", &self.replication_factor)
            .field("client", &self.client.keys())
            .finish()
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_are_named_with_their_ports() {
        let given = |text: &str| Given {
            path: "kafka.bootstrap".to_owned(),
            value: Value::Text(text.to_owned()),
            origin: Origin::Environment("KAFKA_BROKER_URL".to_owned()),
        };
        for (text, expected) in [
            ("kafka:9092", "kafka:9092"),
            ("a:1, [::1]:2", "a:1,[::1]:2"),
            ("kafka://kafka:9092/", "kafka:9092"),
            ("PLAINTEXT://a:1,PLAINTEXT://b:2", "a:1,b:2"),
        ] {
            assert_eq!(brokers(&given(text)).as_deref(), Ok(expected));
        }
        for text in ["", "kafka", ":9092", "kafka:0", "kafka:port", "user:secret@kafka:9092"] {
            let error = brokers(&given(text)).unwrap_err();
            assert!(error.contains("KAFKA_BROKER_URL") && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_file_is_below_the_configuration_and_a_driver_is_no_matter() {
        let url = |text: &str| {
            let origin = Origin::File { name: "conf/floe.toml".to_owned(), line: 1 };
            let value = Value::Text(text.to_owned());
            database(&Given { path: "store.url".to_owned(), value, origin })
        };
        assert_eq!(url("sqlite:rows.db"), Ok(DatabaseUrl::Sqlite("conf/rows.db".into())));
        assert_eq!(url("sqlite:///var/rows.db"), Ok(DatabaseUrl::Sqlite("/var/rows.db".into())));
        for text in ["postgres://u:p@h/d", "postgresql://u:p@h/d", "postgresql+asyncpg://u:p@h/d"] {
            assert!(matches!(url(text), Ok(DatabaseUrl::Postgres(_))), "{text}");
        }
        for text in ["", "sqlite:", "mysql://h/d", "postgres:", "h/d"] {
            assert!(url(text).is_err(), "{text}");
        }
    }
}
