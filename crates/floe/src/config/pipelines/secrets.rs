//! Secrets that stand elsewhere: `secret = { env = "NAME" }` or `{ file = "path" }` instead of the text itself.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// A secret; a larger file is not one.
const MAX_SECRET_BYTES: u64 = 64 << 10;
/// The settings of a sink that may hold a secret.
const PLACES: [&str; 2] = ["url", "secret"];
/// A table of settings that may.
const HEADERS: &str = "headers";

/// Puts the texts in the place of what says where they are. `Err` has the key and why; never the secret.
pub(super) fn resolve(sink: &mut DeValue<'_>, folder: &Path) -> Result<(), (String, String)> {
    let DeValue::Table(table) = sink else { return Ok(()) };
    for (key, value) in table.iter_mut() {
        let name = key.get_ref().to_string();
        if PLACES.contains(&name.as_str()) {
            resolve_value(value, folder).map_err(|why| (name, why))?;
        } else if name == HEADERS
            && let DeValue::Table(headers) = value.get_mut()
        {
            for (_, header) in headers.iter_mut() {
                resolve_value(header, folder).map_err(|why| (name.clone(), why))?;
            }
        }
    }
    Ok(())
}

fn resolve_value(value: &mut Spanned<DeValue<'_>>, folder: &Path) -> Result<(), String> {
    if let DeValue::Array(items) = value.get_mut() {
        return items.iter_mut().try_for_each(|item| resolve_value(item, folder));
    }
    let DeValue::Table(table) = value.get_ref() else { return Ok(()) };
    let text = match reference(table) {
        Some(("env", name)) => std::env::var(name).map_err(|_| {
            format!("the environment variable {} is not set, or is no text", name.escape_debug())
        })?,
        Some(("file", path)) => read(&folder.join(path))
            .map_err(|error| format!("the file {} cannot be read: {error}", path.escape_debug()))?,
        _ => return Err("expected a text, { env = \"NAME\" } or { file = \"path\" }".to_owned()),
    };
    *value.get_mut() = DeValue::String(text.into());
    Ok(())
}

/// The one key of such a table, and its text.
fn reference<'a>(table: &'a DeTable<'_>) -> Option<(&'a str, &'a str)> {
    let mut entries = table.iter();
    let (key, value) = entries.next()?;
    let text = value.get_ref().as_str()?;
    entries.next().is_none().then(|| (key.get_ref().as_ref(), text))
}

/// A file's text without the line break that editors put at its end.
fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_SECRET_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_SECRET_BYTES {
        return Err(io::Error::other(format!("it has more than {MAX_SECRET_BYTES} bytes")));
    }
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
