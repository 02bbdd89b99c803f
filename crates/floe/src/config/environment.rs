//! `FLOE_…` variables, and the names that the services Floe stands in for were configured with.

use super::given::{Given, Origin, Value};

/// Variables that are no settings: the client commands' server, and which file to read.
const NOT_SETTINGS: [&str; 2] = ["FLOE_URL", "FLOE_CONFIG"];

/// Names from the deployments that Floe replaces.
const FOREIGN: [&str; 6] =
    ["KAFKA_BROKER_URL", "POSTGRES_URL", "REDIS_URL", "REDIS_HOST", "REDIS_PORT", "ZOOKEEPER_HOST"];

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
    for (name, value) in variables {
        if let Some(path) = name.strip_prefix("FLOE_") {
            if NOT_SETTINGS.contains(&name.as_str()) {
                continue;
            }
            let path = path.to_ascii_lowercase().replace("__", ".");
            environment.given.push(Given {
                path,
                value: Value::Text(value),
                origin: Origin::Environment(name),
            });
        } else if FOREIGN.contains(&name.as_str()) {
            environment.notices.push(match name.as_str() {
                "ZOOKEEPER_HOST" => "ZOOKEEPER_HOST is set: ZooKeeper is Kafka's own affair, Floe never talks to it".to_owned(),
                _ => format!("{name} is set: accepted for later, this version keeps everything itself and does not use it"),
            });
        }
    }
    environment.given.sort_by(|a, b| a.path.cmp(&b.path));
    environment.notices.sort_unstable();
    environment
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
    fn foreign_names_are_accepted_without_showing_their_value() {
        let variables = FOREIGN.map(|name| (name.to_owned(), "redis://user:secret@host".to_owned()));
        let environment = read(variables);
        assert_eq!((environment.given.len(), environment.notices.len()), (0, 6));
        assert!(environment.notices.iter().all(|notice| !notice.contains("secret")));
        assert!(environment.notices.iter().any(|notice| notice.contains("Kafka's own affair")));
    }
}
