//! `FLOE_…` variables, and the names that the services Floe stands in for were configured with.

use super::given::{Given, Origin, Value};

/// Variables that are no settings: the client commands' server, and which file to read.
const NOT_SETTINGS: [&str; 2] = ["FLOE_URL", "FLOE_CONFIG"];

/// Names from the deployments that Floe replaces, which say where something is that Floe works with.
const ADDRESSES: [(&str, &str); 3] =
    [("POSTGRES_URL", "store.url"), ("REDIS_URL", "redis.url"), (BROKERS, "kafka.bootstrap")];
/// Names of ours without the underscores that lead inwards.
const LANGUAGE_MODEL: [(&str, &str); 3] =
    [("FLOE_LLM_URL", "llm.url"), ("FLOE_LLM_MODEL", "llm.model"), ("FLOE_LLM_KEY", "llm.key")];
/// Who names brokers this way wants the cluster to keep the records.
const BROKERS: &str = "KAFKA_BROKER_URL";
const ZOOKEEPER: &str = "ZOOKEEPER_HOST is set: ZooKeeper is Kafka's own affair, Floe never talks to it";
const REDIS_PORT_DEFAULT: &str = "6379";

/// What the environment has to say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Environment {
    /// Settings.
    pub(crate) given: Vec<Given>,
    /// What people should know about variables that are set and change nothing.
    pub(crate) notices: Vec<String>,
}

/// Reads variables. `FLOE_HTTP__ADDR` is `http.addr`: two underscores lead inwards.
pub(crate) fn read(variables: impl IntoIterator<Item = (String, String)>) -> Environment {
    let mut environment = Environment::default();
    let mut redis = RedisPlace::default();
    for (name, value) in variables {
        if let Some(path) = name.strip_prefix("FLOE_") {
            if NOT_SETTINGS.contains(&name.as_str()) {
                continue;
            }
            let known = LANGUAGE_MODEL.iter().find(|(known, _)| *known == name);
            if known.is_some() && value.is_empty() {
                continue;
            }
            let path = known
                .map_or_else(|| path.to_ascii_lowercase().replace("__", "."), |(_, path)| (*path).to_owned());
            environment.given.push(Given {
                path,
                value: Value::Text(value),
                origin: Origin::Environment(name),
            });
        } else if value.is_empty() {
            // Deployments set what they don't use to nothing.
        } else if let Some((_, path)) = ADDRESSES.iter().find(|(known, _)| *known == name) {
            let origin = Origin::Environment(name);
            if *path == "kafka.bootstrap" {
                let (path, value) = ("engine".to_owned(), Value::Text("kafka".to_owned()));
                environment.given.push(Given { path, value, origin: origin.clone() });
            }
            environment.given.push(Given { path: (*path).to_owned(), value: Value::Text(value), origin });
        } else {
            match name.as_str() {
                "REDIS_HOST" => redis.host = Some(value),
                "REDIS_PORT" => redis.port = Some(value),
                "ZOOKEEPER_HOST" => environment.notices.push(ZOOKEEPER.to_owned()),
                _ => {}
            }
        }
    }
    environment.add(redis);
    // What is said in Floe's own words counts more, so it comes later.
    environment.given.sort_by(|a, b| {
        let own =
            |given: &Given| matches!(&given.origin, Origin::Environment(name) if name.starts_with("FLOE_"));
        (own(a), &a.path).cmp(&(own(b), &b.path))
    });
    environment.notices.sort_unstable();
    environment
}

/// A Redis whose host and port are said apart.
#[derive(Debug, Default)]
struct RedisPlace {
    host: Option<String>,
    port: Option<String>,
}

impl Environment {
    fn add(&mut self, redis: RedisPlace) {
        let known = self.given.iter().any(|given| given.path == "redis.url");
        let RedisPlace { host: Some(host), port } = redis else { return };
        if known {
            return;
        }
        let port = port.unwrap_or_else(|| REDIS_PORT_DEFAULT.to_owned());
        self.given.push(Given {
            path: "redis.url".to_owned(),
            value: Value::Text(format!("redis://{host}:{port}")),
            origin: Origin::Environment("REDIS_HOST".to_owned()),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_underscores_lead_inwards() {
        let variables =
            [("FLOE_HTTP__MAX_CONNECTIONS", "9"), ("FLOE_URL", "x"), ("PATH", "y"), ("FLOE_DATA_DIR", "d")];
        let environment = read(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let paths: Vec<_> = environment.given.iter().map(|given| given.path.as_str()).collect();
        assert_eq!(paths, ["data_dir", "http.max_connections"]);
        assert!(environment.notices.is_empty());
    }

    #[test]
    fn the_documents_own_names_say_where_things_are() {
        let found = |variables: &[(&str, &str)]| {
            let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let given = read(variables).given.into_iter();
            given.map(|given| format!("{}={}", given.path, given.value)).collect::<Vec<_>>()
        };
        assert_eq!(
            found(&[
                ("FLOE_REDIS__URL", "redis://b"),
                ("POSTGRES_URL", "postgres://p"),
                ("REDIS_URL", "redis://a")
            ]),
            ["redis.url=\"redis://a\"", "store.url=\"postgres://p\"", "redis.url=\"redis://b\""]
        );
        assert_eq!(found(&[("REDIS_HOST", "h"), ("REDIS_PORT", "7")]), ["redis.url=\"redis://h:7\""]);
        assert_eq!(found(&[("REDIS_HOST", "h"), ("REDIS_URL", "redis://a")]), ["redis.url=\"redis://a\""]);
        assert_eq!(found(&[("REDIS_HOST", "h")]), ["redis.url=\"redis://h:6379\""]);
        assert!(found(&[("REDIS_PORT", "7"), ("POSTGRES_URL", "")]).is_empty());
    }

    #[test]
    fn a_language_model_is_named_shortly() {
        let variables = [("FLOE_LLM_MODEL", "m"), ("FLOE_LLM_URL", "http://h/v1"), ("FLOE_LLM_KEY", "")];
        let environment = read(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let paths: Vec<_> = environment.given.iter().map(|given| given.path.as_str()).collect();
        assert_eq!(paths, ["llm.model", "llm.url"]);
    }

    #[test]
    fn brokers_make_the_cluster_the_log() {
        let variables = [("KAFKA_BROKER_URL", "kafka:9092"), ("ZOOKEEPER_HOST", "user:secret@host")];
        let environment = read(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let given: Vec<_> =
            environment.given.iter().map(|given| format!("{}={}", given.path, given.value)).collect();
        assert_eq!(given, ["engine=\"kafka\"", "kafka.bootstrap=\"kafka:9092\""]);
        assert_eq!(environment.notices.len(), 1);
        assert!(environment.notices[0].contains("Kafka's own affair"));
        assert!(!environment.notices[0].contains("secret"));
    }
}
