//! `[[pipeline]]`: from what is written to what runs, checked whole.

mod place;
mod raw;
mod schemas;
mod secrets;
mod sinks;
mod spec;

use std::path::Path;

use floe_pipeline::{
    PipelineSpec,
    sinks::{SinkSpec, fields::Secret},
};
use floe_store::DatabaseUrl;
use floe_transform::{Step, Transform};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::given::Origin;
use place::Place;
pub(crate) use raw::RawSchema;
pub(super) use schemas::read_all;
pub(crate) use sinks::try_sinks;
pub(crate) use spec::STEP_LIMIT;

/// The key of the tables.
pub(super) const KEY: &str = "pipeline";
/// Where a pipeline's records go: the key of its tables.
const SINKS_KEY: &str = "to";
/// Pipelines of one configuration.
const MAX_PIPELINES: usize = 200;
/// Sinks of one pipeline.
const MAX_SINKS: usize = 16;

/// A pipeline, and where it is written.
#[derive(Clone, Debug)]
pub(crate) struct Configured {
    pub(crate) spec: PipelineSpec,
    pub(crate) origin: Origin,
}

/// What was read, and all that is wrong with it.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) pipelines: Vec<Configured>,
    pub(super) errors: Vec<String>,
}

/// Reads what stands under `pipeline` in a file's text. Relative names of files are relative to the file.
pub(super) fn read(text: &str, file: &str, value: Spanned<DeValue<'_>>) -> Read {
    let folder = Path::new(file).parent().unwrap_or(Path::new(""));
    let place = Place::new(text, file, "[[pipeline]]".to_owned(), &value);
    let mut read = Read::default();
    let tables = match value.into_inner() {
        DeValue::Array(tables) if tables.len() <= MAX_PIPELINES => tables,
        DeValue::Array(_) => {
            read.errors.push(place.wrong(KEY, format_args!("at most {MAX_PIPELINES} pipelines are taken")));
            return read;
        }
        _ => {
            read.errors.push(place.wrong(KEY, "expected tables that begin with [[pipeline]]"));
            return read;
        }
    };
    for table in tables {
        match read_one(text, file, folder, table) {
            Ok(configured) => read.pipelines.push(configured),
            Err(errors) => read.errors.extend(errors),
        }
    }
    read.errors.extend(spec::conflicts(&read.pipelines));
    read
}

fn read_one(
    text: &str,
    file: &str,
    folder: &Path,
    table: Spanned<DeValue<'_>>,
) -> Result<Configured, Vec<String>> {
    let name = table.get_ref().get("name").and_then(|name| name.get_ref().as_str().map(str::to_owned));
    let subject =
        name.map_or_else(|| "[[pipeline]]".to_owned(), |name| format!("pipeline '{}'", name.escape_debug()));
    let place = Place::new(text, file, subject, &table);
    let span = table.span();
    let mut table = table.into_inner();
    let sinks = take(&mut table, SINKS_KEY);
    let sinks = read_sinks(text, file, folder, &place, sinks);
    let raw = place.read(Spanned::new(span, table)).map_err(|error| vec![error]);
    match (raw, sinks) {
        (Ok(raw), Ok(sinks)) => {
            let spec = spec::checked(raw, sinks, folder, &place).map_err(|error| vec![error])?;
            Ok(Configured { spec, origin: place.origin() })
        }
        (raw, sinks) => Err([raw.err().unwrap_or_default(), sinks.err().unwrap_or_default()].concat()),
    }
}

/// Takes a key out of a table.
fn take<'a>(table: &mut DeValue<'a>, key: &str) -> Option<Spanned<DeValue<'a>>> {
    let DeValue::Table(table) = table else { return None };
    let key = table.iter().map(|(key, _)| key).find(|found| found.get_ref().as_ref() == key)?.clone();
    DeTable::remove(table, &key)
}

fn read_sinks(
    text: &str,
    file: &str,
    folder: &Path,
    pipeline: &Place<'_>,
    value: Option<Spanned<DeValue<'_>>>,
) -> Result<Vec<SinkSpec>, Vec<String>> {
    let none =
        || vec![pipeline.wrong(SINKS_KEY, "it has no sink: [[pipeline.to]] says where the records go")];
    let Some(value) = value else { return Err(none()) };
    let span = value.span();
    let sinks = match value.into_inner() {
        DeValue::Array(sinks) => sinks.into_iter().collect(),
        // `to = { type = "stdout" }` can only mean one thing.
        table @ DeValue::Table(_) => vec![Spanned::new(span, table)],
        _ => return Err(vec![pipeline.wrong(SINKS_KEY, "expected tables that begin with [[pipeline.to]]")]),
    };
    if sinks.is_empty() {
        return Err(none());
    }
    if sinks.len() > MAX_SINKS {
        return Err(vec![pipeline.wrong(SINKS_KEY, format_args!("at most {MAX_SINKS} sinks are taken"))]);
    }
    let mut read = Vec::new();
    let mut errors = Vec::new();
    for (number, mut sink) in sinks.into_iter().enumerate() {
        let place = Place::new(text, file, format!("{}, sink {}", pipeline.subject, number + 1), &sink);
        if let Err((key, why)) = secrets::resolve(sink.get_mut(), folder) {
            errors.push(place.wrong(&key, format_args!("{key}: {why}")));
            continue;
        }
        match place.read::<SinkSpec>(sink) {
            Ok(sink) => read.push(below(folder, sink)),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(read) } else { Err(errors) }
}

/// The same sink, its relative files below the configuration's folder.
fn below(folder: &Path, sink: SinkSpec) -> SinkSpec {
    match sink {
        SinkSpec::File(mut file) => {
            file.path = folder.join(file.path);
            SinkSpec::File(file)
        }
        SinkSpec::Sql(mut sql) => {
            let file = sql.url.as_ref().map(|url| DatabaseUrl::parse(url.expose()));
            if let Some(Ok(DatabaseUrl::Sqlite(path))) = file {
                sql.url = Some(Secret::new(format!("sqlite:{}", folder.join(path).display())));
            }
            SinkSpec::Sql(sql)
        }
        other => other,
    }
}

/// The steps in the order in which they run, with the key of each.
pub(crate) fn steps(
    schema: Option<RawSchema>,
    filter: Option<String>,
    map: Option<String>,
    folder: &Path,
) -> Result<Vec<(&'static str, Step)>, (&'static str, String)> {
    let mut steps = Vec::new();
    if let Some(schema) = schema {
        let set = schemas::read(schema, folder).map_err(|why| ("schema", why))?;
        steps.push(("schema", Step::Schema(set)));
    }
    steps.extend(filter.map(|program| ("filter", Step::Filter(program))));
    steps.extend(map.map(|program| ("map", Step::Map(program))));
    let bare: Vec<_> = steps.iter().map(|(_, step)| step.clone()).collect();
    match Transform::compile(&bare) {
        Ok(_) => Ok(steps),
        Err(error) => {
            let key = error.step.checked_sub(1).and_then(|at| steps.get(at)).map_or("map", |(key, _)| *key);
            Err((key, error.why))
        }
    }
}

#[cfg(test)]
mod tests;
