//! All settings with their types and defaults; the one place where a key gets its meaning.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use floe_store::DatabaseUrl;

use super::{
    chat::{self, ChatConfig},
    given::{Given, Value},
    nearest::nearest,
    services,
};

/// The longest grace at shutdown: the doors wait no longer.
const MAX_GRACE: Duration = floe_gateway::limits::STOP_GRACE;
const MIN_SEGMENT_BYTES: u64 = floe_journal::limits::MIN_SEGMENT_BYTES as u64;
const MAX_SEGMENT_BYTES: u64 = floe_journal::limits::MAX_SEGMENT_BYTES as u64;
const MAX_CACHE_BYTES: u64 = 64 << 30;
const MAX_CONNECTIONS: u64 = 1_000_000;

/// Everything `floe serve` can be told, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Where the records are.
    pub(crate) data_dir: PathBuf,
    /// Whether they outlive the process.
    pub(crate) storage: StorageMode,
    /// Who keeps them.
    pub(crate) engine: EngineKind,
    /// The cluster, if it keeps them.
    pub(crate) kafka: KafkaSettings,
    /// Which doors are opened.
    pub(crate) services: Vec<Service>,
    /// The HTTP door.
    pub(crate) http: HttpSettings,
    /// The journal.
    pub(crate) journal: JournalSettings,
    /// The log.
    pub(crate) log: LogSettings,
    /// The database of rows and events; none is a SQLite file in the data directory.
    pub(crate) store: Option<DatabaseUrl>,
    /// Where gateways tell each other what was stored, and the Redis of sinks that name none.
    pub(crate) redis: Option<RedisUrl>,
    /// The events that go into the store.
    pub(crate) events: EventsSettings,
    /// The chat.
    pub(crate) chat: ChatConfig,
    /// The node whose records a process without doors works on.
    pub(crate) server: String,
    /// How long accepted requests may take to finish after a signal.
    pub(crate) shutdown_grace: Duration,
}

/// Whether records outlive the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StorageMode {
    /// In the data directory.
    Kept,
    /// In a temporary directory that is removed at the end.
    Ephemeral,
}

/// Who keeps the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EngineKind {
    /// This process.
    Embedded,
    /// A Kafka cluster.
    Kafka,
}

/// A part of the server that can be started on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// HTTP, SSE and WebSocket, and the records behind them.
    Http,
    /// Pipelines: of the records in this process, or of another node's.
    Pipelines,
    /// The chat's messages, in.
    Producer,
    /// The chat's messages, out.
    Consumer,
    /// The chat's questions and answers, sessions and documents.
    Gateway,
    /// The chat's workers: of the records in this process, or of another node's.
    Chat,
}

impl Service {
    /// Whether it needs HTTP, and the records behind it.
    pub(crate) fn has_door(self) -> bool {
        matches!(self, Self::Http | Self::Producer | Self::Consumer | Self::Gateway)
    }
}

/// Whether addresses beyond this machine may be bound though nobody has to show a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListenPolicy {
    /// Only loopback.
    LoopbackOnly,
    /// Any address.
    Anywhere,
}

/// The HTTP door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpSettings {
    /// Where it listens: `host:port`, port 0 for any free one.
    pub(crate) addr: Vec<String>,
    /// Names besides loopback's own that a `Host` header may have.
    pub(crate) allowed_hosts: Vec<String>,
    /// Origins whose pages may call.
    pub(crate) allowed_origins: Vec<String>,
    /// Connections at once; none leaves it to the gateway.
    pub(crate) max_connections: Option<usize>,
    /// Where it may listen.
    pub(crate) listen: ListenPolicy,
}

/// A Kafka cluster, and how to reach and trust it.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct KafkaSettings {
    /// Brokers to start from: `host:port`, separated by commas.
    pub(crate) bootstrap: Option<String>,
    /// Replicas of the topics that are made; none leaves it to the cluster.
    pub(crate) replication_factor: Option<i32>,
    /// Properties of the client, under librdkafka's names. They may hold secrets: `Debug` leaves their values out.
    pub(crate) client: BTreeMap<String, String>,
}

/// The journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JournalSettings {
    /// Size of a new journal's segments.
    pub(crate) segment_bytes: u32,
    /// The newest bytes kept in memory for readers at the tail.
    pub(crate) tail_cache_bytes: u64,
}

/// The address of a Redis. It may hold a password: `Debug` and `Display` leave that out.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RedisUrl(pub(super) String);

/// The built-in pipeline from the topic `events` into the event store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventsSettings {
    /// Whether it runs.
    pub(crate) storing: Storing,
    /// What becomes of events of a type for which there is no schema.
    pub(crate) unknown_types: UnknownTypes,
    /// Files with the schemas of types, over those that come with Floe.
    pub(crate) schemas: BTreeMap<String, PathBuf>,
}

/// Whether events go into the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Storing {
    /// They do.
    On,
    /// They stay in their topic.
    Off,
}

/// What becomes of events of a type for which there is no schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnknownTypes {
    /// They are taken as they are.
    Taken,
    /// They are refused.
    Refused,
}

/// The log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogSettings {
    /// How lines look.
    pub(crate) format: LogFormat,
    /// Which are written: `info`, or directives such as `warn,floe_gateway=debug`.
    pub(crate) level: String,
}

/// How lines of the log look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

pub(crate) const LOG_FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];
pub(crate) const ENGINES: [(&str, EngineKind); 2] =
    [("embedded", EngineKind::Embedded), ("kafka", EngineKind::Kafka)];
pub(crate) const SERVICES: [(&str, Service); 6] = [
    ("http", Service::Http),
    ("pipelines", Service::Pipelines),
    ("producer", Service::Producer),
    ("consumer", Service::Consumer),
    ("gateway", Service::Gateway),
    ("chat", Service::Chat),
];
/// What stands in front of the name of an event's type in a setting that names its schema.
pub(super) const SCHEMAS_PREFIX: &str = "events.schemas.";
/// What stands in front of the name of a client's property in a setting that sets it.
pub(super) const KAFKA_CLIENT_PREFIX: &str = "kafka.client.";
/// Replicas of a topic; a cluster has as many brokers at most.
const MAX_REPLICATION_FACTOR: u64 = 100;

/// Every key there is; `events.schemas` has one below it for each type, `kafka.client` for each property.
pub(crate) const KEYS: [&str; 23] = [
    "data_dir",
    "ephemeral",
    "engine",
    "kafka.bootstrap",
    "kafka.replication_factor",
    "kafka.client",
    "services",
    "shutdown_grace",
    "http.addr",
    "http.allowed_hosts",
    "http.allowed_origins",
    "http.max_connections",
    "http.insecure_listen",
    "journal.segment_bytes",
    "journal.tail_cache_bytes",
    "log.format",
    "log.level",
    "store.url",
    "redis.url",
    "events.enabled",
    "events.strict",
    "events.schemas",
    "server.url",
];

impl Default for Settings {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./floe-data"),
            storage: StorageMode::Kept,
            engine: EngineKind::Embedded,
            kafka: KafkaSettings::default(),
            services: SERVICES.map(|(_, service)| service).to_vec(),
            http: HttpSettings {
                addr: vec!["127.0.0.1:8080".to_owned()],
                allowed_hosts: Vec::new(),
                allowed_origins: Vec::new(),
                max_connections: None,
                listen: ListenPolicy::LoopbackOnly,
            },
            journal: JournalSettings {
                segment_bytes: floe_journal::limits::DEFAULT_SEGMENT_BYTES,
                tail_cache_bytes: floe_journal::limits::DEFAULT_TAIL_CACHE_BYTES as u64,
            },
            log: LogSettings { format: LogFormat::Text, level: "info".to_owned() },
            store: None,
            redis: None,
            events: EventsSettings {
                storing: Storing::On,
                unknown_types: UnknownTypes::Taken,
                schemas: BTreeMap::new(),
            },
            chat: ChatConfig::default(),
            server: "http://127.0.0.1:8080".to_owned(),
            shutdown_grace: Duration::from_secs(10),
        }
    }
}

impl Settings {
    /// Puts one given value in its place, or says what is wrong with it.
    pub(crate) fn apply(&mut self, given: &Given) -> Result<(), String> {
        if let Some(applied) = self.chat.apply(given) {
            return applied;
        }
        match given.path.as_str() {
            "data_dir" => self.data_dir = given.text()?.into(),
            "ephemeral" => {
                self.storage = if given.flag()? { StorageMode::Ephemeral } else { StorageMode::Kept }
            }
            "engine" => self.engine = given.word(&ENGINES)?,
            "kafka.bootstrap" => self.kafka.bootstrap = Some(services::brokers(given)?),
            "kafka.replication_factor" => {
                self.kafka.replication_factor = i32::try_from(given.number(1, MAX_REPLICATION_FACTOR)?).ok();
            }
            "kafka.client" => {
                return Err(given.expected("a table, such as \"security.protocol\" = \"SASL_SSL\""));
            }
            path if path.starts_with(KAFKA_CLIENT_PREFIX) => {
                let (property, value) = services::kafka_property(given)?;
                self.kafka.client.insert(property, value);
            }
            "services" => self.services = services_of(given)?,
            "shutdown_grace" => self.shutdown_grace = given.span(MAX_GRACE)?,
            "http.addr" => self.http.addr = addresses_of(given)?,
            "http.allowed_hosts" => self.http.allowed_hosts = given.list()?,
            "http.allowed_origins" => self.http.allowed_origins = origins_of(given)?,
            "http.max_connections" => {
                self.http.max_connections = Some(given.number(1, MAX_CONNECTIONS)? as usize)
            }
            "http.insecure_listen" => {
                self.http.listen =
                    if given.flag()? { ListenPolicy::Anywhere } else { ListenPolicy::LoopbackOnly };
            }
            "journal.segment_bytes" => self.journal.segment_bytes = segment_of(given)?,
            "journal.tail_cache_bytes" => self.journal.tail_cache_bytes = given.size(0, MAX_CACHE_BYTES)?,
            "log.format" => self.log.format = given.word(&LOG_FORMATS)?,
            "log.level" => self.log.level = level_of(given)?,
            "store.url" => self.store = Some(services::database(given)?),
            "redis.url" => self.redis = Some(services::redis(given)?),
            "events.enabled" => {
                self.events.storing = if given.flag()? { Storing::On } else { Storing::Off };
            }
            "events.strict" => {
                self.events.unknown_types =
                    if given.flag()? { UnknownTypes::Refused } else { UnknownTypes::Taken };
            }
            "events.schemas" => {
                return Err(given.expected("a table of types and files, such as login = \"login.json\""));
            }
            path if path.starts_with(SCHEMAS_PREFIX) => {
                let file = services::file(given)?;
                self.events.schemas.insert(path[SCHEMAS_PREFIX.len()..].to_owned(), file);
            }
            "server.url" => self.server = services::server(given)?,
            unknown => {
                let nearest =
                    nearest(unknown, KEYS.into_iter().chain(chat::KEYS).chain([super::pipelines::KEY]))
                        .unwrap_or_default();
                let (origin, unknown) = (&given.origin, unknown.escape_debug());
                return Err(format!("{origin}: there is no setting '{unknown}'; did you mean '{nearest}'?"));
            }
        }
        Ok(())
    }
}

fn services_of(given: &Given) -> Result<Vec<Service>, String> {
    let mut services = Vec::new();
    for name in given.list()? {
        let one = Given { value: Value::Text(name), ..given.clone() };
        let service = one.word(&SERVICES)?;
        if !services.contains(&service) {
            services.push(service);
        }
    }
    if services.is_empty() {
        return Err(given.expected("at least one service"));
    }
    Ok(services)
}

fn addresses_of(given: &Given) -> Result<Vec<String>, String> {
    let addresses = given.list()?;
    let is_address = |text: &String| {
        let port = text.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>()));
        matches!(port, Some((host, Ok(_))) if !host.is_empty() && (!host.contains(':') || host.starts_with('[')))
    };
    if addresses.is_empty() || !addresses.iter().all(is_address) {
        return Err(given.expected("addresses of the form 127.0.0.1:8080, [::1]:8080 or name:8080"));
    }
    Ok(addresses)
}

fn origins_of(given: &Given) -> Result<Vec<String>, String> {
    let origins = given.list()?;
    let is_origin = |text: &String| {
        let authority = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        authority
            .is_some_and(|authority| !authority.is_empty() && !authority.contains(['/', '*', ' ', '?', '#']))
    };
    if !origins.iter().all(is_origin) {
        return Err(given.expected("origins of the form https://app.example, without a path"));
    }
    Ok(origins)
}

fn segment_of(given: &Given) -> Result<u32, String> {
    let bytes = given.size(MIN_SEGMENT_BYTES, MAX_SEGMENT_BYTES)?;
    match u32::try_from(bytes) {
        Ok(bytes) if bytes.is_power_of_two() => Ok(bytes),
        _ => Err(given.expected("a power of two, such as 64MiB or 128MiB")),
    }
}

fn level_of(given: &Given) -> Result<String, String> {
    let level = given.text()?;
    match tracing_subscriber::EnvFilter::try_new(&level) {
        Ok(_) => Ok(level),
        Err(_) => {
            Err(given
                .expected("error, warn, info, debug, trace, or directives such as warn,floe_gateway=debug"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::given::Origin;

    fn apply(path: &str, value: Value) -> Result<Settings, String> {
        let mut settings = Settings::default();
        let origin = Origin::Environment("FLOE_X".to_owned());
        settings.apply(&Given { path: path.to_owned(), value, origin }).map(|()| settings)
    }

    fn text(path: &str, value: &str) -> Result<Settings, String> {
        apply(path, Value::Text(value.to_owned()))
    }

    #[test]
    fn every_key_that_is_listed_is_known() {
        for key in KEYS.into_iter().chain(chat::KEYS) {
            let answer = apply(key, Value::Other("?".to_owned()));
            assert!(answer.is_err_and(|error| !error.contains("there is no setting")), "{key}");
        }
    }

    #[test]
    fn an_unknown_key_names_its_place_and_the_nearest() {
        let error = text("http.adress", "x").unwrap_err();
        assert_eq!(
            error,
            "the environment variable FLOE_X: there is no setting 'http.adress'; did you mean 'http.addr'?"
        );
    }

    #[test]
    fn tables_of_pipelines_under_a_wrong_name_are_known_for_what_they_are() {
        let error = text("pipelines", "x").unwrap_err();
        assert!(error.ends_with("did you mean 'pipeline'?"), "{error}");
    }

    #[test]
    fn values_are_checked_and_the_accepted_form_is_told() {
        assert_eq!(text("journal.segment_bytes", "64MiB").unwrap().journal.segment_bytes, 64 << 20);
        for (path, value, told) in [
            ("journal.segment_bytes", "10MB", "a power of two"),
            ("journal.segment_bytes", "-1", "10MiB (1024-based)"),
            ("journal.segment_bytes", "1e9", "10MiB (1024-based)"),
            ("journal.segment_bytes", "99999999999999999999", "10MiB (1024-based)"),
            ("journal.tail_cache_bytes", "1TiB", "from 0 to 64GiB"),
            ("shutdown_grace", "30", "with its unit"),
            ("shutdown_grace", "2h", "at most 10s"),
            ("http.addr", "8080", "127.0.0.1:8080"),
            ("http.addr", "::1:8080", "[::1]:8080"),
            ("http.addr", "localhost:99999", "127.0.0.1:8080"),
            ("http.addr", "", "127.0.0.1:8080"),
            ("http.allowed_origins", "*", "https://app.example"),
            ("http.max_connections", "0", "from 1 to 1000000"),
            ("log.format", "xml", "text or json"),
            ("log.level", "loud=very", "error, warn, info"),
            ("engine", "pulsar", "embedded or kafka"),
            ("kafka.bootstrap", "kafka", "kafka:9092"),
            ("kafka.bootstrap", "a:9092,", "kafka:9092"),
            ("kafka.client.acks", "0", "security.protocol"),
            ("kafka.replication_factor", "0", "from 1 to 100"),
            ("services", "http,chats", "http or pipelines or producer or consumer or gateway or chat"),
            ("server.url", "node:8080", "http://node:8080"),
            ("events.strict", "yes", "true or false"),
            ("ephemeral", "yes", "true or false"),
            ("data_dir", "", "not empty"),
        ] {
            let error = text(path, value).unwrap_err();
            assert!(error.contains(told) && error.contains(path), "{path}={value}: {error}");
        }
        assert!(apply("journal.tail_cache_bytes", Value::Other("1e9".to_owned())).is_err());
        assert!(apply("journal.tail_cache_bytes", Value::Number(-1)).is_err());
        assert!(apply("data_dir", Value::Number(5)).is_err());
    }

    #[test]
    fn an_address_that_may_hold_a_password_is_never_shown() {
        for (path, value) in [
            ("store.url", "mysql://u:hunter2@h/d"),
            ("store.url", "postgres://u:hunter2@h:port/d"),
            ("redis.url", "http://u:hunter2@h"),
            ("redis.url", "redis://u:hunter2@h:port"),
        ] {
            let error = text(path, value).unwrap_err();
            assert!(error.contains(path) && !error.contains("hunter2"), "{error}");
        }
        let settings = text("store.url", "postgresql://u:hunter2@h/d").unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
        let settings = text("redis.url", "redis://:hunter2@h:1/0").unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
        assert_eq!(settings.redis.unwrap().to_string(), "redis://***@h:1/0");
    }

    #[test]
    fn a_schema_is_given_for_a_type() {
        let settings = text("events.schemas.order.placed", "s/order.json").unwrap();
        assert_eq!(settings.events.schemas["order.placed"], PathBuf::from("s/order.json"));
        assert!(text("events.schemas", "x").is_err() && text("events.schemas.x", "").is_err());
    }

    #[test]
    fn lists_replace_what_was_there() {
        let settings = text("http.addr", "[::1]:0, localhost:9").unwrap();
        assert_eq!(settings.http.addr, ["[::1]:0", "localhost:9"]);
        assert!(text("http.allowed_hosts", "").unwrap().http.allowed_hosts.is_empty());
    }
}
