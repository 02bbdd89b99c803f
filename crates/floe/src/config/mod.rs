//! Configuration: `floe.toml`, under the environment, under flags; checked whole before anything starts.

pub(crate) mod chat;
pub(crate) mod check_file;
mod environment;
mod file;
pub(crate) mod given;
mod nearest;
pub(crate) mod pipelines;
pub(crate) mod print;
mod services;
pub(crate) mod settings;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use floe_chat::ChatSettings;
use floe_pipeline::PipelineSpec;
use floe_transform::{SchemaSet, Step, Transform};

use file::Contents;
pub(crate) use file::line_of;
use given::{Given, Origin};
use pipelines::Configured;
use settings::{EngineKind, SCHEMAS_PREFIX, Settings, Storing, UnknownTypes};

/// The file that is read when none is named, if it is there.
const DEFAULT_FILE: &str = "floe.toml";

/// Settings, and how they came about.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The settings in force.
    pub(crate) settings: Settings,
    /// The pipelines of the file.
    pub(crate) pipelines: Vec<Configured>,
    /// The built-in pipeline from the topic `events` into the store, unless it is switched off.
    pub(crate) events: Option<PipelineSpec>,
    /// Where each that isn't a default was given.
    pub(crate) origins: BTreeMap<String, Origin>,
    /// What people should know.
    pub(crate) notices: Vec<String>,
}

impl Loaded {
    /// All pipelines: the built-in one, if it is on, and those of the file.
    pub(crate) fn specs(&self) -> Vec<PipelineSpec> {
        self.events.iter().chain(self.pipelines.iter().map(|pipeline| &pipeline.spec)).cloned().collect()
    }

    /// How the chat is set up.
    pub(crate) fn chat(&self) -> ChatSettings {
        self.settings.chat.settings(self.settings.redis.as_ref())
    }

    /// What the built-in pipeline checks events against.
    pub(crate) fn event_schemas(&self) -> Option<&SchemaSet> {
        self.events.as_ref()?.steps.iter().find_map(|step| match step {
            Step::Schema(set) => Some(set),
            Step::Filter(_) | Step::Map(_) => None,
        })
    }
}

/// Everything that is wrong with the configuration, a sentence each.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ConfigErrors(pub(crate) Vec<String>);

/// The sources, from the weakest to the strongest.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// The file that was named.
    pub(crate) file: Option<PathBuf>,
    /// The environment.
    pub(crate) variables: Vec<(String, String)>,
    /// Flags.
    pub(crate) flags: Vec<Given>,
}

/// Reads and checks all sources. Reports everything that is wrong, not only the first.
pub(crate) fn load(sources: Sources) -> Result<Loaded, ConfigErrors> {
    let from_file = match &sources.file {
        Some(path) => file::read(path),
        None if Path::new(DEFAULT_FILE).exists() => file::read(Path::new(DEFAULT_FILE)),
        None => Ok(Contents::default()),
    };
    let from_file = from_file.map_err(|error| ConfigErrors(vec![error]))?;
    let environment = environment::read(sources.variables);
    let mut loaded = combine(from_file, [environment.given, sources.flags])?;
    loaded.notices = environment.notices;
    Ok(loaded)
}

fn combine(file: Contents, over: impl IntoIterator<Item = Vec<Given>>) -> Result<Loaded, ConfigErrors> {
    let mut loaded = Loaded {
        settings: Settings::default(),
        pipelines: file.pipelines,
        events: None,
        origins: BTreeMap::new(),
        notices: Vec::new(),
    };
    let mut errors = Vec::new();
    for given in file.given.into_iter().chain(over.into_iter().flatten()) {
        match loaded.settings.apply(&given) {
            Ok(()) => {
                loaded.origins.insert(given.path, given.origin);
            }
            Err(error) => errors.push(error),
        }
    }
    errors.extend(file.errors);
    if loaded.settings.engine == EngineKind::Kafka && loaded.settings.kafka.bootstrap.is_none() {
        errors.push(
            "engine = \"kafka\" needs the cluster's address: kafka.bootstrap = \"host:9092\"".to_owned(),
        );
    }
    errors.extend(loaded.settings.chat.check().err());
    match events_pipeline(&loaded) {
        Ok(spec) => loaded.events = spec,
        Err(error) => errors.push(error),
    }
    if errors.is_empty() { Ok(loaded) } else { Err(ConfigErrors(errors)) }
}

/// The built-in pipeline, with the schemas that are configured over its own.
fn events_pipeline(loaded: &Loaded) -> Result<Option<PipelineSpec>, String> {
    let events = &loaded.settings.events;
    if events.storing == Storing::Off {
        return Ok(None);
    }
    let schemas = pipelines::read_all(&events.schemas).map_err(|(name, why)| {
        let origin = loaded.origins.get(&format!("{SCHEMAS_PREFIX}{name}"));
        origin.map_or_else(|| why.clone(), |origin| format!("{origin}: {SCHEMAS_PREFIX}{name}: {why}"))
    })?;
    let strict = events.unknown_types == UnknownTypes::Refused;
    let spec = floe_pipeline::events_store(schemas, strict);
    if let Some(other) = loaded.pipelines.iter().find(|other| other.spec.name == spec.name) {
        return Err(format!(
            "{}: pipeline '{}': the name is that of the built-in pipeline; choose another one, or switch that off with \
             events.enabled = false",
            other.origin, spec.name
        ));
    }
    Transform::compile(&spec.steps).map_err(|error| format!("events.schemas: {}", error.why))?;
    Ok(Some(spec))
}

#[cfg(test)]
mod tests {
    use super::{given::Value, *};

    fn load_from(file: &str, variables: &[(&str, &str)], flags: Vec<Given>) -> Result<Loaded, ConfigErrors> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("floe.toml");
        std::fs::write(&path, file).unwrap();
        let variables =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        load(Sources { file: Some(path), variables, flags })
    }

    fn flag(path: &str, value: &str) -> Given {
        Given { path: path.to_owned(), value: Value::Text(value.to_owned()), origin: Origin::Flag("--flag") }
    }

    #[test]
    fn the_stronger_source_wins() {
        let file = "data_dir = 'file'\nshutdown_grace = '1s'\n[log]\nlevel = 'warn'\n";
        let loaded = load_from(
            file,
            &[("FLOE_DATA_DIR", "env"), ("FLOE_LOG__LEVEL", "debug")],
            vec![flag("data_dir", "flag")],
        )
        .unwrap();
        assert_eq!(loaded.settings.data_dir, PathBuf::from("flag"));
        assert_eq!(loaded.settings.log.level, "debug");
        assert_eq!(loaded.settings.shutdown_grace.as_secs(), 1);
        assert_eq!(loaded.origins["data_dir"], Origin::Flag("--flag"));
        assert_eq!(loaded.origins["log.level"], Origin::Environment("FLOE_LOG__LEVEL".to_owned()));
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let file = "data_dir = 5\n\n[journal]\nsegment_byte = 1\n";
        let ConfigErrors(errors) = load_from(file, &[("FLOE_HTPP__ADDR", "x:1")], vec![]).unwrap_err();
        assert_eq!(errors.len(), 3, "{errors:?}");
        assert!(errors[0].contains("floe.toml, line 1: data_dir = 5 is not valid"), "{errors:?}");
        assert!(
            errors[1].contains("line 4") && errors[1].contains("did you mean 'journal.segment_bytes'?"),
            "{errors:?}"
        );
        assert!(errors[2].contains("FLOE_HTPP__ADDR") && errors[2].contains("'http.addr'"), "{errors:?}");
    }

    #[test]
    fn what_is_printed_says_the_same_and_no_secret() {
        let variables = [("FLOE_HTTP__ADDR", "[::1]:0,a:1"), ("POSTGRES_URL", "postgres://u:hunter2@h/d")];
        let loaded = load_from(
            "[http]\nmax_connections = 7\n[journal]\nsegment_bytes = '64KiB'\n",
            &variables,
            vec![],
        )
        .unwrap();
        let printed = print::to_toml(&loaded);
        assert!(!printed.contains("hunter2") && printed.contains("POSTGRES_URL"), "{printed}");
        assert_eq!(loaded.origins["store.url"], Origin::Environment("POSTGRES_URL".to_owned()));
        assert!(printed.contains("the environment variable FLOE_HTTP__ADDR"), "{printed}");
        let again = load_from(&printed, &[("POSTGRES_URL", "postgres://u:hunter2@h/d")], vec![]).unwrap();
        assert_eq!(again.settings, loaded.settings);
    }

    #[test]
    fn the_defaults_are_those_of_a_bare_serve() {
        let settings = load_from("", &[], vec![]).unwrap().settings;
        assert_eq!(settings, Settings::default());
        assert_eq!(
            (settings.http.addr.as_slice(), settings.data_dir.to_str()),
            (&["127.0.0.1:8080".to_owned()][..], Some("./floe-data"))
        );
    }
}
