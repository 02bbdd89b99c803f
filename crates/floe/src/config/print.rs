//! The settings in force, as a file that says the same.

use std::fmt::Write;

use super::{
    Loaded,
    settings::{ENGINES, LOG_FORMATS, ListenPolicy, SERVICES, Settings, StorageMode},
    size, span,
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
    if !loaded.notices.is_empty() {
        out.push('\n');
    }
    for notice in &loaded.notices {
        let _ = writeln!(out, "# {notice}");
    }
    out
}

/// Every key with its value in TOML, in the order of the file; what is not set is left out.
fn values(settings: &Settings) -> Vec<(&'static str, String)> {
    let text = |text: &str| toml::Value::from(text).to_string();
    let list = |items: &[String]| toml::Value::from(items.to_vec()).to_string();
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
    values.extend([
        ("journal.segment_bytes", text(&size::write(u64::from(settings.journal.segment_bytes)))),
        ("journal.tail_cache_bytes", text(&size::write(settings.journal.tail_cache_bytes))),
        ("log.format", text(word(&LOG_FORMATS, settings.log.format))),
        ("log.level", text(&settings.log.level)),
    ]);
    values
}

fn word<T: Copy + PartialEq>(words: &[(&'static str, T)], value: T) -> &'static str {
    words.iter().find(|(_, known)| *known == value).map_or("", |(word, _)| word)
}
