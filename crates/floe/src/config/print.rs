//! The settings in force, as a file that says the same.

use std::fmt::Write;

use floe_pipeline::{
    sinks::SinkSpec,
    units::{size, span},
};

use super::{
    Loaded,
    chat::{POLICIES, SEVERITIES},
    settings::{
        ENGINES, KAFKA_CLIENT_PREFIX, LOG_FORMATS, ListenPolicy, SCHEMAS_PREFIX, SERVICES, Settings,
        StorageMode, Storing, UnknownTypes,
    },
};

/// The settings as `floe.toml`, each with where it comes from. Values of variables that may hold secrets aren't in it.
pub(crate) fn to_toml(loaded: &Loaded) -> String {
    let mut out = String::from("# Settings in force: defaults < floe.toml < FLOE_… < flags\n");
    let settings = &loaded.settings;
    let mut section = "";
    for (path, value) in values(settings) {
        let (of, key) = path.split_once('.').unwrap_or(("", path));
        if of != section {
            let _ = write!(out, "\n[{of}]\n");
            section = of;
        }
        let origin = loaded.origins.get(path).map_or_else(|| "default".to_owned(), ToString::to_string);
        let _ = writeln!(out, "{key} = {value}  # {origin}");
    }
    for (type_name, file) in &settings.events.schemas {
        let path = format!("{SCHEMAS_PREFIX}{type_name}");
        let origin = loaded.origins.get(&path).map_or_else(|| "default".to_owned(), ToString::to_string);
        let _ = writeln!(
            out,
            "# schemas: {} from {}  # {origin}",
            type_name.escape_debug(),
            file.display().to_string().escape_debug()
        );
    }
    addresses(&mut out, loaded);
    for pipeline in &loaded.pipelines {
        let spec = &pipeline.spec;
        let sinks: Vec<_> = spec.sinks.iter().map(kind_of).collect();
        let (name, from, sinks) = (&spec.name, spec.from.join(", "), sinks.join(", "));
        let _ = writeln!(out, "# pipeline {name}: {from} to {sinks}  # {}", pipeline.origin);
    }
    if !loaded.notices.is_empty() {
        out.push('\n');
    }
    for notice in &loaded.notices {
        let _ = writeln!(out, "# {notice}");
    }
    out
}

/// Addresses that may hold a password, as remarks: with their secrets left out they would be other ones.
fn addresses(out: &mut String, loaded: &Loaded) {
    let store = loaded.settings.store.as_ref().map(ToString::to_string);
    let redis = loaded.settings.redis.as_ref().map(ToString::to_string);
    out.push('\n');
    for property in loaded.settings.kafka.client.keys() {
        let _ = writeln!(out, "# {KAFKA_CLIENT_PREFIX}{property} is set");
    }
    for (path, address) in [("store.url", store), ("redis.url", redis)] {
        let origin = loaded.origins.get(path).map_or_else(|| "default".to_owned(), ToString::to_string);
        let address = address.unwrap_or_else(|| "none".to_owned());
        let _ = writeln!(out, "# {path}: {}  # {origin}", address.escape_debug());
    }
    for path in ["llm.url", "llm.model", "llm.key"] {
        if let Some(origin) = loaded.origins.get(path) {
            let _ = writeln!(out, "# {path} is set  # {origin}");
        }
    }
}

fn kind_of(sink: &SinkSpec) -> &'static str {
    match sink {
        SinkSpec::Events(_) => "events",
        SinkSpec::Sql(_) => "sql",
        SinkSpec::File(_) => "file",
        SinkSpec::Stdout(_) => "stdout",
        SinkSpec::Webhook(_) => "webhook",
        SinkSpec::Redis(_) => "redis",
        SinkSpec::Topic(_) => "topic",
    }
}

/// Every key with its value in TOML, in the order of the file; what is not set is left out.
fn values(settings: &Settings) -> Vec<(&'static str, String)> {
    let text = |text: &str| toml::Value::from(text).to_string();
    let list = |items: &[String]| toml::Value::from(items.to_vec()).to_string();
    let chat = &settings.chat;
    let services: Vec<_> =
        settings.services.iter().map(|service| word(&SERVICES, *service).to_owned()).collect();
    let mut values = vec![
        ("data_dir", text(&settings.data_dir.to_string_lossy())),
        ("ephemeral", (settings.storage == StorageMode::Ephemeral).to_string()),
        ("engine", text(word(&ENGINES, settings.engine))),
        ("services", list(&services)),
        ("shutdown_grace", text(&span::write(settings.shutdown_grace))),
        ("http.addr", list(&settings.http.addr)),
        ("http.allowed_hosts", list(&settings.http.allowed_hosts)),
        ("http.allowed_origins", list(&settings.http.allowed_origins)),
        ("http.insecure_listen", (settings.http.listen == ListenPolicy::Anywhere).to_string()),
    ];
    values.extend(settings.http.max_connections.map(|most| ("http.max_connections", most.to_string())));
    values.extend(settings.kafka.bootstrap.as_deref().map(|brokers| ("kafka.bootstrap", text(brokers))));
    values.extend(settings.kafka.replication_factor.map(|n| ("kafka.replication_factor", n.to_string())));
    values.extend([
        ("journal.segment_bytes", text(&size::write(u64::from(settings.journal.segment_bytes)))),
        ("journal.tail_cache_bytes", text(&size::write(settings.journal.tail_cache_bytes))),
        ("log.format", text(word(&LOG_FORMATS, settings.log.format))),
        ("log.level", text(&settings.log.level)),
        ("events.enabled", (settings.events.storing == Storing::On).to_string()),
        ("events.strict", (settings.events.unknown_types == UnknownTypes::Refused).to_string()),
        ("server.url", text(&settings.server)),
        ("chat.retention", text(&span::write(chat.retention))),
        ("chat.profanity", text(word(&POLICIES, chat.profanity))),
        ("chat.profanity_severity", text(word(&SEVERITIES, chat.severity))),
        ("chat.words", list(&chat.words)),
        ("chat.allowed_words", list(&chat.allowed_words)),
        ("chat.session_turns", chat.sessions.turns.to_string()),
        ("chat.session_characters", chat.sessions.characters.to_string()),
        ("chat.session_expiry", text(&span::write(chat.sessions.expiry))),
    ]);
    values
}

fn word<T: Copy + PartialEq>(words: &[(&'static str, T)], value: T) -> &'static str {
    words.iter().find(|(_, known)| *known == value).map_or("", |(word, _)| word)
}
