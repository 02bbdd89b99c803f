//! JSON Schemas from files: read when the configuration is, so that a missing one is told before anything starts.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use floe_transform::{SchemaChoice, SchemaSet};

use super::raw::{RawSchema, RawSchemas};

/// A schema; a larger file is not one.
const MAX_SCHEMA_BYTES: u64 = 1 << 20;

/// Reads the schemas that are named; relative files are below `folder`.
pub(super) fn read(raw: RawSchema, folder: &Path) -> Result<SchemaSet, String> {
    match raw {
        RawSchema::One(file) => {
            Ok(SchemaSet { choice: SchemaChoice::One(read_file(&folder.join(file))?), strict: false })
        }
        RawSchema::By(RawSchemas { by, files, strict }) => {
            let members = by.into_vec();
            if members.is_empty() || members.iter().any(String::is_empty) {
                return Err("'by' must name a member of the value, such as \"event_type\"".to_owned());
            }
            let files = files.into_iter().map(|(name, file)| (name, folder.join(file))).collect();
            let schemas = read_all(&files).map_err(|(_, why)| why)?;
            Ok(SchemaSet { choice: SchemaChoice::By { members, schemas }, strict })
        }
    }
}

/// Reads a file for each name; of the first that can't be read, its name and why.
pub(in super::super) fn read_all(
    files: &BTreeMap<String, PathBuf>,
) -> Result<BTreeMap<String, Arc<str>>, (String, String)> {
    let read = files.iter().map(|(name, file)| match read_file(file) {
        Ok(text) => Ok((name.clone(), text)),
        Err(why) => Err((name.clone(), why)),
    });
    read.collect()
}

fn read_file(path: &Path) -> Result<Arc<str>, String> {
    let fail = |why: String| format!("the schema {}: {why}", path.display().to_string().escape_debug());
    let mut text = String::new();
    let file = File::open(path).map_err(|error| fail(format!("cannot be opened: {error}")))?;
    file.take(MAX_SCHEMA_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| fail(format!("cannot be read: {error}")))?;
    if text.len() as u64 > MAX_SCHEMA_BYTES {
        return Err(fail(format!("has more than {MAX_SCHEMA_BYTES} bytes")));
    }
    match serde_json::from_str::<serde_json::Value>(&text) {
        Ok(schema) if schema.is_object() || schema.is_boolean() => Ok(text.into()),
        Ok(_) => Err(fail("is not a JSON Schema: expected an object".to_owned())),
        Err(error) => Err(fail(format!("is not JSON: {error}"))),
    }
}
